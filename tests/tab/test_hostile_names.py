"""The Attention tab on a log whose every text is hostile: shown as text, and nothing else."""

import re

import pytest
from playwright.sync_api import expect
from support.attention_logs import EventFile, MadeUpTraining
from support.hostile_names import NAMES
from support.tab_page import TabPage, tensorboard

from keras_attnviz.tb_plugin import metadata

pytestmark = [pytest.mark.one_stack, pytest.mark.slow]

# Of a folder. Quotation marks are beyond TensorBoard's data server.
RUN = "<img src=x onerror=document.title='hit'>\N{RIGHT-TO-LEFT OVERRIDE}/attention"
MARKUP = NAMES[0] + NAMES[1] + NAMES[2]
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>parent.document.title='hit'</script></svg>"
PAGE = b"<!doctype html><script>parent.document.title='hit'</script>"
SHOWN = range(2, len(NAMES))  # the first two have pictures that are none


class Hostile(MadeUpTraining):
    """A training whose setup has hostile texts wherever it may have texts."""

    def setup(self):
        setup = super().setup()
        texts = {"title": MARKUP, "unit": NAMES[1], "description": MARKUP, "help": MARKUP}
        return {
            **setup,
            "model": MARKUP,
            "readout": MARKUP,
            "extra": {"__proto__": {"polluted": True}, "constructor": MARKUP},
            "layers": [
                {**layer, "path": NAMES[index] + "/../" + NAMES[9], "kind": MARKUP}
                for index, layer in enumerate(setup["layers"])
            ],
            "method_titles": {"rollout": MARKUP, "other": NAMES[9] + NAMES[13]},
            "series": [{**series, **texts} for series in setup["series"]],
        }

    def picture(self, probe):
        return [SVG, PAGE][probe] if probe < 2 else super().picture(probe)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    training = Hostile(
        names=NAMES, class_names=NAMES[:2], methods=("rollout", "other"), full_probes=(2,)
    )
    with EventFile(folder / RUN) as file:
        training.write(file, range(-1, 2))
        text = b'{"version": 1, "model": "</script><script>document.title=1</script>"}'
        file.blobs(1, metadata.SETUP_TAG, [text])  # one that can't be read, which is told
    with tensorboard(folder, runs={RUN: 1}) as address:
        yield address


@pytest.fixture
def tab(page, address):
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    tab = TabPage(page, address, run=RUN, probe=2).shows(run=RUN, step=1, probe=2)
    yield tab
    # What would have run has not, and the page is still there.
    assert asked == []
    for frame in page.frames:
        assert "hit" not in frame.evaluate("document.title")
        assert frame.evaluate("({}).polluted") is None
    elements = "script:has-text('hit'), img[src=x], svg[onload], a[href^=javascript], [onerror]"
    assert tab.find(elements).count() == 0
    assert tab.find("#page").is_visible()


def test_every_name_is_shown_as_text(tab):
    for probe in SHOWN:
        tab.find(".probe").nth(probe).click()
        tab.shows(run=RUN, step=1, probe=probe)
        assert tab.find(".probe-name").text_content() == NAMES[probe]
    for probe in (0, 1):  # whose pictures are none
        tab.find(".probe").nth(probe).click()
        tab.page.wait_for_timeout(200)
    problems = tab.find("#problems")
    problems.locator("summary").click()
    expect(problems.locator("li").first).to_contain_text("The setup at step 1 can't be read")


def test_layers_methods_epochs_and_charts(tab):
    for layer in ("0", "1"):
        tab.pick("#layer", layer).shows(probe=2)
    tab.pick("#layer", "").pick("#method", "other").shows(probe=2)
    tab.set_slider("#epoch", 0).shows(step=-1)
    for chart in tab.find(".attention-chart").all():
        chart.scroll_into_view_if_needed()
        chart.hover()
    titles = tab.find(".attention-chart-title").all_text_contents()
    assert any(title.startswith(MARKUP) for title in titles)


def test_saved_files_have_names_that_every_system_takes(tab):
    for probe in (4, 9, 11):
        tab.find(".probe").nth(probe).click()
        tab.shows(probe=probe)
        name, data = tab.saved("#save-picture")
        assert re.fullmatch(r"attention[\w.-]*\.png", name)
        assert len(name) < 130
        assert data.startswith(b"\x89PNG")
