"""What is measured of gates, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.capture.gates import (
    BRANCH,
    CHANNEL,
    FULL,
    SPATIAL,
    Gate,
    last_of_each_resolution,
)
from keras_attnviz.monitor.gate_measures import GateMeasures, gate_drift
from keras_attnviz.monitor.scalars import scalar_names, snapshot_scalars
from keras_attnviz.monitor.snapshot import Contents, Snapshot

pytestmark = pytest.mark.one_stack

GATES = (
    Gate("squeeze", CHANNEL, 4, (2, 2)),
    Gate("where", SPATIAL, 4, (2, 2)),
    Gate("both", FULL, 2, (1, 2)),
    Gate("select", BRANCH, 2, (1, 2)),
)
# One image.
VALUES = [
    tf.constant([[0.0, 0.04, 0.5, 0.96]]),
    tf.constant([[[0.1, 0.2], [0.3, 0.4]]]),
    tf.constant([[[[0.2, 0.4], [0.6, 1.0]]]]),
    tf.constant([[0.25, 0.75]]),
]


def measured(values=VALUES, gates=GATES, grid=None):
    found = GateMeasures(gates, grid).measured(values)
    return {name: each.numpy() for name, each in found.items()}


def scalars_by_hand(measures, baseline=None):
    """Returns the scalars of `GATES` with these measures."""
    now, before = (
        None
        if found is None
        else Snapshot({}, np.float32([]), None, None, measures=found, gates=GATES)
        for found in (measures, baseline)
    )
    return snapshot_scalars(now, baseline=before, last=None)


def names_of(gates):
    return scalar_names(Contents(0, (), gates, frames=0, has_masks=False, has_labels=False))


def test_means_and_saturation_by_hand():
    found = measured()
    np.testing.assert_allclose(found["gate_means"], [[0.375, 0.25, 0.55, 0.5]], rtol=1e-6)
    # Three of four channels are within 0.05 of 0 or 1; one of four of the gate of both.
    np.testing.assert_allclose(found["gate_saturation"], [[0.75, 0, 0.25, 0]])


def test_maps_are_brought_to_the_finest_grid():
    maps = measured()["gate_maps"]
    np.testing.assert_allclose(maps[0, 0], [[0.1, 0.2], [0.3, 0.4]], rtol=1e-6)
    # Mean over channels, rows repeated.
    np.testing.assert_allclose(maps[0, 1], [[0.3, 0.8], [0.3, 0.8]], rtol=1e-6)


def test_maps_are_averaged_where_the_grid_is_coarser():
    maps = measured(grid=(1, 1))["gate_maps"]
    np.testing.assert_allclose(maps[0, :, 0, 0], [0.25, 0.55], rtol=1e-6)


def test_profiles_are_means_over_positions():
    found = measured()
    assert sorted(name for name in found if "profile" in name) == [
        "gate_profile/0",
        "gate_profile/2",
        "gate_profile/3",
    ]
    np.testing.assert_allclose(found["gate_profile/2"], [[0.4, 0.7]], rtol=1e-6)
    np.testing.assert_allclose(found["gate_profile/3"], [[0.25, 0.75]])


def test_bins_are_shares():
    bins = measured()["gate_bins"][0]
    np.testing.assert_allclose(bins.sum(axis=1), 1, rtol=1e-6)
    # 0 and 0.04 in the first of 20 bins, 0.5 in the eleventh, 0.96 in the last.
    assert {number: share for number, share in enumerate(bins[0]) if share} == {
        0: 0.5,
        10: 0.25,
        19: 0.25,
    }
    # 1 itself belongs to the last.
    assert bins[2, 19] == 0.25


def test_large_maps_are_pooled():
    gate = Gate("where", SPATIAL, 4, (112, 112))
    assert GateMeasures([gate]).grid == (38, 38)
    assert GateMeasures([Gate("squeeze", CHANNEL, 4, (2, 2))]).grid is None


def test_scalars_and_drift():
    before = measured()
    moved = [VALUES[0] + 0.01, VALUES[1] - 0.1, VALUES[2], tf.constant([[0.5, 0.5]])]
    after = measured(moved)
    np.testing.assert_allclose(gate_drift(after, GATES, before), [0.01, 0.1, 0, 0.25], atol=1e-6)
    scalars = scalars_by_hand(after, before)
    assert sorted(scalars) == sorted(names_of(GATES))
    assert scalars["gate_drift"] == pytest.approx(0.09)
    assert scalars["gate_drift/layer_3"] == pytest.approx(0.25)
    assert scalars["gate_mean/layer_1"] == pytest.approx(0.15)
    assert scalars["branch_share/layer_3/1"] == pytest.approx(0.5)
    assert "gate_drift" not in scalars_by_hand(after)
    assert names_of(()) == []


def test_the_last_gate_of_each_resolution_stands_for_its_stage():
    sizes = [(8, 8), (8, 8), (4, 4), (2, 2), (2, 2)]
    gates = [Gate(str(number), SPATIAL, 4, size) for number, size in enumerate(sizes)]
    assert last_of_each_resolution(gates) == [1, 2, 4]


def test_a_graph_with_an_unknown_batch():
    graph_function = tf.function(
        GateMeasures(GATES).measured,
        input_signature=[[tf.TensorSpec([None, *value.shape[1:]]) for value in VALUES]],
    )
    for name, values in graph_function(VALUES).items():
        np.testing.assert_array_equal(values, measured()[name])
