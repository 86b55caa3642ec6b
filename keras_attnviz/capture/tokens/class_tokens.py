"""Further tokens that stand in every group of an attention map: a class token in each frame."""

import dataclasses

import numpy as np

from keras_attnviz.capture.tokens.readout import by_group

# How far scores of the same token may differ; half precision needs this much.
_TOLERANCE = 0.01


def with_shared_tokens(trace, inputs, places):
    """Returns places in which tokens that stand in every group are known as such.

    In divided space-time attention a class token is repeated for each frame, and its outputs are
    averaged. Such a token is told by its scores with itself, which are the same in every group,
    and not the same for another image, as those of windows' padding are. In every map that has
    such tokens they must be the same: tokens that each frame has for itself begin alike and then
    differ.

    Args:
        trace: a `Trace`.
        inputs: flat list of the model's inputs, one random image.
        places: tuple of `Place`.
    """
    candidates = [index for index, place in enumerate(places) if _has_alike(place)]
    if not candidates:
        return places
    scores = [trace.sites[places[index].index].scores for index in candidates]
    run = trace.experiment(scores)
    found = [
        [_own_scores(values.numpy(), places[index]) for index, values in pairs]
        for pairs in (
            zip(candidates, run(*each), strict=True)
            for each in (inputs, trace.signature.random(1, seed=1))
        )
    ]
    if not all(_are_close(own, own[:1]) for each in found for own in each):
        return places
    if all(_are_close(*pair) for pair in zip(*found, strict=True)):
        return places
    return tuple(
        _shared(place) if index in candidates else place for index, place in enumerate(places)
    )


def _has_alike(place):
    """Tells whether each of several groups has further tokens in the same slots on both sides."""
    groups = place.axes.groups
    if groups == 1 or place.queries.grid is None or place.keys.grid is None:
        return False
    free = [_free(side, groups) for side in (place.queries, place.keys)]
    return all(slots is not None and len(slots) for slots in free)


def _free(side, groups):
    """Returns the slots of a group that stand for no position, None where groups differ."""
    free = side.free(groups)
    by_group = [free[free // side.slots == group] % side.slots for group in range(groups)]
    is_alike = all(np.array_equal(slots, by_group[0]) for slots in by_group)
    return by_group[0] if is_alike else None


def _own_scores(scores, place):
    """Returns the scores of the further tokens with one another, `[groups, heads, ...]`."""
    groups = place.axes.groups
    scores = scores.astype(float).transpose(place.order)
    queries, keys = (_free(side, groups) for side in (place.queries, place.keys))
    return by_group(scores, place.axes, place.queries.slots)[:, :, queries][..., keys]


def _shared(place):
    sides = (dataclasses.replace(side, is_shared=True) for side in (place.queries, place.keys))
    return dataclasses.replace(place, **dict(zip(("queries", "keys"), sides, strict=True)))


def _are_close(found, expected):
    scale = np.abs(expected).max()
    return bool(np.abs(found - expected).max() <= _TOLERANCE * scale)
