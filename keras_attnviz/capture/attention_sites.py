"""Attention maps among the operations of a graph: softmaxes that are multiplied with values."""

import dataclasses

from keras_attnviz.capture.graph.operation_types import (
    BIASES,
    PRODUCTS,
    SAME_ENTRIES,
    SCALINGS,
    SCORE_SHIFTS,
    SHAPE_CHANGES,
    WEIGHTS,
)
from keras_attnviz.capture.graph.operations import layer_path
from keras_attnviz.capture.graph.walks import levels, sources_of, stripped

# Operations between an attention map and its product with the values, and between the product of
# queries and keys and the scores: casts, shape changes, masks, dropout, scaling.
_MAP_STEPS = SHAPE_CHANGES | SCALINGS | BIASES
_SCORE_STEPS = SHAPE_CHANGES | SCALINGS | SCORE_SHIFTS
_MAX_STEPS = 9


@dataclasses.dataclass(frozen=True)
class AttentionSite:
    """An attention map in a graph.

    Args:
        weights: the softmax output, symbolic, `[..., queries, keys]`, before any dropout.
        scores: what the softmax reads, symbolic, of the same shape.
        factor: the weights as they enter the product with the values, symbolic.
        output: the product of weights and values, symbolic.
        operands: the two factors of the product that gave the scores, symbolic; empty where the
            product was not found.
        layer: path of the layer that computes it, from the operation's name.
    """

    weights: object
    scores: object
    factor: object
    output: object
    operands: tuple
    layer: str


def find_attention(operations, model_name, dependence):
    """Returns an `AttentionSite` for each attention map among a model's operations, in order.

    An attention map is a softmax of rank 3 or more that is multiplied with values, perhaps after
    casts, masks, dropout, shape changes or a mixing of heads. The values are computed; they are not
    mere weights. A classification or segmentation head ends in a softmax too, but multiplies
    nothing with it.

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
    """Returns what a softmax reads, or None where `operation` isn't the last one of a softmax.

    A softmax is the operation `Softmax`; or it is written out as exponentials divided by their
    sum, or as the exponential of a log-softmax or of scores minus their log-sum-exp.
    """
    if operation.type == "Softmax":
        return operation.inputs[0]
    if operation.type == "RealDiv":
        numerator, denominator = (tensor.op for tensor in operation.inputs)
        total = _nearest(denominator, ["Sum"])
        summed = total and _nearest(total.inputs[0].op, ["Exp"])
        is_softmax = (
            numerator.type == "Exp" and summed and numerator.inputs[0].name == summed.inputs[0].name
        )
        return _before_shift(numerator.inputs[0]) if is_softmax else None
    if operation.type == "Exp" and operation.inputs[0].op.type == "Sub":
        scores, shift = operation.inputs[0].op.inputs
        return scores if _nearest(shift.op, ["Log"]) else None
    if operation.type == "Exp" and operation.inputs[0].op.type == "LogSoftmax":
        return operation.inputs[0].op.inputs[0]
    return None


def _before_shift(tensor):
    """Returns the scores before their maximum was subtracted, or `tensor` itself."""
    if tensor.op.type == "Sub" and _nearest(tensor.op.inputs[1].op, ["Max"]):
        return tensor.op.inputs[0]
    return tensor


def _nearest(operation, types, steps=4):
    """Returns the nearest operation of one of `types` at or before `operation`, or None."""
    reached = (item for level in levels([operation], sources_of, count=steps + 1) for item in level)
    return next((item for item in reached if item.type in types), None)


def _product_with_values(tensor, names):
    """Returns the form in which `tensor` meets values, and the product with them, or two Nones."""

    def readers(item):
        return [consumer for consumer in item.consumers() if consumer.name in names]

    def following(item):
        passed = [each for each in readers(item) if each.type in _MAP_STEPS or _mixes_heads(each)]
        return [output for consumer in passed for output in consumer.outputs]

    for level in levels([tensor], following, count=_MAX_STEPS + 1):
        for item in level:
            for consumer in readers(item):
                if consumer.type in PRODUCTS and not any(map(is_weight, consumer.inputs)):
                    return item, consumer
    return None, None


def _score_operands(scores, dependence):
    """Returns the two factors of the product that `scores` come from, or an empty tuple.

    A product of two tensors that are both computed from the inputs is preferred: a relative
    position bias may be a product of queries and weights. But a pooling head's queries are weights.
    """

    def following(tensor):
        is_passed = tensor.op.type in _SCORE_STEPS or _mixes_heads(tensor.op)
        return [item for item in tensor.op.inputs if is_passed and dependence.any(item)]

    found = ()
    for level in levels([scores], following, count=_MAX_STEPS + 1):
        for tensor in level:
            if tensor.op.type in PRODUCTS and not _mixes_heads(tensor.op):
                if all(map(dependence.any, tensor.op.inputs)):
                    return tuple(tensor.op.inputs)
                found = found or tuple(tensor.op.inputs)
    return found


def _mixes_heads(operation):
    """Returns whether an operation mixes the heads with weights of shape `[heads, heads]`."""
    if operation.type == "Conv2D":
        kernel = operation.inputs[1].shape
        return kernel.rank == 4 and kernel[:2].as_list() == [1, 1] and kernel[2] == kernel[3]
    if operation.type not in PRODUCTS or len(operation.inputs) != 2:
        return False
    weights = [tensor.shape for tensor in operation.inputs if is_weight(tensor)]
    return any(shape.rank == 2 and shape[0] == shape[1] for shape in weights)


def is_weight(tensor):
    """Returns whether a tensor is a variable, perhaps cast or reshaped."""
    return stripped(tensor, SAME_ENTRIES | {"Transpose"}).op.type in WEIGHTS
