"""Slots: the row and the column of each token in each attention map of a stack.

The maps of a stack may have different tokens: coarser grids, no class token, or registers from some
layer on. All are brought to one `TokenLayout`, with the finest grid and the most further tokens.
"""

import warnings

import numpy as np

from keras_attnviz.methods.placement import Placement
from keras_attnviz.methods.token_layout import MAX_PREFIX, TokenLayout


def shared_layout(geometries, *, stacklevel=4):
    """Returns the `TokenLayout` of a stack of maps: the finest grid, the most further tokens.

    Its read-out isn't known. Returns None where no map is located, because the layout is given.
    Warns where there are more further tokens than class tokens and registers would explain.

    Args:
        geometries: sequence of `MapGeometry`, bottom first.
        stacklevel: as in `warnings.warn`, of the function that calls this one.

    Raises:
        ValueError: further tokens are added, removed or moved from one map to the next.
    """
    sides = [
        (side, geometry.axes.groups)
        for geometry in geometries
        for side in (geometry.queries, geometry.keys)
        if side.grid
    ]
    if not sides:
        return None
    grid = max((side.grid for side, _ in sides), key=lambda grid: grid[0] * grid[1])
    extras = [side.extras(groups) for side, groups in sides if side.has_extras(groups)]
    extras = extras or [(0, 0)]
    _check_same_extras(extras)
    before, after = (max(counts) for counts in zip(*extras, strict=True))
    if before + after > MAX_PREFIX:
        warnings.warn(
            f"Heatmaps show {grid[0]} x {grid[1]} patches of one feature map. Beside them stand "
            f"{before + after} further tokens, {before} before and {after} after, which are not "
            "shown: prompts, a text, or patches of another image or scale.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return TokenLayout(before, grid, suffix=after)


def _check_same_extras(extras):
    """Raises where it isn't clear which further tokens are the same in two maps."""
    found = sorted(set(extras) - {(0, 0)})
    counts = [{pair[end] for pair in found} - {0} for end in (0, 1)]
    is_moved = any(not after for _, after in found) and any(not before for before, _ in found)
    if max(map(len, counts)) > 1 or is_moved:
        listed = " and ".join(f"{before} before and {after} after" for before, after in found)
        raise ValueError(
            "The maps of one stack must have the same further tokens (class tokens, registers, "
            f"prompts) beside the patches. Received: {listed} them; which of these are the same "
            "can't be known. Choose maps of equal tokens with `layers`."
        )


def placement_of(geometry, layout):
    """Returns the `Placement` of a `MapGeometry` among the tokens of a stack's `TokenLayout`."""
    groups = geometry.axes.groups
    queries = keys = token_slots(layout, geometry.keys, groups)
    if geometry.kind != "pooling":
        queries = token_slots(layout, geometry.queries, groups, geometry.keys)
    further = layout.further_tokens() if geometry.keys.is_shared else np.array([], int)
    repeated = [
        np.append(slots, np.add.outer(np.arange(1, groups) * count, slots[further]).ravel())
        for slots, count in ((queries, geometry.queries.slots), (keys, geometry.keys.slots))
    ]
    return Placement(
        groups=groups,
        queries=geometry.queries.slots,
        keys=geometry.keys.slots,
        query_slots=None if geometry.kind == "pooling" else repeated[0],
        key_slots=repeated[1],
        copies=np.tile(further, groups - 1),
    )


def token_slots(layout, side, groups, others=None):
    """Returns the slot number of each token, in the first group, or -1 where it has none.

    Args:
        layout: the `TokenLayout` of the stack.
        side: `TokenSide`, the queries or the keys of a map.
        groups: number of groups of the map.
        others: the map's other side, where this side stands for no patches. The tokens of this
            side are then the further tokens of the other side.

    Returns:
        integer array `[tokens]`.
    """
    found = np.full(layout.tokens, -1)
    reference = side if side.grid is not None or others is None else others
    if reference.has_extras(groups):
        before, after = reference.extras(groups)
        free = side.free(groups)
        free = free[free < side.slots]  # the slots of the first group
        found[:before] = _padded(free[:before], before)
        behind = layout.prefix + layout.patches
        found[behind : behind + after] = _padded(free[before:], after)
    if side.grid is not None:
        patches = slice(layout.prefix, layout.prefix + layout.patches)
        found[patches] = side.owners[_cells(layout.grid, side.grid)]
    return found


def _cells(fine_grid, grid):
    """Returns the number of each patch's cell in a coarser grid, row by row."""
    rows, columns = (
        np.arange(fine) * coarse // fine for fine, coarse in zip(fine_grid, grid, strict=True)
    )
    return (rows[:, np.newaxis] * grid[1] + columns).ravel()


def _padded(slots, count):
    """Returns the first `count` slots, filled up with -1."""
    return np.append(slots[:count], np.full(max(0, count - len(slots)), -1))
