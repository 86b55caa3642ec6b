"""Where the rows and columns of each attention map stand among the patches of the images."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from keras_attnviz import graph
from keras_attnviz.ownership import Axes, plain_axes, slot_owners, split_axes
from keras_attnviz.probing import ScoreGradients
from keras_attnviz.tokens import MAX_PREFIX

_ROW_SUM_TOLERANCE = 0.02


@dataclasses.dataclass(frozen=True)
class Side:
    """Where the queries or the keys of an attention map stand.

    Args:
        slots: number of queries or keys in a group.
        grid: `(height, width)` of the feature map that they were found on, or None.
        owners: integer array `[height * width]`; for each position of the feature map, row by
            row, the number of its slot, `group * slots + slot`.
    """

    slots: int
    grid: tuple | None
    owners: np.ndarray | None

    def extras(self, groups):
        """Returns the slots that stand for no position: `(before, after)` the patches."""
        if self.grid is None:
            return self.slots, 0
        free = np.setdiff1d(np.arange(groups * self.slots), self.owners)
        before = int(np.sum(free < self.owners.min()))
        return before, len(free) - before


@dataclasses.dataclass(frozen=True)
class Place:
    """An attention map whose rows and columns are placed.

    Args:
        index: the map's number among the trace's sites.
        axes: its leading axes, `Axes`.
        queries: `Side`.
        keys: `Side`.
        kind: what it is called, see `AttentionMap`.
    """

    index: int
    axes: Axes
    queries: Side
    keys: Side
    kind: str


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A softmax that was seen and not taken.

    Args:
        layer: path of the layer that computes it.
        shape: its shape for one image.
        reason: why it was not taken.
    """

    layer: str
    shape: tuple
    reason: str


class _NotPlacedError(Exception):
    """Says why an attention map can't be placed."""


def place_all(trace, inputs, *, tokens=None, measure=True):
    """Returns the attention maps that stand for patches of an image, and the others.

    Args:
        trace: a `Trace`.
        inputs: flat list of the model's inputs, one image; random, so that patches differ.
        tokens: number of tokens where the layout is given: square maps of that size may stay
            unplaced, `grid` None.
        measure: whether maps of that size are placed all the same, where that is possible.

    Returns:
        `(places, left_out)`, tuples of `Place` and `LeftOut`, in the graph's order.
    """
    places, left_out = [], []
    shapes = trace.shapes(inputs)
    for index, site in enumerate(trace.sites):
        shape, deviations = shapes[index]
        try:
            key_axes = _key_axes(trace, site, deviations)
            known = _same_tokens(trace, index, shape, places, shapes)
            if known is None and tokens and _is_plain(shape, tokens):
                known = _given(trace, index, shape, key_axes, inputs, measure=measure)
            places.append(known or _placed(trace, index, shape, key_axes, inputs))
        except _NotPlacedError as reason:
            left_out.append(LeftOut(site.layer, shape, str(reason)))
    return tuple(places), tuple(left_out)


def _key_axes(trace, site, deviations):
    """Returns the number of key axes, or raises for what is no attention over image tokens."""
    if not trace.images_of(site):
        raise _NotPlacedError("it is not computed from the images")
    sums = [deviation <= _ROW_SUM_TOLERANCE for deviation in deviations]
    if True not in sums:
        raise _NotPlacedError("its rows don't sum to 1")
    return sums.index(True) + 1


def _same_tokens(trace, index, shape, places, shapes):
    """Returns the place of a map below of the same shape, where one group holds all tokens."""
    for place in reversed(places):
        if (
            place.axes.groups == 1
            and shapes[place.index][0] == shape
            and place.index in trace.sites_below(index)
        ):
            return dataclasses.replace(place, index=index)
    return None


def _is_plain(shape, tokens=None):
    """Tells whether a map is `[1, heads, tokens, tokens]`."""
    return len(shape) == 4 and shape[0] == 1 and shape[2] == shape[3] == (tokens or shape[3])


def _given(trace, index, shape, key_axes, inputs, *, measure):
    """Returns the place of a map whose tokens' layout is given."""
    if measure:
        try:
            return _placed(trace, index, shape, key_axes, inputs)
        except _NotPlacedError:
            pass
    sides = _patches_last(shape[-1], 0, None)
    return Place(index, plain_axes(shape[:2]), *sides, "self-attention")


def _placed(trace, index, shape, key_axes, inputs):
    slots = math.prod(shape[-key_axes:])
    site = trace.sites[index]
    gradients = ScoreGradients(trace, site, shape, key_axes=key_axes, inputs=inputs)
    if not gradients.has_gradients:
        return _by_size(trace, index, shape, inputs)
    keys, axes = _side(trace, site, gradients, "keys", slots, shape, key_axes)
    queries = math.prod(shape[-2 * key_axes : -key_axes])
    queries, _ = _side(trace, site, gradients, "queries", queries, shape, key_axes, axes)
    return Place(index, axes, queries, keys, _kind(axes, queries, keys))


def _side(trace, site, gradients, side, slots, shape, key_axes, axes=None):
    """Returns the `Side`, and the map's `Axes` where `axes` doesn't give them."""
    found = None
    is_mixed = False
    for feature_map in reversed([*_images(trace, site), *trace.feature_maps(site)]):
        arriving = gradients.at(side, feature_map)
        if arriving is None:
            continue
        grid, of_leading, of_slots = arriving
        if found is not None and grid != found[0].grid:
            break
        random = np.random.default_rng(0)
        here = axes or split_axes(of_leading, shape[: -2 * key_axes], random)
        owners = _owners(of_slots, here, slots, shape[: -2 * key_axes])
        if owners is None:
            is_mixed = True
        elif (owners >= 0).all():
            found = Side(slots, *_patch_grid(grid, owners)), here
            continue
        if found is not None:
            break
    if found is not None:
        return found
    if is_mixed:
        raise _NotPlacedError(f"its {side} stand for no single patches (channels, for example)")
    if side == "keys" or slots > MAX_PREFIX:
        raise _NotPlacedError(f"its {slots} {side} stand for no patches of the image")
    return Side(slots, None, None), axes


def _owners(of_slots, axes, slots, leading):
    """Returns for each position the number of its slot, `group * slots + slot`, or None."""
    numbers = axes.group_numbers().reshape(leading)[..., np.newaxis] * slots + np.arange(slots)
    return slot_owners(lambda factors: of_slots(factors[numbers]), axes.groups * slots)


def _images(trace, site):
    """Returns the image that a map is computed from, as a list, if it has gradients."""
    return [
        trace.inputs[i] for i in sorted(trace.images_of(site)) if trace.inputs[i].dtype.is_floating
    ]


def _patch_grid(grid, owners):
    """Returns the grid and owners of blocks of positions that share a slot, else the same."""
    square = owners.reshape(grid)
    sizes = [_block(square), _block(square.T)]
    if sizes == [1, 1] or any(side % size for side, size in zip(grid, sizes, strict=True)):
        return grid, owners
    patches = square[:: sizes[0], :: sizes[1]]
    if not (np.repeat(np.repeat(patches, sizes[0], 0), sizes[1], 1) == square).all():
        return grid, owners
    return patches.shape, patches.ravel()


def _block(square):
    """Returns the greatest common divisor of the lengths of equal rows."""
    changes = np.flatnonzero((square[1:] != square[:-1]).any(axis=1)) + 1
    return math.gcd(*map(int, changes), len(square))


def _kind(axes, queries, keys):
    if queries.grid is None:
        return "class attention" if sum(keys.extras(axes.groups)) else "pooling"
    if axes.groups > 1:
        return "windows" if _are_windows(queries, axes.groups) else "groups"
    return "self-attention" if queries.slots == keys.slots else "reduced keys"


def _are_windows(side, groups):
    """Tells whether each group is a rectangle of positions, perhaps around the border."""
    owner = (side.owners // side.slots).reshape(side.grid)
    for group in range(groups):
        rows, columns = np.nonzero(owner == group)
        if len(set(rows)) * len(set(columns)) != len(rows):
            return False
        if not (_are_adjacent(rows, side.grid[0]) and _are_adjacent(columns, side.grid[1])):
            return False
    return True


def _are_adjacent(numbers, size):
    """Tells whether numbers follow one another, where 0 follows `size - 1`."""
    numbers = np.unique(numbers)
    return np.sum(np.diff(np.append(numbers, numbers[:1] + size)) != 1) <= 1


def _by_size(trace, index, shape, inputs):
    """Returns the place of a map without gradients: a feature map of the right size is taken."""
    if not _is_plain(shape):
        raise _NotPlacedError("it has no gradients that would tell where its tokens stand")
    site = trace.sites[index]
    with trace.as_default():
        sizes = [tf.gather(tf.shape(f), graph.spatial_axes(f)) for f in trace.feature_maps(site)]
    grids = [tuple(map(int, size)) for size in trace.function(sizes)(*inputs)] if sizes else []
    fitting = [g for g in grids if 0 <= shape[-1] - g[0] * g[1] <= MAX_PREFIX]
    if not fitting:
        raise _NotPlacedError(
            f"it has {shape[-1]} tokens, and no feature map leaves 0 to {MAX_PREFIX} prefix tokens "
            f"(seen: {list(dict.fromkeys(grids)) or 'none'})"
        )
    grid = fitting[-1]
    prefix = shape[-1] - grid[0] * grid[1]
    sides = _patches_last(shape[-1], prefix, grid)
    return Place(index, plain_axes(shape[:2]), *sides, "self-attention")


def _patches_last(slots, prefix, grid):
    """Returns queries and keys whose patches stand row by row after `prefix` tokens."""
    owners = None if grid is None else np.arange(prefix, slots)
    side = Side(slots, grid, owners)
    return side, side
