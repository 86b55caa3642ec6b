"""The Attention tab in TensorBoard itself: found, started, and shown every epoch."""

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from support.attention_logs import write_log
from support.paths import ROOT
from support.plugin_server import unframed
from support.real_tensorboard import answers, started
from tensorboard.plugins.base_plugin import TBContext

from keras_attnviz.cli.board import tensorboard_command
from keras_attnviz.tb_plugin.loader import AttentionLoader
from keras_attnviz.tb_plugin.packing import unpack

pytestmark = pytest.mark.one_stack

STEPS = list(range(-1, 299))


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A log of 300 epochs, and what it was made of."""
    folder = tmp_path_factory.mktemp("logs")
    options = {"names": ("a", "b"), "layers": 1, "methods": ("rollout",)}
    return folder, write_log(folder, STEPS, run="deep/attention", **options)


def tensorboard(log_dir, *options):
    return [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), *options]


COMMANDS = {
    "load_fast": lambda folder: tensorboard(folder, "--port", "0", "--load_fast", "true"),
    "load_slow": lambda folder: tensorboard(folder, "--port", "0", "--load_fast", "false"),
    "board": lambda folder: tensorboard_command(folder, port=0),
    "images": lambda folder: tensorboard(
        folder, "--port", "0", "--samples_per_plugin", "images=3,scalars=5"
    ),
}


@pytest.fixture(scope="module", params=COMMANDS)
def ask(request, logs):
    """Starts TensorBoard; gives a function from a route to its answer's bytes."""
    with started(COMMANDS[request.param](logs[0])) as address:
        answer = answers(address)
        wait_for_data(answer)
        yield answer


def wait_for_data(answer):
    runs = None
    for _ in range(150):
        runs = json.loads(answer("plugin/attention/runs"))["runs"]
        if runs == [{"run": "deep/attention", "last_step": STEPS[-1]}]:
            return
        time.sleep(0.2)
    raise AssertionError(f"TensorBoard shows no attention: {runs}")


def test_the_tab_is_listed_with_its_page(ask):
    listed = json.loads(ask("plugins_listing"))["attention"]
    assert listed["enabled"]
    assert listed["tab_name"] == "Attention"
    page = ask("plugin_entry.html", name="attention").decode()
    assert '<base href="plugin/attention/" />' in page
    assert 'import("./index.js")' in page


def test_all_of_300_epochs_are_there(ask, logs):
    training = logs[1]
    query = {"run": "deep/attention"}
    records = unframed(ask("plugin/attention/epochs", **query))
    assert records == [training.epoch(step) for step in STEPS]
    heat = unpack(ask("plugin/attention/heat", method="rollout", probe=1, **query))[0]
    assert heat["steps"].tolist() == STEPS
    for kind in ({"kind": "heads"}, {"kind": "tokens", "method": "rollout"}):
        keys = json.loads(ask("plugin/attention/keys", probe=1, **kind, **query))
        assert keys["steps"] == STEPS
    blobs = unframed(ask("plugin/attention/blobs", key=keys["keys"][140:204]))
    assert blobs == [training.token_maps(step, 1, "rollout") for step in STEPS[140:204]]


def test_errors_arrive_with_their_text(ask):
    with pytest.raises(urllib.error.HTTPError, match="400: BAD REQUEST") as raised:
        ask("plugin/attention/setup")
    with raised.value as response:
        assert response.read() == b"Invalid argument: `run` must be given once. Received: 0 times."


def flags(**values):
    return argparse.Namespace(**values)


@pytest.mark.parametrize(
    ("given", "fixed"),
    [
        (flags(samples_per_plugin={}), {"attention": 0}),
        (flags(samples_per_plugin={"images": 3}), {"images": 3, "attention": 0}),
        (flags(samples_per_plugin={"attention": 50}), {"attention": 50}),
        (flags(samples_per_plugin=None), {"attention": 0}),
        (flags(), {"attention": 0}),
    ],
)
def test_the_loader_keeps_all_steps_unless_the_user_wants_fewer(given, fixed):
    AttentionLoader().fix_flags(given)
    assert given.samples_per_plugin == fixed


def test_the_loader_leaves_alone_what_it_does_not_know():
    given = flags(samples_per_plugin="images=3")
    AttentionLoader().fix_flags(given)
    assert given.samples_per_plugin == "images=3"


IMPORTS = """
import sys, time
import tensorboard.main, tensorboard.default, tensorboard.program
begin = time.perf_counter()
from keras_attnviz.tb_plugin.loader import AttentionLoader
from tensorboard.plugins.base_plugin import TBContext
AttentionLoader().load(TBContext()).get_plugin_apps()
print(time.perf_counter() - begin, sorted({"tensorflow", "keras", "matplotlib"} & set(sys.modules)))
"""


def test_loading_takes_little_time_and_neither_tensorflow_nor_keras():
    command = [sys.executable, "-W", "ignore", "-c", IMPORTS]
    told = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(" ", 1)
        for _ in range(3)
    ]
    assert {loaded for _, loaded in told} == {"[]\n"}
    assert min(float(seconds) for seconds, _ in told) < 0.3


def test_importing_the_loader_imports_little():
    code = "import sys; before = set(sys.modules); import keras_attnviz.tb_plugin.loader; "
    code += "print(sorted(name for name in set(sys.modules) - before if 'attnviz' in name))"
    preload = "import tensorboard.plugins.base_plugin; "
    command = [sys.executable, "-c", preload + code]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = ("", "._version", ".tb_plugin", ".tb_plugin.loader", ".tb_plugin.metadata")
    assert told == f"{[f'keras_attnviz{name}' for name in names]}\n"


def test_the_plugin_is_asked_nothing_to_know_whether_it_is_active():
    plugin = AttentionLoader().load(TBContext())  # which has no data to look at
    assert plugin.is_active() is False
    assert list(plugin.data_plugin_names()) == ["attention"]
    assert "/index.js" in plugin.get_plugin_apps()
    assert (ROOT / "keras_attnviz/tb_plugin/static/index.js").exists()
