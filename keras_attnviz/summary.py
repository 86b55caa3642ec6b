"""The table of what was found in a model."""


def summary_lines(maps, left_out, layout, *, gates=()):
    """Returns the lines of a table of attention maps, and one of gates.

    Args:
        maps: sequence of `AttentionMap`.
        left_out: sequence of `LeftOut`.
        layout: the `TokenLayout`, or None without maps.
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
