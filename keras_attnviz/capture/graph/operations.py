"""Operations of a graph: what each one is computed from, and the layer that added it."""

import re

from keras_attnviz.capture.graph.operation_types import CALLS, SHAPE_READERS


class Dependence:
    """Dependence of each operation's values on some tensors, the sources.

    Args:
        operations: all operations of a graph, in their order.
        sources: tensors.
        by_shape: whether a dependence on a source's shape alone counts too.
    """

    def __init__(self, operations, sources, *, by_shape=False):
        bits = {}
        for index, source in enumerate(sources):
            bits[source.op.name] = bits.get(source.op.name, 0) | 1 << index
        self._bits = {}
        for operation in operations:
            value = bits.get(operation.name, 0)
            if by_shape or operation.type not in SHAPE_READERS:
                for tensor in operation.inputs:
                    value |= self._bits.get(tensor.op.name, 0)
            self._bits[operation.name] = value

    def of(self, tensor):
        """Returns the indices of the sources that `tensor` is computed from, as a set."""
        bits = self._bits.get(tensor.op.name, 0)
        return {index for index in range(bits.bit_length()) if bits >> index & 1}

    def any(self, tensor):
        """Returns whether `tensor` is computed from any of the sources."""
        return bool(self._bits.get(tensor.op.name, 0))


def hidden_calls(operations):
    """Returns the names of operations that run functions whose insides the graph doesn't show."""
    return [operation.name for operation in operations if operation.type in CALLS]


def layer_path(operation_name, model_name):
    """Returns the path of the layer that added an operation, from the operation's name.

    Keras 3 appends `_1`, `_2`, ... to each name in the path; one such suffix is stripped from
    each. tf.keras 2 leaves the names alone; the path then begins with the model's own name.
    """
    parts = operation_name.split("/")[:-1] or [operation_name]
    if parts[0] == model_name:
        return "/".join(parts)
    return "/".join(re.sub(r"_\d+$", "", part) for part in parts)
