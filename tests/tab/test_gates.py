"""The Attention tab on logs of convolutional networks with gates, of real fits, in Chromium."""

import json
import re

import numpy as np
import pytest
from playwright.sync_api import expect
from support.attention_logs import EventFile, MadeUpTraining
from support.tab_page import TabPage, colors_of, decoded, tensorboard
from tensorflow import keras
from zoo import gated

from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.tb_plugin.packing import pack, quantize, unpack
from keras_attnviz.tb_plugin.validation import UnreadableError, read_setup

pytestmark = [pytest.mark.one_stack, pytest.mark.slow]

ALL, CHANNELS, HYBRID, MANY = (f"{n}/attention" for n in ("all", "channels", "hybrid", "many"))
GATES = "Mean of the gates"
GRID = (12, 12)
OF_TOKENS = re.compile("patch|token|read-out|uniform", re.IGNORECASE)
MARKUP = "<img src=x onerror=\"document.title='hit'\">"


class Many(MadeUpTraining):
    """24 gates of long names, every second one of positions; texts as hostile as can be."""

    paths = tuple(f"net/stage{i // 8}_{MARKUP}/block{i}/{'x' * 60}_{i}" for i in range(24))

    def setup(self):
        setup = super().setup()
        gates = [
            {"path": path, "kind": ("channel", "spatial")[i % 2], "channels": 4, "grid": [3, 4]}
            for i, path in enumerate(self.paths)
        ]
        layer = {"kind": "spatial gate", "heads": 1, "trainable": True, "is_absolute": True}
        described = {"unit": "", "range": [0, 1], "description": MARKUP}
        series = [
            {"name": "gate_mean", "title": MARKUP, "axes": ["gate"], **described},
            {"name": "gate_distribution", "title": MARKUP, "axes": ["gate", "bin"], **described},
            {"name": "branch_share", "title": MARKUP, "axes": ["gate", "branch"], **described},
        ]
        gates[2] = {**gates[2], "kind": "branch", "channels": 10**9}
        gates[5] = {**gates[5], "path": gates[4]["path"]}
        return {
            **setup,
            "layers": [{"path": path, **layer} for path in self.paths[1::2]],
            "gates": gates,
            "gate_bins": 20,
            "methods": ["gates"],
            "token_methods": [],
            "absolute_methods": ["gates"],
            "readout": "",
            "series": series,
        }

    def epoch(self, step):
        arrays, fields = unpack(super().epoch(step))
        spread = self._random(step, 9).dirichlet(np.ones(20), 24)
        arrays = {name: each for name, each in arrays.items() if "series" not in name}
        arrays["series/gate_mean"] = spread[:, 0].astype(np.float32)
        arrays["series/gate_distribution"] = spread.astype(np.float32)
        return pack(arrays, **{k: v for k, v in fields.items() if k != "arrays"})

    def head_maps(self, step, probe):
        codes, highest = quantize(self._random(step, 7, probe).uniform(0, 1, (12, self.cells)))
        others = np.zeros(12, np.float32)
        return pack({"heads": codes, "heads/highest": highest, "others": others}, step=step)


@pytest.fixture(scope="module")
def log_dir(faces, masked_probes, tmp_path_factory):
    """Fits of gates of each kind, of channel gates alone and of a hybrid; and one made up."""
    folder = tmp_path_factory.mktemp("logs")
    images = masked_probes.images
    probes = ProbeSet(images, labels=[0, 0, 1, 1], masks=masked_probes.masks)
    builds = {"all": gated.all_kinds, "channels": gated.channels_only, "hybrid": gated.hybrid}
    for name, build in builds.items():
        model = build()
        # Adam, for gates that differ clearly after three epochs.
        model.compile(keras.optimizers.Adam(0.01), model.loss)
        callback = AttentionRolloutCallback(probes, folder / name)
        model.fit(*faces, epochs=3, verbose=0, callbacks=[callback])
    with EventFile(folder / MANY) as file:
        Many(methods=("gates",), with_tokens=False).write(file, range(-1, 2))
    return folder


@pytest.fixture(scope="module")
def address(log_dir):
    with tensorboard(log_dir, runs={ALL: 2, CHANNELS: 2, HYBRID: 2, MANY: 1}) as address:
        yield address


@pytest.fixture(scope="module")
def log(log_dir):
    return read_log(log_dir / "all")


@pytest.fixture
def tab(page, address):
    """The fit with gates of each kind, by cells, the heatmap opaque."""
    return opened(page, address, ALL, display="patches", opacity=1).shows(step=2, what=GATES)


def opened(page, address, run, **state):
    """Opens a run, and waits for its charts, which come after the pictures."""
    tab = TabPage(page, address, run=run, **state).shows(run=run)
    page.wait_for_timeout(300)
    return tab


def words(tab, selector):
    return tab.find(selector).text_content()


def same_colors(found, values, high=1.0):
    assert np.abs(found - colors_of(values, "inferno", high)).max() <= 4


def told(tab, x, y, pane="a"):
    """Returns what a pane tells of a cell under the pointer."""
    canvas = tab.find(f"canvas.picture[data-pane={pane}]")
    canvas.hover(position=tab.patch_place(x, y, GRID, pane))
    return words(tab, f"figure[data-pane={pane}] [data-part=readout]")


def visible_text(tab):
    return tab.find("#page").inner_text()


def test_the_mean_of_the_gates_is_told_and_colored_from_0_to_1(tab, log):
    values = log.heatmaps("gates")[-1, 0]
    same_colors(tab.patch_pixels(GRID), values)
    for x, y in ((0, 0), (7, 3)):
        assert told(tab, x, y) == f"At {x}, {y}: gate {values[y, x]:.2f}"
    bar = tab.find("figure[data-pane=a] [data-part=color-bar]")
    numbers = bar.locator(".bar-numbers span").all_text_contents()
    assert numbers == ["0", "0.25", "0.5", "0.75", "1"]
    assert words(tab, "figure[data-pane=a] .bar-unit") == "gate value: 0 closed, 1 open"
    assert words(tab, "#limit-unit") == "gate value"
    assert tab.find("#limit").input_value() == "1"


def test_the_limit_of_gates_is_one_of_their_own(tab, log, page, address):
    tab.find("#limit").fill("0.6")
    tab.press("Enter")
    same_colors(tab.patch_pixels(GRID), log.heatmaps("gates")[-1, 0], high=0.6)
    bar = tab.find("figure[data-pane=a] [data-part=color-bar]")
    assert bar.locator(".bar-numbers span").last.text_content() == "≥ 0.6"
    state = {"gateLimit": 0.6, "limit": 3}
    tab = opened(page, address, HYBRID, **state)
    assert tab.find("#limit").input_value() == "3"
    tab.pick("#method", "gates")
    assert tab.find("#limit").input_value() == "0.6"


def test_each_gate_stands_in_a_row_of_its_own(tab, log):
    assert words(tab, ".grid-head h2") == "Gates"
    rows = tab.find(".heads-scroller[data-pane=a] .heads-row")
    names = rows.locator(".heads-layer span").all_text_contents()
    assert [name.removeprefix("◆ ") for name in names] == ["where", "bottleneck"]
    grids = rows.locator(".heads-layer small").all_text_contents()
    assert grids == ["12 × 12", "6 × 6"]
    assert rows.locator(".heads-cell").count() == 2
    assert tab.find(".heads-column, .heads-corner").count() == 0
    maps = log.heads(2, 0)
    tab.find(".heads-cell[data-layer='1']").hover()
    highest, mean = maps[1].max(), maps[1].mean()
    expect(tab.find(".tip")).to_have_text(
        f"Gate bottleneck · highest {highest:.2f} · mean {mean:.2f}gated/bottleneck"
    )
    for layer, name in ((0, "where"), (1, "bottleneck")):
        tab.click(f".heads-cell[data-layer='{layer}']").shows(what=f"Gate {name}")
        same_colors(tab.patch_pixels(GRID), maps[layer][0])
        assert tab.find("#layer").input_value() == str(layer)
    drift = log.series("gate_drift")[-1][[1, 2]]
    changed = ["where", "bottleneck"][drift.argmax()]
    assert words(tab, "#most-changed") == f"◆ gate {changed} changed most since the baseline"


def test_nothing_tells_of_tokens_where_there_are_none(tab):
    tab.click("#keys")
    assert OF_TOKENS.search(visible_text(tab)) is None
    assert words(tab, ".segments") == "smoothcells"
    for selector in ("#method", "#head", "#back", "#measure"):
        expect(tab.find(selector)).to_be_hidden()
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(3, 3, GRID))
    tab.shows(what=GATES)


@pytest.mark.parametrize("run", [ALL, CHANNELS])
def test_a_patch_in_an_address_asks_nothing_where_there_are_no_tokens(page, address, run):
    tab = opened(page, address, run, patch="3,3", layer=5, head=1, method="rollout")
    tab.shows(run=run, what=GATES if run == ALL else "")
    expect(tab.find("#back")).to_be_hidden()
    assert OF_TOKENS.search(visible_text(tab)) is None


def test_two_epochs_of_gates_and_their_difference(tab, log):
    tab.pick("#compare", "epoch").pick("#scale", "image").shows(step=-1, pane="b")
    heat = log.heatmaps("gates")[:, 0]
    difference = heat[-1] - heat[0]
    y, x = np.unravel_index(difference.argmax(), GRID)
    assert difference[y, x] > 0.005
    assert told(tab, x, y, "difference") == f"At {x}, {y}: gate +{difference[y, x]:.2f}"
    unit = words(tab, "figure[data-pane=difference] .bar-unit")
    assert unit == "A \N{MINUS SIGN} B, in gate values"
    assert OF_TOKENS.search(visible_text(tab)) is None


def chart(tab, title):
    exact = re.compile(f"^{re.escape(title)}$")
    return tab.find(".attention-chart").filter(
        has=tab.frame.locator(".attention-chart-title", has_text=exact)
    )


def test_gates_are_charted_and_told_by_their_layer(tab, log):
    names = ["squeeze", "where", "bottleneck", "select"]
    tab.click(".heads-cell[data-layer='0']")
    for title, name in (
        ("Gates, mean", "gate_mean"),
        ("Gates, saturated", "gate_saturation"),
        ("Gates, drift from the baseline", "gate_drift"),
    ):
        tab.page.wait_for_timeout(200)
        said = chart(tab, title).locator("[role=img]").get_attribute("aria-label")
        lines = re.findall(r"(\w+) (-?[\d.]+)", said.split(": ", 1)[1])
        assert [line for line, _ in lines] == names
        found = np.array([float(value) for _, value in lines])
        assert np.abs(found - log.series(name)[-1]).max() < 0.006
        current = chart(tab, title).locator(".attention-chart-current")
        assert current.text_content().startswith("where: ")


def test_branches_are_charted_of_the_gates_that_have_them(tab, log):
    for index in (3, 0):
        tab.set_slider("#epoch", index)
        tab.page.wait_for_timeout(200)
        said = chart(tab, "Branches").locator("[role=img]").get_attribute("aria-label")
        lines = re.findall(r"(\w+, branch \d) (-?[\d.]+)", said)
        assert [line for line, _ in lines] == ["select, branch 1", "select, branch 2"]
        found = np.array([float(value) for _, value in lines])
        assert np.abs(found - log.series("branch_share")[index, 3]).max() < 0.006


def shades(tab, number=0):
    """Returns the darkness in the middles of the cells of a distribution, 0 to 1."""
    pixels = tab.pixels(f".distribution >> nth={number} >> canvas")
    gates = tab.find(".distribution").nth(number).locator(".distribution-names span").count()
    rows, columns = (
        ((np.arange(count) + 0.5) * size / count).astype(int)
        for count, size in zip((gates, 20), pixels.shape[:2], strict=True)
    )
    return pixels[np.ix_(rows, columns)][..., 3] / 255


def darkness(shares):
    return 0.05 + 0.95 * np.sqrt(shares)


def test_the_distribution_follows_the_epoch_and_tells_its_cells(tab, log):
    shares = log.series("gate_distribution")
    assert np.abs(shares[0] - shares[-1]).max() > 0.05
    figure = tab.find(".distribution").first
    for index in (3, 0, 2):
        tab.set_slider("#epoch", index)
        tab.page.wait_for_timeout(200)
        assert np.abs(shades(tab) - darkness(shares[index])).max() < 0.01
    assert figure.locator(".distribution-names span").all_text_contents() == [
        "squeeze",
        "where",
        "bottleneck",
        "select",
    ]
    assert figure.locator(".attention-chart-current").text_content() == "epoch 2 of 3"
    box = figure.locator("canvas").bounding_box()
    gate, bin_ = 1, int(shares[2, 1].argmax())
    place = {"x": (bin_ + 0.5) * box["width"] / 20, "y": (gate + 0.5) * box["height"] / 4}
    figure.locator("canvas").hover(position=place)
    interval = f"{bin_ / 20:.2f} to {(bin_ + 1) / 20:.2f}"
    expect(tab.find(".tip")).to_have_text(
        f"where · {interval}: {100 * shares[2, 1, bin_]:.1f} %gated/where"
    )
    assert f"where mostly {interval}" in figure.locator("canvas").get_attribute("aria-label")


def test_two_runs_show_both_distributions(tab, log_dir):
    tab.pick("#compare", f"run:{CHANNELS}").shows(run=CHANNELS, step=2, pane="b")
    tab.page.wait_for_timeout(300)
    figures = tab.find(".distribution").filter(visible=True)
    labels = figures.locator(".attention-chart-current").all_text_contents()
    assert labels == ["A · epoch 3 of 3 · all", "B · epoch 3 of 3 · channels"]
    other = read_log(log_dir / "channels").series("gate_distribution")[-1]
    assert np.abs(shades(tab, 1) - darkness(other)).max() < 0.01
    # One of them has no maps: there is no difference.
    assert tab.find("figure.pane").filter(visible=True).count() == 2
    said = chart(tab, "Gates, mean").locator("[role=img]").get_attribute("aria-label")
    assert "first of the compared run" in said


@pytest.fixture
def plain(page, address):
    """The fit with gates of channels alone."""
    return opened(page, address, CHANNELS).shows(run=CHANNELS, step=2, probe=0)


def test_without_maps_there_are_picture_timeline_and_charts_alone(plain, log_dir):
    log = read_log(log_dir / "channels")
    assert log.setup["methods"] == []
    hidden = "#method #layer #head #opacity #colors #scale #limit #asking #save-film .heads-cell"
    for selector in [*hidden.split(), ".side", "[data-part=color-bar]", ".readout:not(:empty)"]:
        assert plain.find(selector).filter(visible=True).count() == 0, selector
    plain.click("#keys")
    assert OF_TOKENS.search(visible_text(plain)) is None
    plain.click("#keys")
    for index, step in ((0, -1), (2, 1)):
        plain.set_slider("#epoch", index).shows(step=step)
        plain.page.wait_for_timeout(200)
        expected = log.series("gate_distribution")[index]
        assert np.abs(shades(plain) - darkness(expected)).max() < 0.01
    gray = plain.pixels()[..., :3]
    assert np.ptp(gray, axis=-1).max() == 0
    assert gray.std() > 10
    assert "%" in words(plain, "figure[data-pane=a] .prediction")
    titles = plain.find(".attention-chart-title").all_text_contents()
    assert [t for t in titles if t] == [
        "Gates, distribution",
        "Confidence",
        "Gates, mean",
        "Gates, saturated",
        "Gates, drift from the baseline",
    ]
    for key in ("]", "Escape", "Space"):
        plain.press(key)
    expect(plain.find("#epoch")).to_have_value("3")
    plain.shows(step=2, probe=1)


def test_without_maps_pictures_are_saved_and_compared(plain):
    name, data = plain.saved("#save-picture")
    assert name.endswith("step_2.png")
    assert decoded(data).shape[1] == 640 + 48
    plain.pick("#compare", "epoch").shows(step=-1, pane="b")
    assert plain.find("figure.pane").filter(visible=True).count() == 2
    plain.pick("#compare", f"run:{ALL}").shows(run=ALL, step=2, pane="b")
    assert words(plain, "#limit-unit") == "gate value"
    plain.find(".probe").nth(2).click()
    plain.shows(probe=2)


def test_a_hybrid_has_gates_below_its_layers(page, address, log_dir):
    log = read_log(log_dir / "hybrid")
    tab = opened(page, address, HYBRID, display="patches", opacity=1)
    assert words(tab, ".grid-head h2") == "Layers and gates"
    names = tab.find(".heads-layer span").all_text_contents()
    assert [name.removeprefix("◆ ") for name in names] == ["1", "2", "where"]
    assert [tab.find(f".heads-row[data-layer='{i}'] button").count() for i in range(3)] == [3, 3, 1]
    assert words(tab, "#grid-note") == "Gates: from 0 to 1, not × uniform."
    grid = log.setup["grid"]
    assert "× uniform" in told_on(tab, grid)
    # The gates' scale is theirs, in the grid and in the picture.
    cell = tab.find(".heads-scroller[data-pane=a] .heads-cell[data-layer='2']")
    values = log.heads(2, 0)[2][0]
    pixels = tab.pixels(".heads-scroller[data-pane=a] canvas")
    outer = tab.find(".heads-scroller[data-pane=a] canvas").bounding_box()
    box = cell.bounding_box()
    x, y = (
        ((np.arange(n) + 0.5) * box["width"] / n + box[side] - outer[side]).astype(int)
        for n, side in ((grid[1], "x"), (grid[0], "y"))
    )
    same_colors(pixels[np.ix_(y, x)][..., :3], values)
    cell.click()
    tab.shows(what="Gate where")
    same_colors(tab.patch_pixels(grid), values)
    assert told_on(tab, grid) == f"At 1, 2: gate {values[2, 1]:.2f}"
    expect(tab.find("#head")).to_be_disabled()
    # A gate has no tokens; the layers have.
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(1, 2, grid))
    tab.shows(what="Gate where")
    tab.pick("#layer", "").shows(what="Rollout over all layers, from the all patches")
    tab.click("canvas.picture[data-pane=a]", position=tab.patch_place(1, 2, grid))
    tab.shows(what="Rollout over all layers, from patch 1, 2")
    tab.press("Escape").pick("#method", "gates").shows(what=GATES)
    assert told_on(tab, grid).startswith("At 1, 2: gate ")
    page.wait_for_timeout(200)
    said = chart(tab, "Entropy").locator("[role=img]").get_attribute("aria-label")
    assert "layer 2" in said
    assert "layer 3" not in said
    tab.pick("#compare", f"run:{ALL}").pick("#method", "rollout").shows(run=ALL, pane="b")
    message = tab.find("figure[data-pane=difference] .pane-message")
    expect(message).to_have_text("One of the two is of attention, the other of gates.")


def told_on(tab, grid):
    tab.find("canvas.picture[data-pane=a]").hover(position=tab.patch_place(1, 2, grid))
    return words(tab, "figure[data-pane=a] [data-part=readout]")


def test_many_gates_of_hostile_names_fit_the_page(page, address):
    page.set_viewport_size({"width": 1024, "height": 700})
    tab = opened(page, address, MANY)
    assert tab.find(".heads-row").count() == 12
    assert tab.find(".distribution").first.locator(".distribution-names span").count() == 24
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    names = tab.find(".heads-layer span").all_text_contents()
    assert max(map(len, names)) <= len("\N{BLACK DIAMOND} ") + 26
    for layer in ("0", "11"):
        tab.pick("#layer", layer).shows(run=MANY)
    tab.find(".distribution canvas").first.hover()
    assert MARKUP in words(tab, ".tip")
    assert tab.find("#page img:not(.probe img)").count() == 0
    assert tab.frame.evaluate("document.title") == "Attention"


SCRUB = """async () => {
  const slider = document.querySelector("#epoch");
  const taken = [];
  for (let i = 0; i < 60; i += 1) {
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 5)));
    slider.value = i % 3;
    const begin = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    taken.push(performance.now() - begin);
  }
  return taken.sort((a, b) => a - b)[54];
}"""


def test_scrubbing_24_gates_takes_some_milliseconds(page, address):
    tab = opened(page, address, MANY)
    for index in range(3):
        tab.set_slider("#epoch", index)
    # Nine of ten moves; the small maps are not drawn at every one.
    assert tab.frame.evaluate(SCRUB) < 30


@pytest.mark.parametrize(
    "wrong",
    [
        {"gates": [{"path": "a", "kind": "other", "channels": 3, "grid": [2, 2]}]},
        {"gates": [{"path": "a", "kind": "channel", "channels": 3, "grid": [2]}]},
        {"gates": [{"path": "a", "kind": ["channel"], "channels": 3, "grid": [2, 2]}]},
        {"gates": [{"path": "a", "kind": "channel", "channels": 3, "grid": [2, 2]}] * 1001},
        {"gates": "channel"},
        {"gate_bins": 10**9},
        {"absolute_methods": "gates"},
        {"absolute_methods": [1]},
    ],
)
def test_setups_of_malformed_gates_are_refused(wrong):
    whole = Many(methods=("gates",)).setup()
    assert read_setup(json.dumps(whole).encode()) == whole
    (name,) = wrong
    with pytest.raises(UnreadableError, match=f"^missing or malformed: {name}$"):
        read_setup(json.dumps({**whole, **wrong}).encode())
