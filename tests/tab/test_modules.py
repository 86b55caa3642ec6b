"""The Attention tab's charts and films in a real browser, under TensorBoard's security policy."""

import base64
import hashlib
import importlib.util
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from support.chart_data import charts, group, layers
from support.paths import ROOT
from tensorboard.backend import http_util
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

pytestmark = pytest.mark.one_stack

STATIC = ROOT / "keras_attnviz" / "tb_plugin" / "static"
PAGES = Path(__file__).parent / "pages"
RED, GREEN, BLUE = (200, 30, 40), (20, 160, 60), (30, 60, 210)
COLORS = [f"rgb{color}" for color in (RED, GREEN, BLUE)]


def files():
    """Returns {address: path} of what the page may ask for."""
    pages = {f"/{path.name}": path for path in PAGES.iterdir()}
    static = {
        f"/static/{path.relative_to(STATIC).as_posix()}": path
        for path in STATIC.rglob("*")
        if path.is_file()
    }
    return pages | static


def security_policy():
    """Returns the policy that TensorBoard sends with a page."""
    request = Request(EnvironBuilder().get_environ())
    response = http_util.Respond(request, "", "text/html")
    return response.headers["Content-Security-Policy"]


@pytest.fixture(scope="module")
def address():
    """Where the page is served with the modules, as TensorBoard would."""
    served, policy = files(), security_policy()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = served.get(self.path)
            self.send_response(200 if path else 404)
            if path:
                self.send_header("Content-Type", guess_type(path.name)[0] or "text/plain")
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(path.read_bytes() if path else b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/modules.html"
        server.shutdown()


@pytest.fixture
def modules(page, address):
    """The page with the modules loaded."""
    page.goto(address)
    page.wait_for_function("window.ready")
    return page


def vendor():
    """Returns tools/vendor.py as a module."""
    spec = importlib.util.spec_from_file_location("vendor", ROOT / "tools" / "vendor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vendored_files_are_unmodified():
    held = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").iterdir()
    }
    assert held == vendor().pinned()


def test_an_archive_with_another_hash_is_refused():
    with pytest.raises(ValueError, match=r"a\.tgz must have the SHA-256 00\. Received: 2cf24d"):
        vendor().checked(b"hello", "00", name="a.tgz")


def test_the_page_reads_the_color_maps(modules):
    assert modules.evaluate("[...COLOR_MAPS.viridis.slice(0, 6)]") == [68, 1, 84, 68, 2, 85]
    assert modules.evaluate("Object.values(COLOR_MAPS).map((map) => map.length)") == [768] * 6


def draw(page, data):
    """Draws charts, and waits until a frame shows them."""
    page.evaluate("data => draw(data)", data)
    page.wait_for_function(
        "[...document.querySelectorAll('.u-over')].every(over => over.clientWidth > 0 && "
        "getComputedStyle(over).position === 'absolute') && "
        "[...document.querySelectorAll('.u-wrap canvas')].every(canvas => canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.some(value => value > 0))"
    )
    page.evaluate(
        "() => new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown)))"
    )


def plot_box(page, chart=0):
    """Returns where a chart's lines are drawn: x, y, width, height on the page."""
    return page.locator(".u-over").nth(chart).bounding_box()


def pixels(page, chart=0):
    """Returns what is seen where a chart's lines are drawn, uint8 [height, width, 3]."""
    picture = page.screenshot(clip=plot_box(page, chart))
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def near(picture, color, *, within=40):
    """Returns which pixels have about a color, bool [height, width]."""
    return np.abs(picture.astype(int) - color).max(axis=-1) <= within


def marked_x(page, chart=0, marker=".attention-chart-marker:not(.compared)"):
    """Returns the middle of a chart's marker as a share of the chart's width."""
    box, plot = page.locator(marker).nth(chart).bounding_box(), plot_box(page, chart)
    return (box["x"] + box["width"] / 2 - plot["x"]) / plot["width"]


def line(values, label="layer 1", *, emphasis=False):
    return {"label": label, "values": values, "emphasis": emphasis}


EMPHASIS = (0xC2, 0x41, 0x0C)


def test_a_chart_names_its_values_in_words(modules):
    lines = [line([0.5, 0.25]), line([0.75, None], "layer 2")]
    draw(modules, charts([group("Distance", lines, unit="pixels", description="How far.")]))
    picture = modules.get_by_role("img")
    expect(picture).to_have_accessible_name(
        "Distance in pixels at epoch 0: layer 1 0.50, layer 2 0.75"
    )
    modules.evaluate("shown.setStep(1)")
    expect(picture).to_have_accessible_name(
        "Distance in pixels at epoch 1: layer 1 0.25, layer 2 no value"
    )
    expect(modules.locator("figcaption")).to_contain_text("Distance pixels")
    expect(modules.locator("figcaption")).to_contain_text("How far.")
    expect(modules.locator(".attention-charts-key")).to_have_text("layer 1layer 2")


def test_the_marker_and_the_value_follow_the_step(modules):
    data = charts([group("Drift", [line([0, 0.2, 0.4, 0.6, 0.8])])], first=-1, step=0)
    draw(modules, data)
    for step, share, value in ((0, 0.25, "0.20"), (3, 1.0, "0.80"), (-1, 0.0, "0.00")):
        modules.evaluate("step => shown.setStep(step)", step)
        assert marked_x(modules) == pytest.approx(share, abs=0.01)
        expect(modules.locator(".attention-chart-current")).to_have_text(value)


def test_a_click_and_dragging_ask_for_the_nearest_step(modules):
    draw(modules, charts([group("Drift", layers(1, 11))]))
    box = plot_box(modules)
    at = [box["x"] + share * box["width"] for share in (0.27, 0.52, 0.98)]
    middle = box["y"] + box["height"] / 2
    modules.mouse.click(at[0], middle)
    assert modules.evaluate("asked") == [3]
    modules.mouse.move(at[1], middle)
    assert modules.evaluate("asked") == [3]
    modules.mouse.down()
    modules.mouse.move(at[2], middle + 400)
    modules.mouse.up()
    assert modules.evaluate("asked") == [3, 5, 10]
    modules.mouse.move(at[0], middle)
    assert modules.evaluate("asked") == [3, 5, 10]
    assert marked_x(modules) == pytest.approx(1, abs=0.01)


def test_a_drag_goes_on_while_the_same_is_shown_again(modules):
    data = charts([group("Drift", layers(1, 11))])
    draw(modules, data)
    modules.evaluate("data => { window.again = (step) => draw({ ...data, step }); }", data)
    box = plot_box(modules)
    y = box["y"] + box["height"] / 2
    modules.mouse.move(box["x"] + 0.2 * box["width"], y)
    modules.mouse.down()
    modules.evaluate("again(2)")
    assert marked_x(modules) == pytest.approx(0.2, abs=0.01)
    modules.mouse.move(box["x"] + 0.6 * box["width"], y)
    assert modules.evaluate("asked") == [6]
    modules.mouse.up()


def test_other_values_are_drawn_anew(modules):
    draw(modules, charts([group("Drift", [line([0.5, 0.25])])]))
    draw(modules, charts([group("Drift", [line([0.5, 0.75])])], step=1))
    expect(modules.locator(".attention-chart-current")).to_have_text("0.75")
    draw(modules, charts([group("Drift", [line([0.5, 0.75])])], step=1, dark=True))
    expect(modules.locator(".attention-charts")).to_have_class("attention-charts dark")


def test_hovering_tells_the_nearest_line(modules):
    lines = [line([value] * 11, f"layer {1 + i}") for i, value in enumerate((0.2, 0.5, 0.8))]
    draw(modules, charts([group("Entropy", lines, description="About entropy")]))
    box = plot_box(modules)
    told = modules.locator(".attention-chart-hovered")
    for height, expected in (
        (0.9, "layer 1: 0.20"),
        (0.4, "layer 2: 0.50"),
        (0.1, "layer 3: 0.80"),
    ):
        modules.mouse.move(box["x"] + 0.71 * box["width"], box["y"] + height * box["height"])
        expect(told).to_have_text(f"epoch 7 · {expected}")
    expect(modules.get_by_text("About entropy")).to_be_hidden()
    modules.mouse.move(1, 1)
    expect(told).to_be_hidden()
    expect(modules.get_by_text("About entropy")).to_be_visible()


def test_a_value_stands_at_its_height(modules):
    """In a given range, 0.75 is a quarter below the top, whatever the other values are."""
    draw(modules, charts([group("Entropy", [line([0.75] * 11)])], step=0))
    drawn = near(pixels(modules)[:, 20:], EMPHASIS)
    rows = np.flatnonzero(drawn.any(axis=1))
    assert rows.mean() / len(drawn) == pytest.approx(0.25, abs=0.02)
    assert 2 <= len(rows) <= 4
    assert drawn[rows].all(axis=1).any()


@pytest.mark.parametrize(
    ("limits", "height"), [((0, None), 0.06 / 1.06), (None, 0.06 / 1.12), ((0, 40), 0.5)]
)
def test_an_open_end_of_the_range_follows_the_values(modules, limits, height):
    values = [20] * 10 + [0]
    draw(modules, charts([group("Distance", [line(values)], limits=limits)], step=10))
    drawn = near(pixels(modules), EMPHASIS)
    rows = np.flatnonzero(drawn[:, len(drawn[0]) // 3])
    assert (rows.mean() + 0.5) / len(drawn) == pytest.approx(height, abs=0.02)


def test_what_is_not_a_number_is_a_gap(modules):
    values = [0.5] * 4 + [None] * 3 + [0.5] + [None] * 2 + [0.5]
    draw(modules, charts([group("Entropy", [line(values)])], step=0))
    drawn = near(pixels(modules), EMPHASIS).any(axis=0)
    at = np.linspace(0, len(drawn) - 1, 11).round().astype(int)
    assert drawn[at[1] : at[3] - 2].all()
    assert not drawn[at[3] + 6 : at[7] - 6].any()
    # A value alone is a dot.
    assert drawn[at[7]]
    assert not drawn[at[7] + 6 : at[10] - 6].any()


def test_one_epoch_is_dots_in_the_middle(modules):
    draw(modules, charts([group("Entropy", layers(12, 1)), group("Drift", layers(1, 1))], first=-1))
    assert marked_x(modules) == pytest.approx(0.5, abs=0.01)
    drawn = near(pixels(modules, 1), EMPHASIS)
    assert 20 <= drawn.sum() <= 60
    assert np.flatnonzero(drawn.any(axis=0)).mean() / drawn.shape[1] == pytest.approx(0.5, abs=0.02)


def test_300_epochs_and_24_layers_are_drawn_with_one_on_top(modules):
    draw(modules, charts([group("Entropy", layers(24, 300, emphasis=5))], step=150))
    drawn = near(pixels(modules), EMPHASIS, within=20).any(axis=0)
    assert drawn.mean() > 0.97
    expect(modules.locator(".attention-chart-current")).to_contain_text("layer 6: 0.")
    expect(modules.locator(".attention-charts-key")).to_have_text("layer 1layer 24layer 6")


def test_the_emphasized_line_lies_on_top(modules):
    lines = [line([0.5] * 3, f"layer {i}", emphasis=i == 1) for i in range(4)]
    draw(modules, charts([group("Entropy", lines)]))
    picture = pixels(modules)[:, 20:-20]
    assert near(picture, EMPHASIS, within=10).any(axis=0).all()
    # Nothing is less red than the emphasized line: the others are seen nowhere.
    assert picture[:, :, 0].min() >= EMPHASIS[0] - 10


def test_the_other_run_is_dashed_on_its_own_steps(modules):
    groups = [group("Entropy", [line([0.75] * 6)])]
    other = [group("Entropy", [line([0.25] * 11)])]
    compare = {"steps": list(range(0, 22, 2)), "groups": other, "step": 20, "label": "run b"}
    draw(modules, charts(groups, compare=compare, step=5))
    upper, lower = np.split(near(pixels(modules), EMPHASIS)[:128], [60])
    columns = len(upper[0])
    # Steps 0 to 20: the first run ends at step 5, the other one goes on to the end, with breaks.
    assert np.flatnonzero(upper.any(axis=0)).max() / columns == pytest.approx(0.25, abs=0.03)
    assert np.flatnonzero(lower.any(axis=0)).max() / columns > 0.97
    assert 0.3 < lower.any(axis=0).mean() < 0.8
    assert marked_x(modules) == pytest.approx(0.25, abs=0.01)
    compared = ".attention-chart-marker.compared"
    assert marked_x(modules, marker=compared) == pytest.approx(1, abs=0.01)
    expect(modules.locator(".attention-chart-current")).to_have_text("0.75 vs 0.25")
    box = plot_box(modules)
    modules.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.75 * box["height"])
    expect(modules.locator(".attention-chart-hovered")).to_have_text(
        "epoch 10 · run b · layer 1: 0.25"
    )


def luminance(color):
    """Returns the relative luminance of sRGB bytes as WCAG 2 defines it."""
    shares = np.asarray(color) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("dark", [False, True])
def test_every_line_stands_out_from_the_background(modules, dark):
    """A contrast of at least 3 to 1, as WCAG 2 asks of graphics."""
    lines = [line([i / 12] * 3, f"layer {i}", emphasis=i == 7) for i in range(1, 12)]
    draw(modules, charts([group("Entropy", lines)], dark=dark))
    background = luminance([0x20, 0x21, 0x24] if dark else [255, 255, 255])
    picture = pixels(modules)[:, 10:100]
    drawn = luminance(picture[:, 50])
    contrast = (np.maximum(drawn, background) + 0.05) / (np.minimum(drawn, background) + 0.05)
    for i in range(1, 12):
        row = round((1 - i / 12) * len(contrast))
        assert contrast[row - 2 : row + 3].max() >= 2.9, i


def test_names_are_text_only(modules):
    name = "<img src=x onerror=\"document.title='broken'\">"
    hostile = group(name, [line([1, 2], name), line([2, 3], name, emphasis=True)], unit=name)
    draw(modules, charts([{**hostile, "description": name}]))
    box = plot_box(modules)
    modules.mouse.move(box["x"] + 9, box["y"] + 9)
    assert modules.locator("main img").count() == 0
    assert modules.locator("figcaption").inner_text().count(name) >= 3
    assert modules.title() == "Modules of the Attention tab"


def test_charts_follow_the_width_and_go_away(modules):
    draw(modules, charts([group("Entropy", layers(3, 5))]))
    modules.set_viewport_size({"width": 400, "height": 600})
    modules.wait_for_timeout(100)
    figure = modules.locator("figure").bounding_box()
    assert figure["width"] == pytest.approx(368, abs=2)
    box = plot_box(modules)
    assert figure["x"] + figure["width"] - 14 <= box["x"] + box["width"] <= 384
    draw(modules, charts([group("Entropy", layers(3, 5)), group("Empty", [])]))
    assert modules.locator("figure").count() == 1
    modules.evaluate("shown.destroy()")
    assert modules.evaluate("document.querySelector('main').childElementCount") == 0


def shoot(page, kind, **film):
    """Returns a film's content, type and the progress that was told."""
    defaults = {"width": 61, "height": 40, "colors": COLORS, "delays": [100]}
    made = page.evaluate("([kind, film]) => shoot(kind, film)", [kind, {**defaults, **film}])
    return base64.b64decode(made["content"]), made["type"], made["progress"]


def viridis(width):
    """Returns the ramp below each frame, uint8 [width, 3]."""
    indices = 256 * np.arange(width) // width
    return matplotlib.colormaps["viridis"](indices, bytes=True)[:, :3].astype(int)


def test_a_gif_has_every_frame_in_its_colors_and_time(modules):
    content, kind, progress = shoot(modules, "encodeGif", count=7, delays=[100, 70, 33, 33, 34])
    assert kind == "image/gif"
    assert progress == [[done, 7] for done in range(1, 8)]
    gif = Image.open(io.BytesIO(content))
    assert (gif.n_frames, gif.size, gif.info["loop"]) == (7, (61, 40), 0)
    durations = []
    for index in range(7):
        gif.seek(index)
        durations.append(gif.info["duration"])
        frame = np.asarray(gif.convert("RGB")).astype(int)
        expected = (RED, GREEN, BLUE)[index % 3]
        np.testing.assert_allclose(frame[:20], np.broadcast_to(expected, (20, 61, 3)), atol=8)
        np.testing.assert_allclose(frame[20:], np.broadcast_to(viridis(61), (20, 61, 3)), atol=12)
    # GIF counts hundredths of a second; what rounding takes from one frame, the next one gets.
    assert durations == [100, 70, 30, 40, 30, 100, 70]


def test_what_stands_still_in_a_gif_does_not_flicker(modules):
    """Though most frames of a long film are not among those that the colors are taken from."""
    colors = [f"rgb({4 * i}, {120 - i}, 90)" for i in range(60)]
    content, _, _ = shoot(modules, "encodeGif", count=60, colors=colors)
    gif = Image.open(io.BytesIO(content))
    ramps = []
    for index in range(60):
        gif.seek(index)
        frame = np.asarray(gif.convert("RGB")).astype(int)
        assert np.abs(frame[:20] - [4 * index, 120 - index, 90]).max() <= 8
        ramps.append(frame[20:])
    assert (np.array(ramps) == ramps[0]).all()


def test_a_gif_of_a_frame_too_short_for_browsers_is_slowed_down(modules):
    content, _, _ = shoot(modules, "encodeGif", count=2, delays=[5, 100])
    gif = Image.open(io.BytesIO(content))
    assert gif.info["duration"] == 20
    gif.seek(1)
    assert gif.info["duration"] == 100


@pytest.mark.parametrize("kind", ["encodeGif", "encodeWebm"])
def test_a_film_can_be_stopped(modules, kind):
    with pytest.raises(Exception, match="AbortError"):
        shoot(modules, kind, count=50, abortAt=3)
    assert modules.evaluate("progress.length") == 3


@pytest.mark.parametrize("kind", ["encodeGif", "encodeWebm"])
def test_frames_of_other_sizes_are_refused(modules, kind):
    with pytest.raises(Exception, match=r"must have the size 60x40\. Received: 62x40"):
        shoot(modules, kind, count=2, sizes=[[60, 40], [62, 40]])


def read_video(content, folder):
    """Returns the frames, uint8 [height, width, 3], and their times in milliseconds."""
    path = folder / "film.webm"
    path.write_bytes(content)
    video = cv2.VideoCapture(str(path))
    frames, times = [], []
    while True:
        there, frame = video.read()
        if not there:
            return frames, times
        frames.append(frame[:, :, ::-1].astype(int))
        times.append(video.get(cv2.CAP_PROP_POS_MSEC))


def test_a_video_has_every_frame_in_its_colors_and_time(modules, tmp_path):
    assert modules.evaluate("film.webmSupport()") == "codecs"
    film = {"count": 70, "width": 161, "height": 120, "delays": [100, 40]}
    content, kind, progress = shoot(modules, "encodeWebm", **film)
    assert kind == "video/webm"
    assert progress == [[done, 70] for done in range(1, 71)]
    frames, times = read_video(content, tmp_path)
    # Video takes even sizes only: the column left over is cut off.
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 70
    assert times == pytest.approx([140 * (i // 2) + 100 * (i % 2) for i in range(70)])
    for index, frame in enumerate(frames):
        expected = (RED, GREEN, BLUE)[index % 3]
        assert np.abs(frame[5:55].mean(axis=(0, 1)) - expected).max() < 16, index
        assert np.abs(frame[70:115].mean(axis=0) - viridis(161)[:160]).mean() < 12, index


def test_without_codecs_the_film_is_recorded(page, address, tmp_path):
    page.add_init_script("delete window.VideoEncoder")
    page.goto(address)
    page.wait_for_function("window.ready")
    assert page.evaluate("film.webmSupport()") == "recorder"
    content, _, _ = shoot(page, "encodeWebm", count=6, width=160, height=120, delays=[200])
    frames, times = read_video(content, tmp_path)
    # The order of colors without repetitions: a recorder may show a frame twice.
    means = [frame[5:55].mean(axis=(0, 1)) for frame in frames]
    seen = [int(np.argmin([np.abs(mean - c).max() for c in (RED, GREEN, BLUE)])) for mean in means]
    changes = [i for i, color in enumerate(seen) if i == 0 or color != seen[i - 1]]
    assert [seen[i] for i in changes] == [0, 1, 2, 0, 1, 2]
    # It plays on a clock: never too early, on a busy machine late.
    assert times[changes[-1]] > 900


def test_a_browser_without_video_says_so(page, address):
    page.add_init_script("delete window.VideoEncoder; delete window.MediaRecorder")
    page.goto(address)
    page.wait_for_function("window.ready")
    assert page.evaluate("film.webmSupport()") is None
    with pytest.raises(Exception, match=r"can't make WebM videos\. Save the film as GIF\."):
        shoot(page, "encodeWebm", count=2)


def test_a_picture_is_saved_as_png(modules):
    with modules.expect_download() as download:
        modules.evaluate(
            """() => {
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [5, 3];
                const context = canvas.getContext("2d");
                context.fillStyle = "rgb(1, 2, 3)";
                context.fillRect(0, 0, 5, 3);
                return film.savePng(canvas, "epoch 7.png");
            }"""
        )
    assert download.value.suggested_filename == "epoch 7.png"
    picture = np.asarray(Image.open(download.value.path()).convert("RGB"))
    np.testing.assert_array_equal(picture, np.broadcast_to([1, 2, 3], (3, 5, 3)))


def test_frames_of_a_video_are_lines_of_their_own(modules):
    # Two probes of three frames at two steps.
    groups = modules.evaluate(
        """async () => {
          const { chartGroups } = await import("./static/charts/chart_groups.js");
          const shares = { "-1": [0, 0.25, 0.75, 0.5, 0.5, 0], 0: [1, 0, 0, 0.125, 0.25, 0.625] };
          const series = { name: "frame_share", axes: ["probe", "frame"], method: "rollout" };
          const run = {
            setup: { series: [series], methods: ["rollout"], layers: [], frames: 3 },
            steps: Int32Array.from([-1, 0]),
            array: (step, name) =>
              name === "series/frame_share" ? { data: shares[step], shape: [2, 3] } : null,
          };
          const chosen = { method: "rollout", probe: 1, layer: null, head: null };
          return chartGroups(run, chosen).map(({ lines }) =>
            lines.map(({ label, values }) => [label, [...values]]));
        }"""
    )
    assert groups == [
        [["frame 1", [0.5, 0.125]], ["frame 2", [0.5, 0.25]], ["frame 3", [0, 0.625]]]
    ]


def test_a_run_with_fewer_layers_than_the_chosen_one_is_charted(modules):
    # The layer is chosen in run A; this is the run that A is compared with.
    labels = modules.evaluate(
        """async () => {
          const { chartGroups } = await import("./static/charts/chart_groups.js");
          const gates = [{ path: "m/where", kind: "spatial", channels: 1 }];
          const layers = [{ path: "m/a", heads: 2 }, { path: "m/where", is_absolute: true }];
          const run = {
            setup: {
              series: [
                { name: "entropy", axes: ["layer", "head"] },
                { name: "gate_mean", axes: ["gate"] },
              ],
              methods: ["rollout"],
              layers,
              gates,
            },
            gates: new Map(),
            steps: Int32Array.from([0]),
            array: (step, name) =>
              name === "series/entropy"
                ? { data: Float32Array.of(0.25, 0.75), shape: [1, 2] }
                : { data: Float32Array.of(0.5), shape: [1] },
          };
          const chosen = (layer) => ({ method: "rollout", probe: 0, layer, head: 1 });
          return [1, 3].map((layer) =>
            chartGroups(run, chosen(layer)).map(({ lines }) => lines.map(({ label }) => label)));
        }"""
    )
    assert [groups[1] for groups in labels] == [
        ["layer 1", "layer 2, head 2"],
        ["layer 1", "layer 4, head 2"],
    ]


def test_a_probe_without_a_picture_takes_no_other_with_it(modules):
    asked, sizes = modules.evaluate(
        """async () => {
          const { Run } = await import("./static/log/run.js");
          const asked = [];
          // Answers each key with as many bytes as its place among them, from 1.
          window.fetch = async (address) => {
            asked.push(address);
            const parts = address.split("key=").slice(1).map((_, i) => new Uint8Array(i + 1));
            const lengths = parts.map(({ length }) => Uint32Array.of(length));
            return new Response(new Blob(parts.flatMap((part, i) => [lengths[i], part])));
          };
          const setup = { pictures: ["a", null, "b"], probes: [{}, {}, {}], layers: [] };
          const run = new Run("run", null, setup, []);
          run.loadPictures();
          const size = (probe) => run.picture(probe).then((blob) => blob.size, () => null);
          const sizes = await Promise.all([0, 1, 2].map(size));
          run.loadPictures();
          return [asked, sizes];
        }"""
    )
    assert asked == ["./blobs?key=a&key=b"]
    assert sizes == [1, None, 2]


def test_a_run_without_epochs_is_not_compared_with(modules):
    sides = modules.evaluate(
        """async () => {
          const [{ Run }, { resolve }, { DEFAULTS }] = await Promise.all(
            ["log/run.js", "state/resolve.js", "state/state.js"].map(
              (name) => import(`./static/${name}`)));
          const setup = {
            layers: [], methods: [], series: [], pictures: ["a"], probes: [{ name: "a" }],
            colors: { limit: 4, map: "inferno", opacity: 0.6 },
          };
          const run = (steps) => new Run("run", null, setup,
            steps.map((step) => ({ fields: { step }, arrays: {} })));
          const state = { ...DEFAULTS, compare: "run" };
          return [[], [2]].map((steps) => resolve(state, run([0, 1]), run(steps)).b?.step ?? null);
        }"""
    )
    assert sides == [None, 2]
