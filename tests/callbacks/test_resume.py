"""Trainings that are killed and started again, in real processes: the log goes on as if not."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.event_files import images_of, scalars_of
from support.paths import environment
from support.real_tensorboard import answers, started

from keras_attnviz import jensen_shannon_divergence, read_log

pytestmark = [pytest.mark.one_stack, pytest.mark.slow]
STEPS = [-1, 0, 1, 2, 3, 4]
# An epoch's entries take some 400 kB here, so most of these end within an entry.
KILLS = {
    "backup-first": [["begin", 0], ["end", 0], ["end", 2], ["bytes", 20_000], ["bytes", 300_000]],
    "backup-last": [
        ["batch", 0],
        ["end", 1],
        ["term", 2],
        ["batch", 3],
        ["bytes", 1_000],
        ["bytes", 600_000],
    ],
}


def run(folder, order, kills):
    """Returns the log directory of a fit, and how each of its processes has ended."""
    logs, backup = folder / "logs", folder / "backup"
    command = [sys.executable, "-m", "support.killed_fit", logs, backup, order, json.dumps(kills)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return logs, [int(line) for line in done.stdout.split()]


@pytest.fixture(scope="module", params=KILLS)
def killed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    kills = KILLS[request.param]
    logs, ended = run(folder, request.param, kills)
    signals = [signal.SIGTERM if moment == "term" else signal.SIGKILL for moment, _ in kills]
    assert ended == [*(-number for number in signals), 0]
    return logs


def test_no_epoch_is_missing_or_double(killed):
    log = read_log(killed)
    assert log.steps.tolist() == STEPS
    scalars = scalars_of(killed / "attention")
    for tag in ("attention/entropy", "attention/drift_from_baseline", "attention/drift_from_last"):
        assert sorted(scalars[tag]) == STEPS
    for series in images_of(killed / "attention").values():
        assert sorted(series) == STEPS


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_tensorboard_sees_the_same(killed, load_fast):
    options = ["--logdir", str(killed), "--port", "0", "--load_fast", load_fast]
    with started([sys.executable, "-m", "tensorboard.main", *options]) as address:
        ask = answers(address)
        for _ in range(150):
            if "attention" in json.loads(ask("plugin/images/tags")):
                break
            time.sleep(0.2)
        where = {"run": "attention", "tag": "attention/entropy"}
        scalars = json.loads(ask("plugin/scalars/scalars", **where))
        where["tag"] = "attention/probe_0"
        pictures = json.loads(ask("plugin/images/images", **where))
    assert [step for _, step, _ in scalars] == STEPS
    assert [picture["step"] for picture in pictures] == STEPS


def test_the_first_baseline_is_kept(killed):
    log = read_log(killed)
    heat = log.heatmaps().reshape(len(STEPS), 3, -1)
    scalars = scalars_of(killed / "attention")
    for step in STEPS[1:]:
        row = STEPS.index(step)
        for tag, reference in (("baseline", 0), ("last", row - 1)):
            expected = np.mean(jensen_shannon_divergence(heat[row], heat[reference]))
            found = scalars[f"attention/drift_from_{tag}"][step]
            # The log's heatmaps are quantized.
            np.testing.assert_allclose(found, expected, rtol=0.1, atol=3e-5)
    assert scalars["attention/drift_from_baseline"][4] > 1e-3


def test_all_kills_were_survived(tmp_path, killed):
    """The numbers are those of a training that nobody has killed."""
    logs, ended = run(tmp_path, killed.parent.name.rstrip("0"), [])
    assert ended == [0]
    expected, found = scalars_of(logs / "attention"), scalars_of(killed / "attention")
    for tag in ("attention/entropy", "attention/drift_from_baseline"):
        values = [[series[tag][step] for step in STEPS] for series in (expected, found)]
        np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-6)
