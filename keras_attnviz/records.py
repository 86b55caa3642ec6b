"""Snapshots to the records of the Attention tab; docs/log-format.md has the format."""

import json
import time
import warnings

import numpy as np

from keras_attnviz import render
from keras_attnviz.cells import mask_shares
from keras_attnviz.metrics import jensen_shannon_divergence, localization
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import pack, quantize

METHOD = "rollout"

_SHARE, _OPEN = [0.0, 1.0], [0.0, None]
SERIES = (
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
        "range": _SHARE,
        "description": "Jensen-Shannon divergence of the heatmap from that before training.",
    },
    {
        "name": "drift_from_last",
        "title": "Drift from the epoch logged before",
        "unit": "",
        "axes": ["probe"],
        "range": _SHARE,
        "description": "Jensen-Shannon divergence of the heatmap from the one logged before.",
    },
    {
        "name": "layer_drift",
        "title": "Change of layers and heads",
        "unit": "",
        "axes": ["layer", "head"],
        "range": _SHARE,
        "description": "Jensen-Shannon divergence of each head from the baseline.",
    },
    {
        "name": "sinks",
        "title": "Sink share",
        "unit": "",
        "axes": ["layer"],
        "range": _SHARE,
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
        self._masks = None
        if probes.masks is not None:
            grids = [monitor.attention_model.layout.grid, monitor.measures.head_cells.grid]
            self._masks = [mask_shares(probes.masks, grid) for grid in grids]

    def write_setup(self, writer, step):
        """Writes what stays the same over the epochs, and the probes' pictures."""
        pictures = [render.png_bytes(picture) for picture in self._probes.display]
        setup = json.dumps(self._setup(), allow_nan=False).encode()
        writer.blobs(step, metadata.SETUP_TAG, [setup, *pictures])

    def write(self, writer, step, snapshot, *, baseline, last, is_baseline=False):
        """Writes one snapshot.

        Args:
            writer: `AttentionWriter`.
            step: integer.
            snapshot: `Snapshot`, with details.
            baseline: the `Snapshot` before training, or None where it isn't known.
            last: the one logged before, or None.
            is_baseline: whether the snapshot is the baseline.
        """
        series = self._series(snapshot, baseline, last)
        fields = {"step": step, "wall_time": time.time(), "is_baseline": is_baseline}
        writer.record(step, metadata.EPOCH_TAG, _epoch_record(snapshot, series, fields))
        heat = snapshot.relative.reshape(len(snapshot.relative), -1)
        data = pack(_quantized("heat", heat), step=step)
        writer.record(step, metadata.heat_tag(METHOD), data)
        found = snapshot.measures
        heads = [
            pack({**_quantized("heads", heads), "others": np.float32(others)}, step=step)
            for heads, others in zip(found["heads"], found["others"], strict=True)
        ]
        writer.blobs(step, metadata.HEADS_TAG, heads)
        tokens = [pack(_quantized("tokens", rows), step=step) for rows in found["tokens"]]
        writer.blobs(step, metadata.tokens_tag(METHOD), tokens)

    def write_full(self, writer, step):
        """Writes every head's whole map of the chosen probes."""
        blobs = [
            pack(_quantized("full", layer), step=step)
            for probe in self._full_probes
            for layer in self._monitor.full_maps(probe)
        ]
        writer.blobs(step, metadata.FULL_TAG, blobs)

    def full_bytes(self):
        """Returns how many bytes `write_full` writes, but for a few."""
        cells = self._monitor.measures.token_cells.count
        heads = sum(found.heads for found in self._monitor.attention_model.maps)
        return len(self._full_probes) * heads * cells * (cells + 4)

    def _setup(self):
        model, measures = self._monitor.attention_model, self._monitor.measures
        layout, probes = model.layout, self._probes
        labels = [None] * len(probes) if probes.labels is None else map(int, probes.labels)
        return {
            "version": metadata.FORMAT_VERSION,
            "model": model.model.name,
            "grid": list(layout.grid),
            "head_grid": list(measures.head_cells.grid),
            "token_grid": list(measures.token_cells.grid),
            "prefix": layout.prefix,
            "suffix": layout.suffix,
            "readout": layout.readout_text(),
            "uniform": 1 / layout.tokens,
            "layers": [_layer(found) for found in model.maps],
            "methods": [METHOD],
            "rollout": self._monitor.options,
            "probes": [
                {"name": name, "label": label}
                for name, label in zip(probes.names, labels, strict=True)
            ],
            "class_names": probes.class_names and list(probes.class_names),
            "colors": {
                "limit": self._colors.limit,
                "map": self._colors.color_map,
                "opacity": self._colors.opacity,
            },
            "series": [*SERIES, *(_WITH_MASKS if self._masks else ())],
            "full": {
                "probes": list(self._full_probes),
                "every_epochs": self._full_every_epochs,
            }
            if self._full_probes
            else None,
        }

    def _series(self, snapshot, baseline, last):
        """Returns the metrics, a dict from name to float array."""
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


def _layer(found):
    """Returns what the setup says of one `AttentionMap`."""
    return {
        "path": found.layer,
        "kind": found.kind,
        "heads": found.heads,
        "trainable": found.trainable,
    }


def _epoch_record(snapshot, series, fields):
    count = len(snapshot.relative)
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
