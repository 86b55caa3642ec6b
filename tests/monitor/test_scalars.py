"""The table of scalars: names and values come from the same rows, in every combination."""

import itertools

import numpy as np
import pytest

from keras_attnviz.capture.gates import BRANCH, CHANNEL, SPATIAL, Gate
from keras_attnviz.metrics.localization import LOCALIZATIONS
from keras_attnviz.monitor import scalars
from keras_attnviz.monitor.scalars import overall, scalar_names, snapshot_scalars
from keras_attnviz.monitor.snapshot import Snapshot

pytestmark = pytest.mark.one_stack

PROBES = 3
GATES = (
    Gate("where", SPATIAL, 4, (2, 2)),
    Gate("squeeze", CHANNEL, 4, (2, 2)),
    Gate("select", BRANCH, 2, (1, 2)),
)
HEALTH = ("non_patch_share", "head_diversity", "sink_share", "artifact_tokens")


def snapshot_of(*, layers=2, heatmaps=2, gates=GATES, frames=0, masks=True, labels=True, seed=0):
    """Returns a snapshot of random numbers."""
    random = np.random.default_rng(seed)
    methods = ("rollout", "affinity", "relevance")[:heatmaps]
    measures = {
        "gate_means": random.random((PROBES, len(gates))),
        "gate_saturation": random.random((PROBES, len(gates))),
        "gate_maps": random.random((PROBES, 1, 2, 2)),
        "gate_profile/1": random.random((PROBES, 4)),
        "gate_profile/2": random.random((PROBES, 2)),
    }
    measured = list(LOCALIZATIONS) if masks else []
    return Snapshot(
        {method: random.random((PROBES, 4, 3)) for method in methods},
        np.float32(random.random(layers)),
        None,
        None,
        measures=measures,
        is_right=np.array([True, False, True]) if labels else None,
        health={name: random.random(layers) for name in HEALTH},
        gates=gates,
        localization={
            method: {name: random.random(PROBES) for name in measured} for method in methods
        },
        frame_share={method: random.random((PROBES, frames)) for method in methods if frames},
    )


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("heatmaps", [0, 1, 3])
@pytest.mark.parametrize("gates", [(), GATES])
def test_every_name_has_a_value(layers, heatmaps, gates):
    for frames, masks, labels in itertools.product([0, 5], [False, True], [False, True]):
        options = {"layers": layers, "heatmaps": heatmaps, "gates": gates}
        options |= {"frames": frames, "masks": masks and heatmaps > 0, "labels": labels}
        snapshot, baseline = snapshot_of(**options), snapshot_of(**options, seed=1)
        names = scalar_names(snapshot.contents)
        found = snapshot_scalars(snapshot, baseline=baseline, last=None)
        assert sorted(found) == sorted(names)
        assert len(set(names)) == len(names)
        without = snapshot_scalars(snapshot, baseline=None, last=None)
        missing = {name for name in names if name.startswith(("drift_from_b", "gate_drift"))}
        assert set(names) - set(without) == missing


def test_the_order_of_logs():
    contents = snapshot_of(gates=GATES[2:], frames=2).contents
    which = ("", "/right", "/wrong")
    assert scalar_names(contents) == [
        "entropy",
        "entropy/layer_0",
        "entropy/layer_1",
        "drift_from_baseline",
        "drift_from_last",
        "agreement/affinity",
        "collapsed_layers",
        "non_patch_share",
        "head_diversity",
        "sink_share",
        "artifact_tokens",
        *(
            f"localization/{name}{of}{each}"
            for of in ("", "/affinity")
            for name in ("mass", "auc", "hit", "lift")
            for each in which
        ),
        "frame_share/0",
        "frame_share/1",
        "gate_mean",
        "gate_saturation",
        "gate_drift",
        "gate_mean/layer_0",
        "gate_saturation/layer_0",
        "gate_drift/layer_0",
        "branch_share/layer_0/0",
        "branch_share/layer_0/1",
    ]


def test_localization_of_each_method_by_hand():
    snapshot = snapshot_of(heatmaps=3)
    found = snapshot_scalars(snapshot, baseline=None, last=None)
    for method, of in (("rollout", ""), ("affinity", "/affinity"), ("relevance", "/relevance")):
        lift = snapshot.localization[method]["lift"]
        assert found[f"localization/lift{of}"] == pytest.approx(lift.mean())
        assert found[f"localization/lift{of}/right"] == pytest.approx(lift[[0, 2]].mean())
        assert found[f"localization/lift{of}/wrong"] == pytest.approx(lift[1])


def test_the_first_snapshot_has_not_drifted_from_the_last():
    found = snapshot_scalars(snapshot_of(), baseline=snapshot_of(seed=1), last=None)
    assert found["drift_from_last"] == 0
    assert found["drift_from_baseline"] > 0


def test_both_orders_have_all_rows():
    assert set(scalars._IN_LOGS) == set(scalars._IN_EVENT_FILES)
    assert len(scalars._IN_LOGS) == len(scalars._IN_EVENT_FILES)


def test_overall_leaves_single_layers_and_frames_out():
    names = scalar_names(snapshot_of(frames=2).contents)
    assert [name for name in names if name not in overall(names)] == [
        name for name in names if "layer_" in name or "frame_share" in name
    ]
    assert {"entropy", "gate_mean", "localization/mass/right"} <= set(overall(names))
