"""Counterparts: tensors that take the same place in two parts of a graph that are built alike."""

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.walks import stripped

# Attributes of an operation that say nothing of what it computes.
_NAMES = frozenset(["_class", "_output_shapes", "container", "debug_name", "shared_name"])


def counterpart(graph, tensor, source, other, *, reads_inputs):
    """Returns the tensor that `other` is computed from as `tensor` is computed from `source`.

    The ways from both to their sources are held against each other, operation by operation. They
    may differ in the values of weights and in nothing else: not in constants, shapes, or integers
    that are kept as weights. Beside its source, neither may read anything that is computed from the
    model's inputs.

    Args:
        graph: a `TracedGraph`.
        tensor: symbolic tensor.
        source: symbolic tensor below it.
        other: symbolic tensor.
        reads_inputs: the `Dependence` on the model's inputs.

    Returns:
        symbolic tensor, or None where the two ways aren't alike, or don't lead to `source`. None
        too where a matrix of weights holds nothing but zeros on the second way alone.
    """
    captured = {inner.name: outer for inner, outer in graph.captures()}
    found, waiting = {}, [(tensor, other)]
    while waiting:
        first, second = waiting.pop()
        if first.name in found:
            if found[first.name].name != second.name:
                return None
            continue
        found[first.name] = second
        if first.name == source.name:
            continue
        if first.name == second.name:
            if reads_inputs.any(first):
                return None
            continue
        if not _are_alike(first, second, captured):
            return None
        waiting += zip(first.op.inputs, second.op.inputs, strict=True)
    return found.get(source.name)


def _are_alike(first, second, captured):
    """Returns whether two tensors are the same output of operations of the same kind."""
    operations = first.op, second.op
    if first.op.type != second.op.type or first.value_index != second.value_index:
        return False
    if len({len(each.inputs) for each in operations}) > 1 or any(
        o.control_inputs for o in operations
    ):
        return False
    if first.dtype != second.dtype or first.shape.as_list() != second.shape.as_list():
        return False
    if first.op.type == "Placeholder":
        return _are_alike_captures(*(captured.get(each.name) for each in (first, second)))
    if first.op.type == "ReadVariableOp":
        return _are_alike_weights(first, second, captured)
    return _attributes(first.op) == _attributes(second.op)


def _are_alike_captures(first, second):
    """Returns whether two tensors from outside of a graph are equal, or stand for variables."""
    if first is None or second is None or first.dtype != second.dtype:
        return False
    if first.dtype == tf.resource:
        return True  # Its reads are compared.
    return first.shape == second.shape and np.array_equal(first.numpy(), second.numpy())


def _are_alike_weights(first, second, captured):
    """Returns whether two weights may stand for each other."""
    handles = [
        captured.get(stripped(each.op.inputs[0], {"Identity"}).name) for each in (first, second)
    ]
    if None in handles:
        return False
    if not first.dtype.is_floating:
        values = [_value(handle, first.dtype).numpy() for handle in handles]
        return np.array_equal(*values)
    return first.shape.rank < 2 or _is_zero(handles[0], first) or not _is_zero(handles[1], second)


def _is_zero(handle, read):
    return not bool(tf.reduce_any(_value(handle, read.dtype) != 0))


def _value(handle, dtype):
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)


def _attributes(operation):
    """Returns an operation's attributes without names, as a dict of serialized values."""
    attributes = operation.node_def.attr
    return {name: attributes[name].SerializeToString() for name in attributes if name not in _NAMES}
