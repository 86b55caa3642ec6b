"""The table of what was found in a model."""


def summary_lines(maps, left_out, layout):
    """Returns the lines of a table of attention maps.

    Args:
        maps: sequence of `AttentionMap`.
        left_out: sequence of `LeftOut`.
        layout: the `TokenLayout`.
    """
    header = ("", "layer", "tower", "kind", "groups", "heads", "queries", "keys", "grid")
    rows = [
        (
            str(index),
            found.layer,
            str(found.tower),
            found.kind,
            str(found.groups),
            str(found.heads),
            str(found.queries),
            str(found.keys),
            "x".join(map(str, found.grid)) if found.grid else "given",
        )
        for index, found in enumerate(maps)
    ]
    lines = _table([header, *rows])
    lines.append("")
    suffix = f", suffix: {layout.suffix}" if layout.suffix else ""
    lines.append(
        f"grid: {layout.grid[0]}x{layout.grid[1]}, prefix: {layout.prefix}{suffix}, "
        f"read-out: {layout.readout_text()}"
    )
    if left_out:
        lines += ["", "seen and left out (shape for one image):"]
        lines += _table([(i.layer, "x".join(map(str, i.shape)), i.reason) for i in left_out])
    return lines


def _table(rows):
    """Returns rows of texts as lines with aligned columns; numbers stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_cell, row, widths)).rstrip() for row in rows]


def _cell(text, width):
    return text.rjust(width) if text.isdigit() else text.ljust(width)
