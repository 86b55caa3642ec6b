"""Gates among the operations of a graph: sigmoids or softmaxes that multiply feature maps."""

import dataclasses

import tensorflow as tf

from keras_attnviz.capture.graph.operation_types import CASTS, CLIPS, FORM_CHANGES, LINEAR, PARTS
from keras_attnviz.capture.graph.operations import layer_path
from keras_attnviz.capture.graph.walks import stripped

# The most operations between a gate and the product.
_MAX_STEPS = 16


@dataclasses.dataclass(frozen=True)
class GateSite:
    """A gate in a graph.

    Args:
        values: the gate, symbolic: the output of a sigmoid, or of a softmax over branches, which
            are its last axis.
        factor: the gate as it enters the product, symbolic, perhaps scaled or with 1 added; it
            broadcasts over `features`.
        features: the feature map that it multiplies, symbolic, of rank 4, or 5 with branches.
        is_plain: whether the factor is the values in another form, with nothing added or
            multiplied.
        source: what a clipped linear function is computed from entry by entry, symbolic. A test
            must still show whether that function is a hard sigmoid. None for sigmoid and softmax.
        is_branch: whether the values are weights of branches.
        layer: path of the layer that multiplies.
    """

    values: object
    factor: object
    features: object
    is_plain: bool
    source: object
    is_branch: bool
    layer: str


def find_gates(operations, model_name, dependence):
    """Returns a `GateSite` for each gate among a model's operations, in order.

    A gate is a sigmoid, or a linear function clipped at both ends, that multiplies a feature map
    with broadcasting or entry by entry; or a softmax whose parts multiply feature maps. A factor
    that is computed from the very entries that it multiplies is no gate, as in SiLU and hard
    swish. Neither is a factor that doesn't depend on the inputs.

    Args:
        operations: the operations that one call of the model has added.
        model_name: the model's name.
        dependence: a `Dependence` on the model's inputs.
    """
    found = {}
    for operation in operations:
        if operation.type != "Mul" or operation.outputs[0].shape.rank not in (4, 5):
            continue
        if not all(dependence.of(tensor) for tensor in operation.inputs):
            continue
        # The broadcast factor comes first: the other one may be a feature map out of a sigmoid.
        for factor, features in sorted(_pairs(operation), key=_broadcast_axes, reverse=True):
            site = _site(factor, features, layer_path(operation.name, model_name))
            if site is not None:
                # A gate is named for the first feature map that it multiplies.
                found.setdefault(site.values.name, site)
                break
    return list(found.values())


def _pairs(operation):
    first, second = operation.inputs
    return [(first, second), (second, first)]


def _broadcast_axes(pair):
    """Returns how many axes of size 1 the first of two tensors has, the batch axis aside."""
    shape = pair[0].shape
    return 0 if shape.rank is None else shape.as_list()[1:].count(1)


def _site(factor, features, layer):
    """Returns the `GateSite` of a product, or None where `factor` is no gate."""
    tensor, passed, values = factor, [], None
    for _ in range(_MAX_STEPS):
        kind = tensor.op.type
        if kind == "Softmax":
            is_branch = bool(PARTS & set(passed)) or factor.shape.rank == 5
            site = GateSite(tensor, factor, features, False, None, True, layer)
            return site if is_branch else None
        following = _source(tensor)
        if following is None:
            break
        if kind == "Sigmoid" and values is None:
            values, is_plain = tensor, not set(passed) - FORM_CHANGES
        passed.append(kind)
        tensor = following
    if factor.shape.rank != 4 or PARTS & set(passed):
        return None
    if stripped(features, CASTS) is stripped(tensor, CASTS):
        return None
    if values is not None:
        return GateSite(values, factor, features, is_plain, None, False, layer)
    if CLIPS & set(passed):
        return GateSite(factor, factor, features, True, tensor, False, layer)
    return None


def _source(tensor):
    """Returns the tensor that one is a form, a part or an entrywise function of, or None."""
    operation = tensor.op
    if operation.type in FORM_CHANGES | PARTS | {"Relu6", "Sigmoid"}:
        # `Split` takes its axis first.
        return operation.inputs[1 if operation.type == "Split" else 0]
    if operation.type in CLIPS | LINEAR:
        computed = [item for item in operation.inputs if tf.get_static_value(item) is None]
        if len(computed) == 1:
            return computed[0]
    return None
