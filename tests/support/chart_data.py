"""Series for the line charts of the Attention tab, as `charts.js` takes them."""

import math


def layers(count, length, *, emphasis=None, holes=(), shift=0.0):
    """Returns lines of `count` layers over `length` steps that move apart, with gaps at `holes`."""
    return [
        {
            "label": f"layer {layer + 1}",
            "emphasis": layer == emphasis,
            "values": [
                None if at in holes else _value(layer / count, at / length) + shift
                for at in range(length)
            ],
        }
        for layer in range(count)
    ]


def _value(layer, time):
    return 0.9 - 0.6 * layer * time + 0.03 * math.sin(12 * time + 6 * layer)


def group(title, lines, *, limits=(0, 1), unit="", description=""):
    return {
        "name": title.lower(),
        "title": title,
        "unit": unit,
        "range": limits,
        "description": description,
        "lines": lines,
    }


def charts(groups, *, first=0, step=None, dark=False, compare=None, **options):
    """Returns the argument of `update`; all lines of the groups have equally many values."""
    length = len(groups[0]["lines"][0]["values"])
    steps = list(range(first, first + length))
    step = first if step is None else step
    data = {"steps": steps, "groups": groups, "step": step, "dark": dark, "compare": compare}
    return {**data, **options}
