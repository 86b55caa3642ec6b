"""The Attention tab's server on logs that are hostile, malformed, cut off or of another time."""

import json
import struct

import numpy as np
import pytest
from support.attention_logs import RUN, EventFile, MadeUpTraining, write_log
from support.plugin_server import LOADERS, Tab
from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2
from tensorboard.util import tensor_util

from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import pack, unpack

pytestmark = pytest.mark.one_stack

TRAINING = MadeUpTraining(methods=("rollout",), full_probes=(1,))
PICTURES = [TRAINING.picture(probe) for probe in range(3)]
BLOBS = summary_pb2.DATA_CLASS_BLOB_SEQUENCE


@pytest.fixture(params=LOADERS)
def opened(request, tmp_path):
    """A function that opens the tab on what a test has written below `logs`."""
    contexts = []

    def open_tab():
        contexts.append(LOADERS[request.param](tmp_path / "logs"))
        return Tab(contexts[-1].__enter__())

    yield open_tab
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "logs" / RUN


def heat_steps(tab, **query):
    options = {"run": RUN, "method": "rollout", "probe": 0} | query
    return unpack(tab.bytes("heat", **options))[0]["steps"].tolist()


def epoch_steps(tab):
    return [unpack(part)[1]["step"] for part in tab.parts("epochs", run=RUN)]


HOSTILE = (
    'my "crack"',
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "Riß № 7 🔬",
    "a\tb\nc\\d'e&f=g?h#i%2e",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "x" * 3000,
)
RUNS = (
    "<img src=x onerror=alert(1)>",
    "Läufe/№ 1 & co=2?#%2e%2e",
    "a'b;c+d e",
)


def test_hostile_names_arrive_as_they_are(tmp_path, opened):
    for run in RUNS:
        write_log(
            tmp_path / "logs",
            range(-1, 2),
            run=run,
            names=HOSTILE,
            class_names=HOSTILE[:2],
            methods=("rollout",),
            full_probes=(6,),
        )
    tab = opened()
    assert [entry["run"] for entry in tab.json("runs")["runs"]] == sorted(RUNS)
    for run in RUNS:
        setup = tab.json("setup", run=run)
        assert tuple(probe["name"] for probe in setup["probes"]) == HOSTILE
        assert tuple(setup["class_names"]) == HOSTILE[:2]
        assert setup["problems"] == []
        assert len(tab.parts("blobs", key=setup["pictures"])) == len(HOSTILE)
        assert len(tab.parts("epochs", run=run)) == 3
        assert heat_steps(tab, run=run, probe=6) == [-1, 0, 1]
        for query in (
            {"kind": "heads"},
            {"kind": "tokens", "method": "rollout"},
            {"kind": "full", "layer": 1},
        ):
            keys = tab.json("keys", run=run, probe=6, **query)["keys"]
            assert all(tab.parts("blobs", key=keys))


@pytest.mark.parametrize("run", ['run "1"', "back\\slash"])
@pytest.mark.parametrize("loader", LOADERS)
def test_quoted_names_of_runs_are_read_or_said_to_be_beyond_tensorboard(tmp_path, loader, run):
    write_log(tmp_path / "logs", range(2), run=run)
    with LOADERS[loader](tmp_path / "logs") as source:
        tab = Tab(source)
        assert tab.json("runs") == {"runs": [{"run": run, "last_step": 1}]}
        if loader == "slow":
            assert len(tab.parts("blobs", key=tab.json("setup", run=run)["pictures"])) == 3
            return
        response = tab.get("setup", run=run)
        assert response.status_code == 404
        assert "TensorBoard's data server can't read it; rename the folder" in response.text
        assert "--load_fast=false" in response.text


@pytest.mark.parametrize("method", ['my "method"', "<b>", "a/b/../c", "Größe № 1"])
def test_hostile_names_of_methods(folder, opened, method):
    training = MadeUpTraining(methods=(method,))
    with EventFile(folder) as file:
        training.write(file, range(3))
    tab = opened()
    assert tab.json("setup", run=RUN)["methods"] == [method]
    assert heat_steps(tab, method=method) == [0, 1, 2]
    keys = tab.json("keys", run=RUN, kind="tokens", method=method, probe=1)
    assert keys["steps"] == [0, 1, 2]


def test_errors_quote_hostile_text_as_plain_text(folder, opened):
    write_log(folder.parent, range(2))
    tab = opened()
    for query in ({"run": "<script>"}, {"run": "\x00\ud7ff\r\nSet-Cookie: a=b"}):
        response = tab.get("setup", **query)
        assert response.status_code == 404
        assert response.mimetype == "text/plain"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in response.headers


def test_of_a_file_that_was_cut_off_what_stands_before_is_shown(folder, opened):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 6))
    data = file.path.read_bytes()
    # Within the last but one event: that of the last epoch's tokens.
    file.path.write_bytes(data[: data.rindex(b"attention_tab/tokens/rollout") + 200])
    tab = opened()
    assert tab.json("setup", run=RUN)["problems"] == []
    assert epoch_steps(tab) == list(range(-1, 6))
    assert tab.json("keys", run=RUN, kind="heads", probe=0)["steps"] == list(range(-1, 6))
    keys = tab.json("keys", run=RUN, kind="tokens", method="rollout", probe=0)
    assert keys["steps"] == list(range(-1, 5))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.55, 0.8])
def test_a_file_with_flipped_bytes_keeps_every_route_alive(folder, opened, share):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 6))
    data = bytearray(file.path.read_bytes())
    begin = int(len(data) * share)
    data[begin : begin + 3000] = bytes(byte ^ 0xFF for byte in data[begin : begin + 3000])
    file.path.write_bytes(data)
    tab = opened()
    for entry in tab.json("runs")["runs"]:
        steps = epoch_steps(tab)
        assert steps == sorted(steps)
        assert len(steps) < 7
        for query in ({"kind": "heads"}, {"kind": "tokens", "method": "rollout"}):
            response = tab.get("keys", run=entry["run"], probe=0, **query)
            for key in response.json["keys"] if response.status_code == 200 else ():
                assert tab.get("blobs", key=key).status_code in (200, 404)


GOOD = TRAINING.epoch(2)


def altered_header(data, **fields):
    """Returns a packed record with other header fields."""
    (length,) = struct.unpack_from("<I", data, 4)
    header = json.loads(data[8 : 8 + length]) | fields
    text = json.dumps(header).encode()
    return data[:4] + struct.pack("<I", len(text)) + text + data[8 + length :]


def array_entry(**fields):
    entry = {"dtype": "int32", "shape": [3], "offset": 0} | fields
    return altered_header(GOOD, arrays={"classes": entry})


MALFORMED_EPOCHS = {
    "empty": (b"", "can't be read"),
    "garbage": (b"\x00\xff" * 50, "must begin with b'KATN'"),
    "cut in the preamble": (GOOD[:6], "can't be read"),
    "cut in the header": (GOOD[:40], "ends within its header"),
    "cut in the arrays": (GOOD[:-9], "can't be read"),
    "a header that claims 4 GB": (b"KATN\xff\xff\xff\xff" + GOOD[8:], "ends within its header"),
    "nested deeply": (b"KATN" + struct.pack("<I", 200_000) + b"[" * 200_000, "recursion"),
    "another step": (TRAINING.epoch(3), "the record says step 3"),
    "no step": (altered_header(GOOD, step=None), "the record says step None"),
    "no arrays": (pack({}, step=2), "no array 'classes'"),
    "another count": (MadeUpTraining(names=("a",)).epoch(2), "'classes' is int32 [1], not int32"),
    "another type": (array_entry(dtype="float32"), "'classes' is float32 [3], not int32 [3]"),
    "an unknown type": (array_entry(dtype="object"), "must be of uint8, int32, float32"),
    "a huge shape": (array_entry(shape=[2**62, 4]), "can't be read"),
    "a shape beyond 64 bits": (array_entry(shape=[2**70]), ""),
    "a negative shape": (array_entry(shape=[-1]), ""),
    "a text as shape": (array_entry(shape="no"), "can't be read"),
    "a negative offset": (array_entry(offset=-4000), ""),
    "a series of another shape": (MadeUpTraining(layers=5).epoch(2), "'series/entropy' is float32"),
}


@pytest.mark.parametrize("name", MALFORMED_EPOCHS)
def test_a_malformed_record_is_left_out_and_named(folder, opened, name):
    data, reason = MALFORMED_EPOCHS[name]
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 2))
        file.record(2, metadata.EPOCH_TAG, data)
        file.record(3, metadata.EPOCH_TAG, TRAINING.epoch(3))
    tab = opened()
    assert epoch_steps(tab) == [-1, 0, 1, 3]
    (problem,) = tab.json("setup", run=RUN)["problems"]
    assert problem.startswith("attention_tab/epoch at step 2 is left out: ")
    assert reason in problem


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"KATN", "can't be read"),
        (MadeUpTraining(grid=(2, 2)).heat(2, "rollout"), "'heat' is uint8 [3, 4], not uint8"),
        (MadeUpTraining(names=("a",)).heat(2, "rollout"), "'heat' is uint8 [1, 12], not uint8"),
        (TRAINING.heat(1, "rollout"), "the record says step 1"),
        (TRAINING.epoch(2), "no array 'heat'"),
    ],
    ids=["cut off", "another grid", "another count", "another step", "another record"],
)
def test_a_malformed_heatmap_is_left_out_and_named(folder, opened, data, reason):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 2))
        file.record(2, metadata.heat_tag("rollout"), data)
        file.record(3, metadata.heat_tag("rollout"), TRAINING.heat(3, "rollout"))
    tab = opened()
    assert heat_steps(tab) == [-1, 0, 1, 3]
    (problem,) = tab.json("setup", run=RUN)["problems"]
    assert problem.startswith("attention_tab/heat/rollout at step 2 is left out: ")
    assert reason in problem


def test_of_many_malformed_records_the_first_are_named(folder, opened):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 2))
        for step in range(2, 22):
            file.record(step, metadata.EPOCH_TAG, b"no")
    problems = opened().json("setup", run=RUN)["problems"]
    assert len(problems) == 6
    assert problems[-1] == "attention_tab/epoch is left out at 15 more steps."


def claiming(size, dtype=types_pb2.DT_STRING):
    """Returns a tensor that claims a size which it doesn't have."""
    tensor = tensor_pb2.TensorProto(dtype=dtype, string_val=[b"x", b"y"])
    tensor.tensor_shape.dim.add(size=size)
    return tensor


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_util.make_tensor_proto(np.float32([1, 2])),
        tensor_util.make_tensor_proto(np.array([], dtype=object)),
        tensor_util.make_tensor_proto(np.array([b"a", b"b"], dtype=object)),
        claiming(3),
        claiming(-5),
        tensor_pb2.TensorProto(dtype=99),
        tensor_pb2.TensorProto(),
    ],
    ids=["numbers", "empty", "two texts", "three", "negative", "unknown type", "nothing"],
)
def test_tensors_that_are_no_records(folder, opened, tensor):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 2))
        file.tensor(2, metadata.EPOCH_TAG, tensor)
    tab = opened()
    # A tensor of which TensorBoard can't make an array spoils the series, but that one alone.
    assert epoch_steps(tab) in ([-1, 0, 1], [])
    (problem,) = tab.json("setup", run=RUN)["problems"]
    assert problem.startswith("attention_tab/epoch ")
    assert heat_steps(tab) == [-1, 0, 1]
    assert tab.json("keys", run=RUN, kind="heads", probe=0)["steps"] == [-1, 0, 1]


@pytest.mark.parametrize("size", [1, 3, 10**9, -1])
def test_blob_sequences_that_are_none(folder, opened, size):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 2))
        file.tensor(2, metadata.HEADS_TAG, claiming(size), BLOBS)
    tab = opened()
    assert epoch_steps(tab) == [-1, 0, 1]
    response = tab.get("keys", run=RUN, kind="heads", probe=0)
    assert response.status_code in (200, 404)
    if response.status_code == 200:
        for key in response.json["keys"]:
            assert tab.get("blobs", key=key).status_code in (200, 404)


@pytest.mark.parametrize("data", [b"", b"no record", TRAINING.head_maps(2, 0)[:-40]])
def test_a_blob_that_can_not_be_read_is_empty(folder, opened, data):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 2))
        file.blobs(2, metadata.HEADS_TAG, [data, TRAINING.head_maps(2, 1)])
    tab = opened()
    first, second, third = (
        tab.json("keys", run=RUN, kind="heads", probe=probe) for probe in range(3)
    )
    assert [keys["steps"] for keys in (first, second)] == [[-1, 0, 1, 2]] * 2
    assert third["steps"] == [-1, 0, 1]  # the sequence has two blobs alone
    parts = tab.parts("blobs", key=[second["keys"][3], first["keys"][3], first["keys"][0]])
    assert parts == [TRAINING.head_maps(2, 1), b"", TRAINING.head_maps(-1, 0)]


def setup_with(**fields):
    return json.dumps(TRAINING.setup() | fields).encode()


MALFORMED_SETUPS = {
    "empty": (b"", "no JSON"),
    "cut off": (setup_with()[:-10], "no JSON"),
    "no UTF-8": (b"\xff\xfe{}", "no JSON"),
    "nested deeply": (b"[" * 200_000, "no JSON"),
    "a list": (b"[]", "not a JSON object with a `version`"),
    "no version": (b"{}", "not a JSON object with a `version`"),
    "a text as version": (setup_with(version="1"), "not a JSON object with a `version`"),
    "wrong grid": (setup_with(grid=[0, 3]), "missing or malformed: grid"),
    "huge": (setup_with(head_grid=[3]), "missing or malformed: head_grid"),
    "no probes": (setup_with(probes=None), "missing or malformed: probes"),
    "probes without names": (setup_with(probes=[{}]), "missing or malformed: probes"),
    "layers without heads": (setup_with(layers=[{"path": "a"}]), "missing or malformed: layers"),
    "methods that are no texts": (setup_with(methods=[1]), "missing or malformed: methods"),
    "series over what is not there": (
        setup_with(series=[{"name": "a", "axes": ["epoch"]}]),
        "missing or malformed: series",
    ),
    "negative probes": (setup_with(full={"probes": [-1]}), "missing or malformed: full"),
}


@pytest.mark.parametrize("name", MALFORMED_SETUPS)
def test_without_a_setup_that_can_be_read_the_run_says_so(folder, opened, name):
    data, reason = MALFORMED_SETUPS[name]
    with EventFile(folder) as file:
        file.blobs(-1, metadata.SETUP_TAG, [data, *PICTURES])
        file.record(-1, metadata.EPOCH_TAG, TRAINING.epoch(-1))
    tab = opened()
    assert [entry["run"] for entry in tab.json("runs")["runs"]] == [RUN]
    for route, query in (
        ("setup", {}),
        ("epochs", {}),
        ("heat", {"method": "rollout", "probe": 0}),
        ("keys", {"kind": "heads", "probe": 0}),
    ):
        response = tab.get(route, run=RUN, **query)
        assert response.status_code == 404
        text = response.text
        assert "Not found: The run 'attention' has no setup that can be read. The setup at " in text
        assert reason in text


def test_an_earlier_setup_serves_where_the_last_can_not_be_read(folder, opened):
    with EventFile(folder) as file:
        TRAINING.write(file, range(-1, 2))
        file.blobs(2, metadata.SETUP_TAG, [setup_with()[:-10], *PICTURES])
    tab = opened()
    for _ in range(2):  # the second time from what is kept
        setup = tab.json("setup", run=RUN)
        assert [probe["name"] for probe in setup["probes"]] == list(TRAINING.names)
        (problem,) = setup["problems"]
        assert problem.startswith("The setup at step 2 can't be read: no JSON")


def test_pictures_that_are_missing_are_said(folder, opened):
    with EventFile(folder) as file:
        file.blobs(-1, metadata.SETUP_TAG, [setup_with(), PICTURES[0]])
    tab = opened()
    setup = tab.json("setup", run=RUN)
    first, *others = setup["pictures"]
    assert others == [None, None]
    assert tab.parts("blobs", key=first) == PICTURES[:1]
    assert setup["problems"] == ["Of 3 probes, 1 have a picture."]


@pytest.mark.parametrize("where", ["metadata", "setup", "resumed"])
def test_a_newer_format_is_said_and_other_runs_are_shown(folder, opened, where):
    write_log(folder.parent, range(3), run="older")
    if where == "resumed":
        write_log(folder.parent, range(3))
    with EventFile(folder, version=1 if where == "setup" else 3) as file:
        content = b"something else" if where == "metadata" else b'{"version": 3}'
        file.blobs(3, metadata.SETUP_TAG, [content])
        file.record(3, metadata.EPOCH_TAG, b"KAT2")
    tab = opened()
    assert [entry["run"] for entry in tab.json("runs")["runs"]] == [RUN, "older"]
    for route in ("setup", "epochs"):
        response = tab.get(route, run=RUN)
        assert response.status_code == 404
        assert "the log has format 3, and this keras-attnviz reads up to format 2" in response.text
        assert "update the keras-attnviz that TensorBoard runs with" in response.text
    assert tab.json("setup", run="older")["problems"] == []


@pytest.mark.parametrize("version", ["", "x", "1.5", "-1", "٣", "9" * 5000])
def test_a_version_that_is_none_is_said(folder, opened, version):
    with EventFile(folder, version=version) as file:
        TRAINING.write(file, range(2))
    response = opened().get("setup", run=RUN)
    assert response.status_code == 404
    assert "its format has the version" in response.text


def test_a_setup_that_is_logged_anew_is_noticed(folder):
    with EventFile(folder) as file, LOADERS["slow"](folder.parent):
        TRAINING.write(file, range(-1, 1))
    with LOADERS["slow"](folder.parent) as source:
        tab = Tab(source)
        assert len(tab.json("setup", run=RUN)["probes"]) == 3
        assert tab.parts("epochs", run=RUN) == [TRAINING.epoch(step) for step in (-1, 0)]
        later = write_log(folder.parent, range(-1, 5), names=("a", "b"), methods=("rollout",))
        source._multiplexer.Reload()
        assert [probe["name"] for probe in tab.json("setup", run=RUN)["probes"]] == ["a", "b"]
        assert tab.parts("epochs", run=RUN) == [later.epoch(step) for step in range(-1, 5)]
