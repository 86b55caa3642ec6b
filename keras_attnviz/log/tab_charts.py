"""The metrics that the Attention tab charts: what the setup says of each."""

import warnings

import numpy as np

from keras_attnviz.capture.gates import BRANCH
from keras_attnviz.data.masks import mask_shares
from keras_attnviz.metrics.attention import jensen_shannon_divergence
from keras_attnviz.metrics.localization import localization
from keras_attnviz.monitor.gate_measures import gate_drift

_OF_LAYERS = ("artifact_tokens", "head_diversity", "dead_heads", "duplicate_heads")

_SHARE, _OPEN = [0.0, 1.0], [0.0, None]
_HEADS, _LAYERS, _PROBES, _GATES = ["layer", "head"], ["layer"], ["probe"], ["gate"]


def _described(name, title, axes, limits, description, unit=""):
    """Returns what the setup says of a metric."""
    return {
        "name": name,
        "title": title,
        "unit": unit,
        "axes": axes,
        "range": limits,
        "description": description,
    }


CHARTED = (
    _described(
        "entropy", "Entropy", _HEADS, _SHARE, "1: attention spread over all tokens; 0: on one."
    ),
    _described(
        "distance",
        "Attention distance",
        _HEADS,
        _OPEN,
        "How far a patch looks, on the average.",
        "px",
    ),
    _described(
        "drift",
        "Drift from the baseline",
        _PROBES,
        _OPEN,
        "Jensen-Shannon divergence of the heatmap from that before training.",
    ),
    _described(
        "drift_from_last",
        "Drift from the epoch logged before",
        _PROBES,
        _OPEN,
        "Jensen-Shannon divergence of the heatmap from the one logged before.",
    ),
    _described(
        "layer_drift",
        "Change of layers and heads",
        _HEADS,
        _OPEN,
        "Jensen-Shannon divergence of each head from the baseline.",
    ),
    _described(
        "sinks",
        "Sink share",
        _LAYERS,
        _OPEN,
        "Share of attention on patches that receive more than ten times uniform.",
    ),
    _described(
        "artifact_tokens",
        "Artifact tokens",
        _LAYERS,
        _OPEN,
        "How many patches receive more than ten times uniform.",
    ),
    _described(
        "non_patch_share",
        "Attention on class token and registers",
        _HEADS,
        _SHARE,
        "Share of the patches' attention on tokens that are no patches.",
    ),
    _described(
        "head_diversity",
        "Head diversity",
        _LAYERS,
        _SHARE,
        "Jensen-Shannon divergence between two heads, mean over pairs. 0: all alike.",
    ),
    _described(
        "dead_heads",
        "Dead heads",
        _LAYERS,
        _OPEN,
        "How many heads are uniform, or look at no patch.",
    ),
    _described(
        "duplicate_heads",
        "Duplicate heads",
        _LAYERS,
        _OPEN,
        "How many heads do what another one does already.",
    ),
)
CHARTED_WITH_MASKS = (
    _described(
        "localization",
        "Attention on the object",
        _PROBES,
        _OPEN,
        "1: no more than the object's area would get by chance.",
        "times its area",
    ),
    _described(
        "head_localization",
        "Heads on the object",
        _HEADS,
        _OPEN,
        "The same for each layer and head.",
        "times its area",
    ),
    _described(
        "localization_mass",
        "Share on the object",
        _PROBES,
        _SHARE,
        "Share of the heatmap that lies on the object.",
    ),
    _described(
        "localization_auc",
        "Object told from background",
        _PROBES,
        _SHARE,
        "Area under the ROC curve. 0.5: by chance.",
    ),
    _described(
        "localization_hit",
        "Highest value on the object",
        _PROBES,
        _SHARE,
        "The pointing game. 1: a hit.",
    ),
)
CHARTED_OF_VIDEOS = (
    _described(
        "frame_share",
        "Frames",
        ["probe", "frame"],
        _SHARE,
        "Share of the heatmap that lies in each frame. Those of a video sum to 1.",
    ),
)
CHARTED_OF_GATES = (
    _described(
        "gate_mean",
        "Gates, mean",
        _GATES,
        _SHARE,
        "Mean of each gate's values. 1: it lets everything through; 0: nothing.",
    ),
    _described(
        "gate_saturation",
        "Gates, saturated",
        _GATES,
        _SHARE,
        "Share of each gate's values that is within 0.05 of 0 or 1.",
    ),
    _described(
        "gate_drift",
        "Gates, drift from the baseline",
        _GATES,
        _OPEN,
        "Mean absolute difference of each gate's values from those before training.",
    ),
    _described(
        "gate_distribution",
        "Gates, distribution",
        ["gate", "bin"],
        _SHARE,
        "Share of each gate's values in 20 bins from 0 to 1.",
    ),
)
CHARTED_OF_BRANCHES = (
    _described(
        "branch_share",
        "Branches",
        ["gate", "branch"],
        _SHARE,
        "Weight of each branch, mean over its channels. Those of a gate sum to 1.",
    ),
)
# Those that are measured of each method's heatmaps.
OF_METHODS = frozenset(
    [
        "drift",
        "drift_from_last",
        "frame_share",
        "localization",
        "localization_mass",
        "localization_auc",
        "localization_hit",
    ]
)


def described(methods, *, masks, maps=True, gates=(), videos=False):
    """Returns what the setup says of all metrics, a list of dicts.

    Args:
        methods: the names of the methods, in order.
        masks: whether the probes have masks.
        maps: whether the model has attention maps.
        gates: sequence of `Gate`.
        videos: whether the heatmaps are of videos.
    """
    charted = [*CHARTED, *(CHARTED_WITH_MASKS if masks else ())]
    charted += CHARTED_OF_VIDEOS if videos else ()
    if not maps:
        charted = [metric for metric in charted if metric["name"] in OF_METHODS]
    if gates:
        charted += CHARTED_OF_GATES
    if any(gate.kind == BRANCH for gate in gates):
        charted += CHARTED_OF_BRANCHES
    found = []
    for metric in charted:
        if metric["name"] in OF_METHODS:
            found += [
                {**metric, "name": name_of(metric["name"], method, methods), "method": method}
                for method in methods
            ]
        else:
            found.append(metric)
    return found


def name_of(name, method, methods):
    """Returns the name of a metric of a method's heatmaps; the first method's is the plain one."""
    return name if method == next(iter(methods)) else f"{name}/{method}"


class TabSeries:
    """Snapshots to the charted metrics; docs/log-format.md tells their axes.

    Args:
        monitor: the `ProbeMonitor`, with details.
        masks: float array `[probes, height, width]` in [0, 1], or None.
    """

    def __init__(self, monitor, masks=None):
        self._monitor, self._masks = monitor, None
        if masks is not None and monitor.grid is not None:
            cells = None if monitor.measures is None else monitor.measures.head_cells
            masks = monitor.tall_masks(masks)
            self._masks = mask_shares(masks, cells.grid if cells else monitor.grid)
        # Spatial gates are layers too, of which these metrics have no value.
        self._further = len(monitor.gates.spatial)

    def described(self):
        """Returns for each metric what the setup says of it, a list of dicts."""
        return described(
            self._monitor.heats,
            masks=self._masks is not None,
            maps=self._monitor.measures is not None,
            gates=self._monitor.gates.gates,
            videos=self._monitor.frames is not None,
        )

    def values(self, snapshot, *, baseline, last):
        """Returns the metrics, a dict from name to float array.

        Args:
            snapshot: `Snapshot`, with details.
            baseline: the `Snapshot` before training, or None where it isn't known.
            last: the one logged before, or None.
        """
        series = {}
        if self._monitor.measures is not None:
            series |= self._of_layers(snapshot, baseline)
        if snapshot.gates:
            series |= _of_gates(snapshot, baseline)
        for method in snapshot.heat:
            of_method = _of_method(snapshot, method, baseline=baseline, last=last)
            for name, values in of_method.items():
                series[name_of(name, method, snapshot.heat)] = values
        return series

    def _of_layers(self, snapshot, baseline):
        """Returns what is charted of layers and heads, a dict of arrays."""
        found = snapshot.measures
        series = {
            "entropy": self._by_head(found["entropy"]),
            "distance": self._by_head(found["distance"]),
            "layer_drift": self._by_head(_head_drift(snapshot, baseline)),
            "sinks": self._by_layer(snapshot.health["sink_share"]),
            "non_patch_share": self._by_head(found["non_patch"]),
            **{name: self._by_layer(snapshot.health[name]) for name in _OF_LAYERS},
        }
        if self._masks is not None:
            of_heads = localization(found["heads"], self._masks[:, np.newaxis]).numpy()
            series["head_localization"] = self._by_head(of_heads)
        return series

    def _by_layer(self, values):
        return np.append(values, [np.nan] * self._further)

    def _by_head(self, values):
        """Returns means over probes of `[probes, heads]` as `[layers, heads of the largest]`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a mean without any number
            layers = self._monitor.by_layer(np.nanmean(values, axis=0))
        layers += [np.empty(0)] * self._further
        most = max(map(len, layers))
        padded = [np.pad(heads, (0, most - len(heads)), constant_values=np.nan) for heads in layers]
        return np.stack(padded)


def _of_method(snapshot, method, *, baseline, last):
    """Returns what is charted of a method's heatmaps, a dict of arrays `[probes, ...]`."""
    found = {
        "drift": _drift(snapshot, baseline, method),
        "drift_from_last": _drift(snapshot, last or snapshot, method),
    }
    if snapshot.frame_share:
        found["frame_share"] = snapshot.frame_share[method]
    localized = snapshot.localization[method]
    if localized:
        found["localization"] = localized["lift"]
        found |= {f"localization_{name}": localized[name] for name in ("mass", "auc", "hit")}
    return found


def _of_gates(snapshot, baseline):
    """Returns what is charted of gates, a dict of arrays `[gates, ...]`."""
    found, gates = snapshot.measures, snapshot.gates
    drift = np.full(len(gates), np.nan)
    if baseline is not None:
        drift = gate_drift(found, gates, baseline.measures)
    series = {
        "gate_mean": found["gate_means"].mean(axis=0),
        "gate_saturation": found["gate_saturation"].mean(axis=0),
        "gate_drift": drift,
        "gate_distribution": found["gate_bins"].mean(axis=0),
    }
    branches = [
        found[f"gate_profile/{index}"].mean(axis=0)
        for index, gate in enumerate(gates)
        if gate.kind == BRANCH
    ]
    if branches:
        most = max(map(len, branches))
        padded = np.full((len(gates), most), np.nan)
        rows = [index for index, gate in enumerate(gates) if gate.kind == BRANCH]
        for row, shares in zip(rows, branches, strict=True):
            padded[row, : len(shares)] = shares
        series["branch_share"] = padded
    return series


def _drift(snapshot, reference, method):
    """Returns each probe's divergence of a method's heatmaps, NaN without a reference."""
    count = len(snapshot.heat[method])
    if reference is None:
        return np.full(count, np.nan)
    maps = [item.heat[method].reshape(count, -1) for item in (snapshot, reference)]
    return jensen_shannon_divergence(*maps).numpy()


def _head_drift(snapshot, reference):
    """Returns each head's divergence, `[probes, heads]`, NaN without a reference."""
    heads = snapshot.measures["heads"]
    if reference is None:
        return np.full(heads.shape[:2], np.nan)
    return jensen_shannon_divergence(heads, reference.measures["heads"]).numpy()
