"""The values of the metrics that the Attention tab charts."""

import warnings

import numpy as np

from keras_attnviz.capture.gates import BRANCH
from keras_attnviz.log.tab_charts import described, name_of
from keras_attnviz.metrics.attention import jensen_shannon_divergence
from keras_attnviz.metrics.localization import localization
from keras_attnviz.monitor.gate_measures import gate_drift
from keras_attnviz.monitor.grid_cells import mask_shares

_OF_LAYERS = ("artifact_tokens", "head_diversity", "dead_heads", "duplicate_heads")


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
