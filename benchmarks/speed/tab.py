"""Measures the Attention tab in Chromium and TensorBoard, on a log of 300 epochs."""

import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

from benchmarks.common.timing import interleaved
from benchmarks.speed import tab_log
from keras_attnviz.tb_plugin import metadata

PACE = 50  # milliseconds from one epoch to the next, as a hand moves the slider

# Moves the slider from epoch to epoch; before each move, the last epoch's picture and heads must be
# drawn. Returns three times for each epoch, in milliseconds: until it is drawn, the page's own work
# in that time, and until the frame that shows it is over.
SCRUB = """async (pace) => {
  const slider = document.querySelector("#epoch");
  const drawn = ["canvas.picture[data-pane=a]", ".heads-scroller[data-pane=a] canvas"].map(
    (each) => document.querySelector(each));
  const isDrawn = (step) => drawn.every(({ dataset }) => dataset.drawn?.split("|")[1] === step);
  const until = (step) => new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      if (!isDrawn(step)) return;
      observer.disconnect();
      resolve();
    });
    drawn.forEach((each) => observer.observe(each, { attributes: true }));
  });
  const request = window.requestAnimationFrame.bind(window);
  let work = 0;
  const shown = [];
  const over = (before) => new Promise((resolve) => request(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve(performance.now() - before);
    port2.postMessage(null);
  }));
  window.requestAnimationFrame = (callback) => request((now) => {
    const before = performance.now();
    callback(now);
    work += performance.now() - before;
  });
  const times = [];
  for (let at = Number(slider.max) - 1; at >= 0; at -= 1) {
    const before = performance.now();
    slider.value = at;
    const done = until(String(at - 1));
    work = 0;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    work += performance.now() - before;
    await done;
    const after = performance.now();
    shown.push(over(before));
    times.push([after - before, work]);
    await new Promise((resolve) => setTimeout(resolve, pace - (after - before)));
  }
  return Promise.all(times.map(async (each, i) => [...each, await shown[i]]));
}"""
FIRST = (
    """() => performance.timeOrigin + performance.getEntriesByName("first picture")[0]?.startTime"""
)
START = """
import sys
from tensorboard import default, program
if sys.argv[1] == "without":
    default.get_dynamic_plugins = lambda: []
board = program.TensorBoard(plugins=default.get_plugins())
board.configure(["tensorboard", "--logdir", sys.argv[2], "--port", "0"])
board.launch()
"""


def measure():
    """Returns a dict of what was measured: milliseconds, seconds, megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        log = tab_log.one_epoch(folder / "one")
        size = tab_log.repeat(log, folder / "long") / 1e6
        found = {"epoch": tab_log.epoch_bytes(log) / 1e6, "log": size}
        with _tensorboard(folder / "long") as (address, process), _chromium() as browser:
            found["memory"] = _megabytes(process)
            firsts = [_opened(browser, address)[1] for _ in range(5)]
            found["first picture"] = statistics.median(firsts)
            for name, pace in (("scrub", PACE), ("at once", 0)):
                page, _ = _opened(browser, address)
                times, work, shown = zip(*_frame(page).evaluate(SCRUB, pace), strict=True)
                assert len(times) == tab_log.EPOCHS - 1
                found[name] = statistics.median(times)
                found[f"{name}, 95 %"] = statistics.quantiles(times, n=20)[-1]
                found[f"{name}, work"] = statistics.median(work)
                found[f"{name}, shown"] = statistics.median(shown)
            found["memory after"] = _megabytes(process)
    found.update(_start())
    return found


@contextlib.contextmanager
def _tensorboard(log_dir):
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", log_dir, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = next(
            match[1] for line in process.stderr if (match := re.search(r"(http://\S+/)", line))
        )
        time.sleep(10)  # the data server reads in the background
        yield address, process
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


@contextlib.contextmanager
def _chromium():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


def _opened(browser, address):
    """Opens the tab from another one; returns the page and the seconds to the first picture."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{address}#scalars")
    tab = page.get_by_role("tab", name="Attention")
    tab.wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate(
        """() => document.addEventListener("click", () => {
             window.clicked ??= performance.timeOrigin + performance.now();
           }, true)"""
    )
    tab.click()
    frame = _frame(page)
    frame.wait_for_function("performance.getEntriesByName('first picture').length > 0")
    frame.wait_for_selector(".heads-scroller[aria-busy=false]")
    return page, (frame.evaluate(FIRST) - page.evaluate("window.clicked")) / 1000


def _frame(page):
    return page.wait_for_selector("iframe").content_frame()


def _megabytes(process):
    """Returns the resident memory of a process and its children (Linux)."""
    total = 0
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, TypeError):
            text = status.read_text()
            ids = [int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1]) for name in ("Pid", "PPid")]
            if process.pid in ids:
                total += int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024
    return total


def _start():
    """Returns TensorBoard's seconds until it serves, with the plugin and without."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / metadata.PLUGIN_NAME).mkdir()

        def start(kind):
            command = [sys.executable, "-c", START, kind, folder]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

        kinds = ("with", "without")
        seconds = interleaved({kind: lambda kind=kind: start(kind) for kind in kinds}, rounds=7)
    return {f"start {kind}": statistics.median(seconds[kind]) for kind in kinds} | {
        "start grows": statistics.median(
            a - b for a, b in zip(*(seconds[kind] for kind in kinds), strict=True)
        )
    }


if __name__ == "__main__":
    print(measure())
