"""Fits on several devices and on several workers, in real processes: the log is that of one."""

import json
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
from support.event_files import images_of, scalars_of
from support.paths import environment
from support.worker_fit import KINDS, SECONDS
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorflow import keras

from keras_attnviz import read_log

pytestmark = [pytest.mark.every_stack, pytest.mark.slow]
KERAS_3 = hasattr(keras, "ops")
# Keras 3 refuses both strategies for several workers.
keras2 = pytest.mark.skipif(KERAS_3, reason="about what Keras 3 refuses")
# Before 3.8 it doesn't scale the loss to their number: https://github.com/keras-team/keras/pull/20609
VERSION = tuple(map(int, getattr(keras, "__version__", "2.15").split(".")[:2]))
TRAINS_AS_ONE = not (3, 0) <= VERSION < (3, 8)
STEPS = [-1, 0, 1, 2]
PLAN = [["one", "one", None], ["mirrored", "mirrored", None]]
WORKERS = [
    ["workers", "workers", None],
    ["unwritable", "workers", None],
    # Within the second epoch; and at its end, after the log and before the backup.
    ["killed", "workers", ["worker-1", "batch", 1]],
    ["killed", "workers", ["worker-0", "end", 1]],
    ["killed", "workers", None],
    # The coordinator is killed, and all are started again.
    ["servers", "servers", ["chief-0", "end", 1]],
    ["servers", "servers", None],
]
REFUSED = [["workers", "workers", None], ["servers", "servers", None]]


def run(folder, plan):
    """Returns the folder, how the processes of each start have ended, and what they said."""
    command = [sys.executable, "-m", "support.worker_fit", folder, json.dumps(plan)]
    done = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + SECONDS * len(plan),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ended = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(ended) == len(plan), done.stderr[-3000:]
    starts = list(zip([name for name, *_ in plan], ended, strict=True))
    return types.SimpleNamespace(folder=folder, starts=starts, said=done.stderr)


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits")
    (folder / "unwritable").mkdir()
    (folder / "unwritable" / "logs").write_text("a file where a folder should be")
    return run(folder, PLAN if KERAS_3 else PLAN + WORKERS)


KINDS_THAT_RUN = [
    "mirrored",
    *(pytest.param(kind, marks=keras2) for kind in ("workers", "servers")),
]


def ended(fits, name):
    return [ended for started, ended in fits.starts if started == name]


def given(fits, name, role=None):
    return json.loads((fits.folder / name / f"{role or KINDS[name][0]}.json").read_text())


@pytest.mark.parametrize("kind", KINDS_THAT_RUN)
def test_a_fit_ends(fits, kind):
    *_, found = ended(fits, kind)
    expected = {"chief-0": 0, "worker-0": "ended", "ps-0": "ended"}
    if kind == "workers":
        expected = {"worker-0": 0, "worker-1": 0}
    assert found == {role: expected[role] for role in KINDS[kind]}, fits.said[-3000:]


@pytest.mark.skipif(not TRAINS_AS_ONE, reason="this Keras trains otherwise on several devices")
@pytest.mark.parametrize("kind", KINDS_THAT_RUN)
def test_results_are_those_of_one_device(fits, kind):
    check_same_log(fits, kind, tolerance=1e-5)
    expected, found = given(fits, "one")["logs"], given(fits, kind)["logs"]
    assert sorted(found) == sorted(expected)
    for name, values in expected.items():
        # A fit that was started again has the values from then on.
        values = values[-len(found[name]) :]
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)


def check_same_log(fits, name, *, tolerance):
    expected, found = (fits.folder / which / "logs" for which in ("one", name))
    assert read_log(found).steps.tolist() == STEPS
    scalars, others = scalars_of(found / "attention"), scalars_of(expected / "attention")
    assert sorted(scalars) == sorted(others)
    for tag, series in others.items():
        assert sorted(scalars[tag]) == sorted(series)
        values = [[each[step] for step in sorted(series)] for each in (scalars[tag], series)]
        np.testing.assert_allclose(*values, atol=tolerance, err_msg=tag)
    heat, other = (read_log(log).heatmaps() for log in (found, expected))
    # One step of what the log is quantized to.
    np.testing.assert_allclose(heat, other, atol=other.max() * 2 / 255)
    pictures = images_of(found / "attention")
    assert len(pictures) == 3
    assert all(sorted(series) == STEPS for series in pictures.values())


def test_training_moves_the_attention(fits):
    """Otherwise equal results would tell nothing."""
    scalars = scalars_of(fits.folder / "one" / "logs" / "attention")
    assert scalars["attention/drift_from_baseline"][2] > 1e-3
    heat = read_log(fits.folder / "one" / "logs").heatmaps()
    assert np.abs(heat[-1] - heat[0]).max() > 0.02


@keras2
def test_only_the_chief_writes(fits):
    written = sorted(path.name for path in (fits.folder / "workers" / "logs").rglob("*.*"))
    assert len(written) == 3
    assert written[0] == "baseline.npz"
    assert written[1].startswith("events.out.tfevents.")
    assert written[2] == "last.npz"


@keras2
def test_all_workers_have_the_same_values(fits):
    """Not nearly the same: by them a callback may end the training, on all workers or none."""
    chief, other = (given(fits, "workers", role) for role in KINDS["workers"])
    assert chief["logs"] == other["logs"]
    assert "attention_drift_from_baseline" in chief["logs"]
    for found in (chief, other):
        np.testing.assert_array_equal(found["from_chief"], [0, 0.1, np.nan])


@keras2
def test_no_worker_waits_where_the_chief_cannot_begin(fits):
    assert ended(fits, "unwritable") == [{"worker-0": 1, "worker-1": 1}]
    assert "ValueError: `log_dir` must be a directory that can be written" in fits.said
    assert "could not be started on another worker; see the error there" in fits.said


@keras2
def test_killed_workers_go_on(fits):
    *killed, last = ended(fits, "killed")
    # The other one ends with TensorFlow's error, and both are started again.
    assert killed == [
        {"worker-0": 1, "worker-1": -signal.SIGKILL},
        {"worker-0": -signal.SIGKILL, "worker-1": 1},
    ]
    assert last == {"worker-0": 0, "worker-1": 0}
    check_same_log(fits, "killed", tolerance=1e-4)


@keras2
def test_a_killed_coordinator_goes_on(fits):
    killed, last = ended(fits, "servers")
    assert (killed["chief-0"], last["chief-0"]) == (-signal.SIGKILL, 0)
    assert len(given(fits, "servers")["logs"]["loss"]) == 2
    check_same_log(fits, "servers", tolerance=1e-5)


@keras2
@pytest.mark.parametrize("name", ["killed", "servers"])
def test_tensorboard_sees_killed_epochs_once(fits, name):
    multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 0, "images": 0})
    multiplexer.AddRunsFromDirectory(str(fits.folder / name / "logs"))
    multiplexer.Reload()
    accumulator = multiplexer.GetAccumulator("attention")
    for tag in ("attention/entropy", "attention/drift_from_baseline", "attention/probe_0"):
        assert [event.step for event in accumulator.Tensors(tag)] == STEPS


@pytest.mark.keras3
@pytest.mark.one_stack
def test_keras_3_refuses_several_workers(tmp_path):
    """Before the callback begins, so nothing of ours can hang; the page on reliability says so.

    https://github.com/keras-team/keras/issues/20585
    """
    refused = run(tmp_path, REFUSED)
    (_, workers), (_, servers) = refused.starts
    assert workers == {"worker-0": 1, "worker-1": 1}
    assert "Attempt to convert a value (PerReplica" in refused.said
    assert servers["chief-0"] == 1
    assert "ClusterCoordinator.create_per_worker_dataset" in refused.said
    assert not list(tmp_path.rglob("logs"))
