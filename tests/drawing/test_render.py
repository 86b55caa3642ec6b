import io

import matplotlib
import numpy as np
import pytest
import skimage.data
from PIL import Image

from keras_attnviz.drawing import render

pytestmark = pytest.mark.one_stack

CAT = skimage.data.chelsea()[:120, :160]


def test_colorize_by_hand():
    colors = render.colorize([-1.0, 0.0, 1.0, 2.0, 9.0], limit=2.0, color_map="gray")
    np.testing.assert_array_equal(colors[:, 0], [0, 0, 128, 255, 255])


def test_colorize_refuses_unknown_maps_and_limits():
    with pytest.raises(ValueError, match=r"`color_map` must be .* Received: color_map='hot dog'"):
        render.colorize([0.0], limit=1.0, color_map="hot dog")
    with pytest.raises(ValueError, match=r"`limit` must be above 0\. Received: limit=0"):
        render.colorize([0.0], limit=0)


def test_upsample_keeps_cell_centers_and_orientation():
    grid = np.array([[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]])
    large = render.upsample(grid, (10, 15))
    assert large.shape == (10, 15)
    np.testing.assert_allclose(large[2::5, 2::5], grid, atol=1e-5)
    assert large.min() >= 0
    assert large.max() <= 12


def test_overlay_by_hand():
    picture = np.full((4, 4, 3), 200, np.uint8)
    grid = np.array([[0.0, 2.0]])
    alone = render.overlay(picture, grid, limit=2.0, color_map="gray", opacity=0.0)
    np.testing.assert_array_equal(alone, picture)
    mixed = render.overlay(picture, grid, limit=2.0, color_map="gray", opacity=0.5)
    np.testing.assert_array_equal(mixed[:, 0], np.full((4, 3), 100))
    np.testing.assert_array_equal(mixed[:, -1], np.full((4, 3), 228))
    with pytest.raises(ValueError, match=r"`opacity` must be in \[0, 1\]"):
        render.overlay(picture, grid, limit=2.0, opacity=1.5)


def test_small_pictures_are_enlarged_and_large_ones_kept():
    assert render.enlarged(CAT[:24, :48]).shape == (224, 448, 3)
    large = skimage.data.chelsea()
    np.testing.assert_array_equal(render.enlarged(large), large)


def test_text_is_drawn_and_cut_to_the_width():
    short, long = render.text_strip("epoch", 120), render.text_strip("epoch " * 50, 120)
    assert short.shape == long.shape == (18, 120, 3)
    assert (short < 128).any()
    # Nothing is drawn into the right margin.
    assert (long[:, -3:] == 255).all()
    assert (render.text_strip("", 120) == 255).all()


def test_color_bar_shows_the_whole_map():
    bar = render.color_bar(200, labels=("0", "1", "2"), color_map="viridis")
    expected = matplotlib.colormaps["viridis"]([0.0, 1.0], bytes=True)[:, :3]
    np.testing.assert_array_equal(bar[8, [0, -1]], expected)
    assert bar.shape == (30, 200, 3)
    assert (bar[16:] < 128).any()


def test_png_is_lossless():
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(render.png_bytes(CAT)))), CAT)
