"""The metrics that the Attention tab charts: what they are called, and their values."""

import warnings

import numpy as np

from keras_attnviz.cells import mask_shares
from keras_attnviz.metrics import jensen_shannon_divergence, localization

_SHARE, _OPEN = [0.0, 1.0], [0.0, None]
_ALWAYS = (
    {
        "name": "entropy",
        "title": "Entropy",
        "unit": "",
        "axes": ["layer", "head"],
        "range": _SHARE,
        "description": "1: attention spread over all tokens; 0: on one.",
    },
    {
        "name": "distance",
        "title": "Attention distance",
        "unit": "px",
        "axes": ["layer", "head"],
        "range": _OPEN,
        "description": "How far a patch looks, on the average.",
    },
    {
        "name": "drift",
        "title": "Drift from the baseline",
        "unit": "",
        "axes": ["probe"],
        "range": _OPEN,
        "description": "Jensen-Shannon divergence of the heatmap from that before training.",
    },
    {
        "name": "drift_from_last",
        "title": "Drift from the epoch logged before",
        "unit": "",
        "axes": ["probe"],
        "range": _OPEN,
        "description": "Jensen-Shannon divergence of the heatmap from the one logged before.",
    },
    {
        "name": "layer_drift",
        "title": "Change of layers and heads",
        "unit": "",
        "axes": ["layer", "head"],
        "range": _OPEN,
        "description": "Jensen-Shannon divergence of each head from the baseline.",
    },
    {
        "name": "sinks",
        "title": "Sink share",
        "unit": "",
        "axes": ["layer"],
        "range": _OPEN,
        "description": "Share of attention on patches that receive more than ten times uniform.",
    },
)
_WITH_MASKS = (
    {
        "name": "localization",
        "title": "Attention on the object",
        "unit": "times its area",
        "axes": ["probe"],
        "range": _OPEN,
        "description": "1: no more than the object's area would get by chance.",
    },
    {
        "name": "head_localization",
        "title": "Heads on the object",
        "unit": "times its area",
        "axes": ["layer", "head"],
        "range": _OPEN,
        "description": "The same for each layer and head.",
    },
)


class TabSeries:
    """Snapshots to the charted metrics; docs/log-format.md tells their axes.

    Args:
        monitor: the `ProbeMonitor`, with details.
        masks: float array `[probes, height, width]` in [0, 1], or None.
    """

    def __init__(self, monitor, masks=None):
        self._monitor, self._masks = monitor, None
        if masks is not None:
            grids = [monitor.attention_model.layout.grid, monitor.measures.head_cells.grid]
            self._masks = [mask_shares(masks, grid) for grid in grids]

    def described(self):
        """Returns for each metric what the setup says of it, a list of dicts."""
        return [*_ALWAYS, *(_WITH_MASKS if self._masks else ())]

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
            "drift": _drift(snapshot, baseline),
            "drift_from_last": _drift(snapshot, last or snapshot),
            "layer_drift": self._by_head(_head_drift(snapshot, baseline)),
            "sinks": found["sinks"].mean(axis=0),
        }
        if self._masks:
            heat_masks, head_masks = self._masks
            heat = snapshot.relative.reshape(len(heat_masks), -1)
            series["localization"] = localization(heat, heat_masks).numpy()
            of_heads = localization(found["heads"], head_masks[:, np.newaxis]).numpy()
            series["head_localization"] = self._by_head(of_heads)
        return series

    def _by_head(self, values):
        """Returns means over probes of `[probes, heads]` as `[layers, heads of the largest]`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a mean without any number
            layers = self._monitor.by_layer(np.nanmean(values, axis=0))
        most = max(map(len, layers))
        padded = [np.pad(heads, (0, most - len(heads)), constant_values=np.nan) for heads in layers]
        return np.stack(padded)


def _drift(snapshot, reference):
    """Returns each probe's divergence of the heatmaps, NaN without a reference."""
    count = len(snapshot.relative)
    if reference is None:
        return np.full(count, np.nan)
    maps = [item.relative.reshape(count, -1) for item in (snapshot, reference)]
    return jensen_shannon_divergence(*maps).numpy()


def _head_drift(snapshot, reference):
    """Returns each head's divergence, `[probes, heads]`, NaN without a reference."""
    heads = snapshot.measures["heads"]
    if reference is None:
        return np.full(heads.shape[:2], np.nan)
    return jensen_shannon_divergence(heads, reference.measures["heads"]).numpy()
