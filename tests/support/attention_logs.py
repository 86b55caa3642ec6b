"""Logs of the Attention tab, as docs/log-format.md describes them, with made-up attention.

The maps are softmaxes of seeded logits. Each probe, layer and head has a spot on noise that wanders
and grows sharper over the epochs.
"""

import collections
import dataclasses
import io
import itertools
import json
import time

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.util import tensor_util

from keras_attnviz.log.deduplication import Deduplicator, write_blobs, write_layers
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import pack, quantize, unpack

RUN = "attention"
_numbers = itertools.count()


class EventFile:
    """An event file of the tab's data; `folder` is the run's folder."""

    def __init__(self, folder, *, version=metadata.FORMAT_VERSION):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{time.time():.0f}.test.{next(_numbers):06d}"
        self._version = str(version).encode()
        self._writer = tf.io.TFRecordWriter(str(self.path))
        self._add(0, file_version="brain.Event:2")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._writer.close()

    def start(self, step):
        """Writes the start of a training."""
        self._add(step, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def record(self, step, tag, data):
        """Writes a tensor of one string."""
        self.tensor(step, tag, tensor_util.make_tensor_proto(np.array(data, dtype=object)))

    def blobs(self, step, tag, parts):
        """Writes a blob sequence."""
        tensor = tensor_util.make_tensor_proto(np.array(parts, dtype=object))
        self.tensor(step, tag, tensor, summary_pb2.DATA_CLASS_BLOB_SEQUENCE)

    def tensor(self, step, tag, tensor, data_class=summary_pb2.DATA_CLASS_TENSOR, plugin=None):
        """Writes any tensor, of this tab unless another plugin is named."""
        content = summary_pb2.SummaryMetadata.PluginData(
            plugin_name=plugin or metadata.PLUGIN_NAME, content=self._version
        )
        described = summary_pb2.SummaryMetadata(plugin_data=content, data_class=data_class)
        value = summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=described)
        self._add(step, summary=summary_pb2.Summary(value=[value]))

    def _add(self, step, **content):
        event = event_pb2.Event(wall_time=time.time(), step=step, **content)
        self._writer.write(event.SerializeToString())


@dataclasses.dataclass(frozen=True)
class MadeUpTraining:
    """A training with made-up attention; equal arguments give equal arrays.

    Args:
        names: texts, one for each probe.
        class_names: texts.
        layers: number of layers.
        heads: number of heads in each layer.
        grid: `(rows, columns)` of patches.
        methods: texts.
        full_probes: indices of the probes whose whole maps are logged every other epoch.
        with_tokens: whether maps from every patch to every patch are logged.
        frozen: number of layers, from the bottom, whose attention never changes. If it isn't 0,
            unchanged parts are logged once. If all layers are frozen, that includes the maps from
            every patch.
        seed: integer.
    """

    names: tuple = ("crack 1", "crack 2", "cell 3")
    class_names: tuple = ("functional", "defective")
    layers: int = 2
    heads: int = 2
    grid: tuple = (3, 4)
    methods: tuple = ("rollout", "last layer")
    full_probes: tuple = ()
    with_tokens: bool = True
    frozen: int = 0
    seed: int = 0

    def write(self, file, steps, *, start=True):
        """Writes setup, epochs, heatmaps and blobs at `steps`; the training starts at the first."""
        steps = list(steps)
        if start:
            file.start(steps[0])
        pictures = [self.picture(probe) for probe in range(len(self.names))]
        setup = json.dumps(self.setup()).encode()
        file.blobs(steps[0], metadata.SETUP_TAG, [setup, *pictures])
        unchanged = collections.defaultdict(Deduplicator)
        for step in steps:
            compared = self._compared(unchanged, step)
            since = {} if compared is None else {"since": compared.since}
            file.record(step, metadata.EPOCH_TAG, self.epoch(step, **since))
            for method in self.methods:
                file.record(step, metadata.heat_tag(method), self.heat(step, method))
            probes = range(len(self.names))
            if compared is None:
                file.blobs(step, metadata.HEADS_TAG, [self.head_maps(step, p) for p in probes])
            else:
                arrays, rows = self._heads(step), self._rows()
                write_layers(file, step, metadata.HEADS_TAG, arrays, compared, rows=rows)
            for method in self.methods if self.with_tokens else ():
                maps = [self.token_maps(step, p, method) for p in probes]
                self._blobs(file, step, metadata.tokens_tag(method), maps, unchanged)
            if self.full_probes and step % 2 == 0:
                chosen = itertools.product(self.full_probes, range(self.layers))
                maps = [self.full_maps(step, *probe_and_layer) for probe_and_layer in chosen]
                self._blobs(file, step, metadata.FULL_TAG, maps, unchanged)

    def _blobs(self, file, step, tag, blobs, unchanged):
        if self.frozen:
            write_blobs(file, step, tag, [unpack(each)[0] for each in blobs], unchanged[tag])
        else:
            file.blobs(step, tag, blobs)

    def _compared(self, unchanged, step):
        if not self.frozen:
            return None
        parts = [[a[:, rows] for a in self._heads(step).values()] for rows in self._rows()]
        return unchanged[metadata.HEADS_TAG].compare(step, parts)

    def _heads(self, step):
        blobs = [unpack(self.head_maps(step, probe))[0] for probe in range(len(self.names))]
        return {name: np.stack([blob[name] for blob in blobs]) for name in blobs[0]}

    def _rows(self):
        return [slice(i * self.heads, (i + 1) * self.heads) for i in range(self.layers)]

    def setup(self):
        """Returns the setup, a dict."""
        grid = list(self.grid)
        layer = {"kind": "self-attention", "heads": self.heads, "trainable": True}
        described = {"unit": "", "range": [0, None], "description": ""}
        series = [
            {"name": "drift", "title": "Drift", "axes": ["probe"], **described},
            {"name": "entropy", "title": "Entropy", "axes": ["layer", "head"], **described},
        ]
        full = {"probes": list(self.full_probes), "every_epochs": 2} if self.full_probes else None
        return {
            "version": metadata.FORMAT_VERSION,
            "model": "sequential",
            "grid": grid,
            "head_grid": grid,
            "token_grid": grid,
            "prefix": 1,
            "suffix": 0,
            "readout": "class token",
            "uniform": 1 / (1 + self.cells),
            "layers": [
                {**layer, "path": f"vit/block_{index}", "trainable": index >= self.frozen}
                for index in range(self.layers)
            ],
            "methods": list(self.methods),
            "rollout": {
                "head_fusion": "mean",
                "discard_ratio": 0.0,
                "residual": 0.5,
                "start_layer": 0,
            },
            "probes": [{"name": name, "label": index % 2} for index, name in enumerate(self.names)],
            "class_names": list(self.class_names),
            "colors": {"limit": 4.0, "map": "inferno", "opacity": 0.6},
            "series": series,
            "full": full,
        }

    @property
    def cells(self):
        """Number of patches."""
        return self.grid[0] * self.grid[1]

    def picture(self, probe):
        """Returns a probe's picture as PNG: a shade that no other probe has, with a bright spot."""
        height, width = (16 * side for side in self.grid)
        pixels = np.full((height, width, 3), 40 + 7 * probe % 100, np.uint8)
        pixels[height // 4 : height // 2, width // 4 : width // 2, probe % 3] = 220
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "png")
        return data.getvalue()

    def epoch(self, step, **fields):
        """Returns the packed record of predictions and metrics."""
        count = len(self.names)
        random = self._random(step, 1)
        confidence = random.uniform(0.5, 1, count).astype(np.float32)
        classes = random.integers(len(self.class_names), size=count).astype(np.int32)
        right = classes == np.arange(count) % 2
        arrays = {
            "classes": classes,
            "confidence": confidence,
            "label_confidence": np.where(right, confidence, 1 - confidence),
            "series/drift": random.uniform(0, 1, count).astype(np.float32),
            "series/entropy": random.uniform(0, 1, (self.layers, self.heads)).astype(np.float32),
        }
        baseline = step < 0
        time_of_step = 1.8e9 + 60 * step
        return pack(arrays, step=step, wall_time=time_of_step, is_baseline=baseline, **fields)

    def heat(self, step, method):
        """Returns the packed heatmaps of all probes."""
        number = self.methods.index(method)
        return _quantized("heat", self.attention(len(self.names), step, 2, number), step=step)

    def head_maps(self, step, probe):
        """Returns one probe's packed maps of all layers and heads."""
        count = self.layers * self.heads
        frozen = self.frozen * self.heads
        maps = [self.attention(count, at, 3, probe) for at in (-1, step)]
        codes, highest = quantize(np.concatenate([maps[0][:frozen], maps[1][frozen:]]))
        others = np.full(count, 0.1, np.float32)
        return pack({"heads": codes, "heads/highest": highest, "others": others}, step=step)

    def token_maps(self, step, probe, method):
        """Returns one probe's packed maps from every patch."""
        number = self.methods.index(method)
        at = -1 if self.frozen == self.layers else step
        return _quantized("tokens", self.attention(self.cells, at, 4, probe, number), step=step)

    def full_maps(self, step, probe, layer):
        """Returns one probe's packed maps from every patch, in each head of a layer."""
        at = -1 if layer < self.frozen else step
        maps = self.attention(self.heads * self.cells, at, 5, probe, layer)
        return _quantized("full", maps.reshape(self.heads, self.cells, -1), step=step)

    def attention(self, count, step, *what):
        """Returns attention in multiples of uniform, float array `[count, cells]`."""
        rows, columns = np.indices(self.grid).reshape(2, 1, -1)
        centers = self._random(0, *what).uniform(0, 1, (2, count, 1))
        shifts = 0.2 * np.sin(0.1 * (step + 1) + 6 * centers[::-1])
        y, x = (centers + shifts) * np.reshape(self.grid, (2, 1, 1))
        distances = (rows - y) ** 2 + (columns - x) ** 2
        sharpness = (0.5 + min(step + 1, 50) / 20) / max(self.grid)
        noise = self._random(step, *what).normal(0, 0.3, (count, self.cells))
        weights = np.exp(-sharpness * distances + noise)
        return self.cells * weights / weights.sum(axis=-1, keepdims=True)

    def _random(self, step, *what):
        return np.random.default_rng([self.seed, step + 1, *what])


def _quantized(name, values, *, step):
    codes, highest = quantize(values)
    return pack({name: codes, f"{name}/highest": highest}, step=step)


def write_log(log_dir, steps, *, run=RUN, **options):
    """Writes a whole log and returns its `MadeUpTraining`, which gets the `options`."""
    training = MadeUpTraining(**options)
    with EventFile(log_dir / run) as file:
        training.write(file, steps)
    return training
