"""Geometry of an attention map: its axes, the patches of its rows and columns, and its kind.

Words: a *group* holds tokens that attend to one another, a window for example, or all tokens. A
*slot* is a row (or a column) of a map, numbered over all groups. The *owner* of a position of a
feature map is the slot that stands for it. See `TokenLayout` for *further tokens*.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.tokens.gradient_codes import LeadingAxes, plain_axes


@dataclasses.dataclass(frozen=True)
class TokenSide:
    """The queries or the keys of an attention map: which position each one stands for.

    Args:
        slots: number of queries or keys in a group.
        grid: `(height, width)` of the feature map on which they were found, or None.
        owners: integer array `[height * width]`; for each position of the feature map, row by
            row, the number of its slot, `group * slots + slot`.
        is_shared: whether the slots that stand for no position belong to the same tokens in every
            group.
    """

    slots: int
    grid: tuple | None
    owners: np.ndarray | None
    is_shared: bool = False

    def has_extras(self, groups):
        """Returns whether slots that stand for no position are further tokens, and not padding."""
        return groups == 1 or self.is_shared

    def extras(self, groups):
        """Returns the numbers of further tokens `(before, after)` the patches."""
        if self.grid is None:
            return self.slots, 0
        free = self.free(groups)
        free = free[free < self.slots]  # the slots of the first group
        before = int(np.sum(free < self.owners.min()))
        return before, len(free) - before

    def free(self, groups):
        """Returns the numbers of the slots that stand for no position."""
        owners = [] if self.owners is None else self.owners
        return np.setdiff1d(np.arange(groups * self.slots), owners)


@dataclasses.dataclass(frozen=True)
class MapGeometry:
    """What the axes of an attention map are, and which patches its rows and columns stand for.

    Args:
        index: the map's number among the trace's sites.
        axes: its leading axes, `LeadingAxes`.
        queries: `TokenSide`.
        keys: `TokenSide`.
        kind: its kind, see `AttentionMap`.
        order: the map's axes in the order `[batch, ..., *queries, *keys]`.
    """

    index: int
    axes: LeadingAxes
    queries: TokenSide
    keys: TokenSide
    kind: str
    order: tuple


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A softmax that was found in the graph and not taken as an attention map.

    Args:
        layer: path of the layer that computes it.
        shape: its shape for one image.
        reason: why it was not taken.
        index: its number among the softmaxes of the graph.
    """

    layer: str
    shape: tuple
    reason: str
    index: int


class NotLocatedError(Exception):
    """An attention map can't be located; its text is the `reason` of the map's `LeftOut`."""


def plain_geometry(index, shape, prefix, grid):
    """Returns the geometry of a map whose patches stand row by row after `prefix` tokens."""
    owners = None if grid is None else np.arange(prefix, shape[-1])
    side = TokenSide(shape[-1], grid, owners)
    return MapGeometry(index, plain_axes(shape[:2]), side, side, "self-attention", (0, 1, 2, 3))


def kind_of(axes, queries, keys, *, querying=()):
    """Returns the kind of a map, see `AttentionMap`.

    Args:
        axes: the map's `LeadingAxes`.
        queries: `TokenSide`.
        keys: `TokenSide`.
        querying: numbers of the keys whose tokens are queries too, where the queries stand for
            no patches.
    """
    if queries.grid is None:
        return "class attention" if len(querying) else "pooling"
    if axes.groups > 1:
        return "windows" if _are_windows(queries, axes.groups) else "groups"
    return "self-attention" if queries.slots == keys.slots else "reduced keys"


def kind_over_frames(geometry, frames):
    """Returns the kind of a map in a model of videos, see `AttentionMap`.

    Args:
        geometry: `MapGeometry` on the grid of tall images.
        frames: number of frames that stand below one another.
    """
    queries, groups = geometry.queries, geometry.axes.groups
    if queries.grid is None or frames == 1 or queries.grid[0] % frames:
        return geometry.kind
    group = (queries.owners // queries.slots).reshape(frames, -1)
    if groups == group.shape[1] and (group == group[:1]).all():
        return "temporal"
    if groups == frames and (group == group[:, :1]).all():
        return "spatial"
    return geometry.kind


def _are_windows(side, groups):
    """Returns whether each group is a rectangle of positions, perhaps around the border."""
    owner = (side.owners // side.slots).reshape(side.grid)
    for group in range(groups):
        rows, columns = np.nonzero(owner == group)
        if len(set(rows)) * len(set(columns)) != len(rows):
            return False
        if not (_are_adjacent(rows, side.grid[0]) and _are_adjacent(columns, side.grid[1])):
            return False
    return True


def _are_adjacent(numbers, size):
    """Returns whether numbers follow one another, where 0 follows `size - 1`."""
    numbers = np.unique(numbers)
    return np.sum(np.diff(np.append(numbers, numbers[:1] + size)) != 1) <= 1


def patch_grid(grid, owners):
    """Returns the grid and owners of blocks of positions that share a slot, or else unchanged."""
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


def by_group(values, axes, queries):
    """Returns an array of the shape of one image's map as `[groups, heads, queries, keys]`."""
    values = values.reshape(*axes.sizes, queries, -1)
    is_group = axes.is_group
    order = sorted(range(len(is_group)), key=lambda axis: not is_group[axis])
    values = values.transpose(*order, -2 + values.ndim, -1 + values.ndim)
    return values.reshape(axes.groups, axes.heads, queries, -1)


def symbolic_by_group(weights, geometry):
    """Returns an attention map as `[batch, heads, queries, keys]`, symbolic.

    Where an image has several groups, it is `[batch, groups, heads, queries, keys]`.
    """
    axes, queries, keys = geometry.axes, geometry.queries.slots, geometry.keys.slots
    weights = tf.transpose(weights, geometry.order)
    if axes.groups == 1 and weights.shape.rank == 4 and axes.sizes[1] == 1:
        return weights
    split = tf.reshape(weights, [-1, *axes.sizes, queries, keys])
    is_group = axes.is_group
    order = sorted(range(len(is_group)), key=lambda axis: not is_group[axis])
    rank = len(is_group) + 3
    split = tf.transpose(split, [0, *(axis + 1 for axis in order), rank - 2, rank - 1])
    groups = [axes.groups] if axes.groups > 1 else []
    return tf.reshape(split, [-1, *groups, math.prod(axes.sizes) // axes.groups, queries, keys])
