"""Charts of the Attention tab: a table with each chart's title and values.

To add a chart, add a row to `CHARTS`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_attnviz.capture.gates import BRANCH
from keras_attnviz.metrics.attention import jensen_shannon_divergence
from keras_attnviz.metrics.localization import localization
from keras_attnviz.monitor.gate_measures import gate_drift

_SHARE, _OPEN = [0.0, 1.0], [0.0, None]
HEADS, LAYERS, _PROBES, _GATES = ["layer", "head"], ["layer"], ["probe"], ["gate"]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A row of the table: one chart, or one for each method that gives heatmaps.

    Args:
        name: name of its series. For the names with further methods, see docs/log-format.md.
        title: its title in the tab.
        axes: list of the names of its values' axes, after the step axis.
        range: `[lowest, highest]` of the values, None for an open end.
        description: one sentence for the tab.
        exists: function from `Contents` to whether the chart exists.
        values: function from a `Moment` (and the method's name, if the chart is `of_method`) to a
            float array with these axes. For the axes `LAYERS` and `HEADS`, it returns `[layers]`
            or `[probes, heads of all layers]`, which `TabSeries` lays out.
        unit: unit of the values.
        of_method: whether there is one chart for each method.
    """

    name: str
    title: str
    axes: list
    range: list
    description: str
    exists: Callable
    values: Callable
    unit: str = ""
    of_method: bool = False

    def setup_entry(self):
        """Returns the chart's entry in the setup, a dict."""
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "axes": self.axes,
            "range": self.range,
            "description": self.description,
        }


def _has_maps(contents):
    return contents.layers > 0


def _has_heatmaps(contents):
    return bool(contents.heatmaps)


def _has_frames(contents):
    return contents.frames > 0


def _has_masks(contents):
    return contents.has_masks


def _has_head_masks(contents):
    return _has_maps(contents) and contents.has_masks


def _has_gates(contents):
    return bool(contents.gates)


def _has_branches(contents):
    return any(gate.kind == BRANCH for gate in contents.gates)


def _measure(name):
    """Returns the function from a moment to one of the snapshot's measures."""
    return lambda moment: moment.snapshot.measures[name]


def _mean_measure(name):
    """Returns the function from a moment to the mean over probes of one of its measures."""
    return lambda moment: moment.snapshot.measures[name].mean(axis=0)


def _health(name):
    """Returns the function from a moment to a value of `layer_health`, `[layers]`."""
    return lambda moment: moment.snapshot.health[name]


def _localized(name):
    """Returns the function from moment and method to one of `LOCALIZATIONS`, `[probes]`."""
    return lambda moment, method: moment.snapshot.localization[method][name]


def _drift(moment, method, reference):
    """Returns the divergence of a method's heatmaps, `[probes]`, NaN without a reference."""
    snapshot = moment.snapshot
    count = len(snapshot.heatmaps[method])
    if reference is None:
        return np.full(count, np.nan)
    maps = [item.heatmaps[method].reshape(count, -1) for item in (snapshot, reference)]
    return jensen_shannon_divergence(*maps).numpy()


def _head_drift(moment):
    """Returns each head's divergence, `[probes, heads]`, NaN without a baseline."""
    heads = moment.snapshot.measures["heads"]
    if moment.baseline is None:
        return np.full(heads.shape[:2], np.nan)
    return jensen_shannon_divergence(heads, moment.baseline.measures["heads"]).numpy()


def _head_localization(moment):
    """Returns the lift of each head on the object, `[probes, heads]`."""
    masks = moment.head_masks[:, np.newaxis]
    return localization(moment.snapshot.measures["heads"], masks).numpy()


def _gate_drift(moment):
    """Returns how far each gate has moved, `[gates]`, NaN without a baseline."""
    snapshot, baseline = moment.snapshot, moment.baseline
    if baseline is None:
        return np.full(len(snapshot.gates), np.nan)
    return gate_drift(snapshot.measures, snapshot.gates, baseline.measures)


def _branch_shares(moment):
    """Returns each branch's mean share, `[gates, branches]`, padded with NaN."""
    measures, gates = moment.snapshot.measures, moment.snapshot.gates
    branches = {
        index: measures[f"gate_profile/{index}"].mean(axis=0)
        for index, gate in enumerate(gates)
        if gate.kind == BRANCH
    }
    padded = np.full((len(gates), max(map(len, branches.values()))), np.nan)
    for index, shares in branches.items():
        padded[index, : len(shares)] = shares
    return padded


# The table, in the order of the tab.
CHARTS = (
    Chart(
        "entropy",
        "Entropy",
        HEADS,
        _SHARE,
        "1: attention spread over all tokens; 0: on one.",
        _has_maps,
        _measure("entropy"),
    ),
    Chart(
        "distance",
        "Attention distance",
        HEADS,
        _OPEN,
        "How far a patch looks, on average.",
        _has_maps,
        _measure("distance"),
        unit="px",
    ),
    Chart(
        "drift",
        "Drift from the baseline",
        _PROBES,
        _OPEN,
        "Jensen-Shannon divergence of the heatmap from that before training.",
        _has_heatmaps,
        lambda moment, method: _drift(moment, method, moment.baseline),
        of_method=True,
    ),
    Chart(
        "drift_from_last",
        "Drift from the epoch logged before",
        _PROBES,
        _OPEN,
        "Jensen-Shannon divergence of the heatmap from the one logged before.",
        _has_heatmaps,
        lambda moment, method: _drift(moment, method, moment.last_or_this),
        of_method=True,
    ),
    Chart(
        "layer_drift",
        "Change of layers and heads",
        HEADS,
        _OPEN,
        "Jensen-Shannon divergence of each head from the baseline.",
        _has_maps,
        _head_drift,
    ),
    Chart(
        "sinks",
        "Sink share",
        LAYERS,
        _OPEN,
        "Share of attention on patches that receive more than ten times uniform.",
        _has_maps,
        _health("sink_share"),
    ),
    Chart(
        "artifact_tokens",
        "Artifact tokens",
        LAYERS,
        _OPEN,
        "How many patches receive more than ten times uniform.",
        _has_maps,
        _health("artifact_tokens"),
    ),
    Chart(
        "non_patch_share",
        "Attention on class token and registers",
        HEADS,
        _SHARE,
        "Share of the patches' attention on tokens that are no patches.",
        _has_maps,
        _measure("non_patch"),
    ),
    Chart(
        "head_diversity",
        "Head diversity",
        LAYERS,
        _SHARE,
        "Jensen-Shannon divergence between two heads, mean over pairs. 0: all alike.",
        _has_maps,
        _health("head_diversity"),
    ),
    Chart(
        "dead_heads",
        "Dead heads",
        LAYERS,
        _OPEN,
        "How many heads are uniform, or look at no patch.",
        _has_maps,
        _health("dead_heads"),
    ),
    Chart(
        "duplicate_heads",
        "Duplicate heads",
        LAYERS,
        _OPEN,
        "Number of heads that duplicate another head.",
        _has_maps,
        _health("duplicate_heads"),
    ),
    Chart(
        "localization",
        "Attention on the object",
        _PROBES,
        _OPEN,
        "1: no more than the object's area would get by chance.",
        _has_masks,
        _localized("lift"),
        unit="times its area",
        of_method=True,
    ),
    Chart(
        "head_localization",
        "Heads on the object",
        HEADS,
        _OPEN,
        "The same for each layer and head.",
        _has_head_masks,
        _head_localization,
        unit="times its area",
    ),
    Chart(
        "localization_mass",
        "Share on the object",
        _PROBES,
        _SHARE,
        "Share of the heatmap that lies on the object.",
        _has_masks,
        _localized("mass"),
        of_method=True,
    ),
    Chart(
        "localization_auc",
        "Object vs. background",
        _PROBES,
        _SHARE,
        "Area under the ROC curve. 0.5: by chance.",
        _has_masks,
        _localized("auc"),
        of_method=True,
    ),
    Chart(
        "localization_hit",
        "Highest value on the object",
        _PROBES,
        _SHARE,
        "The pointing game. 1: a hit.",
        _has_masks,
        _localized("hit"),
        of_method=True,
    ),
    Chart(
        "frame_share",
        "Frames",
        ["probe", "frame"],
        _SHARE,
        "Share of the heatmap that lies in each frame. Those of a video sum to 1.",
        _has_frames,
        lambda moment, method: moment.snapshot.frame_share[method],
        of_method=True,
    ),
    Chart(
        "gate_mean",
        "Gates, mean",
        _GATES,
        _SHARE,
        "Mean of each gate's values. 1: it lets everything through; 0: nothing.",
        _has_gates,
        _mean_measure("gate_means"),
    ),
    Chart(
        "gate_saturation",
        "Gates, saturated",
        _GATES,
        _SHARE,
        "Share of each gate's values that is within 0.05 of 0 or 1.",
        _has_gates,
        _mean_measure("gate_saturation"),
    ),
    Chart(
        "gate_drift",
        "Gates, drift from the baseline",
        _GATES,
        _OPEN,
        "Mean absolute difference of each gate's values from those before training.",
        _has_gates,
        _gate_drift,
    ),
    Chart(
        "gate_distribution",
        "Gates, distribution",
        ["gate", "bin"],
        _SHARE,
        "Share of each gate's values in 20 bins from 0 to 1.",
        _has_gates,
        _mean_measure("gate_bins"),
    ),
    Chart(
        "branch_share",
        "Branches",
        ["gate", "branch"],
        _SHARE,
        "Weight of each branch, mean over its channels. Those of a gate sum to 1.",
        _has_branches,
        _branch_shares,
    ),
)


def chart_descriptions(contents):
    """Returns the setup's entries for all charts of snapshots with some `Contents`.

    Returns:
        List of dicts in the order of the tab, one for each series; for the keys, see
        docs/log-format.md.
    """
    found = []
    for chart in (chart for chart in CHARTS if chart.exists(contents)):
        if chart.of_method:
            found += [
                {
                    **chart.setup_entry(),
                    "name": series_name(chart, method, contents),
                    "method": method,
                }
                for method in contents.heatmaps
            ]
        else:
            found.append(chart.setup_entry())
    return found


def series_name(chart, method, contents):
    """Returns the name of a method's series; for the first method, it is the chart's name."""
    return chart.name if method == contents.heatmaps[0] else f"{chart.name}/{method}"
