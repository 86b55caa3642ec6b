"""The Attention tab on logs in which most layers never change, and are logged once."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect
from support.attention_logs import EventFile, MadeUpTraining
from support.tab_page import TabPage, colors_of, tensorboard

from keras_attnviz import read_log
from keras_attnviz.tb_plugin import metadata

pytestmark = [pytest.mark.one_stack, pytest.mark.slow]

GRID = (3, 4)
SOME, ALL, DAMAGED, TRAINED = (
    f"{name}/attention" for name in ("some", "whole", "damaged", "trained")
)
PLAIN = {"display": "patches", "opacity": 1}
CELL = ".heads-cell[data-layer='{}'][data-head='{}']"


class Damaged:
    """An event file in which the kept records of one tag are none."""

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def blobs(self, step, tag, parts):
        is_kept = tag == metadata.kept_tag(metadata.HEADS_TAG)
        self.file.blobs(step, tag, [b"none"] * len(parts) if is_kept else parts)


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    some = MadeUpTraining(layers=4, heads=3, frozen=2, full_probes=(0,))
    with EventFile(folder / SOME) as file:
        some.write(file, range(-1, 6))
    with EventFile(folder / ALL) as file:
        MadeUpTraining(layers=3, frozen=3).write(file, range(-1, 6))
    with EventFile(folder / DAMAGED) as file:
        some.write(Damaged(file), range(-1, 4))
    with EventFile(folder / TRAINED) as file:
        MadeUpTraining(layers=4, heads=3).write(file, range(-1, 6))
    return folder


@pytest.fixture(scope="module")
def address(log_dir):
    with tensorboard(log_dir, runs={SOME: 5, ALL: 5, DAMAGED: 3, TRAINED: 5}) as address:
        yield address


def same_colors(found, values):
    assert np.abs(found - colors_of(values, "inferno", 4.0)).max() <= 8


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_heads_of_all_layers_are_shown_at_all_epochs(page, address, log_dir, layer):
    log = read_log(log_dir / "some")
    tab = TabPage(page, address, run=SOME, layer=layer, head=1, **PLAIN)
    for index in (6, 0, 1, 3):
        tab.set_slider("#epoch", index).shows(step=index - 1)
        same_colors(tab.patch_pixels(GRID), log.heads(index - 1, 0)[layer][1])


def test_maps_of_patches_are_shown_at_all_epochs(page, address, log_dir):
    log = read_log(log_dir / "whole")
    tab = TabPage(page, address, run=ALL, **PLAIN).shows(run=ALL, step=5)
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(2, 1, GRID))
    what = "Rollout over all layers, from patch 2, 1"
    for index in (6, 0, 4):
        tab.set_slider("#epoch", index).shows(step=index - 1, what=what)
        same_colors(tab.patch_pixels(GRID), log.token_maps(index - 1, 0)[1, 2])


def test_whole_maps_are_shown(page, address, log_dir):
    log = read_log(log_dir / "some")
    for layer in (0, 3):
        tab = TabPage(page, address, run=SOME, layer=layer, head=2, step=4, **PLAIN).shows(step=4)
        tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(3, 0, GRID))
        same_colors(tab.patch_pixels(GRID), log.full_attention(4, 0, layer)[2][0, 3])


def test_layers_say_since_when_they_are_unchanged(page, address):
    tab = TabPage(page, address, run=SOME).shows(run=SOME, step=5)
    words = "unchanged since before training"
    for head, name in (("mean", "mean of heads"), ("1", "head 2")):
        cell = tab.find(CELL.format(0, head)).first
        expect(cell).to_have_attribute("aria-label", f"Layer 1, {name}, {words}")
    tab.find(CELL.format(1, "0")).first.hover()
    expect(tab.find("[role=tooltip]")).to_contain_text(words)
    label = tab.find(".heads-row[data-layer='1'] .heads-layer span").first
    expect(label).to_have_text("= 2")
    expect(label).to_have_attribute("title", words)
    expect(tab.find("#unchanged-note")).to_be_visible()
    last = tab.find(CELL.format(3, "0")).first
    expect(last).to_have_attribute("aria-label", "Layer 4, head 1")
    tab.press("Home").shows(step=-1)
    expect(tab.find(CELL.format(0, "1")).first).to_have_attribute("aria-label", "Layer 1, head 2")
    expect(label).to_have_text("2")
    expect(tab.find("#unchanged-note")).to_be_hidden()


def test_beside_a_trained_run_the_marks_are_explained_too(page, address):
    tab = TabPage(page, address, run=TRAINED).shows(run=TRAINED, step=5)
    note = tab.find("#unchanged-note")
    expect(note).to_be_hidden()
    tab.pick("#compare", f"run:{SOME}").shows(run=SOME, step=5, pane="b")
    expect(note).to_be_visible()


def test_a_kept_record_that_can_not_be_read_is_told(page, address):
    tab = TabPage(page, address, run=DAMAGED).shows(run=DAMAGED, step=3)
    message = tab.find(".heads-scroller[data-pane=a] .heads-message")
    expect(message).to_have_text(re.compile("can't be read"))
    tab.press("Home").shows(step=-1)  # written before anything was kept
    expect(message).to_be_hidden()
