"""Attention maps among the operations of a graph: softmaxes that are multiplied with values."""

import dataclasses

from keras_attnviz.capture.graph.operations import layer_path

# Operations that an attention map may pass on its way to the product with the values, and its
# scores on their way from the product of queries and keys: casts, shape changes, masks, dropout,
# scaling.
_SHAPING = frozenset(
    ["ExpandDims", "Reshape", "Split", "SplitV", "Squeeze", "StridedSlice", "Transpose", "Unpack"]
)
_SCALING = frozenset(["Cast", "Identity", "Mul", "RealDiv", "Select", "SelectV2", "StopGradient"])
_ADDING = frozenset(["Add", "AddV2", "BiasAdd"])
_MASKING = _ADDING | frozenset(["Maximum", "Minimum", "Sub", "Tanh"])
_MAX_STEPS = 9
_PRODUCTS = frozenset(["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "MatMul"])


@dataclasses.dataclass(frozen=True)
class AttentionSite:
    """An attention map in a graph.

    Args:
        weights: the softmax output, symbolic, `[..., queries, keys]`, before any dropout.
        scores: what the softmax reads, of the same shape.
        factor: the weights as they enter the product with the values, symbolic.
        output: the product of weights and values, symbolic.
        operands: the two factors of the product that gave the scores, symbolic; empty where it
            was not found.
        layer: path of the layer that computes it, from the operation's name.
    """

    weights: object
    scores: object
    factor: object
    output: object
    operands: tuple
    layer: str


def find_attention(operations, model_name, dependence):
    """Returns the attention maps among a model's operations, in their order, as `AttentionSite`s.

    An attention map is a softmax of rank 3 or more that, perhaps through casts, masks, dropout,
    shape changes or a mixing of heads, is multiplied with values, which are computed and no mere
    weights. A classification or segmentation head ends in a softmax too, but
    multiplies nothing with it.

    Args:
        operations: the operations that one call of the model has added.
        model_name: the model's name.
        dependence: a `Dependence` on the model's inputs.
    """
    names = {operation.name for operation in operations}
    sites = []
    for operation in operations:
        scores = _softmax_scores(operation)
        if scores is None or (operation.outputs[0].shape.rank or 0) < 3:
            continue
        weights = operation.outputs[0]
        factor, product = _product_with_values(weights, names)
        if product is not None:
            operands = _score_operands(scores, dependence)
            path = layer_path(operation.name, model_name)
            sites.append(AttentionSite(weights, scores, factor, product.outputs[0], operands, path))
    return sites


def _softmax_scores(operation):
    """Returns what a softmax reads, or None where the operation ends no softmax.

    Beside the operation `Softmax` there are written-out forms: exponentials divided by their sum,
    and the exponential of a log-softmax, or of scores minus their log-sum-exp.
    """
    if operation.type == "Softmax":
        return operation.inputs[0]
    if operation.type == "RealDiv":
        numerator, denominator = (tensor.op for tensor in operation.inputs)
        total = _ancestor(denominator, ["Sum"])
        summed = total and _ancestor(total.inputs[0].op, ["Exp"])
        is_softmax = (
            numerator.type == "Exp" and summed and numerator.inputs[0].name == summed.inputs[0].name
        )
        return _before_shift(numerator.inputs[0]) if is_softmax else None
    if operation.type == "Exp" and operation.inputs[0].op.type == "Sub":
        scores, shift = operation.inputs[0].op.inputs
        return scores if _ancestor(shift.op, ["Log"]) else None
    if operation.type == "Exp" and operation.inputs[0].op.type == "LogSoftmax":
        return operation.inputs[0].op.inputs[0]
    return None


def _before_shift(tensor):
    """Returns the scores before their maximum was subtracted, or `tensor` itself."""
    if tensor.op.type == "Sub" and _ancestor(tensor.op.inputs[1].op, ["Max"]):
        return tensor.op.inputs[0]
    return tensor


def _ancestor(operation, types, steps=4):
    """Returns the nearest operation of one of `types` at or before `operation`, or None."""
    frontier = [operation]
    for _ in range(steps + 1):
        found = [item for item in frontier if item.type in types]
        if found:
            return found[0]
        frontier = [tensor.op for item in frontier for tensor in item.inputs]
    return None


def _product_with_values(tensor, names):
    """Returns what `tensor` becomes and the operation that multiplies it with values, or Nones."""
    passed = _SHAPING | _SCALING | _ADDING
    frontier = [tensor]
    for _ in range(_MAX_STEPS + 1):
        following = []
        for item in frontier:
            for consumer in item.consumers():
                if consumer.name not in names:
                    continue
                if consumer.type in _PRODUCTS and not any(map(is_weight, consumer.inputs)):
                    return item, consumer
                if consumer.type in passed or _mixes_heads(consumer):
                    following.extend(consumer.outputs)
        frontier = following
    return None, None


def _score_operands(scores, dependence):
    """Returns the two factors of the product that `scores` come from, or an empty tuple.

    A product of two things that are computed from the inputs goes first; a relative position
    bias may be the product of queries and weights, and a pooling head's queries are weights.
    """
    frontier, found = [scores], ()
    for _ in range(_MAX_STEPS + 1):
        following = []
        for tensor in frontier:
            operation = tensor.op
            if _mixes_heads(operation):
                following.extend(item for item in operation.inputs if dependence.of(item))
            elif operation.type in _PRODUCTS:
                if all(dependence.of(item) for item in operation.inputs):
                    return tuple(operation.inputs)
                found = found or tuple(operation.inputs)
            elif operation.type in _SHAPING | _SCALING | _MASKING:
                following.extend(item for item in operation.inputs if dependence.of(item))
        frontier = following
    return found


def _mixes_heads(operation):
    """Tells whether an operation mixes the heads with weights of shape `[heads, heads]`."""
    if operation.type == "Conv2D":
        kernel = operation.inputs[1].shape
        return kernel.rank == 4 and kernel[:2].as_list() == [1, 1] and kernel[2] == kernel[3]
    if operation.type not in _PRODUCTS or len(operation.inputs) != 2:
        return False
    weights = [tensor.shape for tensor in operation.inputs if is_weight(tensor)]
    return any(shape.rank == 2 and shape[0] == shape[1] for shape in weights)


def is_weight(tensor):
    """Tells whether a tensor is a variable, perhaps cast or reshaped."""
    operation = tensor.op
    while operation.type in ("Cast", "Identity", "Reshape", "Transpose"):
        operation = operation.inputs[0].op
    return operation.type in ("Const", "ReadVariableOp")
