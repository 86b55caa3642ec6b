"""Writes the color maps of the Attention tab, static/lib/colormaps.js, from matplotlib's.

Run it with `make colormaps`. tests/tab/test_colormaps.py checks that the file matches matplotlib.
"""

from pathlib import Path

import matplotlib
import numpy as np

STATIC = Path(__file__).parents[1] / "keras_attnviz" / "tb_plugin" / "static"
FILE = STATIC / "lib" / "colormaps.js"
# Lightness changes evenly in all but coolwarm, from blue over light gray to red, for differences.
NAMES = ("inferno", "viridis", "magma", "cividis", "gray", "coolwarm")
COLORS_A_LINE = 14
HEAD = """\
// @ts-check
/**
 * Matplotlib's color maps, 256 colors each, as red, green and blue of one byte. Made by
 * `make colormaps`; not to be changed by hand.
 */

/**
 * @param {string} hex hexadecimal digits, two a byte.
 * @returns {Uint8Array}
 */
function colors(hex) {
  /** @type {(_: unknown, i: number) => number} */
  const byte = (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return Uint8Array.from({ length: hex.length / 2 }, byte);
}

export const DEFAULT_MAP = "inferno";
export const DIFFERENCE_MAP = "coolwarm";

/** @type {Object<string, Uint8Array>} name to `[256 * 3]` */
export const COLOR_MAPS = {
"""


def script():
    """Returns the text of colormaps.js."""
    return HEAD + "".join(_entry(name) for name in NAMES) + "};\n"


def _entry(name):
    """Returns a map as an entry of a JavaScript object, with colors as hexadecimal digits."""
    colors = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    lines = [
        colors[start : start + COLORS_A_LINE].tobytes().hex()
        for start in range(0, len(colors), COLORS_A_LINE)
    ]
    quoted = " +\n".join(f'    "{line}"' for line in lines)
    return f"  {name}: colors(\n{quoted},\n  ),\n"


if __name__ == "__main__":
    FILE.write_text(script(), encoding="utf-8")
