"""The records of the Attention tab: snapshots, quantized and packed; see docs/log-format.md."""

import collections
import contextlib
import itertools
import json
import time

import numpy as np

from keras_attnviz._checks import is_integer, message
from keras_attnviz.drawing import render
from keras_attnviz.log.deduplication import Deduplicator, write_blobs, write_layers
from keras_attnviz.log.size_estimate import size_lines
from keras_attnviz.log.tab_series import TabSeries
from keras_attnviz.log.tab_setup import ROLLOUT, layers_of, setup_of
from keras_attnviz.monitor.grid_cells import Cells
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import pack, quantize


class TabRecords:
    """Makes and writes the records of one training.

    Args:
        monitor: the `ProbeMonitor`, with details.
        probes: the `ProbeSet`.
        colors: the `ColorScale` that the tab starts with.
        full_probes: indices of the probes whose whole attention is logged.
        full_every_epochs: number of epochs from one logging of whole attention to the next; it is
            also logged with the baseline.
    """

    def __init__(self, monitor, probes, colors, *, full_probes=(), full_every_epochs=5):
        self._monitor, self._probes, self._colors = monitor, probes, colors
        self._full_probes, self._full_every_epochs = tuple(full_probes), full_every_epochs
        self._series = TabSeries(monitor, probes.masks)
        self._layers = layers_of(monitor)
        self._deduplicators = collections.defaultdict(Deduplicator)
        grid = monitor.grid or (1, 1)
        self._head_cells = (
            Cells(grid, 1)
            if monitor.attention_measures is None
            else monitor.attention_measures.head_cells
        )

    def write_setup(self, writer, step):
        """Writes what stays the same over the epochs, and the probes' pictures.

        Each file of the log starts with it. Later records refer only to records of the same file.
        """
        self._deduplicators = collections.defaultdict(Deduplicator)
        shown = map(self._monitor.sheet.picture, self._probes.display)
        pictures = [render.png_bytes(picture) for picture in shown]
        setup = setup_of(
            self._monitor,
            self._probes,
            self._colors,
            layers=self._layers,
            head_cells=self._head_cells,
            series=self._series.described(),
            full_probes=self._full_probes,
            full_every_epochs=self._full_every_epochs,
        )
        data = json.dumps(setup, allow_nan=False).encode()
        writer.blobs(step, metadata.SETUP_TAG, [data, *pictures])

    @contextlib.contextmanager
    def write(self, writer, step, snapshot, *, baseline, last):
        """Writes the records of a snapshot, around what a `with` block writes for the same step.

        The maps are written first. The record of predictions and metrics follows the block, if
        the block succeeds: to readers, a step with this record is complete.

        Args:
            writer: `AttentionWriter`.
            step: integer.
            snapshot: `Snapshot`, with details.
            baseline: the `Snapshot` before training, which may be this one, or None.
            last: the `Snapshot` logged before, or None.
        """
        is_baseline = snapshot is baseline
        if is_baseline or (step + 1) % self._full_every_epochs == 0:
            self._write_full(writer, step)
        since = self._write_maps(writer, step, snapshot)
        yield
        series = self._series.values(snapshot, baseline=baseline, last=last)
        fields = {"step": step, "wall_time": time.time(), "is_baseline": is_baseline}
        record = _epoch_record(len(self._probes), snapshot, series, {**fields, "since": since})
        writer.record(step, metadata.EPOCH_TAG, record)

    def size_lines(self, epochs, every_epochs):
        """Returns the lines to print before the training, see `size_estimate.size_lines`."""
        return size_lines(
            self._monitor,
            probes=len(self._probes),
            every_epochs=every_epochs,
            full_probes=len(self._full_probes),
            full_every_epochs=self._full_every_epochs,
            epochs=epochs,
        )

    def _write_full(self, writer, step):
        """Writes every head's whole map of the chosen probes, if there are any."""
        if not self._full_probes:
            return
        maps = [
            _quantized("full", self._token_sheets(layer))
            for probe in self._full_probes
            for layer in self._monitor.full_maps(probe)
        ]
        write_blobs(writer, step, metadata.FULL_TAG, maps, self._deduplicators[metadata.FULL_TAG])

    def _write_maps(self, writer, step, snapshot):
        """Writes heatmaps, heads and token maps; returns `Comparison.since` of the layers."""
        heads = self._heads(snapshot.measures) if self._layers else {}
        compared = self._compared(step, heads)
        for method, heat in snapshot.heatmaps.items():
            heat = self._monitor.sheet.laid(heat)
            data = pack(_quantized("heat", heat.reshape(len(heat), -1)), step=step)
            writer.record(step, metadata.heat_tag(method), data)
        if heads:
            write_layers(writer, step, metadata.HEADS_TAG, heads, compared, rows=self._rows)
        if ROLLOUT in self._monitor.methods:
            tag = metadata.tokens_tag(ROLLOUT)
            tokens = [
                _quantized("tokens", self._token_sheets(rows))
                for rows in snapshot.measures["tokens"]
            ]
            write_blobs(writer, step, tag, tokens, self._deduplicators[tag])
        return compared.since

    def _heads(self, found):
        """Returns the arrays of the heads' record, a dict of arrays `[probes, heads, ...]`.

        Spatial gates follow the attention layers, each as a layer with one head.
        """
        heads, others = [], []
        if "heads" in found:
            heads.append(found["heads"])
            others.append(found["others"])
        if "gate_maps" in found:
            maps = found["gate_maps"]
            maps = maps.reshape(*maps.shape[:2], -1)
            heads.append(maps @ self._head_cells.means())
            others.append(np.zeros(maps.shape[:2]))
        heads = self._sheets(np.concatenate(heads, axis=1), self._head_cells)
        others = np.float32(np.concatenate(others, axis=1))
        return {**_quantized("heads", heads), "others": others}

    @property
    def _rows(self):
        """Each layer's rows among the rows of all heads, a list of slices."""
        ends = itertools.accumulate(layer["heads"] for layer in self._layers)
        return [
            slice(end - layer["heads"], end) for layer, end in zip(self._layers, ends, strict=True)
        ]

    def _compared(self, step, heads):
        """Returns the `Comparison` of the layers with earlier steps, over all probes."""
        parts = [[array[:, rows] for array in heads.values()] for rows in self._rows]
        return self._deduplicators[metadata.HEADS_TAG].compare(step, parts)

    def _sheets(self, values, cells):
        """Returns values `[..., cells]` of `Cells` in the order of the sheet's cells."""
        laid = self._monitor.sheet.laid(values.reshape(*values.shape[:-1], *cells.grid))
        return laid.reshape(*values.shape[:-1], -1)

    def _token_sheets(self, rows):
        """Returns values `[..., cells, cells]` in the order of the sheet's cells, both axes."""
        cells = self._monitor.attention_measures.token_cells
        rows = np.swapaxes(self._sheets(rows, cells), -1, -2)
        return np.swapaxes(self._sheets(rows, cells), -1, -2)


def chosen_probes(chosen, names, attention_tab):
    """Returns the indices of the probes whose whole attention is logged, a tuple.

    Args:
        chosen: sequence of names or indices, the callback's `full_probes`.
        names: the names of all probes.
        attention_tab: whether the records of the Attention tab are logged.

    Raises:
        TypeError: `chosen` is a text or a number.
        ValueError: `chosen` has a probe that doesn't exist; or any probe, without the tab.
    """
    if isinstance(chosen, (str, int)):
        raise TypeError(message("full_probes", "a list of names or indices", chosen))
    if chosen and not attention_tab:
        must = "empty if `attention_tab` is False"
        raise ValueError(message("full_probes", must, list(chosen)))
    indices = []
    for probe in chosen:
        if probe in names:
            indices.append(names.index(probe))
        elif is_integer(probe) and -len(names) <= probe < len(names):
            indices.append(int(probe) % len(names))
        else:
            must = f"names of probes or indices in [{-len(names)}, {len(names)})"
            raise ValueError(message("full_probes", must, probe, f"Names: {', '.join(names)}."))
    return tuple(dict.fromkeys(indices))


def _epoch_record(count, snapshot, series, fields):
    """Returns the packed record of predictions and metrics of `count` probes, bytes."""
    classes, confidences, of_labels = (
        np.full(count, missing) if values is None else values
        for values, missing in (
            (snapshot.classes, -1),
            (snapshot.confidences, np.nan),
            (snapshot.label_confidences, np.nan),
        )
    )
    arrays = {
        "classes": np.int32(classes),
        "confidence": np.float32(confidences),
        "label_confidence": np.float32(of_labels),
        **{f"series/{name}": np.float32(values) for name, values in series.items()},
    }
    return pack(arrays, **fields)


def _quantized(name, values):
    """Returns the arrays of quantized values, a dict: uint8 codes and each row's highest value."""
    codes, highest = quantize(values)
    return {name: codes, f"{name}/highest": highest}
