"""Which keys of an attention map belong to a token that asks, as a class token does."""

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.tokens.position_gradients import gradients_at

# A gradient weaker than this share of the strongest counts as none.
_NEGLIGIBLE = 1e-6


def asking_keys(gradients, slots):
    """Returns those of some keys that are computed from a token that a query comes from too.

    So a class token that asks is told from a learned query beside registers.

    Args:
        gradients: the map's `ScoreGradients`, after `at` has found some.
        slots: numbers of keys.
    """
    trace = gradients.trace
    operands, at_operands = zip(*map(gradients.through, ("queries", "keys")), strict=True)
    tensors = _common_ancestors(*operands)
    arriving = [
        gradients_at(trace, [operand], [cotangent], tensors)
        for operand, cotangent in zip(operands, at_operands, strict=True)
    ]
    pairs = [pair for pair in zip(*arriving, strict=True) if None not in pair]
    random = np.random.default_rng(2)
    # Random queries and keys, because a token that is initialized with zeros has no gradients.
    values = [
        tf.constant(random.normal(size=trace.shape_of(operand)), operand.dtype)
        for operand in operands
    ]
    function = trace.experiment(pairs, feeds=[*operands, *gradients.fed])

    def is_asking(slot):
        found = function(*gradients.inputs, *values, *gradients.cotangents_of_key(slot))
        return any(map(_meet, found))

    return list(filter(is_asking, slots))


def _common_ancestors(first, second):
    """Returns the tensors of tokens that both of two tensors are computed from."""
    below = [{operation.name: operation for operation in _below(each)} for each in (first, second)]
    outputs = [
        output for name in below[0].keys() & below[1].keys() for output in below[0][name].outputs
    ]
    return [
        tensor
        for tensor in outputs
        if tensor.dtype.is_floating and (tensor.shape.rank or 0) >= 3 and tensor.shape[0] is None
    ]


def _below(tensor):
    """Returns the operations that a tensor is computed from."""
    found, waiting = {}, [tensor.op]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting.extend(source.op for source in operation.inputs)
    return list(found.values())


def _meet(gradients):
    """Tells whether two gradients arrive at one and the same position of a tensor."""
    strengths = [np.abs(gradient.numpy().astype(float)).max(axis=-1) for gradient in gradients]
    reached = [strength > _NEGLIGIBLE * strength.max(initial=0) for strength in strengths]
    return bool((reached[0] & reached[1]).any())
