"""The Attention tab's server: every route, asked about real event files with both loaders."""

import base64
import json
import pathlib
import re

import numpy as np
import pytest
from support.attention_logs import EventFile, MadeUpTraining, write_log
from support.plugin_server import LOADERS, ROUTE, Tab
from tensorboard.compat.proto import summary_pb2
from tensorboard.util import tensor_util
from werkzeug.test import Client

import keras_attnviz.tb_plugin
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import dequantize, unpack
from keras_attnviz.tb_plugin.wsgi import static_routes

pytestmark = pytest.mark.one_stack

STATIC = pathlib.Path(keras_attnviz.tb_plugin.__file__).parent / "static"
STEPS = range(-1, 5)
SECRET = b"a graph of another plugin"


@pytest.fixture(scope="module")
def trainings():
    return {
        "attention": MadeUpTraining(full_probes=(2, 0)),
        "deep/er/attention": MadeUpTraining(seed=1, methods=("rollout",), grid=(5, 2)),
    }


@pytest.fixture(scope="module")
def log_dir(trainings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugin")
    for run, training in trainings.items():
        with EventFile(folder / run) as file:
            training.write(file, STEPS)
            graph = tensor_util.make_tensor_proto(np.array([SECRET], dtype=object))
            kind = summary_pb2.DATA_CLASS_BLOB_SEQUENCE
            file.tensor(0, "__run_graph__", graph, kind, plugin="graphs")
    with EventFile(folder / "other plugin") as file:
        file.tensor(0, "text", tensor_util.make_tensor_proto(["words"]), plugin="text")
    return folder


@pytest.fixture(scope="module", params=LOADERS)
def tab(request, log_dir):
    with LOADERS[request.param](log_dir) as source:
        yield Tab(source)


@pytest.fixture(params=LOADERS)
def opened(request):
    """A function from a log directory to a `Tab`."""
    contexts = []

    def open_tab(log_dir):
        contexts.append(LOADERS[request.param](log_dir))
        return Tab(contexts[-1].__enter__())

    yield open_tab
    for context in contexts:
        context.__exit__(None, None, None)


def test_runs(tab):
    runs = tab.json("runs")["runs"]
    assert runs == [
        {"run": "attention", "last_step": 4},
        {"run": "deep/er/attention", "last_step": 4},
    ]


def test_the_setup_is_what_was_logged(tab, trainings):
    for run, training in trainings.items():
        answer = tab.json("setup", run=run)
        pictures = tab.parts("blobs", key=answer.pop("pictures"))
        assert pictures == [training.picture(probe) for probe in range(3)]
        assert answer.pop("problems") == []
        assert answer == training.setup()


def test_epochs_are_the_records_in_the_order_of_steps(tab, trainings):
    for run, training in trainings.items():
        assert tab.parts("epochs", run=run) == [training.epoch(step) for step in STEPS]


def test_heat_is_one_probe_at_all_steps(tab, trainings):
    for run, training in trainings.items():
        for number, method in enumerate(training.methods):
            arrays, _ = unpack(tab.bytes("heat", run=run, method=method, probe=1))
            assert arrays["steps"].tolist() == list(STEPS)
            values = dequantize(arrays["heat"], arrays["heat/highest"])
            wanted = [training.attention(3, step, 2, number)[1] for step in STEPS]
            np.testing.assert_allclose(values, wanted, atol=np.max(wanted) / 255)
            # The row's highest value is its own scale.
            np.testing.assert_allclose(values.max(-1), np.max(wanted, axis=-1), rtol=1e-6)


def test_keys_lead_to_the_blobs_of_heads(tab, trainings):
    for run, training in trainings.items():
        answer = tab.json("keys", run=run, kind="heads", probe=2)
        assert answer["steps"] == list(STEPS)
        blobs = tab.parts("blobs", key=answer["keys"][::-1])
        assert blobs == [training.head_maps(step, 2) for step in STEPS][::-1]


def test_keys_lead_to_the_blobs_of_tokens(tab, trainings):
    for method in trainings["attention"].methods:
        answer = tab.json("keys", run="attention", kind="tokens", method=method, probe=0)
        assert answer["steps"] == list(STEPS)
        maps = [trainings["attention"].token_maps(step, 0, method) for step in STEPS]
        assert tab.parts("blobs", key=answer["keys"]) == maps


def test_keys_lead_to_the_blobs_of_whole_maps(tab, trainings):
    for probe in (0, 2):
        for layer in range(2):
            answer = tab.json("keys", run="attention", kind="full", probe=probe, layer=layer)
            assert answer["steps"] == [0, 2, 4]
            maps = [trainings["attention"].full_maps(step, probe, layer) for step in (0, 2, 4)]
            assert tab.parts("blobs", key=answer["keys"]) == maps


def test_up_to_64_blobs_are_given_at_once(tab, trainings):
    (key, *_) = tab.json("keys", run="attention", kind="heads", probe=0)["keys"]
    blob = trainings["attention"].head_maps(-1, 0)
    assert tab.parts("blobs", key=[key] * 64) == [blob] * 64
    response = tab.get("blobs", key=[key] * 65)
    assert response.status_code == 400
    assert "`key` must be given 1 to 64 times" in response.text


@pytest.mark.parametrize("route", ["runs", "setup?run=attention", "epochs?run=attention"])
def test_head_answers_without_content(tab, route):
    full = tab.client.get(ROUTE + route)
    head = tab.client.head(ROUTE + route)
    assert head.status_code == 200
    assert head.data == b""
    assert head.headers == full.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(tab, method):
    modules = (path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js"))
    routes = ["runs", "setup?run=attention", "blobs", *modules]
    for route in routes:
        response = tab.client.open(ROUTE + route, method=method)
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"
        assert response.text == f"The method must be GET or HEAD. Received: {method}."


HEADS = "keys?run=attention&kind=heads"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("setup", "`run` must be given once. Received: 0 times."),
        ("setup?run=", "`run` must not be empty."),
        ("setup?run=attention&run=attention", "`run` must be given once. Received: 2 times."),
        ("epochs", "`run` must be given once. Received: 0 times."),
        ("heat?run=attention&probe=0", "`method` must be given once. Received: 0 times."),
        ("heat?run=attention&method=rollout", "`probe` must be given once. Received: 0 times."),
        ("heat?method=rollout&probe=0", "`run` must be given once. Received: 0 times."),
        ("keys?run=attention&probe=0", "`kind` must be given once. Received: 0 times."),
        ("keys?run=attention&kind=setup&probe=0", "`kind` must be one of heads, tokens, full."),
        (HEADS, "`probe` must be given once. Received: 0 times."),
        (f"{HEADS}&probe=-1", "`probe` must be a whole number, at most nine decimal digits."),
        (f"{HEADS}&probe=1.0", "Received: '1.0'."),
        (f"{HEADS}&probe=%201", "Received: ' 1'."),
        (f"{HEADS}&probe=%2B1", "Received: '+1'."),
        (f"{HEADS}&probe=1_0", "Received: '1_0'."),
        (f"{HEADS}&probe=%D9%A3", "Received: '٣'."),  # a digit, but no decimal one
        (f"{HEADS}&probe=1234567890", "Received: '1234567890'."),
        ("keys?run=attention&kind=tokens&probe=0", "`method` must be given once."),
        ("keys?run=attention&kind=full&probe=0", "`layer` must be given once."),
        ("keys?run=attention&kind=full&probe=0&layer=x", "`layer` must be a whole number"),
        ("blobs", "`key` must be given 1 to 64 times, and never be empty. Received: 0."),
        ("blobs?key=", "`key` must be given 1 to 64 times, and never be empty. Received: 1."),
    ],
)
def test_parameters_are_checked(tab, address, text):
    response = tab.client.get(ROUTE + address)
    assert response.status_code == 400
    assert response.mimetype == "text/plain"
    assert response.text.startswith("Invalid argument: `")
    assert text in response.text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("setup?run=none", "There is no run 'none' with a setup of attention."),
        ("setup?run=other+plugin", "There is no run 'other plugin' with a setup"),
        ("setup?run=/etc/passwd", "There is no run '/etc/passwd'"),
        ("epochs?run=none", "There is no run 'none'"),
        ("heat?run=none&method=rollout&probe=0", "There is no run 'none'"),
        ("heat?run=attention&method=no&probe=0", "The run 'attention' has no method 'no'."),
        ("heat?run=attention&method=rollout&probe=3", "There is no probe 3, only 3."),
        ("keys?run=none&kind=heads&probe=0", "There is no run 'none'"),
        (f"{HEADS}&probe=3", "There is no probe 3, only 3."),
        ("keys?run=attention&kind=tokens&method=no&probe=0", "as 'attention_tab/tokens/no'."),
        ("keys?run=attention&kind=full&probe=1&layer=0", "Whole maps of probe 1 were not logged."),
        ("keys?run=attention&kind=full&probe=0&layer=2", "There is no layer 2, only 2."),
        ("keys?run=deep/er/attention&kind=full&probe=0&layer=0", "of probe 0 were not logged."),
    ],
)
def test_what_is_not_there_is_said(tab, address, text):
    response = tab.client.get(ROUTE + address)
    assert response.status_code == 404
    assert response.mimetype == "text/plain"
    assert response.text.startswith("Not found: ")
    assert text in response.text


def encoded(fields):
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def forged(key, *, run="attention", tag="attention_tab/heads", step=0, index=0):
    """Returns a key of TensorBoard that leads elsewhere; what stands before the run is kept."""
    fields = json.loads(base64.urlsafe_b64decode(key + "=="))
    return encoded([*fields[:-4], run, tag, step, index])


def assert_refused(tab, key, code, text):
    own = tab.json("keys", run="attention", kind="heads", probe=0)["keys"][0]
    for keys in ([key], [own, key]):
        response = tab.get("blobs", key=keys)
        assert response.status_code == code
        assert text in response.text
        assert SECRET not in response.data


@pytest.mark.parametrize(
    "key", ["garbage", "../../etc/passwd", "é", "%", encoded({}), encoded([1, 2, 3]), encoded(7)]
)
def test_garbage_is_no_key(tab, key):
    assert_refused(tab, key, 400, "`key` must be one of `setup` or `keys`. Received: ")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tag": "__run_graph__"}, "does not belong to this tab"),
        ({"index": -1}, "does not belong to this tab"),
        ({"step": 0.0}, "does not belong to this tab"),
        ({"index": True}, "does not belong to this tab"),
        ({"step": {}, "index": []}, "does not belong to this tab"),
        ({"run": None}, "does not belong to this tab"),
        ({"tag": "attention_tab/epoch"}, "does not belong to this tab"),
        ({"tag": "attention_tab/kept/epoch"}, "does not belong to this tab"),
        ({"tag": "attention_tab/kept/setup"}, "does not belong to this tab"),
        ({"tag": "attention_tab/kept/heads"}, "Not found"),
        ({"index": 3}, "Not found"),
        ({"step": 99}, "Not found"),
        ({"run": "none"}, "Not found"),
        ({"tag": "attention_tab/tokens/no"}, "Not found"),
    ],
)
def test_keys_that_lead_elsewhere_are_refused(tab, fields, text):
    own = tab.json("keys", run="attention", kind="heads", probe=0)["keys"][0]
    assert_refused(tab, forged(own, **fields), 404, text)


def test_a_forged_key_is_not_refused_for_being_forged(tab, trainings):
    own = tab.json("keys", run="attention", kind="heads", probe=0)["keys"][0]
    parts = tab.parts("blobs", key=forged(own, step=3, index=2))
    assert parts == [trainings["attention"].head_maps(3, 2)]


def test_unknown_parameters_are_passed_over(tab):
    assert tab.get("runs", time=3).status_code == 200


def test_300_epochs_are_all_there(tmp_path, opened):
    steps = list(range(-1, 299))
    training = write_log(tmp_path / "logs", steps, names=("a", "b"), methods=("rollout",))
    tab = opened(tmp_path / "logs")
    assert tab.json("runs") == {"runs": [{"run": "attention", "last_step": 298}]}
    assert tab.parts("epochs", run="attention") == [training.epoch(step) for step in steps]
    heat = tab.bytes("heat", run="attention", method="rollout", probe=1)
    assert unpack(heat)[0]["steps"].tolist() == steps
    for query in ({"kind": "heads"}, {"kind": "tokens", "method": "rollout"}):
        assert tab.json("keys", run="attention", probe=1, **query)["steps"] == steps


def test_a_training_that_goes_on_supersedes_what_was_logged_later(tmp_path, opened):
    first = write_log(tmp_path / "logs", range(-1, 8))
    second = write_log(tmp_path / "logs", range(4, 7), seed=5)
    tab = opened(tmp_path / "logs")
    assert tab.json("runs") == {"runs": [{"run": "attention", "last_step": 6}]}
    wanted = [first.epoch(step) for step in range(-1, 4)]
    wanted += [second.epoch(step) for step in range(4, 7)]
    assert tab.parts("epochs", run="attention") == wanted
    answer = tab.json("keys", run="attention", kind="heads", probe=0)
    assert answer["steps"] == list(range(-1, 7))
    blobs = tab.parts("blobs", key=answer["keys"])
    assert blobs[4] == first.head_maps(3, 0)
    assert blobs[5] == second.head_maps(4, 0)
    assert tab.json("setup", run="attention")["problems"] == []


def test_a_training_that_has_only_begun(tmp_path, opened):
    training = MadeUpTraining()
    with EventFile(tmp_path / "logs" / "attention") as file:
        pictures = [training.picture(probe) for probe in range(3)]
        file.blobs(-1, metadata.SETUP_TAG, [json.dumps(training.setup()).encode(), *pictures])
    tab = opened(tmp_path / "logs")
    assert tab.json("runs") == {"runs": [{"run": "attention", "last_step": -1}]}
    assert tab.parts("epochs", run="attention") == []
    arrays, _ = unpack(tab.bytes("heat", run="attention", method="rollout", probe=0))
    assert arrays["heat"].shape == (0, 12)
    assert tab.get("keys", run="attention", kind="heads", probe=0).status_code == 404


def test_no_log_at_all(tmp_path, opened):
    (tmp_path / "logs").mkdir()
    assert opened(tmp_path / "logs").json("runs") == {"runs": []}


def test_the_tab_is_offered_where_there_is_data(tmp_path, tab, opened):
    listed = tab.client.get("/data/plugins_listing").json["attention"]
    assert listed["enabled"]
    assert listed["tab_name"] == "Attention"
    assert listed["loading_mechanism"]["module_path"] == f"{ROUTE}index.js"
    (tmp_path / "logs").mkdir()
    empty = opened(tmp_path / "logs").client.get("/data/plugins_listing").json["attention"]
    assert not empty["enabled"]


# style.css is answered with the sheets that it imports, see below.
STYLES = STATIC / "style.css"
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file() and path != STYLES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_page_is_served(tab, path):
    response = tab.get(path.relative_to(STATIC).as_posix())
    assert response.status_code == 200
    assert response.data == path.read_bytes()
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    types = {".js": "text/javascript", ".css": "text/css", ".LICENSE": "text/plain"}
    assert response.mimetype == types[path.suffix]


def test_all_style_sheets_are_served_in_one(tab):
    response = tab.get("style.css")
    assert response.status_code == 200
    assert response.mimetype == "text/css"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    imported = re.findall('^@import "(.+)";$', STYLES.read_text(encoding="utf-8"), re.MULTILINE)
    parts = [(STATIC / name).read_text(encoding="utf-8") for name in imported]
    assert len(parts) > 10
    assert response.text.endswith("\n".join(parts) + "\n")
    assert "@import" not in response.text


def test_static_routes_are_exact_ones_with_content_types(tmp_path):
    names = {
        "index.js": "text/javascript; charset=utf-8",
        "style.css": "text/css; charset=utf-8",
        "icons/eye.svg": "image/svg+xml; charset=utf-8",
        "vendor/deep/chart.mjs": "text/javascript; charset=utf-8",
        "vendor/LICENSE": "text/plain; charset=utf-8",
        "vendor/data.bin": "application/octet-stream",
    }
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    routes = static_routes(tmp_path)
    assert sorted(routes) == sorted(f"/{name}" for name in names)
    for name, content_type in names.items():
        client = Client(routes[f"/{name}"])
        response = client.get("/")
        assert response.data == name.encode()
        assert response.content_type == content_type


@pytest.mark.parametrize(
    "address",
    [
        "../plugin.py",
        "%2e%2e/plugin.py",
        "%2e%2e%2fplugin.py",
        "..%5cplugin.py",
        "..\\plugin.py",
        "vendor/../../plugin.py",
        "vendor/%2e%2e/%2e%2e/plugin.py",
        "/plugin.py",
        "//etc/passwd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "....//plugin.py",
        "vendor",
        "vendor/",
        "",
        "plugin.py",
        "http_api.md",
        "*",
        "index.js%00",
        "INDEX.JS",
    ],
)
def test_nothing_but_the_files_of_the_page_is_served(tab, address):
    # `plugin.py` stands one folder above those of the page.
    response = tab.client.get(ROUTE + address)
    assert response.status_code == 404
    assert response.text == "Not found"
