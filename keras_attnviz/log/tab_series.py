"""Series of the Attention tab: the values of its charts at one step."""

import warnings

import numpy as np

from keras_attnviz.data.masks import mask_shares
from keras_attnviz.log.tab_charts import CHARTS, HEADS, LAYERS, chart_descriptions, series_name
from keras_attnviz.monitor.snapshot import Moment

# In records, these two series come before others that the tab lists first. Readers go by names.
_EARLIER = {"non_patch_share": "artifact_tokens", "frame_share": "localization"}


def _in_records():
    """Returns the charts in the order in which a record holds their series."""
    names = [chart.name for chart in CHARTS]

    def rank(chart):
        return names.index(_EARLIER.get(chart.name, chart.name)), chart.name not in _EARLIER

    return sorted(CHARTS, key=rank)


class TabSeries:
    """Computes the series of the charts from snapshots; docs/log-format.md lists their axes.

    Args:
        monitor: the `ProbeMonitor`, with details.
        masks: float array `[probes, height, width]` in [0, 1], or None.
    """

    def __init__(self, monitor, masks=None):
        self._monitor, self._head_masks = monitor, None
        if masks is not None and monitor.attention_measures is not None:
            cells = monitor.attention_measures.head_cells
            self._head_masks = mask_shares(monitor.tall_masks(masks), cells.grid)
        self._charts = [chart for chart in _in_records() if chart.exists(monitor.contents)]
        # Spatial gates count as layers too, but have no values in the charts of layers.
        self._further = len(monitor.gate_measures.spatial)

    def described(self):
        """Returns the setup's entries for the charts, a list of dicts."""
        return chart_descriptions(self._monitor.contents)

    def values(self, snapshot, *, baseline, last):
        """Returns the series, a dict from name to float array.

        Args:
            snapshot: `Snapshot`, with details.
            baseline: the `Snapshot` before training, or None if it isn't known.
            last: the `Snapshot` logged before, or None.
        """
        moment = Moment(snapshot, baseline, last, self._head_masks)
        series = {
            chart.name: self._laid_out(chart.values(moment), chart.axes)
            for chart in self._charts
            if not chart.of_method
        }
        contents = self._monitor.contents
        for method in contents.heatmaps:
            for chart in self._charts:
                if chart.of_method:
                    name = series_name(chart, method, contents)
                    series[name] = chart.values(moment, method)
        return series

    def _laid_out(self, values, axes):
        """Returns values of layers or heads, extended to all layers of the setup."""
        if axes == HEADS:
            return self._by_head(values)
        return self._by_layer(values) if axes == LAYERS else values

    def _by_layer(self, values):
        return np.append(values, [np.nan] * self._further)

    def _by_head(self, values):
        """Returns the means over probes of `[probes, heads]` as `[layers, heads]`, NaN-padded."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # raised for means of NaN only
            layers = self._monitor.by_layer(np.nanmean(values, axis=0))
        layers += [np.empty(0)] * self._further
        most = max(map(len, layers))
        padded = [np.pad(heads, (0, most - len(heads)), constant_values=np.nan) for heads in layers]
        return np.stack(padded)
