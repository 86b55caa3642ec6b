"""Paths between two tensors of a graph, and gradients along them."""

import tensorflow as tf

from keras_attnviz.capture.graph.operation_types import MASKS, SHAPE_READERS
from keras_attnviz.capture.graph.walks import ancestors, sources_of


def tensors_between(source, target):
    """Returns the tensors that every path from `source` to `target` passes, `source` first.

    Only tensors of rank 3 or 4 with an open batch axis are returned. A tensor lies on every path if
    the number of paths to it, times the number of paths from it, is the number of all paths.
    """
    to = {source.op: 1}
    order = [source.op]
    for operation in _operations_between(source.op, target.op):
        to[operation] = sum(
            to.get(tensor.op, 0) for tensor in operation.inputs if tensor.op is not operation
        )
        order.append(operation)
    beyond = {target.op: 1}
    for operation in reversed(order):
        for tensor in operation.inputs:
            if tensor.op in to:
                beyond[tensor.op] = beyond.get(tensor.op, 0) + beyond.get(operation, 0)
    return [
        operation.outputs[0]
        for operation in order
        if to[operation] * beyond.get(operation, 0) == to.get(target.op)
        and operation.outputs[0].shape.rank in (3, 4)
        and operation.outputs[0].shape[0] is None
    ]


def masks_between(source, target):
    """Returns where masks replace numbers by others on the way between two tensors.

    Returns:
        list, in graph order, of `(masked, unmasked)`, tensors of one shape.
    """
    between = _operations_between(source.op, target.op)
    passed, found = {source.op, *between}, []
    for operation in between:
        if operation.type in MASKS:
            (masked,), shape = operation.outputs, operation.outputs[0].shape.as_list()
            unmasked = [tensor for tensor in operation.inputs[1:] if tensor.op in passed]
            if len(unmasked) == 1 and unmasked[0].shape.as_list() == shape:
                found.append((masked, unmasked[0]))
    return found


def _operations_between(source, target):
    """Returns the operations that carry values from `source` to `target`, in graph order."""

    def is_end(operation):
        return operation is source or operation.type in SHAPE_READERS

    def sources(operation):
        return [] if is_end(operation) else sources_of(operation)

    before = set(ancestors([target], following=sources))
    after, found = {source}, []
    for operation in source.graph.get_operations():
        if operation not in before or is_end(operation):
            continue
        if any(tensor.op in after for tensor in operation.inputs):
            after.add(operation)
            found.append(operation)
    return found


def gradients_or_none(outputs, sources, **options):
    """Returns `tf.gradients`, all None where an operation in between has no gradient."""
    try:
        return tf.gradients(outputs, sources, **options)
    except LookupError:
        return [None] * len(sources)
