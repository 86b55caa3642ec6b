"""A function of a graph in two parts: what training can't change, and the rest."""

import dataclasses

import tensorflow as tf

from keras_attnviz.capture.graph.operations import Dependence
from keras_attnviz.capture.graph.walks import ancestors


@dataclasses.dataclass(frozen=True)
class Split:
    """Which tensors of a graph are computed once, and which again after each change of weights.

    Args:
        clean: list of the fetched tensors that depend on no changing tensor.
        frontier: list of the unchanging tensors that the second part reads, and that must be kept.
        dirty: list of the fetched tensors that depend on a changing tensor.
        share: share of the operations on the way to the fetched tensors that belong to the second
            part.
        changes: the `Dependence` on changing tensors.
    """

    clean: list
    frontier: list
    dirty: list
    share: float
    changes: Dependence


def split(operations, fetches, *, inputs, changing):
    """Returns the `Split` of a function whose inputs stay the same.

    A tensor that depends on neither inputs nor changing tensors, such as a frozen weight or a
    constant, is read again in the second part rather than kept. Stateful operations, such as random
    numbers and Python functions, count as changing, except those that read a variable. So do
    operations that run functions.

    Args:
        operations: all operations of a graph, in their order.
        fetches: list of symbolic tensors, the function's results.
        inputs: list of symbolic tensors, the function's inputs.
        changing: list of symbolic tensors that may change: the handles of trained variables.
    """
    stateful = [tensor for each in operations if _keeps_state(each) for tensor in each.outputs]
    is_dirty = Dependence(operations, [*changing, *stateful], by_shape=True)
    reads_inputs = Dependence(operations, inputs, by_shape=True)

    def is_kept(tensor):
        return reads_inputs.any(tensor) and not is_dirty.any(tensor)

    def run_again(operation):
        return [tensor.op for tensor in operation.inputs if not is_kept(tensor)]

    clean = [tensor for tensor in fetches if not is_dirty.any(tensor)]
    dirty = [tensor for tensor in fetches if is_dirty.any(tensor)]
    second = ancestors([tensor.op for tensor in dirty], following=run_again)
    read = [tensor for operation in second for tensor in operation.inputs]
    frontier = {tensor.name: tensor for tensor in read if is_kept(tensor)}
    share = len(second) / max(1, len(ancestors([tensor.op for tensor in fetches])))
    return Split(clean, list(frontier.values()), dirty, share, is_dirty)


def _keeps_state(operation):
    """Returns whether an operation's result may change between runs, even if no variable does."""
    definition = operation.op_def
    if definition is None or not definition.is_stateful:
        return definition is None
    runs_functions = any(each.type in ("func", "list(func)") for each in definition.attr)
    return runs_functions or all(tensor.dtype != tf.resource for tensor in operation.inputs)
