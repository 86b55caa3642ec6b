"""The Attention tab in Chromium and TensorBoard, on a real fit's log: each control, its effect."""

import ast
import contextlib
import inspect
import io
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import expect
from support.attention_logs import EventFile, MadeUpTraining
from support.small_models import small_classifier
from support.tab_page import TabPage, colors_of, decoded, tab_address, tensorboard

from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log

pytestmark = [pytest.mark.one_stack, pytest.mark.slow]

NAMES = ["<img src=x onerror=\"document.title='hit'\">", 'my "face"', "third", "n" * 90]
CLASSES = ["<b>face</b>", "<script>document.title='hit'</script>"]
FIRST, SECOND, WIDE = "first/attention", "second/attention", "wide/attention"
GRID = (6, 6)
PLAIN = {"run": FIRST, "display": "patches", "opacity": 1}
ROLLOUT = "Rollout over all layers, from the class token"


class Wide(MadeUpTraining):
    """Not square, by two methods, and with its first layer frozen."""

    def setup(self):
        setup = super().setup()
        setup["layers"] = [{**layer, "trainable": i > 0} for i, layer in enumerate(setup["layers"])]
        return setup


@pytest.fixture(scope="module")
def log_dir(faces, tmp_path_factory):
    """Two runs, of which the second goes on where the first has ended, and a third made up."""
    folder = tmp_path_factory.mktemp("logs")
    images, labels = faces
    chosen = [0, 1, 100, 101]
    masks = np.pad(np.ones((4, 12, 12)), ((0, 0), (6, 6), (6, 6)))
    probes = ProbeSet(
        images[chosen], labels=labels[chosen], names=NAMES, class_names=CLASSES, masks=masks
    )
    model = small_classifier(layers=3)
    options = {"full_probes": [0, 2], "full_every_epochs": 2}
    callback = AttentionRolloutCallback(probes, folder / "first", **options)
    model.fit(*faces, epochs=5, verbose=0, callbacks=[callback])
    callback = AttentionRolloutCallback(probes, folder / "second")
    model.fit(*faces, epochs=3, verbose=0, callbacks=[callback])
    with EventFile(folder / WIDE) as file:
        Wide(names=tuple(NAMES), class_names=tuple(CLASSES), grid=(3, 8)).write(file, range(-1, 2))
    return folder


@pytest.fixture(scope="module")
def address(log_dir):
    runs = {FIRST: 4, SECOND: 2, WIDE: 1}
    with tensorboard(log_dir, runs=runs) as address:
        yield address


@pytest.fixture(scope="module")
def first(log_dir):
    return read_log(log_dir / "first")


@pytest.fixture(scope="module")
def second(log_dir):
    return read_log(log_dir / "second")


@pytest.fixture(scope="module")
def wide(log_dir):
    return read_log(log_dir / "wide")


@pytest.fixture
def tab(page, address):
    """The first run at its last epoch, by patches, the heatmap opaque."""
    return TabPage(page, address, **PLAIN).shows(run=FIRST, step=4, probe=0, what=ROLLOUT)


def same_colors(found, values, name="inferno", high=4.0):
    """Holds colors of a map's values, up to rounding of the values."""
    around = [values * (1 + shift) for shift in (-2e-6, 0, 2e-6)]
    off = [np.abs(found - colors_of(each, name, high)) for each in around]
    assert np.min(off, axis=0).max() <= 2


def words(tab, selector):
    return tab.find(selector).text_content()


def test_it_opens_with_the_first_run_at_its_last_epoch(page, address, first):
    tab = TabPage(page, address).shows(run=FIRST, step=4, probe=0, what=ROLLOUT)
    assert words(tab, "#epoch-name") == "epoch 5 of 5"
    assert tab.find("#run").input_value() == FIRST
    assert tab.find("#opacity").input_value() == str(first.setup["colors"]["opacity"])
    expect(page).to_have_title(re.compile("TensorBoard|Attention"))
    assert tab.find("#page img:not(.probe img)").count() == 0
    assert words(tab, ".probe-name") == NAMES[0]


def test_run(tab, second):
    tab.pick("#run", SECOND)
    tab.shows(run=SECOND, step=2, probe=0)
    same_colors(tab.patch_pixels(GRID), second.heatmaps()[-1, 0])
    assert words(tab, "#epoch-name") == "epoch 3 of 3"


def test_probe_and_whether_it_is_right(tab, first):
    predictions = first.predictions()
    labels = np.array([0, 0, 1, 1])
    for index, step in enumerate(first.steps):
        tab.set_slider("#epoch", index).shows(step=step)
        right = predictions["classes"][index] == labels
        states = [each.get_attribute("data-state") for each in tab.find(".probe").all()]
        assert states == ["right" if each else "wrong" for each in right]
        assert words(tab, ".probe-count") == f"{right.sum()} of 4 right"
    for probe in (1, 2, 3, 0):
        tab.click(f".probe[data-probe='{probe}']").shows(probe=probe)
        same_colors(tab.patch_pixels(GRID), first.heatmaps()[-1, probe])
        assert words(tab, ".probe-name") == NAMES[probe]
        assert words(tab, ".probe-label") == f"labeled {CLASSES[labels[probe]]}"
        predicted = CLASSES[predictions["classes"][-1, probe]]
        sure = 100 * float(predictions["confidence"][-1, probe])
        title = words(tab, "figure[data-pane=a] .prediction")
        assert title.startswith(predicted)
        assert float(re.search(r"([\d.]+) %", title)[1]) == pytest.approx(sure, abs=0.51)
        said = tab.find(f".probe[data-probe='{probe}']").get_attribute("aria-label")
        assert said.startswith(f"{NAMES[probe]}. labeled {CLASSES[labels[probe]]} · predicted")
    assert tab.frame.evaluate("document.title") == "Attention"
    assert tab.find("#page b, #page script, img[src=x]").count() == 0


def test_only_wrong_ones(tab, first):
    wrong = first.predictions()["classes"][0] != [0, 0, 1, 1]
    tab.press("Home").shows(step=-1)
    tab.find("#only-wrong").check()
    tab.settle()
    shown = [each.is_visible() for each in tab.find(".probe").all()]
    assert shown == [bool(each) or probe == 0 for probe, each in enumerate(wrong)]
    assert 0 < wrong.sum() < 4


def test_a_probe_is_told_under_the_pointer(tab):
    tab.find(".probe[data-probe='1']").hover()
    tip = tab.find(".tip")
    expect(tip).to_be_visible()
    assert 'my "face"' in tip.text_content()
    assert f"labeled {CLASSES[0]}" in tip.text_content()


def test_thumbnails_are_the_probes_pictures(tab, first):
    for probe, png in enumerate(first.pictures):
        image = tab.find(f".probe[data-probe='{probe}'] img")
        expect(image).to_have_js_property("naturalWidth", decoded(png).shape[1])


def test_slider_keys_and_buttons(tab, first):
    heatmaps = first.heatmaps()[:, 0]
    for key, step in [
        ("Home", -1),
        ("ArrowRight", 0),
        ("ArrowRight", 1),
        ("ArrowLeft", 0),
        ("End", 4),
        ("ArrowRight", 4),
    ]:
        tab.press(key).shows(step=step)
        same_colors(tab.patch_pixels(GRID), heatmaps[step + 1])
    for button, step in [("first", -1), ("next", 0), ("next", 1), ("previous", 0), ("last", 4)]:
        tab.click(f"#{button}").shows(step=step)
    tab.set_slider("#epoch", 0).shows(step=-1)
    assert words(tab, "#epoch-name") == "baseline, before epoch 1"
    assert tab.find("#epoch").get_attribute("aria-valuetext") == "baseline, before epoch 1"
    for key, probe in (("]", 1), ("]", 2), ("[", 1)):
        tab.press(key).shows(probe=probe)


DRAWN_AT_ONCE = """async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const drawn = ["canvas.picture[data-pane=a]", ".heads-scroller[data-pane=a] canvas"].map(
    (each) => document.querySelector(each));
  const slider = document.querySelector("#epoch");
  const move = (at) => {
    slider.value = at;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    return drawn.map(({ dataset }) => Number(dataset.drawn.split("|")[1]));
  };
  await frame();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const found = [move(1), move(2), move(3)];
  await frame();
  found.push(drawn.map(({ dataset }) => Number(dataset.drawn.split("|")[1])));
  await new Promise((resolve) => setTimeout(resolve, 100));
  return [...found, drawn.map(({ dataset }) => Number(dataset.drawn.split("|")[1]))];
}"""


def test_a_move_of_the_slider_is_drawn_at_once_but_once_a_frame(tab):
    for index in range(4):  # so that the maps are there
        tab.set_slider("#epoch", index)
    first, second, third, framed, last = tab.frame.evaluate(DRAWN_AT_ONCE)
    assert first == [0, 0]
    assert second == third == [0, 0]
    assert framed[0] == 2
    assert last == [2, 2]


def test_the_film_shows_every_epoch_once(tab):
    tab.pick("#speed", "8")
    tab.frame.evaluate(
        """() => {
          const canvas = document.querySelector("canvas.picture[data-pane=a]");
          window.seen = [];
          new MutationObserver(() => {
            const step = Number(canvas.dataset.drawn.split("|")[1]);
            if (canvas.dataset.drawn && window.seen.at(-1) !== step) window.seen.push(step);
          }).observe(canvas, {attributes: true, attributeFilter: ["data-drawn"]});
        }"""
    )
    tab.press("Space")
    expect(tab.find("#play")).to_have_attribute("aria-label", "Pause the film (space)")
    expect(tab.find("#play")).to_have_attribute("aria-label", "Play the film (space)")
    assert tab.frame.evaluate("window.seen") == [-1, 0, 1, 2, 3, 4]
    tab.find("#play").click()
    tab.find("#play").click()
    expect(tab.find("#play")).to_have_attribute("aria-pressed", "false")


def test_methods_and_a_picture_that_is_not_square(page, address, wide):
    tab = TabPage(page, address, run=WIDE, display="patches", opacity=1).shows(run=WIDE, step=1)
    methods = tab.find("#method option").evaluate_all("all => all.map((each) => each.value)")
    assert methods == ["rollout", "last layer"]
    for method, name in (("last layer", "Last layer"), ("rollout", "Rollout over all layers")):
        tab.pick("#method", method).shows(what=f"{name}, from the class token")
        same_colors(tab.patch_pixels((3, 8)), wide.heatmaps(method)[-1, 0])
    height, width = tab.pixels().shape[:2]
    assert width / height == pytest.approx(8 / 3, rel=0.02)
    assert np.abs(tab.values((3, 8)) - wide.heatmaps()[-1, 0]).max() < 0.0051
    place = tab.patch_place(6, 2, (3, 8))
    tab.click("canvas.picture[data-pane=a]", position=place)
    tab.shows(what="Rollout over all layers, from patch 6, 2")
    same_colors_but_outline(tab, wide.token_maps(1, 0)[2, 6], (2, 6), (3, 8))


def test_affinity_has_its_own_scale_and_a_patch_asks_by_rollout(page, address, first):
    tab = TabPage(page, address, **PLAIN).shows(step=4, what=ROLLOUT)
    expect(tab.find("#limit")).to_have_value("4")
    tab.pick("#method", "affinity").shows(what="Affinity, from the class token")
    expect(tab.find("#limit")).to_have_value("2")
    expected = colors_of(first.heatmaps("affinity")[-1, 0], "inferno", high=2)
    assert np.abs(tab.patch_pixels(GRID) - expected).max() <= 3
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(2, 3, GRID))
    tab.shows(what="Rollout over all layers, from patch 2, 3")
    expect(tab.find("#limit")).to_have_value("4")
    same_colors_but_outline(tab, first.token_maps(4, 0)[3, 2], (3, 2))
    tab.press("Escape").shows(what="Affinity, from the class token")


def same_colors_but_outline(tab, values, asking, grid=GRID):
    """The patch that asks is outlined, which its middle doesn't show."""
    same_colors(tab.patch_pixels(grid), values)
    assert asking[0] < grid[0]


def test_layer_and_head(tab, first):
    expect(tab.find("#head")).to_be_disabled()
    maps = first.heads(4, 0)
    for layer in range(3):
        tab.pick("#layer", str(layer))
        if layer == 0:
            mean = f"Layer {layer + 1}, mean of heads, from the class token"
            tab.shows(what=mean)
            same_colors(tab.patch_pixels(GRID), maps[layer].mean(axis=0))
        for head in (0, 3):
            tab.pick("#head", str(head))
            tab.shows(what=f"Layer {layer + 1}, head {head + 1}, from the class token")
            same_colors(tab.patch_pixels(GRID), maps[layer][head])
    found = tab.values(GRID)
    assert np.abs(found - maps[2][3]).max() < 0.0051
    tab.pick("#layer", "").shows(what=ROLLOUT)
    same_colors(tab.patch_pixels(GRID), first.heatmaps()[-1, 0])


def test_the_grid_shows_all_layers_and_heads(tab, first):
    maps = first.heads(4, 0)
    pixels = tab.pixels(".heads-scroller[data-pane=a] canvas")
    outer = tab.find(".heads-scroller[data-pane=a] canvas").bounding_box()
    cells = tab.find(".heads-scroller[data-pane=a] .heads-cell")
    assert cells.count() == 3 * 5
    for cell in cells.all():
        layer, head = (cell.get_attribute(f"data-{name}") for name in ("layer", "head"))
        values = maps[int(layer)].mean(0) if head == "mean" else maps[int(layer)][int(head)]
        box = cell.bounding_box()
        x, y = (
            (np.arange(6) + 0.5) * size / 6 + box[side] - outer[side]
            for side, size in (("x", box["width"]), ("y", box["width"]))
        )
        found = pixels[np.ix_(y.astype(int), x.astype(int))][..., :3]
        same_colors(found, values)


def test_a_smooth_map_takes_nothing_from_its_neighbors(tab, first):
    tab.find("label[for=display-smooth]").click()
    tab.settle()
    pixels = tab.pixels(".heads-scroller[data-pane=a] canvas")
    outer = tab.find(".heads-scroller[data-pane=a] canvas").bounding_box()
    for layer, head in ((0, 0), (1, 2), (2, 3)):
        cell = f".heads-scroller[data-pane=a] .heads-cell[data-layer='{layer}'][data-head='{head}']"
        box = tab.find(cell).bounding_box()
        x, y, size = (
            round(n) for n in (box["x"] - outer["x"], box["y"] - outer["y"], box["width"])
        )
        colors = colors_of(first.heads(4, 0)[layer][head], "inferno", 4.0).astype(np.float32)
        expected = cv2.resize(colors, (size, size))
        off = np.abs(pixels[y : y + size, x : x + size, :3] - expected)
        for border in (off[0], off[-1], off[:, 0], off[:, -1]):
            assert border.mean() < 3


def test_a_click_in_the_grid_shows_it_large(tab, first):
    cell = ".heads-scroller[data-pane=a] .heads-cell[data-layer='1'][data-head='2']"
    tab.click(cell).shows(what="Layer 2, head 3, from the class token")
    same_colors(tab.patch_pixels(GRID), first.heads(4, 0)[1][2])
    assert tab.find("#layer").input_value() == "1"
    assert tab.find("#head").input_value() == "2"
    assert tab.find(cell).get_attribute("aria-selected") == "true"
    tab.click(cell).shows(what=ROLLOUT)
    tab.click(cell.replace("'2'", "'mean'")).shows(
        what="Layer 2, mean of heads, from the class token"
    )


def test_the_layer_that_changed_most_and_the_best_head(tab, first):
    names = [item["name"] for item in first.setup["series"]]
    drift = next(name for name in names if "layer_drift" in name)
    values = first.series(drift)[-1].reshape(3, -1).mean(axis=1)
    layer = int(values.argmax())
    button = tab.find("#most-changed")
    assert button.text_content() == f"◆ layer {layer + 1} changed most since the baseline"
    button.click()
    tab.shows(what=f"Layer {layer + 1}, mean of heads, from the class token")
    for name in (name for name in names if first.series(name).shape[1:] == (3, 4)):
        tab.pick("#measure", name)
        best = np.unravel_index(first.series(name)[-1].argmax(), (3, 4))
        place = f"layer {best[0] + 1}, head {best[1] + 1}"
        assert place in tab.find("#best-head").text_content()
    tab.click("#best-head")
    tab.shows(what=f"Layer {best[0] + 1}, head {best[1] + 1}, from the class token")
    tab.set_slider("#epoch", 0)
    expect(button).to_be_hidden()


def test_frozen_layers_are_gray(page, address, wide):
    tab = TabPage(page, address, run=WIDE, display="patches").shows(run=WIDE)
    expect(tab.find("#frozen-note")).to_be_visible()
    pixels = tab.pixels(".heads-scroller[data-pane=a] canvas")
    outer = tab.find(".heads-scroller[data-pane=a] canvas").bounding_box()
    for layer in (0, 1):
        cell = f".heads-scroller[data-pane=a] .heads-cell[data-layer='{layer}'][data-head='0']"
        box = tab.find(cell).bounding_box()
        x, y = (int(box[side] - outer[side]) for side in ("x", "y"))
        part = pixels[y : y + int(box["height"]) - 8, x : x + int(box["width"]), :3]
        assert (np.ptp(part, axis=-1).max() <= 2) == (layer == 0)


def test_a_patch_asks(tab, first):
    canvas = "canvas.picture[data-pane=a]"
    rows = first.token_maps(4, 0)
    for x, y in ((4, 1), (0, 5)):
        tab.click(canvas, position=tab.patch_place(x, y, GRID))
        tab.shows(what=f"Rollout over all layers, from patch {x}, {y}")
        same_colors(tab.patch_pixels(GRID), rows[y, x])
    assert np.abs(tab.values(GRID) - rows[5, 0]).max() < 0.0051
    assert "Esc" in words(tab, "#back")
    tab.press("Escape").shows(what=ROLLOUT)
    same_colors(tab.patch_pixels(GRID), first.heatmaps()[-1, 0])
    tab.click(canvas, position=tab.patch_place(2, 2, GRID)).click("#back")
    tab.shows(what=ROLLOUT)
    for _ in range(2):
        tab.click(canvas, position=tab.patch_place(2, 2, GRID))
    tab.shows(what=ROLLOUT)


def test_a_patch_asks_within_a_layer_where_that_was_logged(tab, first):
    tab.set_slider("#epoch", 4).shows(step=3)
    tab.pick("#layer", "1")
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(3, 1, GRID))
    tab.shows(what="Layer 2, mean of heads, from patch 3, 1")
    full = first.full_attention(3, 0, 1)
    same_colors(tab.patch_pixels(GRID), full.mean(axis=0)[1, 3])
    tab.pick("#head", "2").shows(what="Layer 2, head 3, from patch 3, 1")
    same_colors(tab.patch_pixels(GRID), full[2, 1, 3])


def test_what_was_not_logged_is_told(tab, address, first):
    message = tab.find("figure[data-pane=a] .pane-message")
    expect(message).to_be_hidden()
    tab.pick("#layer", "1")
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(3, 1, GRID))
    expect(message).to_contain_text("This was not logged at this epoch.")
    message.get_by_role("button").click()
    tab.shows(step=3, what="Layer 2, mean of heads, from patch 3, 1")
    expect(message).to_be_hidden()
    tab.press("]")
    expect(message).to_contain_text("were logged for these probes only")
    buttons = message.get_by_role("button")
    assert buttons.all_text_contents() == [NAMES[0], NAMES[2]]
    buttons.nth(1).click()
    tab.shows(probe=2, what="Layer 2, mean of heads, from patch 3, 1")
    same_colors(tab.patch_pixels(GRID), first.full_attention(3, 2, 1).mean(axis=0)[1, 3])


def test_the_hint_names_the_callbacks_own_argument(page, address):
    tab = TabPage(page, address, run=SECOND, layer=1, patch="3,1")
    hint = tab.find("figure[data-pane=a] .pane-message code")
    expect(hint).to_be_visible()
    call = ast.parse(hint.text_content()).body[0].value
    assert call.func.id == "AttentionRolloutCallback"
    named = {keyword.arg for keyword in call.keywords}
    assert named
    assert named <= set(inspect.signature(AttentionRolloutCallback).parameters)


def test_opacity(tab, first):
    heat = colors_of(first.heatmaps()[-1, 0], "inferno", 4.0)
    tab.set_slider("#opacity", 0)
    gray = tab.patch_pixels(GRID)
    picture = np.asarray(Image.open(io.BytesIO(first.pictures[0])).convert("L")).astype(int)
    assert np.ptp(gray, axis=-1).max() == 0
    middles = picture.reshape(6, 4, 6, 4)[:, 1:3, :, 1:3].mean(axis=(1, 3))
    assert np.abs(gray[..., 0] - middles).max() < 25
    for opacity in (0.3, 0.75):
        tab.set_slider("#opacity", opacity)
        expected = opacity * heat + (1 - opacity) * gray
        assert np.abs(tab.patch_pixels(GRID) - expected).max() <= 3


@pytest.mark.parametrize("name", ["viridis", "magma", "cividis", "gray"])
def test_color_maps(tab, first, name):
    tab.pick("#colors", name)
    same_colors(tab.patch_pixels(GRID), first.heatmaps()[-1, 0], name)


def test_smooth_is_bilinear(tab, first):
    tab.find("label[for=display-smooth]").click()
    tab.settle()
    pixels = tab.pixels()[..., :3]
    smooth = cv2.resize(first.heatmaps()[-1, 0], pixels.shape[1::-1])
    assert np.abs(pixels - colors_of(smooth, "inferno", 4.0)).mean() < 1.5
    tab.find("label[for=display-patches]").click()
    tab.settle()
    same_colors(tab.patch_pixels(GRID), first.heatmaps()[-1, 0])


def color_bar(tab, pane="a"):
    """Returns {number: share} of a pane's color bar, and its highest value."""
    bar = tab.find(f"figure[data-pane={pane}] [data-part=color-bar]")
    numbers = {}
    for number in bar.locator(".bar-numbers span").all():
        text = number.text_content().replace("\N{MINUS SIGN}", "-")
        share = float(number.evaluate("each => each.style.left").rstrip("%")) / 100
        numbers[float(text.strip("≥≤ ×+"))] = share
    return numbers, float(bar.get_attribute("data-high"))


def test_scales_and_their_color_bar(tab, first):
    heat = first.heatmaps()[:, 0]
    numbers, high = color_bar(tab)
    assert high == first.setup["colors"]["limit"] == 4
    assert {0, 1, 4} <= numbers.keys()
    assert all(share == pytest.approx(number / 4) for number, share in numbers.items())
    assert words(tab, "figure[data-pane=a] .bar-unit") == "times uniform attention"
    pixels = tab.pixels("figure[data-pane=a] [data-part=color-bar] canvas")[0, :, :3]
    np.testing.assert_array_equal(pixels, colors_of(np.arange(256) / 255, "inferno", 1))
    tab.find("#limit").fill("2")
    tab.press("Enter")
    assert color_bar(tab)[1] == 2
    same_colors(tab.patch_pixels(GRID), heat[-1], high=2.0)
    tab.pick("#scale", "image")
    assert color_bar(tab)[1] == pytest.approx(heat[-1].max())
    same_colors(tab.patch_pixels(GRID), heat[-1], high=heat[-1].max())
    tab.set_slider("#epoch", 0).shows(step=-1)
    assert color_bar(tab)[1] == pytest.approx(heat[0].max())
    tab.pick("#compare", "epoch").pick("#scale", "shared").set_slider("#epoch", 5)
    both = max(heat[0].max(), heat[-1].max())
    for pane, index in (("a", -1), ("b", 0)):
        assert color_bar(tab, pane)[1] == pytest.approx(both)
        same_colors(tab.patch_pixels(GRID, pane), heat[index], high=both)


def test_two_epochs_and_their_difference(tab, first):
    heat = first.heatmaps()[:, 0]
    tab.set_slider("#opacity", 0)
    gray = tab.patch_pixels(GRID)
    tab.set_slider("#opacity", 1).pick("#compare", "epoch").pick("#scale", "image")
    tab.shows(step=-1, pane="b")
    difference = heat[-1] - heat[0]
    assert np.abs(tab.values(GRID, "difference") - difference).max() < 0.0051
    numbers, high = color_bar(tab, "difference")
    assert high == pytest.approx(np.abs(difference).max(), rel=1e-4)
    assert min(numbers) == pytest.approx(-max(numbers))
    covered = np.sqrt(np.abs(difference) / high)[..., np.newaxis]
    expected = covered * colors_of(difference, "coolwarm", high, -high) + (1 - covered) * gray
    # A comparison's panes are smaller: the gray picture is scaled otherwise.
    assert np.abs(tab.patch_pixels(GRID, "difference") - expected).mean() < 4
    tab.set_slider("#epoch-b", 5).shows(step=4, pane="b")
    assert not tab.values(GRID, "difference").any()
    np.testing.assert_array_equal(tab.patch_pixels(GRID, "b"), tab.patch_pixels(GRID, "a"))
    shown = tab.patch_pixels(GRID, "difference")
    assert np.ptp(shown, axis=-1).max() == 0
    tab.pick("#compare", "")
    expect(tab.find("figure[data-pane=b]")).to_be_hidden()


def test_linked_sliders(tab):
    tab.pick("#compare", "epoch").shows(step=-1, pane="b")
    tab.set_slider("#epoch", 2).shows(step=1).shows(step=-1, pane="b")
    tab.find("#linked").check()
    tab.settle()
    tab.set_slider("#epoch", 4).shows(step=3).shows(step=1, pane="b")
    tab.set_slider("#epoch-b", 1).shows(step=0, pane="b").shows(step=2)
    tab.find("#linked").uncheck()
    tab.settle()
    tab.press("End").shows(step=4).shows(step=0, pane="b")


def test_two_runs_and_their_difference(tab, first, second):
    tab.set_slider("#epoch", 1).pick("#compare", f"run:{SECOND}").shows(run=SECOND, pane="b")
    expect(tab.find("#linked")).to_be_checked()
    tab.set_slider("#epoch", 2).shows(step=1).shows(step=1, pane="b")
    expected = first.heatmaps()[2, 0] - second.heatmaps()[2, 0]
    assert np.abs(tab.values(GRID, "difference") - expected).max() < 0.0051
    same_colors(tab.patch_pixels(GRID, "b"), second.heatmaps()[2, 0])
    assert tab.find(".heads-scroller").filter(visible=True).count() == 3
    tab.find("#linked").uncheck()
    tab.settle()
    # The second training began where the first had ended.
    tab.set_slider("#epoch", 5).set_slider("#epoch-b", 0).shows(step=4).shows(step=-1, pane="b")
    assert np.abs(tab.values(GRID, "difference")).max() <= 0.03


def test_linked_runs_of_different_lengths_stand_at_the_same_epoch(tab):
    tab.pick("#compare", f"run:{SECOND}").shows(run=SECOND, step=2, pane="b")
    tab.set_slider("#epoch", 2).shows(step=1).shows(step=1, pane="b")


def test_linked_runs_keep_a_chosen_distance_past_an_end_and_in_the_address(tab, page):
    tab.pick("#compare", f"run:{SECOND}").shows(run=SECOND, step=2, pane="b")
    tab.find("#linked").uncheck()
    tab.settle()
    tab.set_slider("#epoch", 3).set_slider("#epoch-b", 2).shows(step=2).shows(step=1, pane="b")
    tab.find("#linked").check()
    tab.settle()
    tab.press("End").shows(step=4).shows(step=2, pane="b")
    tab.press("Home").shows(step=-1).shows(step=-1, pane="b")
    page.wait_for_url(re.compile(r"step=-1&.*gap=-1"))
    shared = page.url
    page.goto("about:blank")
    again = TabPage(page, shared).shows(step=-1).shows(run=SECOND, step=-1, pane="b")
    again.set_slider("#epoch", 3).shows(step=2).shows(step=1, pane="b")
    again.set_slider("#epoch-b", 3).shows(step=2, pane="b").shows(step=3)


def chart(tab, title):
    """Returns the chart of a title."""
    exact = re.compile(f"^{re.escape(title)}( |$)")
    return tab.find(".attention-chart").filter(
        has=tab.frame.locator(".attention-chart-title", has_text=exact)
    )


def page_waits(tab):
    """The charts follow a little later than the pictures."""
    tab.page.wait_for_timeout(200)


def current(tab, title):
    """Returns the value that a chart tells at the current epoch, and half its last digit."""
    page_waits(tab)
    text = chart(tab, title).locator(".attention-chart-current").text_content()
    number = re.search(r"-?\d+(?:\.(\d+))?$", text)
    return float(number[0]), 0.5001 * 10.0 ** -len(number[1] or "")


def test_charts_tell_the_current_value(tab, first):
    series = {item["name"]: item for item in first.setup["series"]}
    tab.pick("#layer", "1").pick("#head", "2")
    for index in (0, 3, 5):
        tab.set_slider("#epoch", index)
        value, off = current(tab, "Confidence")
        expected = first.predictions()["label_confidence"][index, 0]
        assert value == pytest.approx(expected, abs=off)
        for name, item in series.items():
            method = item.get("method", "rollout")
            if method != "rollout":
                continue  # Of the heatmaps only those by the method that is looked at.
            title = f"{item['title']}, rollout" if "method" in item else item["title"]
            values = first.series(name)[index]
            picked = {(): (), ("probe",): 0, ("layer",): 1, ("layer", "head"): (1, 2)}
            expected = values[picked[tuple(item["axes"])]]
            if np.isfinite(expected):
                value, off = current(tab, title)
                assert value == pytest.approx(expected, abs=off), name


def test_a_click_in_a_chart_moves_the_slider(tab, first):
    plot = chart(tab, "Entropy").locator(".u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    for index, step in ((1, 0), (4, 3), (0, -1)):
        plot.click(position={"x": max(1, index / 5 * box["width"] - 1), "y": box["height"] / 2})
        tab.shows(step=step)
        assert tab.find("#epoch").input_value() == str(index)
        same_colors(tab.patch_pixels(GRID), first.heatmaps()[index, 0])
        page_waits(tab)
        marker = chart(tab, "Entropy").locator(".attention-chart-marker:not(.compared)")
        moved = marker.evaluate("each => new DOMMatrix(getComputedStyle(each).transform).e")
        assert moved == pytest.approx(index / 5 * box["width"], abs=1.5)


def middles(pixels, left, top, size):
    """Returns the colors in the middles of the patches of a square picture within another."""
    places = ((np.arange(6) + 0.5) * size / 6).astype(int)
    return pixels[np.ix_(top + places, left + places)][..., :3]


def test_save_picture(tab, first):
    name, data = tab.saved("#save-picture")
    assert name.endswith("step_4.png")
    assert not re.search(r'[<>"=/]', name)
    same_colors(middles(decoded(data), 24, 126, 640), first.heatmaps()[-1, 0])
    tab.pick("#compare", "epoch")
    pixels = decoded(tab.saved("#save-picture")[1])
    for pane, index in enumerate((-1, 0)):
        same_colors(middles(pixels, 24 + 664 * pane, 126, 640), first.heatmaps()[index, 0])


def test_save_the_film_as_gif(tab, first):
    tab.click("#save-film")
    name, data = tab.saved("#film-save")
    assert name.endswith(".gif")
    with Image.open(io.BytesIO(data)) as film:
        assert film.n_frames == 6
        for frame in range(6):
            film.seek(frame)
            assert film.info["duration"] == 250
            pixels = np.asarray(film.convert("RGB")).astype(int)
            expected = colors_of(first.heatmaps()[frame, 0], "inferno", 4.0)
            assert np.abs(middles(pixels, 24, 126, 420) - expected).mean() < 6
    tab.find("#film-cancel").click()
    expect(tab.find("#film-dialog")).to_be_hidden()


def frames_of(data, tmp_path):
    """Returns the frames of a film, GIF or WebM, as a list of int arrays `[height, width, 3]`."""
    if data.startswith(b"GIF"):
        with Image.open(io.BytesIO(data)) as film:
            return [
                np.asarray(frame.convert("RGB")).astype(int)
                for frame in ImageSequence.Iterator(film)
            ]
    (tmp_path / "film.webm").write_bytes(data)
    film, frames = cv2.VideoCapture(str(tmp_path / "film.webm")), []
    while (read := film.read())[0]:
        frames.append(read[1][..., ::-1].astype(int))
    return frames


def test_save_the_film_as_webm(tab, first, tmp_path):
    tab.click("#save-film")
    tab.find("label[for=film-webm]").click()
    name, data = tab.saved("#film-save")
    assert name.endswith(".webm")
    frames = frames_of(data, tmp_path)
    assert len(frames) == 6
    for frame, heat in zip(frames, first.heatmaps()[:, 0], strict=True):
        expected = colors_of(heat, "inferno", 4.0)
        assert np.abs(middles(frame, 24, 126, 420) - expected).mean() < 12


@pytest.mark.parametrize("kind", ["gif", "webm"])
@pytest.mark.parametrize("linked", [0, 1])
def test_the_film_of_a_comparison_shows_both(page, address, wide, tmp_path, kind, linked):
    """The other epoch stands still beside the film, or goes along as far as it can."""
    look = {"display": "patches", "opacity": 1, "linked": linked}
    tab = TabPage(page, address, run=WIDE, compare="epoch", step=1, step2=0, **look)
    tab.shows(run=WIDE, step=1).shows(run=WIDE, step=0, pane="b")
    colors = colors_of(wide.heatmaps()[:, 0], "inferno", 4.0)
    assert min(np.abs(colors[a] - colors[b]).mean() for a, b in ((0, 1), (0, 2), (1, 2))) > 16
    others = colors[[0, 0, 1]] if linked else colors[[1, 1, 1]]
    tab.click("#save-film")
    tab.find(f"label[for=film-{kind}]").click()
    frames = frames_of(tab.saved("#film-save")[1], tmp_path)
    assert len(frames) == 3
    rows, columns = (((np.arange(n) + 0.5) * 420 / 8).astype(int) for n in (3, 8))
    for frame, *both in zip(frames, colors, others, strict=True):
        assert frame.shape[1] == 24 + 3 * 444
        for pane, expected in enumerate(both):
            found = frame[np.ix_(126 + rows, 24 + 444 * pane + columns)]
            assert np.abs(found - expected).mean() < 8


def test_only_a_whole_share_is_100_percent(tab):
    shares = {1: "100 %", 0.99999: "99.9 %", 0.9996: "99.9 %", 0.997: "99.7 %", 0.42: "42 %"}
    script = "shares => import('./page/words.js').then(({percent}) => shares.map(percent))"
    assert tab.frame.evaluate(script, list(shares)) == list(shares.values())


def test_the_address_holds_the_view(tab, page):
    tab.click(".probe[data-probe='2']").pick("#compare", f"run:{SECOND}")
    tab.shows(run=SECOND, pane="b")
    tab.find("#linked").uncheck()
    tab.settle()
    tab.pick("#layer", "2").pick("#head", "1").pick("#colors", "cividis")
    tab.set_slider("#opacity", 0.5).set_slider("#epoch", 3).set_slider("#epoch-b", 1)
    tab.pick("#scale", "shared").pick("#measure", "entropy")
    tab.find("label[for=display-smooth]").click()
    panes = [f"canvas.picture[data-pane={pane}]" for pane in ("a", "b", "difference")]
    parts = [*panes, ".heads-scroller[data-pane=a] canvas"]
    tab.page.mouse.move(0, 0)
    before = [tab.settle().pixels(part) for part in parts]
    page.wait_for_url(re.compile(r"measure=entropy"))
    page.wait_for_timeout(400)
    shared = page.url
    page.goto("about:blank")
    again = TabPage(page, shared).shows(step=2, probe=2).shows(run=SECOND, step=0, pane="b")
    for part, pixels in zip(parts, before, strict=True):
        np.testing.assert_array_equal(again.pixels(part), pixels)
    for selector, value in (("#colors", "cividis"), ("#opacity", "0.5"), ("#scale", "shared")):
        assert again.find(selector).input_value() == value
    expect(again.find("#display-smooth")).to_be_checked()


def test_a_patch_in_the_address(page, address, first):
    tab = TabPage(page, address, **PLAIN, patch="4,1", step=0)
    tab.shows(step=0, what="Rollout over all layers, from patch 4, 1")
    same_colors(tab.patch_pixels(GRID), first.token_maps(0, 0)[1, 4])


@pytest.mark.parametrize(
    "state",
    [
        {"run": FIRST, "step": 1e9, "probe": 77, "layer": 77, "head": "x"},
        {"run": FIRST, "colors": "<b>", "scale": "?", "patch": "9999,9999", "opacity": -5},
    ],
)
def test_an_address_that_makes_no_sense_shows_something(page, address, state):
    TabPage(page, address, **state).shows(run=FIRST, step=4, probe=0)


@pytest.mark.parametrize("probe", [-3, 1.5, 77])
def test_a_probe_that_is_not_there_is_not_asked_for(chromium, address, probe):
    with chromium.new_context() as context:
        page, refused = context.new_page(), []
        page.on("response", lambda answer: answer.status >= 400 and refused.append(answer.url))
        TabPage(page, address, run=FIRST, probe=probe).shows(run=FIRST, step=4, probe=0)
        assert refused == []


def test_an_address_with_runs_that_are_gone(page, address):
    """The browser would tell of a 404 on the console, which fails a test."""
    gone = {"run": "gone", "compare": "run", "run2": "gone too"}
    tab = TabPage(page, address, **gone).shows(run=FIRST, step=4, probe=0)
    assert tab.find("#compare").input_value() == ""
    page.evaluate("hash => { location.hash = hash; }", tab_address("", **gone, step=1))
    tab.shows(run=FIRST, step=1)


def test_an_address_that_a_person_changes_is_followed(tab, page, address):
    page.evaluate("hash => { location.hash = hash; }", tab_address("", **PLAIN, step=1))
    tab.shows(step=1)


def test_copy_link(tab, page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.press("Home").shows(step=-1)
    tab.click("#copy-link")
    expect(tab.find("#copy-link")).to_have_text("Copied")
    assert "p.attention.step=-1" in page.evaluate("navigator.clipboard.readText()")


@contextlib.contextmanager
def served(html):
    """Gives the address of a page on an origin of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def notebook(address):
    """A page with TensorBoard in a frame, as notebooks have it."""
    source = tab_address(address, **PLAIN)
    icon = '<link rel="icon" href="data:,">'
    with served(f'{icon}<iframe id="cell" width="1100" height="760" src="{source}">') as page:
        yield page


def test_within_a_page_of_another_origin_as_in_notebooks(page, notebook):
    page.goto(notebook)
    host = page.wait_for_selector("#cell").content_frame()
    frame = host.wait_for_selector("iframe").content_frame()
    picture = frame.locator("canvas.picture[data-pane=a]")
    expect(picture).to_have_attribute("data-drawn", re.compile(rf"^{FIRST}[|]4[|]0"))
    picture.click()
    page.keyboard.press("Home")
    expect(picture).to_have_attribute("data-drawn", re.compile(rf"^{FIRST}[|]-1[|]0"))
    host.wait_for_url(re.compile(r"#attention.*step=-1"))
    # A frame is refused the clipboard's newer interface, and told so on the console if it asks.
    frame.locator("#copy-link").click()
    expect(frame.locator("#copy-link")).not_to_have_text("Copy link")
    # Light again at the end: TensorBoard keeps the theme for the next page of this browser.
    for name, theme in (("Dark", "dark"), ("Light", "light")):
        host.get_by_label("Menu for changing light or dark theme").click()
        host.get_by_role("menuitem", name=name).click()
        expect(frame.locator("html")).to_have_attribute("data-theme", theme)


def brightness(tab, selector):
    """Returns the brightness, 0 to 255, of an element's background."""
    color = tab.find(selector).evaluate("each => getComputedStyle(each).backgroundColor")
    return np.mean([float(part) for part in re.findall(r"[\d.]+", color)[:3]])


def test_dark_mode_follows_tensorboard(tab, page):
    # TensorBoard keeps the theme of the browser's last page, and a page that closes at once may
    # lose what it kept last.
    for name, theme in (("Light", "light"), ("Dark", "dark"), ("Light", "light")):
        page.get_by_label("Menu for changing light or dark theme").click()
        page.get_by_role("menuitem", name=name).click()
        expect(tab.find("html")).to_have_attribute("data-theme", theme)
        low, high = (0, 80) if theme == "dark" else (200, 255)
        assert low <= brightness(tab, "body") <= high
        ink = tab.find(".probe-name").evaluate("each => getComputedStyle(each).color")
        assert (np.mean([int(n) for n in re.findall(r"\d+", ink)[:3]]) > 150) == (theme == "dark")
        page.wait_for_timeout(300)
        is_dark = tab.find(".attention-charts").evaluate("e => e.classList.contains('dark')")
        assert is_dark == (theme == "dark")


@pytest.mark.parametrize("state", [PLAIN, {**PLAIN, "compare": "epoch"}, {"run": WIDE, "probe": 3}])
def test_no_sideways_scrolling_at_1024(page, address, state):
    page.set_viewport_size({"width": 1024, "height": 700})
    tab = TabPage(page, address, **state).shows(run=state["run"])
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    controls = "button, select, input, canvas.picture, summary"
    for control in tab.find(controls).filter(visible=True).all():
        if control.evaluate("each => each.closest('.probe-list, .heads-scroller') !== null"):
            continue
        box = control.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1024


CONTROLS = """
    #run #compare #method #layer #head #save-picture #save-film #copy-link .probe #only-wrong
    #opacity #colors #display-patches #scale #limit canvas.picture .heads-cell #measure
    #most-changed #first #previous #play #next #last #speed #epoch #epoch-b #linked #keys
""".split()  # noqa: SIM905
FOCUSED = """controls => {
  const { activeElement: node } = document;
  if (!document.hasFocus() || node === document.body) return null;
  const looks = [node, node.nextElementSibling, node.parentElement].filter(Boolean).map((each) => {
    const style = getComputedStyle(each);
    const isOutlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    return isOutlined || style.boxShadow !== "none";
  });
  const name = controls.find((each) => node.matches(each) || node.matches(`${each} > summary`));
  return [name ?? node.outerHTML.slice(0, 80), looks.some(Boolean)];
}"""


def test_tab_reaches_every_control_and_shows_where_it_is(page, address):
    tab = TabPage(page, address, **PLAIN, layer=1, compare="epoch").shows(run=FIRST)
    reached = {}
    for _ in range(90):
        page.keyboard.press("Tab")
        focused = tab.frame.evaluate(FOCUSED, CONTROLS)
        if focused:
            reached[focused[0]] = focused[1]
        elif reached:
            break
    assert set(CONTROLS) - {"#display-patches"} <= reached.keys()
    assert [name for name, is_visible in reached.items() if not is_visible] == []


def test_keys_work_after_a_click(tab, page):
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(2, 2, GRID))
    page.keyboard.press("Escape")
    tab.shows(what=ROLLOUT)


def test_the_keyboard_alone_asks_a_patch_and_picks_a_head(tab, first):
    tab.find("canvas.picture[data-pane=a]").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        tab.press(key)
    assert words(tab, "figure[data-pane=a] [data-part=readout]").startswith("Patch 2, 2: ")
    tab.press("Enter").shows(what="Rollout over all layers, from patch 2, 2")
    tab.press("Escape").shows(what=ROLLOUT)
    tab.find(".heads-scroller[data-pane=a] .heads-cell[tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        tab.press(key)
    tab.shows(what="Layer 2, head 2, from the class token")
    tab.find(".probe[aria-selected=true]").focus()
    tab.press("ArrowRight").shows(probe=1)
    tab.find("#epoch").focus()
    tab.press("ArrowLeft").shows(step=3)
    same_colors(tab.patch_pixels(GRID), first.heads(3, 1)[1][1])
