"""Gate measures: means, saturation, maps and profiles of gates on probes; TensorFlow."""

import math

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.gates import BRANCH, CHANNEL, SPATIAL
from keras_attnviz.monitor.grid_cells import Cells

# Values closer to 0 or 1 than this are saturated.
NEAR = 0.05
BINS = 20
# The largest number of cells in a gate's map, and in the map of the mean over gates.
_CELLS = 1600


class GateMeasures:
    """Computes the logged measures of a model's gates.

    Args:
        gates: sequence of `Gate`.
        grid: `(height, width)` that maps are resized to: the patches' grid if the model has
            attention maps. None for the finest grid of a spatial gate, pooled if it is large.

    Attributes:
        gates: the gates, a tuple.
        spatial: indices of the gates that have a value for each position, a list.
        grid: `(height, width)` of the maps, or None without spatial gates.
    """

    def __init__(self, gates, grid=None):
        self.gates = tuple(gates)
        self.spatial = [index for index, gate in enumerate(gates) if gate.is_spatial]
        self.grid = grid
        if grid is None and self.spatial:
            finest = max(
                (self.gates[index] for index in self.spatial), key=lambda gate: math.prod(gate.grid)
            )
            self.grid = Cells.at_most(finest.grid, _CELLS, frames=finest.frames).grid

    def measured(self, values):
        """Returns the measures of each image, a dict of float32 tensors.

        Args:
            values: what `AttentionModel.gate_values` returns for a batch.

        Returns:
            `gate_means` and `gate_saturation` `[batch, gates]` in [0, 1], the mean of a gate's
            values and the share of values within 0.05 of 0 or 1; `gate_maps`
            `[batch, spatial gates, height, width]` on `grid`; `gate_bins` `[batch, gates, 20]`,
            the share of a gate's values in each of 20 bins from 0 to 1; `gate_profile/<index>`
            `[batch, channels]`, the mean over positions, for each gate of another kind than
            `SPATIAL`; for branches it is `[batch, branches]`.
        """
        flat = [tf.reshape(each, [tf.shape(each)[0], -1]) for each in values]
        found = {
            "gate_means": _stacked(tf.reduce_mean(each, axis=1) for each in flat),
            "gate_saturation": _stacked(map(_saturation, flat)),
            "gate_bins": _stacked(map(_shares, flat)),
        }
        if self.spatial:
            maps = [self._map(values[index], self.gates[index].grid) for index in self.spatial]
            found["gate_maps"] = _stacked(maps)
        for index, (gate, each) in enumerate(zip(self.gates, values, strict=True)):
            if gate.kind != SPATIAL:
                is_flat = gate.kind in (BRANCH, CHANNEL)
                found[f"gate_profile/{index}"] = each if is_flat else _over_positions(each)
        return found

    def _map(self, values, grid):
        """Returns a spatial gate on the maps' grid, mean over channels, `[batch, height, width]`.

        A finer grid is averaged; the values of a coarser one are repeated.
        """
        if values.shape.rank == 4:
            values = tf.reduce_mean(values, axis=3)
        is_finer = any(n > m for n, m in zip(grid, self.grid, strict=True))
        method = tf.image.ResizeMethod.AREA if is_finer else tf.image.ResizeMethod.NEAREST_NEIGHBOR
        return tf.image.resize(values[..., tf.newaxis], self.grid, method=method)[..., 0]


def gate_drift(measures, gates, baseline):
    """Returns how far each gate has moved from the baseline, float32 `[gates]` in [0, 1].

    This is the mean absolute difference of the gate's map, or of its channels or branches if it
    has no positions.

    Args:
        measures: dict of arrays `[probes, ...]`, see `GateMeasures.measured`.
        gates: sequence of `Gate`.
        baseline: the same dict before training.
    """
    drifts, spatial = [], 0
    for index, gate in enumerate(gates):
        name = f"gate_profile/{index}"
        if gate.is_spatial:
            pair = [found["gate_maps"][:, spatial] for found in (measures, baseline)]
        else:
            pair = [found[name] for found in (measures, baseline)]
        spatial += gate.is_spatial
        drifts.append(np.abs(pair[0] - pair[1]).mean())
    return np.float32(drifts)


def _stacked(tensors):
    return tf.stack(list(tensors), axis=1)


def _saturation(values):
    """Returns the share of values near 0 or 1, `[batch]`."""
    is_near = tf.logical_or(values < NEAR, values > 1 - NEAR)
    return tf.reduce_mean(tf.cast(is_near, tf.float32), axis=1)


def _shares(values):
    """Returns the share of values in each bin, `[batch, BINS]`."""
    bins = tf.clip_by_value(tf.cast(values * BINS, tf.int32), 0, BINS - 1)
    return tf.stack(
        [tf.reduce_mean(tf.cast(bins == number, tf.float32), axis=1) for number in range(BINS)],
        axis=1,
    )


def _over_positions(values):
    return tf.reduce_mean(values, axis=[1, 2])
