"""The color maps of the Attention tab against matplotlib's."""

import re

import matplotlib
import numpy as np
import pytest
from support.paths import ROOT

pytestmark = pytest.mark.one_stack

STATIC = ROOT / "keras_attnviz" / "tb_plugin" / "static"


def written_maps():
    """Returns {name: uint8 array [256, 3]} as they stand in colormaps.js."""
    text = (STATIC / "lib" / "colormaps.js").read_text(encoding="utf-8")
    maps = {}
    for name, body in re.findall(r"^  (\w+): colors\(\n(.*?)\n  \),$", text, re.M | re.S):
        digits = "".join(re.findall(r'"([0-9a-f]+)"', body))
        maps[name] = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, 3)
    return maps


def test_the_maps_offered_are_these():
    assert list(written_maps()) == ["inferno", "viridis", "magma", "cividis", "gray", "coolwarm"]


@pytest.mark.parametrize("name", written_maps())
def test_a_map_is_that_of_matplotlib(name):
    expected = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(written_maps()[name], expected)
