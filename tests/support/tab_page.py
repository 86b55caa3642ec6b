"""The Attention tab as a person sees it: TensorBoard on a log directory, and the tab in a page."""

import base64
import contextlib
import io
import json
import re
import sys
import time
import urllib.parse
import urllib.request

import matplotlib
import numpy as np
from PIL import Image
from playwright.sync_api import expect

from support.real_tensorboard import started

# Resolves once everything visible is drawn. A change is drawn in the next frame.
SETTLED = """() => new Promise((resolve) => {
  const frames = (n, then) => n ? requestAnimationFrame(() => frames(n - 1, then)) : then();
  frames(2, () => resolve(
    document.querySelector("#page")?.hidden === false
    && ![...document.querySelectorAll("[aria-busy=true]")].some((each) => each.offsetParent)));
})"""


@contextlib.contextmanager
def tensorboard(log_dir, *options, runs=()):
    """Starts TensorBoard; yields its address once these runs of the tab have all their epochs.

    Args:
        log_dir: path.
        *options: texts for its command line.
        runs: dict from run to its last step.
    """
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), "--port", "0"]
    with started([*command, *options]) as address:
        wait_for_runs(address, dict(runs))
        yield address


def wait_for_runs(address, wanted):
    """Waits until TensorBoard knows the last steps of these runs."""
    for _ in range(300):
        with urllib.request.urlopen(f"{address}data/plugin/attention/runs", timeout=30) as answer:
            runs = json.load(answer)["runs"]
        known = {each["run"]: each["last_step"] for each in runs}
        if wanted.items() <= known.items():
            return
        time.sleep(0.1)
    raise AssertionError(f"TensorBoard has read {known}, not {wanted}")


def tab_address(address, **state):
    """Returns the address of the tab in a state."""
    pairs = [f"p.attention.{name}={urllib.parse.quote(str(state[name]))}" for name in state]
    return f"{address}#{'&'.join(['attention', *pairs])}"


class TabPage:
    """The tab in a page of the browser, opened in `state` or in the state that `address` holds."""

    def __init__(self, page, address, **state):
        self.page = page
        page.goto(address if "#" in address else tab_address(address, **state))
        self.frame = page.wait_for_selector("iframe").content_frame()

    def find(self, selector):
        """Returns a locator within the tab."""
        return self.frame.locator(selector)

    def settle(self):
        """Waits until everything that was requested is drawn."""
        for _ in range(200):
            with contextlib.suppress(Exception):
                if self.frame.evaluate(SETTLED):
                    return self
            time.sleep(0.02)
        raise AssertionError("The page is not drawn.")

    def pick(self, selector, value):
        """Chooses an option of a select by its value, even if another option has it as a label."""
        select = self.find(selector)
        values = select.locator("option").evaluate_all("all => all.map((each) => each.value)")
        select.select_option(index=values.index(value))
        return self.settle()

    def press(self, key):
        """Presses a key in the tab, not in TensorBoard around it."""
        self.frame.evaluate("document.hasFocus() || window.focus()")
        self.page.keyboard.press(key)
        return self.settle()

    def click(self, selector, **options):
        """Clicks."""
        self.find(selector).click(**options)
        return self.settle()

    def set_slider(self, selector, value):
        """Drags a slider to a value."""
        self.find(selector).fill(str(value))
        return self.settle()

    def shows(self, *, run=None, step=None, probe=None, what=None, pane="a"):
        """Waits until a pane shows this, see `id` of panes.js."""
        parts = [
            ".*" if part is None else re.escape(str(part)) for part in (run, step, probe, what)
        ]
        wanted = re.compile(f"^{'[|]'.join(parts)}$")
        expect(self.find(f"canvas.picture[data-pane={pane}]")).to_have_attribute(
            "data-drawn", wanted
        )
        return self.settle()

    def pixels(self, selector="canvas.picture[data-pane=a]"):
        """Returns a canvas's pixels, int array `[height, width, 4]`."""
        data = self.find(selector).evaluate("canvas => canvas.toDataURL()")
        return decoded(base64.b64decode(data.split(",")[1]))

    def patch_pixels(self, grid, pane="a"):
        """Returns the colors at the centers of a pane's patches, int array `[*grid, 3]`."""
        pixels = self.pixels(f"canvas.picture[data-pane={pane}]")
        rows, columns = (
            ((np.arange(count) + 0.5) * size / count).astype(int)
            for count, size in zip(grid, pixels.shape[:2], strict=True)
        )
        return pixels[np.ix_(rows, columns)][..., :3]

    def patch_place(self, x, y, grid, pane="a"):
        """Returns the position of a patch's center on a pane's canvas, for Playwright."""
        box = self.find(f"canvas.picture[data-pane={pane}]").bounding_box()
        return {"x": (x + 0.5) * box["width"] / grid[1], "y": (y + 0.5) * box["height"] / grid[0]}

    def values(self, grid, pane="a"):
        """Returns the values that a pane shows for patches under the pointer, float `[*grid]`."""
        canvas = self.find(f"canvas.picture[data-pane={pane}]")
        read = self.find(f"figure[data-pane={pane}] [data-part=readout]")
        found = np.empty(grid)
        for y, x in np.ndindex(*grid):
            canvas.hover(position=self.patch_place(x, y, grid, pane))
            text = read.text_content().replace("\N{MINUS SIGN}", "-")
            match = re.match(rf"Patch {x}, {y}: ([-+]?[\d.]+)×", text)
            assert match, text
            found[y, x] = float(match[1])
        self.page.mouse.move(0, 0)
        self.settle()
        return found

    def saved(self, selector):
        """Clicks an element that saves a file; returns the file's name and bytes."""
        with self.page.expect_download() as download:
            self.find(selector).click()
        with open(download.value.path(), "rb") as file:
            return download.value.suggested_filename, file.read()


def decoded(data):
    """Returns a picture's pixels, int array `[height, width, 4]`."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(int)


def colors_of(values, name, high, low=0):
    """Returns the colors of values in a matplotlib color map, int array `[..., 3]`."""
    codes = np.clip((values - low) / (high - low) * 255.999, 0, 255).astype(int)
    return matplotlib.colormaps[name](codes, bytes=True)[..., :3].astype(int)
