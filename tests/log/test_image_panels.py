"""What is seen of each probe in the Images tab."""

import numpy as np
import pytest
import skimage.data
from support.event_files import images_of

from keras_attnviz import ProbeSet
from keras_attnviz.drawing import render
from keras_attnviz.drawing.color_scale import ColorScale
from keras_attnviz.drawing.probe_panel import probe_panel
from keras_attnviz.log.event_writer import AttentionWriter
from keras_attnviz.log.image_panels import drawn_panels, probe_caption
from keras_attnviz.monitor.snapshot import Snapshot

pytestmark = pytest.mark.one_stack

CAT = skimage.data.chelsea()[:120, :160]
CHECK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


def test_uniform_scale_is_the_same_for_all_pictures():
    scale = ColorScale("uniform", limit=3.0)
    assert scale.limit_of(np.array([[0.1]])) == scale.limit_of(np.array([[9.0]])) == 3.0
    # Heatmaps by affinity are much flatter.
    assert scale.limit_of(np.array([[9.0]]), "affinity") == 2.0


def test_image_scale_ends_at_the_maximum():
    scale = ColorScale("image")
    assert scale.limit_of(np.array([[0.5, 2.5]])) == 2.5
    assert scale.limit_of(np.array([[0.5, 1.25]]), "affinity") == 1.25


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scale": "epoch"}, r"`color_scale` must be one of 'uniform', 'image'"),
        ({"limit": 0.0}, r"`color_limit` must be above 0"),
        ({"opacity": -0.1}, r"`opacity` must be in \[0, 1\]"),
        ({"color_map": "nothing"}, r"`color_map` must be the name of a matplotlib color map"),
    ],
)
def test_bad_color_scales(options, text):
    with pytest.raises(ValueError, match=text):
        ColorScale(**options)


def test_panel_holds_picture_and_overlay():
    picture = render.enlarged(CAT)
    height, width = picture.shape[:2]
    grid = np.zeros((6, 8))
    grid[:, :4] = 4.0
    colors = ColorScale(opacity=1.0)
    panel = probe_panel(CAT, {"rollout": grid}, "after epoch 1", colors)
    # Text is 23 pixels high in a picture 604 pixels wide.
    assert panel.shape == (34 + height + 57, 2 * width + 6, 3)
    np.testing.assert_array_equal(panel[34 : 34 + height, :width], picture)
    # Left half at the limit's color, right half at the lowest.
    highest, lowest = render.colorize([4.0, 0.0], limit=4.0)
    np.testing.assert_array_equal(panel[100, width + 6], highest)
    np.testing.assert_array_equal(panel[100, -1], lowest)
    assert (panel[:34] < 128).any()


@pytest.mark.parametrize("others", [["affinity"], ["affinity", "relevance"]])
def test_several_methods_stand_in_two_columns(others):
    picture = render.enlarged(CAT)
    height, width = picture.shape[:2]
    heat = {"rollout": np.full((6, 8), 4.0)} | dict.fromkeys(others, np.full((6, 8), 1.0))
    panel = probe_panel(CAT, heat, "after epoch 1", ColorScale(opacity=1.0))
    row = 34 + height + 57
    assert panel.shape == (34 + 2 * row, 2 * width + 6, 3)
    np.testing.assert_array_equal(panel[68 : 68 + height, :width], picture)
    highest, middle, quarter = render.colorize([4.0, 2.0, 1.0], limit=4.0)
    np.testing.assert_array_equal(panel[100, width + 6], highest)
    # Affinity's color scale ends at 2, others' at 4.
    np.testing.assert_array_equal(panel[row + 100, 0], middle)
    below_right = quarter if "relevance" in others else (255, 255, 255)
    np.testing.assert_array_equal(panel[row + 100, -1], below_right)
    # The methods' titles.
    assert (panel[34:68, width + 6 :] < 128).any()
    assert (panel[row + 34 : row + 68, :width] < 128).any()


def probes_of(**options):
    """Returns two probes, black and white."""
    return ProbeSet(np.float32([np.zeros((8, 8, 3)), np.ones((8, 8, 3))]), **options)


def snapshot_of(classes=(1, 1), confidences=(0.756, 0.5)):
    relative = np.float32([[[0, 1], [1, 4]], [[4, 1], [1, 0]]])
    return Snapshot({"rollout": relative}, np.float32([]), classes, confidences)


NAMED = {"labels": [0, 1], "class_names": ["cat", "dog"]}


@pytest.mark.parametrize(
    ("index", "options", "expected"),
    [
        (0, NAMED, f"after epoch 1: dog 0.76 {CROSS} is cat"),
        (1, NAMED, f"after epoch 1: dog 0.50 {CHECK}"),
        (0, {"labels": [0, 1]}, f"after epoch 1: class 1 0.76 {CROSS} is class 0"),
        (0, {"class_names": ["cat", "dog"]}, "after epoch 1: dog 0.76"),
    ],
)
def test_captions(index, options, expected):
    text = probe_caption(index, snapshot_of(), probes_of(**options), moment="after epoch 1")
    assert text == expected


def test_captions_where_there_is_no_class():
    none, diverged = snapshot_of(None, None), snapshot_of(confidences=(np.nan, 0.5))
    assert probe_caption(0, none, probes_of(**NAMED), moment="now") == "now"
    text = probe_caption(0, diverged, probes_of(**NAMED), moment="now")
    assert text == "now: the model's output is not a number"


def test_panels_are_written_for_every_probe(tmp_path):
    probes, colors = probes_of(names=["a black one", "white"]), ColorScale(color_map="gray")
    writer = AttentionWriter(tmp_path, first_step=0)
    with drawn_panels(5, snapshot_of(), probes, colors, moment="after epoch 6") as panels:
        for panel in panels:
            writer.image(5, **panel)
    writer.close()
    found = images_of(tmp_path / "attention")
    assert sorted(found) == ["attention/a_black_one", "attention/white"]
    picture, description = found["attention/a_black_one"][5]
    assert description == "a black one. Step 5, after epoch 6: class 1 0.76."
    caption, grid = "after epoch 6: class 1 0.76", snapshot_of().first_heatmap[0]
    expected = probe_panel(probes.display[0], {"rollout": grid}, caption, colors)
    np.testing.assert_array_equal(picture, expected)
