"""The Attention tab on logs that are empty, growing, damaged, long, or of one epoch."""

import shutil

import numpy as np
import pytest
from playwright.sync_api import expect
from support.attention_logs import EventFile, MadeUpTraining, write_log
from support.tab_page import TabPage, colors_of, tensorboard, wait_for_runs

from keras_attnviz import read_log
from keras_attnviz.tb_plugin import metadata

GRID = (3, 4)
HOSTILE = "<img src=x onerror=document.title='hit'>/attention"
ONE, LONG, DAMAGED, CUT = (f"{name}/attention" for name in ("one", "long", "damaged", "cut"))
STEPS = list(range(-1, 299))


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write_log(folder, [-1], run=ONE)
    write_log(folder, STEPS, run=LONG, with_tokens=False, methods=("rollout",))
    whole = write_log(folder, range(-1, 9), run=HOSTILE)
    with EventFile(folder / DAMAGED) as file:
        whole.write(file, range(-1, 3))
        file.record(3, metadata.EPOCH_TAG, whole.epoch(3)[:40])
        file.blobs(2, metadata.HEADS_TAG, [b"no packed record"] * 3)
    (file,) = (folder / HOSTILE).iterdir()
    (folder / CUT).mkdir(parents=True)
    cut = folder / CUT / file.name
    shutil.copy(file, cut)
    with cut.open("r+b") as data:
        data.truncate(int(cut.stat().st_size * 0.7))
    return folder


@pytest.fixture(scope="module")
def address(log_dir):
    with tensorboard(log_dir, runs={ONE: -1, LONG: 298, HOSTILE: 8, DAMAGED: 3, CUT: 5}) as address:
        yield address


def same_colors(found, values):
    assert np.abs(found - colors_of(values, "inferno", 4.0)).max() <= 8


def test_the_tab_shows_epochs_by_the_slider_and_asks_for_patches(page, address, log_dir):
    """On every stack: TensorBoard 2.15 has another page around the tab's."""
    log = read_log(log_dir / HOSTILE)
    tab = TabPage(page, address, run=HOSTILE, display="patches", opacity=1)
    tab.shows(run=HOSTILE, step=8)
    for index in (0, 5):
        tab.set_slider("#epoch", index).shows(step=index - 1)
        same_colors(tab.patch_pixels(GRID), log.heatmaps()[index, 0])
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(3, 1, GRID))
    tab.shows(what="Rollout over all layers, from patch 3, 1")
    same_colors(tab.patch_pixels(GRID), log.token_maps(4, 0)[1, 3])
    tab.pick("#layer", "1").press("Escape")
    tab.shows(what="Layer 2, mean of heads, from the class token")
    same_colors(tab.patch_pixels(GRID), log.heads(4, 0)[1].mean(axis=0))
    assert tab.find("img[src=x]").count() == 0
    assert tab.frame.evaluate("document.title") == "Attention"
    for name in ("Dark", "Light"):
        page.get_by_label("Menu for changing light or dark theme").click()
        page.get_by_role("menuitem", name=name).click()
        expect(tab.find("html")).to_have_attribute("data-theme", name.lower())


@pytest.mark.one_stack
def test_one_epoch(page, address):
    tab = TabPage(page, address, run=ONE).shows(run=ONE, step=-1)
    expect(tab.find("#epoch")).to_be_disabled()
    for button in ("first", "previous", "play", "next", "last"):
        expect(tab.find(f"#{button}")).to_be_disabled()
    assert tab.find("#epoch-name").text_content() == "baseline"
    tab.press("Space").press("ArrowRight").press("Home").shows(run=ONE, step=-1)
    assert tab.find(".attention-chart").count() >= 2


@pytest.mark.one_stack
def test_the_film_of_300_epochs_leaves_none_out(page, address):
    tab = TabPage(page, address, run=LONG, step=-1, speed=60).shows(run=LONG, step=-1)
    tab.frame.evaluate(
        """() => {
          const canvas = document.querySelector("canvas.picture[data-pane=a]");
          window.seen = [-1];
          new MutationObserver(() => {
            const step = Number(canvas.dataset.drawn.split("|")[1]);
            if (canvas.dataset.drawn && window.seen.at(-1) !== step) window.seen.push(step);
          }).observe(canvas, {attributes: true, attributeFilter: ["data-drawn"]});
        }"""
    )
    tab.find("#play").click()
    expect(tab.find("#epoch-name")).to_have_text("epoch 299 of 299", timeout=30000)
    tab.shows(step=298)
    assert tab.frame.evaluate("window.seen") == STEPS


@pytest.mark.one_stack
def test_what_cannot_be_read_is_told(page, address):
    tab = TabPage(page, address, run=DAMAGED)
    # The heads of epoch 3, at which it opens, are no record.
    expect(tab.find("#banner")).to_contain_text("could not be read")
    problems = tab.find("#problems")
    expect(problems).to_contain_text("can't be read")
    problems.locator("summary").click()
    expect(problems.locator("li").first).to_contain_text("at step 3")
    # Said once, at that epoch alone, and not asked for again.
    banner, grid = tab.find("#banner"), tab.find(".heads-scroller[data-pane=a]")
    told = grid.locator(".heads-message")
    expect(told).to_contain_text("can't be read")
    assert not tab.settle().pixels(".heads-scroller[data-pane=a] canvas").any()
    tab.pick("#layer", "1")
    in_pane = tab.find("figure[data-pane=a] .pane-message")
    expect(in_pane).to_contain_text("can't be read")
    page.wait_for_timeout(500)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for opacity in (0.2, 0.6, 1):
        tab.set_slider("#opacity", opacity)
    assert [url for url in asked if "/blobs" in url] == []
    # The tab and TensorBoard live.
    tab.set_slider("#epoch", 1).shows(step=0)
    for each in (banner, told, in_pane):
        expect(each).to_be_hidden()
    assert tab.pixels(".heads-scroller[data-pane=a] canvas").any()
    tab.set_slider("#epoch", 3)
    expect(banner).to_contain_text("could not be read")
    expect(told).to_be_visible()
    banner.get_by_role("button").click()
    expect(banner).to_contain_text("could not be read")
    tab.pick("#layer", "").set_slider("#epoch", 1).shows(step=0)
    tab.pick("#run", LONG).shows(run=LONG)
    expect(problems).to_be_hidden()


@pytest.mark.one_stack
def test_a_file_that_was_cut_off_shows_what_is_whole(page, address, log_dir):
    log = read_log(log_dir / CUT)
    last = int(log.steps[-1])
    assert -1 < last < 8
    tab = TabPage(page, address, run=CUT, display="patches", opacity=1)
    tab.shows(run=CUT, step=last)
    tab.set_slider("#epoch", 0).shows(step=-1)
    same_colors(tab.patch_pixels(GRID), log.heatmaps()[0, 0])


@pytest.mark.one_stack
def test_an_empty_log_says_what_to_do_and_fills_as_training_goes_on(page, tmp_path):
    training = MadeUpTraining()
    with tensorboard(tmp_path, "--reload_interval", "1") as address:
        tab = TabPage(page, address)
        expect(tab.find("#empty")).to_contain_text("AttentionRolloutCallback(probes,")
        expect(tab.find("#page")).to_be_hidden()
        with EventFile(tmp_path / "attention") as file:
            training.write(file, range(-1, 2))
        wait_for_runs(address, {"attention": 1})
        page.locator("app-header-reload button").click()
        tab.shows(run="attention", step=1)
        expect(tab.find("#empty")).to_be_hidden()
        with EventFile(tmp_path / "attention") as file:
            training.write(file, range(2, 4))
        wait_for_runs(address, {"attention": 3})
        # Who stands on the last epoch stays on the last, who doesn't stays.
        page.locator("app-header-reload button").click()
        tab.shows(step=3)
        assert tab.find("#epoch-name").text_content() == "epoch 4 of 4"
        tab.set_slider("#epoch", 1).shows(step=0)
        with EventFile(tmp_path / "attention") as file:
            training.write(file, range(4, 5))
        wait_for_runs(address, {"attention": 4})
        page.locator("app-header-reload button").click()
        expect(tab.find("#epoch-name")).to_have_text("epoch 1 of 5")
        tab.shows(step=0)
        expect(tab.find("#epoch")).to_have_attribute("max", "5")
        page.goto("about:blank")  # or an answer might be on its way when TensorBoard ends


@pytest.mark.one_stack
def test_who_moves_while_the_log_is_read_again_stays(page, address):
    tab = TabPage(page, address, run=HOSTILE, step=8).shows(run=HOSTILE, step=8)
    held = []
    page.route("**/attention/epochs*", lambda route: held.append(route))
    page.locator("app-header-reload button").click()
    for _ in range(100):
        page.wait_for_timeout(50)
        if held:
            break
    tab.set_slider("#epoch", 1).shows(step=0)
    with page.expect_response("**/attention/epochs*"):
        held[0].continue_()
    page.wait_for_timeout(300)
    tab.shows(step=0)
