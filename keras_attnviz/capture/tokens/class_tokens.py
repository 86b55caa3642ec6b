"""Class tokens: those that every group of an attention map holds, and those that are queries."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.walks import ancestors
from keras_attnviz.capture.tokens.geometry import by_group
from keras_attnviz.capture.tokens.position_gradients import gradients_at

# A gradient weaker than this share of the strongest counts as none.
_NEGLIGIBLE = 1e-6

# How far scores of the same token may differ; half precision needs this much.
_TOLERANCE = 0.01


def with_shared_tokens(trace, inputs, geometries):
    """Returns geometries in which tokens that every group holds are marked as shared.

    In divided space-time attention, a class token is repeated for each frame, and its outputs are
    averaged. The scores of such a token with itself show it: they are the same in every group, and
    they change with the image, unlike scores of the padding of windows. This must hold in every map
    that has such tokens, because tokens that each frame has for itself start alike and then differ.

    Args:
        trace: a `Trace`.
        inputs: flat list of the model's inputs, one random image.
        geometries: tuple of `MapGeometry`.
    """
    candidates = [index for index, geometry in enumerate(geometries) if _has_alike(geometry)]
    if not candidates:
        return geometries
    scores = [trace.sites[geometries[index].index].scores for index in candidates]
    run = trace.experiment(scores)
    found = [
        [_own_scores(values.numpy(), geometries[index]) for index, values in pairs]
        for pairs in (
            zip(candidates, run(*each), strict=True)
            for each in (inputs, trace.signature.random(1, seed=1))
        )
    ]
    if not all(_are_close(own, own[:1]) for each in found for own in each):
        return geometries
    if all(_are_close(*pair) for pair in zip(*found, strict=True)):
        return geometries
    return tuple(
        _shared(geometry) if index in candidates else geometry
        for index, geometry in enumerate(geometries)
    )


def _has_alike(geometry):
    """Returns whether each of several groups has further tokens in the same slots on both sides."""
    groups = geometry.axes.groups
    if groups == 1 or geometry.queries.grid is None or geometry.keys.grid is None:
        return False
    free = [_free(side, groups) for side in (geometry.queries, geometry.keys)]
    return all(slots is not None and len(slots) for slots in free)


def _free(side, groups):
    """Returns the slots of a group that stand for no position; None where groups differ."""
    free = side.free(groups)
    by_group = [free[free // side.slots == group] % side.slots for group in range(groups)]
    is_alike = all(np.array_equal(slots, by_group[0]) for slots in by_group)
    return by_group[0] if is_alike else None


def _own_scores(scores, geometry):
    """Returns the scores of the further tokens with one another, `[groups, heads, ...]`."""
    groups = geometry.axes.groups
    scores = scores.astype(float).transpose(geometry.order)
    queries, keys = (_free(side, groups) for side in (geometry.queries, geometry.keys))
    return by_group(scores, geometry.axes, geometry.queries.slots)[:, :, queries][..., keys]


def _shared(geometry):
    sides = (
        dataclasses.replace(side, is_shared=True) for side in (geometry.queries, geometry.keys)
    )
    return dataclasses.replace(geometry, **dict(zip(("queries", "keys"), sides, strict=True)))


def _are_close(found, expected):
    scale = np.abs(expected).max()
    return bool(np.abs(found - expected).max() <= _TOLERANCE * scale)


def querying_keys(trace, inputs, queries, keys, slots):
    """Returns the keys that are computed from the same token as a query, out of some keys.

    This distinguishes a class token that is a query from a learned query beside registers.

    Args:
        trace: an `ObservedTrace`.
        inputs: flat list of the model's inputs, one image.
        queries: `SideGradients` of the map's queries.
        keys: `SideGradients` of its keys, at the same feature map.
        slots: numbers of keys.
    """
    operands = [queries.operand, keys.operand]
    tensors = _common_ancestors(*(operand.tensor for operand in operands))
    arriving = [
        gradients_at(trace, [operand.tensor], [operand.gradient], tensors) for operand in operands
    ]
    pairs = [pair for pair in zip(*arriving, strict=True) if None not in pair]
    random = np.random.default_rng(2)
    # Random queries and keys, because a token that is initialized with zeros has no gradients.
    values = [
        tf.constant(random.normal(size=trace.shape_of(operand.tensor)), operand.tensor.dtype)
        for operand in operands
    ]
    feeds = [*(operand.tensor for operand in operands), *queries.fed]
    function = trace.experiment(pairs, feeds=feeds)

    def arriving(flow):
        return function(*inputs, *values, *(tf.constant(each, tf.float32) for each in flow))

    of_queries = [first for first, _ in arriving(queries.flow)]

    def is_querying(slot):
        of_key = [second for _, second in arriving(keys.flow_of(slot))]
        return any(map(_meet, zip(of_queries, of_key, strict=True)))

    return list(filter(is_querying, slots))


def _common_ancestors(first, second):
    """Returns the tensors of tokens from which two tensors are both computed."""
    below = set(ancestors([first.op])) & set(ancestors([second.op]))
    outputs = [output for operation in below for output in operation.outputs]
    return [
        tensor
        for tensor in outputs
        if tensor.dtype.is_floating and (tensor.shape.rank or 0) >= 3 and tensor.shape[0] is None
    ]


def _meet(gradients):
    """Returns whether two gradients arrive at one and the same position of a tensor."""
    strengths = [np.abs(gradient.numpy().astype(float)).max(axis=-1) for gradient in gradients]
    reached = [strength > _NEGLIGIBLE * strength.max(initial=0) for strength in strengths]
    return bool((reached[0] & reached[1]).any())
