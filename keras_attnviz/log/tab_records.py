"""Snapshots to the records of the Attention tab; docs/log-format.md has the format."""

import collections
import itertools
import json
import time

import numpy as np

from keras_attnviz._checks import is_integer, message
from keras_attnviz.drawing import render
from keras_attnviz.log.deduplication import Unchanged, write_blobs, write_layers
from keras_attnviz.log.size_estimate import size_lines
from keras_attnviz.log.tab_series import TabSeries
from keras_attnviz.methods.registry import shown
from keras_attnviz.monitor.gate_measures import BINS
from keras_attnviz.monitor.grid_cells import Cells
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import pack, quantize

ROLLOUT = "rollout"


class TabRecords:
    """Makes the records of one training.

    Args:
        monitor: the `ProbeMonitor`, with details.
        probes: the `ProbeSet`.
        colors: the `ColorScale` that the tab begins with.
        full_probes: indices of the probes whose full attention is logged.
        full_every_epochs: how often that is.
    """

    def __init__(self, monitor, probes, colors, *, full_probes=(), full_every_epochs=5):
        self._monitor, self._probes, self._colors = monitor, probes, colors
        self._full_probes, self._full_every_epochs = tuple(full_probes), full_every_epochs
        self._series = TabSeries(monitor, probes.masks)
        self._layers = [_layer(found) for found in monitor.attention_model.maps]
        self._layers += [_spatial(gate) for gate in monitor.gate_measures.gates if gate.is_spatial]
        self._unchanged = collections.defaultdict(Unchanged)
        grid = monitor.grid or (1, 1)
        self._head_cells = (
            Cells(grid, 1)
            if monitor.attention_measures is None
            else monitor.attention_measures.head_cells
        )

    def write_setup(self, writer, step):
        """Writes what stays the same over the epochs, and the probes' pictures.

        That is once for each file of the log; what is written later refers to that file alone.
        """
        self._unchanged = collections.defaultdict(Unchanged)
        shown = map(self._monitor.sheet.picture, self._probes.display)
        pictures = [render.png_bytes(picture) for picture in shown]
        setup = json.dumps(self._setup(), allow_nan=False).encode()
        writer.blobs(step, metadata.SETUP_TAG, [setup, *pictures])

    def write_maps(self, writer, step, snapshot):
        """Writes what a snapshot shows: heatmaps, heads and token maps.

        Args:
            writer: `AttentionWriter`.
            step: integer.
            snapshot: `Snapshot`, with details.

        Returns:
            for each layer the step since which its maps have been the same, a list.
        """
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
            write_blobs(writer, step, tag, tokens, self._unchanged[tag])
        return compared.since

    def write_epoch(self, writer, step, snapshot, *, since, baseline, last):
        """Writes predictions and metrics of a snapshot.

        That is to be done last, because readers take a step that has them for one that was logged.

        Args:
            writer: `AttentionWriter`.
            step: integer.
            snapshot: `Snapshot`, with details.
            since: what `write_maps` has returned.
            baseline: the `Snapshot` before training, which may be this one, or None.
            last: the one logged before, or None.
        """
        series = self._series.values(snapshot, baseline=baseline, last=last)
        fields = {"step": step, "wall_time": time.time(), "is_baseline": snapshot is baseline}
        record = _epoch_record(len(self._probes), snapshot, series, {**fields, "since": since})
        writer.record(step, metadata.EPOCH_TAG, record)

    def write_full(self, writer, step):
        """Writes every head's whole map of the chosen probes."""
        maps = [
            _quantized("full", self._token_sheets(layer))
            for probe in self._full_probes
            for layer in self._monitor.full_maps(probe)
        ]
        write_blobs(writer, step, metadata.FULL_TAG, maps, self._unchanged[metadata.FULL_TAG])

    def size_lines(self, epochs, every_epochs):
        """Returns what is to be told before the training, see `sizes.size_lines`."""
        return size_lines(
            self._monitor,
            probes=len(self._probes),
            every_epochs=every_epochs,
            full_probes=len(self._full_probes),
            full_every_epochs=self._full_every_epochs,
            epochs=epochs,
        )

    def _heads(self, found):
        """Returns what is logged of layers and heads, a dict of arrays `[probes, heads, ...]`.

        Spatial gates follow the attention layers, each as a layer of one head.
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
        """The rows of each layer among those of all heads, a list of slices."""
        ends = itertools.accumulate(layer["heads"] for layer in self._layers)
        return [
            slice(end - layer["heads"], end) for layer, end in zip(self._layers, ends, strict=True)
        ]

    def _compared(self, step, heads):
        """Returns the layers' `Comparison` with what was written before, all probes together."""
        parts = [[array[:, rows] for array in heads.values()] for rows in self._rows]
        return self._unchanged[metadata.HEADS_TAG].compare(step, parts)

    def _sheets(self, values, cells):
        """Returns values `[..., cells]` of `Cells` in the order of the sheet's cells."""
        laid = self._monitor.sheet.laid(values.reshape(*values.shape[:-1], *cells.grid))
        return laid.reshape(*values.shape[:-1], -1)

    def _token_sheets(self, rows):
        """Returns values `[..., cells, cells]` in the order of the sheet's cells, both axes."""
        cells = self._monitor.attention_measures.token_cells
        rows = np.swapaxes(self._sheets(rows, cells), -1, -2)
        return np.swapaxes(self._sheets(rows, cells), -1, -2)

    def _setup(self):
        monitor, probes = self._monitor, self._probes
        model, measures, layout = (
            monitor.attention_model,
            monitor.attention_measures,
            monitor.attention_model.layout,
        )
        labels = [None] * len(probes) if probes.labels is None else map(int, probes.labels)
        sheet = monitor.sheet
        grid = list(sheet.grid(monitor.grid or (1, 1)))
        limits = {name: shown(name).color_limit for name in monitor.heatmap_names}
        of_tokens = {"token_grid": grid, "prefix": 0, "suffix": 0, "readout": "", "uniform": 1.0}
        if measures is not None:
            of_tokens = {
                "token_grid": list(sheet.grid(measures.token_cells.grid)),
                "prefix": layout.prefix,
                "suffix": layout.suffix,
                "readout": layout.readout_text(),
                "uniform": 1 / layout.tokens,
            }
        return {
            "version": metadata.FORMAT_VERSION,
            "model": model.model.name,
            "grid": grid,
            "head_grid": list(sheet.grid(self._head_cells.grid)),
            **of_tokens,
            "frames": monitor.frames,
            "layers": self._layers,
            "gates": [_gate(gate) for gate in model.gates],
            "gate_bins": BINS,
            "methods": monitor.heatmap_names,
            "token_methods": [name for name in monitor.methods if name == ROLLOUT],
            "method_titles": {name: shown(name).title for name in monitor.heatmap_names},
            "absolute_methods": [name for name in monitor.heatmap_names if not shown(name).unit],
            "rollout": monitor.options,
            "probes": [
                {"name": name, "label": label}
                for name, label in zip(probes.names, labels, strict=True)
            ],
            "class_names": probes.class_names and list(probes.class_names),
            "colors": {
                "limit": self._colors.limit,
                "limits": {name: limit for name, limit in limits.items() if limit},
                "map": self._colors.color_map,
                "opacity": self._colors.opacity,
            },
            "series": self._series.described(),
            "full": {
                "probes": list(self._full_probes),
                "every_epochs": self._full_every_epochs,
            }
            if self._full_probes
            else None,
        }


def chosen_probes(chosen, names, attention_tab):
    """Returns the indices of the probes whose whole attention is logged.

    Args:
        chosen: sequence of names or indices, the callback's `full_probes`.
        names: the names of all probes.
        attention_tab: whether anything is logged for the tab.

    Raises:
        TypeError: `chosen` is one text or number.
        ValueError: a probe that isn't there; or any, without the tab.
    """
    if isinstance(chosen, (str, int)):
        raise TypeError(message("full_probes", "a list of names or indices", chosen))
    if chosen and not attention_tab:
        must = "empty where `attention_tab` is False"
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


def _layer(found):
    """Returns what the setup says of one `AttentionMap`."""
    return {
        "path": found.layer,
        "kind": found.kind,
        "heads": found.heads,
        "trainable": found.trainable,
    }


def _gate(gate):
    """Returns what the setup says of one `Gate`."""
    return {
        "path": gate.layer,
        "kind": gate.kind,
        "channels": gate.channels,
        "grid": list(gate.grid),
        "trainable": gate.trainable,
    }


def _spatial(gate):
    """Returns what the setup says of a spatial `Gate` among the layers."""
    return {
        "path": gate.layer,
        "kind": "spatial gate",
        "heads": 1,
        "trainable": gate.trainable,
        "is_absolute": True,
    }


def _epoch_record(count, snapshot, series, fields):
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
    codes, highest = quantize(values)
    return {name: codes, f"{name}/highest": highest}
