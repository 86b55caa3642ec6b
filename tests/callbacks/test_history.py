"""The files that a resumed training reads: what stands in them, and that old ones are read."""

import json

import numpy as np
import pytest

from keras_attnviz.callbacks.history import History
from keras_attnviz.monitor.snapshot import Snapshot

pytestmark = pytest.mark.one_stack

GRID, HEADS = (3, 2, 2), (3, 4, 5)


class Monitor:
    """Takes snapshots of random numbers; says what they have in common."""

    def __init__(self, *, probes="a", model="b"):
        self.probes, self.model = probes, model
        self._random = np.random.default_rng(3)

    def identity(self):
        return {"probes": self.probes, "model": self.model, "grid": (2, 2)}

    def snapshot(self):
        heat = {name: self.array(*GRID) for name in ("rollout", "affinity")}
        measures = {
            "heads": self.array(*HEADS),
            "tokens": self.array(3, 4, 4),
            "gate_maps": self.array(3, 1, 2, 2),
            "gate_profile/0": self.array(3, 8),
        }
        return Snapshot(heat, np.float32([]), None, None, measures=measures)

    def array(self, *shape):
        return self._random.random(shape).astype("float32")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "attention").mkdir()
    return tmp_path


def kept_in(folder, name):
    with np.load(folder / "attention" / name) as arrays:
        return dict(arrays)


def test_the_layout_of_the_files(folder):
    history = History.begin(str(folder), Monitor())
    baseline = history.baseline
    history.keep(-1, baseline)
    for step in range(3):
        latest = history.measure()
        history.keep(step, latest)
    identity = {"probes": "a", "model": "b", "grid": [2, 2]}
    found = kept_in(folder, "baseline.npz")
    assert json.loads(str(found.pop("identity"))) == identity
    expected = {
        "heat/rollout": baseline.heatmaps["rollout"],
        "heat/affinity": baseline.heatmaps["affinity"],
        "entropy": baseline.entropy,
        "measures/heads": baseline.measures["heads"],
        "measures/gate_maps": baseline.measures["gate_maps"],
        "measures/gate_profile/0": baseline.measures["gate_profile/0"],
    }
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    found = kept_in(folder, "last.npz")
    assert json.loads(str(found.pop("identity"))) == identity
    assert sorted(found) == ["1/affinity", "1/rollout", "2/affinity", "2/rollout"]
    np.testing.assert_array_equal(found["2/affinity"], latest.heatmaps["affinity"])
    assert len(list((folder / "attention").iterdir())) == 2


def old_files(folder, *, probes="a", model="b"):
    """Writes both files as earlier versions have; returns their arrays."""
    numbers = np.random.default_rng(5)
    identity = json.dumps({"probes": probes, "model": model, "grid": [2, 2]})
    baseline = {
        "heat/rollout": numbers.random(GRID).astype("float32"),
        "heat/affinity": numbers.random(GRID).astype("float32"),
        "entropy": np.float32([]),
        "measures/heads": numbers.random(HEADS).astype("float32"),
        "measures/gate_profile/0": numbers.random((3, 8)).astype("float32"),
    }
    last = {
        f"{step}/{method}": numbers.random(GRID).astype("float32")
        for step in (3, 4)
        for method in ("rollout", "affinity")
    }
    np.savez(folder / "attention" / "baseline.npz", identity=identity, **baseline)
    np.savez(folder / "attention" / "last.npz", identity=identity, **last)
    return baseline, last


@pytest.mark.parametrize(("epoch", "step"), [(7, 4), (5, 4), (4, 3)])
def test_old_files_are_read(folder, epoch, step):
    baseline, last = old_files(folder)
    history = History.resume(str(folder), Monitor(), epoch=epoch)
    assert history.logged == step
    assert not history.is_continued
    for method in ("rollout", "affinity"):
        np.testing.assert_array_equal(history.baseline.heatmaps[method], baseline[f"heat/{method}"])
        np.testing.assert_array_equal(history.last.heatmaps[method], last[f"{step}/{method}"])
    for name in ("heads", "gate_profile/0"):
        np.testing.assert_array_equal(history.baseline.measures[name], baseline[f"measures/{name}"])
    assert history.baseline.entropy.shape == (0,)
    # What is kept next goes on from them.
    history.keep(epoch, history.measure())
    kept = {int(name.split("/")[0]) for name in kept_in(folder, "last.npz") if "/" in name}
    assert kept == {step, epoch}


def test_a_step_that_was_not_kept_has_no_last(folder):
    old_files(folder)
    history = History.resume(str(folder), Monitor(), epoch=3)
    assert (history.logged, history.last) == (None, None)
    assert history.baseline is not None
    # Then the next one is compared with what was measured, though it isn't logged.
    snapshot = history.measure(is_logged=False)
    assert history.last is snapshot


def test_what_is_not_logged_is_compared_but_not_compared_with(folder):
    old_files(folder)
    history = History.resume(str(folder), Monitor(), epoch=5)
    last = history.last
    history.measure(is_logged=False)
    assert history.scalars["drift_from_last"] > 0
    assert history.last is last
    logged = history.measure()
    assert (history.before, history.last) == (last, logged)


def test_of_another_model_nothing_is_read(folder):
    old_files(folder, model="c")
    history = History.resume(str(folder), Monitor(), epoch=5)
    assert (history.baseline, history.last, history.logged) == (None, None, None)


def test_other_probes_are_refused(folder):
    old_files(folder, probes="c")
    match = (
        r"`probes` must be the images that the log in .* was started with. Received: probes=.*new"
    )
    with pytest.raises(ValueError, match=match):
        History.resume(str(folder), Monitor(), epoch=5)


def test_an_earlier_fit_is_gone_on_with(folder):
    old_files(folder)
    earlier = History.begin(str(folder), Monitor())
    history = History.resume(str(folder), Monitor(), epoch=5, earlier=earlier)
    assert history.is_continued
    assert (history.baseline, history.last) == (earlier.baseline, earlier.last)
    assert history.scalars == earlier.scalars
    assert history.logged == 4


def test_a_snapshot_that_fails_leaves_no_scalars(folder):
    class Failing(Monitor):
        def snapshot(self):
            if hasattr(self, "fails"):
                raise OSError("no snapshot")
            return super().snapshot()

    monitor = Failing()
    history = History.begin(str(folder), monitor)
    assert history.scalars["drift_from_baseline"] == 0
    monitor.fails = True
    with pytest.raises(OSError, match="no snapshot"):
        history.measure()
    assert history.scalars == {}
    assert history.last is history.baseline
