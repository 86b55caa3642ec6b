"""Attention maps, patch grids and the head's input, found among the operations of a graph."""

import dataclasses
import re

# Operations that an attention map may pass on its way to the product with the values: casts,
# shape changes, masks, dropout, scaling.
_SHAPING = frozenset(
    ["ExpandDims", "Reshape", "Split", "SplitV", "Squeeze", "StridedSlice", "Transpose"]
)
_SCALING = frozenset(["Cast", "Identity", "Mul", "RealDiv", "Select", "SelectV2", "StopGradient"])
_MAX_STEPS = 6
_PRODUCTS = frozenset(["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "MatMul"])
_PATCH_EMBEDDINGS = frozenset(["Conv2D", "ExtractImagePatches"])
# Operations between a head's last matrix product and the predictions.
_AFTER_THE_HEAD = frozenset(
    ["AddV2", "BiasAdd", "Cast", "Identity", "LogSoftmax", "Reshape", "Sigmoid", "Softmax"]
)


@dataclasses.dataclass(frozen=True)
class AttentionSite:
    """An attention map in a graph.

    Args:
        tensor: the softmax output, symbolic, `[..., queries, keys]`, before any dropout.
        layer: path of the layer that computes it, from the operation's name.
    """

    tensor: object
    layer: str


def find_attention(operations, model_name):
    """Returns the attention maps among a model's operations, in their order, as `AttentionSite`s.

    An attention map is the output of a `Softmax` of rank 3 or more that, perhaps through casts,
    masks, dropout or shape changes, becomes an operand of a matrix product or an einsum. A
    classification or segmentation head ends in a softmax too, but multiplies nothing with it.
    """
    names = {operation.name for operation in operations}
    return [
        AttentionSite(operation.outputs[0], layer_path(operation.name, model_name))
        for operation in operations
        if operation.type == "Softmax"
        and (operation.outputs[0].shape.rank or 0) >= 3
        and _reaches_product(operation.outputs[0], names)
    ]


def _reaches_product(tensor, names):
    """Tells whether `tensor` is multiplied with something after at most `_MAX_STEPS` steps."""
    frontier = [tensor]
    for _ in range(_MAX_STEPS + 1):
        consumers = [
            consumer for item in frontier for consumer in item.consumers() if consumer.name in names
        ]
        if any(consumer.type in _PRODUCTS for consumer in consumers):
            return True
        frontier = [
            output
            for consumer in consumers
            if consumer.type in _SHAPING | _SCALING
            for output in consumer.outputs
        ]
    return False


def patch_embeddings(operations, before):
    """Returns the outputs of convolutions and patch extractions that precede tensor `before`.

    Each is a symbolic tensor `[batch, height, width, channels]`, or channels first as its
    operation's `data_format` says; `spatial_axes` tells which axes are height and width.
    """
    outputs = []
    for operation in operations:
        if operation is before.op:
            break
        if operation.type in _PATCH_EMBEDDINGS:
            outputs.append(operation.outputs[0])
    return outputs


def spatial_axes(tensor):
    """Returns the axes of height and width of a convolution's output."""
    attributes = tensor.op.node_def.attr
    return (2, 3) if attributes["data_format"].s == b"NCHW" else (1, 2)


def head_input(predictions):
    """Returns the tensor that the model's last matrix product reads, or `predictions` itself.

    What the predictions depend on is asked of the head's input, not of the predictions, because
    a softmax can hide a dependence and a head's kernel is often initialized with zeros.
    """
    tensor = predictions
    while tensor.op.type in _AFTER_THE_HEAD:
        tensor = tensor.op.inputs[0]
    return tensor.op.inputs[0] if tensor.op.type == "MatMul" else predictions


def depends_on(tensor, other):
    """Tells whether `tensor` is computed from `other`, by the graph's edges."""
    seen, waiting = {tensor.op}, [tensor.op]
    while waiting:
        operation = waiting.pop()
        if operation is other.op:
            return True
        news = {source.op for source in operation.inputs} - seen
        seen |= news
        waiting.extend(news)
    return False


def last_activation(predictions):
    """Returns `"Softmax"` or `"Sigmoid"` where the model ends in one, else None."""
    tensor = predictions
    while tensor.op.type in ("Cast", "Identity", "Reshape"):
        tensor = tensor.op.inputs[0]
    return tensor.op.type if tensor.op.type in ("Sigmoid", "Softmax") else None


def layer_path(operation_name, model_name):
    """Returns the path of the layer that added an operation, from the operation's name.

    Keras 3 appends `_1`, `_2`, ... to each name in the path; one such suffix is stripped from
    each. tf.keras 2 leaves the names alone, which shows in the path's first, the model's own.
    """
    parts = operation_name.split("/")[:-1] or [operation_name]
    if parts[0] == model_name:
        return "/".join(parts)
    return "/".join(re.sub(r"_\d+$", "", part) for part in parts)
