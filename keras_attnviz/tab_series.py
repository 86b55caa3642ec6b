"""The values of the metrics that the Attention tab charts."""

import warnings

import numpy as np

from keras_attnviz.cells import mask_shares
from keras_attnviz.charted import described, name_of
from keras_attnviz.localizing import localization
from keras_attnviz.metrics import jensen_shannon_divergence

_OF_LAYERS = ("artifact_tokens", "head_diversity", "dead_heads", "duplicate_heads")


class TabSeries:
    """Snapshots to the charted metrics; docs/log-format.md tells their axes.

    Args:
        monitor: the `ProbeMonitor`, with details.
        masks: float array `[probes, height, width]` in [0, 1], or None.
    """

    def __init__(self, monitor, masks=None):
        self._monitor, self._masks = monitor, None
        if masks is not None:
            self._masks = mask_shares(masks, monitor.measures.head_cells.grid)

    def described(self):
        """Returns for each metric what the setup says of it, a list of dicts."""
        return described(self._monitor.methods, masks=self._masks is not None)

    def values(self, snapshot, *, baseline, last):
        """Returns the metrics, a dict from name to float array.

        Args:
            snapshot: `Snapshot`, with details.
            baseline: the `Snapshot` before training, or None where it isn't known.
            last: the one logged before, or None.
        """
        found = snapshot.measures
        series = {
            "entropy": self._by_head(found["entropy"]),
            "distance": self._by_head(found["distance"]),
            "layer_drift": self._by_head(_head_drift(snapshot, baseline)),
            "sinks": snapshot.health["sink_share"],
            "non_patch_share": self._by_head(found["non_patch"]),
            **{name: snapshot.health[name] for name in _OF_LAYERS},
        }
        if self._masks is not None:
            of_heads = localization(found["heads"], self._masks[:, np.newaxis]).numpy()
            series["head_localization"] = self._by_head(of_heads)
        for method in snapshot.heat:
            of_method = _of_method(snapshot, method, baseline=baseline, last=last)
            for name, values in of_method.items():
                series[name_of(name, method, snapshot.heat)] = values
        return series

    def _by_head(self, values):
        """Returns means over probes of `[probes, heads]` as `[layers, heads of the largest]`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a mean without any number
            layers = self._monitor.by_layer(np.nanmean(values, axis=0))
        most = max(map(len, layers))
        padded = [np.pad(heads, (0, most - len(heads)), constant_values=np.nan) for heads in layers]
        return np.stack(padded)


def _of_method(snapshot, method, *, baseline, last):
    """Returns what is charted of a method's heatmaps, a dict of arrays `[probes]`."""
    found = {
        "drift": _drift(snapshot, baseline, method),
        "drift_from_last": _drift(snapshot, last or snapshot, method),
    }
    localized = snapshot.localization[method]
    if localized:
        found["localization"] = localized["lift"]
        found |= {f"localization_{name}": localized[name] for name in ("mass", "auc", "hit")}
    return found


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
