"""Attention maps as the user sees them: layer, kind, heads and tokens; and the summary's table."""

import dataclasses

from keras_attnviz.capture.tokens.geometry import kind_over_frames


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """One attention map that was found.

    Args:
        layer: path of the layer that computes it.
        tower: number of the stack of layers that it belongs to, from 0.
        kind: which tokens attend to which. `"self-attention"`: all tokens of an image or video to
            one another. `"windows"` or `"groups"`: the tokens of each window or group.
            `"temporal"`: the tokens at one position in all frames of a video. `"spatial"`: the
            tokens of each frame. `"reduced keys"`: all tokens to pooled keys. `"class attention"`:
            further tokens to the patches. `"pooling"`: learned queries to the patches.
        groups: number of groups of tokens (windows) of an image.
        heads: number of heads.
        queries: number of query tokens of a group.
        keys: number of key tokens of a group.
        grid: `(height, width)` of the queries' patches, or of the keys' patches for class
            attention and pooling; `(frames, height, width)` in a video. None where it isn't known
            because the layout was given.
        prefix: number of keys before the patches, in each group; 0 where there are groups, unless
            each holds the same class tokens.
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


def describe(geometries, towers, trace, *, frames=None):
    """Returns an `AttentionMap` for each `MapGeometry`.

    Args:
        geometries: sequence of `MapGeometry`.
        towers: lists of `MapGeometry`, the stacks of layers that these belong to.
        trace: the model's `Trace`.
        frames: number of frames of a video, None for images.
    """
    found = (_described(geometry, _tower_of(geometry, towers), trace) for geometry in geometries)
    if frames is None:
        return tuple(found)
    return tuple(_over_frames(*pair, frames) for pair in zip(found, geometries, strict=True))


def _tower_of(geometry, towers):
    return next(number for number, tower in enumerate(towers) if geometry in tower)


def _described(geometry, tower, trace):
    side = geometry.queries if geometry.queries.grid else geometry.keys
    groups = geometry.axes.groups
    is_known = geometry.keys.has_extras(groups) and side.grid is not None
    prefix, suffix = geometry.keys.extras(groups) if is_known else (0, 0)
    return AttentionMap(
        layer=trace.sites[geometry.index].layer,
        tower=tower,
        kind=geometry.kind,
        groups=geometry.axes.groups,
        heads=geometry.axes.heads,
        queries=geometry.queries.slots,
        keys=geometry.keys.slots,
        grid=side.grid,
        prefix=prefix,
        suffix=suffix,
        trainable=trace.is_trained(trace.sites[geometry.index].weights),
    )


def _over_frames(found, geometry, frames):
    """Returns an `AttentionMap` of a tall image as the map of a video."""
    grid = found.grid
    if grid is not None and grid[0] % frames == 0:
        grid = (frames, grid[0] // frames, grid[1])
    return dataclasses.replace(found, kind=kind_over_frames(geometry, frames), grid=grid)


def summary_lines(maps, left_out, layout, *, gates=()):
    """Returns the lines of a table of attention maps, and of a table of gates.

    Args:
        maps: sequence of `AttentionMap`.
        left_out: sequence of `LeftOut`.
        layout: the `TokenLayout`; None without maps.
        gates: sequence of `Gate`.
    """
    lines = _of_maps(maps, layout) if maps else []
    if gates:
        lines += [""] * bool(lines) + _of_gates(gates)
    if left_out:
        lines += ["", "seen and left out (shape for one image):"]
        lines += _table([(i.layer, "x".join(map(str, i.shape)), i.reason) for i in left_out])
    return lines


def _of_maps(maps, layout):
    header = ("", "layer", "tower", "kind", "groups", "heads", "queries", "keys", "grid", "prefix")
    rows = [(str(index), *_columns(found), "") for index, found in enumerate(maps)]
    rows[-1] = (*rows[-1][:-1], layout.readout_text())
    lines = _table([(*header, "read-out"), *rows])
    return [*lines, "", str(layout)]


def _of_gates(gates):
    header = ("", "gate", "kind", "channels", "grid")
    rows = [
        (str(index), gate.layer, gate.kind, str(gate.channels), "x".join(map(str, gate.grid)))
        for index, gate in enumerate(gates)
    ]
    return _table([header, *rows])


def _columns(found):
    """Returns the columns of one `AttentionMap`, as texts."""
    grid = "given" if found.grid is None else "x".join(map(str, found.grid))
    prefix = f"{found.prefix}+{found.suffix}" if found.suffix else str(found.prefix)
    sizes = (found.groups, found.heads, found.queries, found.keys)
    return found.layer, str(found.tower), found.kind, *map(str, sizes), grid, prefix


def _table(rows):
    """Returns rows of texts as lines with aligned columns; numbers stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_cell, row, widths)).rstrip() for row in rows]


def _cell(text, width):
    return text.rjust(width) if text.isdigit() else text.ljust(width)
