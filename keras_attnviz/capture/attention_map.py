"""What is told about each attention map of a model."""

import dataclasses

from keras_attnviz.capture.tokens.geometry import kind_over_frames


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """One attention map that was found.

    Args:
        layer: path of the layer that computes it.
        tower: number of the stack of layers that it belongs to, from 0.
        kind: `"self-attention"`, all tokens of an image or video among one another; `"windows"` or
            `"groups"`, the tokens of each window or group among one another; `"temporal"`, those
            at one place in all frames of a video; `"spatial"`, those of each frame of a video;
            `"reduced keys"`, where keys were pooled; `"class attention"` of further tokens to the
            patches; `"pooling"` by learned queries.
        groups: number of groups of tokens (windows) of an image.
        heads: number of heads.
        queries: number of query tokens of a group.
        keys: number of key tokens of a group.
        grid: `(height, width)` of the queries' patches, the keys' for class attention and
            pooling, in a video `(frames, height, width)`; None where it isn't known because the
            layout was given.
        prefix: number of keys before the patches, in each group; 0 where there are groups, unless
            the same class tokens stand in each.
        suffix: number of keys after the patches.
        trainable: whether training can change the map, because it is computed from weights that
            are not frozen.
    """

    layer: str
    tower: int
    kind: str
    groups: int
    heads: int
    queries: int
    keys: int
    grid: tuple | None
    prefix: int
    suffix: int
    trainable: bool = True


def describe(places, towers, trace, *, frames=None):
    """Returns an `AttentionMap` for each `Place`.

    Args:
        places: sequence of `Place`.
        towers: lists of `Place`, the stacks of layers that these belong to.
        trace: the model's `Trace`.
        frames: number of frames of a video, None for images.
    """
    found = (_described(place, _tower_of(place, towers), trace) for place in places)
    if frames is None:
        return tuple(found)
    return tuple(_over_frames(*pair, frames) for pair in zip(found, places, strict=True))


def _tower_of(place, towers):
    return next(number for number, tower in enumerate(towers) if place in tower)


def _described(place, tower, trace):
    side = place.queries if place.queries.grid else place.keys
    groups = place.axes.groups
    is_known = place.keys.has_extras(groups) and side.grid is not None
    prefix, suffix = place.keys.extras(groups) if is_known else (0, 0)
    return AttentionMap(
        layer=trace.sites[place.index].layer,
        tower=tower,
        kind=place.kind,
        groups=place.axes.groups,
        heads=place.axes.heads,
        queries=place.queries.slots,
        keys=place.keys.slots,
        grid=side.grid,
        prefix=prefix,
        suffix=suffix,
        trainable=trace.is_trained(trace.sites[place.index].weights),
    )


def _over_frames(found, place, frames):
    """Returns an `AttentionMap` of a tall image as that of a video."""
    grid = found.grid
    if grid is not None and grid[0] % frames == 0:
        grid = (frames, grid[0] // frames, grid[1])
    return dataclasses.replace(found, kind=kind_over_frames(place, frames), grid=grid)
