"""The table of charts: what the setup says of each, and a series for each, with its axes."""

import itertools

import numpy as np
import pytest
from zoo import gated

from keras_attnviz.capture.gates import BRANCH, CHANNEL, SPATIAL, Gate
from keras_attnviz.log.tab_charts import chart_descriptions
from keras_attnviz.log.tab_series import TabSeries
from keras_attnviz.monitor.probe_monitor import ProbeMonitor
from keras_attnviz.monitor.snapshot import Contents

pytestmark = pytest.mark.one_stack

OF_MAPS = [
    "entropy",
    "distance",
    "layer_drift",
    "sinks",
    "artifact_tokens",
    "non_patch_share",
    "head_diversity",
    "dead_heads",
    "duplicate_heads",
]
OF_GATES = ["gate_mean", "gate_saturation", "gate_drift", "gate_distribution"]


def contents_of(*, layers=2, heatmaps=("rollout",), gates=(), frames=0, masks=False):
    return Contents(layers, heatmaps, gates, frames, has_masks=masks, has_labels=False)


def names_of(contents):
    return [chart["name"] for chart in chart_descriptions(contents)]


def test_charts_of_a_transformer_in_their_order():
    names = names_of(contents_of(heatmaps=("rollout", "affinity"), masks=True))
    of_methods = lambda name: [name, f"{name}/affinity"]  # noqa: E731
    assert names == [
        *OF_MAPS[:2],
        *of_methods("drift"),
        *of_methods("drift_from_last"),
        *OF_MAPS[2:],
        *of_methods("localization"),
        "head_localization",
        *of_methods("localization_mass"),
        *of_methods("localization_auc"),
        *of_methods("localization_hit"),
    ]


def test_charts_of_a_network_with_gates_alone():
    gates = (Gate("squeeze", CHANNEL, 4, (2, 2)), Gate("where", SPATIAL, 4, (2, 2)))
    options = {"layers": 0, "heatmaps": ("gates",), "masks": True}
    assert names_of(contents_of(gates=gates, **options)) == [
        "drift",
        "drift_from_last",
        "localization",
        "localization_mass",
        "localization_auc",
        "localization_hit",
        *OF_GATES,
    ]
    assert names_of(contents_of(layers=0, heatmaps=(), gates=gates[:1])) == OF_GATES
    branches = (*gates, Gate("select", BRANCH, 2, (1, 2)))
    assert names_of(contents_of(gates=branches, **options))[-1] == "branch_share"


def test_charts_of_videos():
    names = names_of(contents_of(frames=4, heatmaps=("rollout", "affinity")))
    assert names[-2:] == ["frame_share", "frame_share/affinity"]


def test_names_are_unique():
    gates = (Gate("select", BRANCH, 2, (1, 2)),)
    for layers, frames, masks in itertools.product([0, 2], [0, 4], [False, True]):
        contents = contents_of(
            layers=layers, heatmaps=("a", "b", "c"), gates=gates, frames=frames, masks=masks
        )
        names = names_of(contents)
        assert len(set(names)) == len(names)


def test_each_chart_has_a_series_with_its_axes(masked_probes):
    monitor = ProbeMonitor(
        gated.hybrid(),
        masked_probes,
        batch_size=4,
        start_layer=0,
        rollout_options={"head_fusion": "mean", "discard_ratio": 0.0, "residual": 0.5},
        details=True,
    )
    series, snapshot = TabSeries(monitor, masked_probes.masks), monitor.snapshot()
    charts = series.described()
    for baseline in (snapshot, None):
        found = series.values(snapshot, baseline=baseline, last=None)
        assert sorted(found) == sorted(chart["name"] for chart in charts)
        for chart in charts:
            values = np.asarray(found[chart["name"]])
            assert values.ndim == len(chart["axes"])
            lengths = {"probe": 4, "gate": len(snapshot.gates), "layer": len(snapshot.entropy) + 1}
            assert values.shape[0] == lengths[chart["axes"][0]]
            lowest, highest = chart["range"]
            known = values[np.isfinite(values)]
            assert (known >= lowest).all()
            assert highest is None or (known <= highest + 1e-6).all()
        assert np.isnan(found["gate_drift"]).all() == (baseline is None)
    # In records, the order of the tab but for two; those of methods last, method by method.
    names = list(found)
    assert names.index("non_patch_share") + 1 == names.index("artifact_tokens")
    first = names.index("drift")
    assert names[: first - len(OF_GATES) - 1][-1] == "duplicate_heads"
    assert names[first - len(OF_GATES) : first] == OF_GATES
    assert [name for name in names[first:] if name.endswith("/gates")] == names[-6:]
