"""Attention log: the Attention tab's data as arrays, which `read_log` reads from a directory."""

import dataclasses
import math
import os

import numpy as np

from keras_attnviz._checks import message
from keras_attnviz.log.deduplication import reference
from keras_attnviz.log.event_writer import RUN
from keras_attnviz.log.run_records import run_records
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import dequantize, unpack


@dataclasses.dataclass(frozen=True)
class AttentionLog:
    """A log of the Attention tab. All attention is a multiple of uniform attention.

    Args:
        setup: dict, see docs/log-format.md.
        pictures: list of bytes, each probe's picture as PNG.
        steps: int array `[steps]`, ascending. The baseline's step precedes the first epoch's.
        records: dict from step to a dict from tag to a list of bytes, the blobs as logged.
        problems: list of texts, one for each part that could not be read.
    """

    setup: dict
    pictures: list
    steps: np.ndarray
    records: dict = dataclasses.field(repr=False)
    problems: list

    @property
    def probes(self):
        """The probes' names, a list of texts."""
        return [probe["name"] for probe in self.setup["probes"]]

    def predictions(self):
        """Returns predictions at all steps.

        Returns:
            dict of arrays `[steps, probes]`: `classes` int32, -1 where there is none;
            `confidence` and `label_confidence` float32 in [0, 1], NaN where there is none.
        """
        found = [self._epoch(step) for step in self.steps]
        names = ("classes", "confidence", "label_confidence")
        return {name: np.stack([arrays[name] for arrays in found]) for name in names}

    def series(self, name):
        """Returns a metric at all steps, float32 `[steps, ...]`; the setup lists its axes.

        Raises:
            ValueError: the log has no metric of that name.
        """
        known = [item["name"] for item in self.setup["series"]]
        if name not in known:
            raise ValueError(message("name", f"one of {', '.join(known)}", name))
        found = [self._epoch(step).get(f"series/{name}") for step in self.steps]
        steps = self.steps.tolist()
        missing = [step for step, values in zip(steps, found, strict=True) if values is None]
        if missing:
            raise ValueError(f"The log has no {name!r} at the steps {missing}.")
        return np.stack(found)

    def heatmaps(self, method="rollout"):
        """Returns the heatmaps, float32 `[steps, probes, grid_height, grid_width]`.

        The maps of videos are contact sheets here and below, see docs/log-format.md.
        """
        self._check_method(method)
        tag = metadata.heat_tag(method)
        shape = (len(self.probes), *self.setup["grid"])
        return np.stack([_values(self._record(step, tag), "heat", shape) for step in self.steps])

    def heads(self, step, probe):
        """Returns the read-out's attention in each layer and head.

        Args:
            step: one of `steps`.
            probe: index or name.

        Returns:
            list, bottom layer first, of float32 arrays `[heads, height, width]` on `head_grid`.
        """
        layers = range(len(self.setup["layers"]))
        data, kept, changed = self._parts(step, metadata.HEADS_TAG, self._index(probe))
        if kept is None:
            return self._split(data, layers)
        found = self._split(kept, layers)
        if changed:
            own = self._split(data, changed)
            found = [own[changed.index(i)] if i in changed else found[i] for i in layers]
        return found

    def token_maps(self, step, probe, method="rollout"):
        """Returns the attention from every patch to every patch.

        Args:
            step: one of `steps`.
            probe: index or name.
            method: one of the setup's `methods`.

        Returns:
            float32 array `[height, width, height, width]` on `token_grid`: the patch at the first
            two indices attends to the patch at the last two.
        """
        self._check_method(method)
        data = self._whole(step, metadata.tokens_tag(method), self._index(probe))
        return _values(data, "tokens", tuple(self.setup["token_grid"] * 2))

    def full_attention(self, step, probe, layer):
        """Returns the attention from every patch to every patch in each head of one layer.

        Returns:
            float32 array `[heads, height, width, height, width]` on `token_grid`.

        Raises:
            ValueError: whole attention was not logged for the probe, or not at that step.
        """
        chosen = (self.setup["full"] or {"probes": []})["probes"]
        index, layers = self._index(probe), len(self.setup["layers"])
        if index not in chosen:
            must = f"one of those that `full_probes` named, {chosen}"
            raise ValueError(message("probe", must, probe))
        blob = chosen.index(index) * layers + range(layers)[layer]
        heads = self.setup["layers"][layer]["heads"]
        shape = (heads, *self.setup["token_grid"] * 2)
        return _values(self._whole(step, metadata.FULL_TAG, blob), "full", shape)

    def unchanged_since(self, step):
        """Returns the step since which each layer's heads have been the same for all probes.

        Args:
            step: one of `steps`.

        Returns:
            list of steps, bottom layer first: `step` itself if the layer has just changed, else an
            earlier step in the same event file. None for logs of version 1, which don't hold it.
        """
        _, fields = unpack(self._record(step, metadata.EPOCH_TAG))
        return fields.get("since")

    def _split(self, data, layers):
        """Returns a list of the maps of the layers in a record of heads."""
        counts = [self.setup["layers"][layer]["heads"] for layer in layers]
        values = _values(data, "heads", (sum(counts), *self.setup["head_grid"]))
        return np.split(values, np.cumsum(counts)[:-1])

    def _parts(self, step, tag, index):
        """Returns `(data, kept, changed)`: a blob's bytes, the kept blob's, and the blob's layers.

        The last two are None if the blob is whole.
        """
        data = self._blob(step, tag, index)
        found = reference(data, layers=len(self.setup["layers"]))
        if found is None:
            return data, None, None
        (at, changed), kept = found, metadata.kept_tag(tag)
        blobs = self.records.get(at, {}).get(kept, [])
        if at > step or index >= len(blobs) or reference(blobs[index], layers=0) is not None:
            raise ValueError(
                f"A record of {tag} at step {step} refers to one of {kept} at step {at}, which "
                "the log does not have."
            )
        return data, blobs[index], changed

    def _whole(self, step, tag, index):
        """Returns the bytes of a blob, or those of the kept blob if it refers to one."""
        data, kept, changed = self._parts(step, tag, index)
        if changed:
            raise ValueError(f"A record of {tag} at step {step} names layers: {changed[:5]}.")
        return data if kept is None else kept

    def _epoch(self, step):
        arrays, _ = unpack(self._record(step, metadata.EPOCH_TAG))
        return arrays

    def _record(self, step, tag):
        return self._blob(step, tag, 0)

    def _blob(self, step, tag, index):
        if step not in self.records:
            must = f"one of the logged steps, {self.steps.tolist()}"
            raise ValueError(message("step", must, step))
        blobs = self.records[step].get(tag)
        if blobs is None:
            logged = [known for known in self.steps.tolist() if tag in self.records[known]]
            raise ValueError(message("step", f"one at which {tag} was logged, {logged}", step))
        if index >= len(blobs):
            raise ValueError(f"The log has {len(blobs)} blobs of {tag} at step {step}, no {index}.")
        return blobs[index]

    def _index(self, probe):
        if probe in self.probes:
            return self.probes.index(probe)
        try:
            return range(len(self.probes))[probe]
        except (TypeError, IndexError):
            must = f"an index below {len(self.probes)} or one of {', '.join(self.probes)}"
            raise ValueError(message("probe", must, probe)) from None

    def _check_method(self, method):
        methods = self.setup["methods"]
        if method not in methods:
            raise ValueError(message("method", f"one of {', '.join(methods)}", method))


def read_log(log_dir):
    """Returns what `AttentionRolloutCallback` logged for the Attention tab.

    If a resumed training repeated epochs, the log holds the ones written last.

    Args:
        log_dir: path of the callback's log directory, or of the run `attention` in it.

    Returns:
        An `AttentionLog`.

    Raises:
        ValueError: there is no such log, or it has a newer format.
    """
    log_dir = os.fspath(log_dir)
    run = os.path.join(log_dir, RUN)
    setup, pictures, records, problems = run_records(run if os.path.isdir(run) else log_dir)
    if setup is None:
        must = "a directory that `AttentionRolloutCallback` has logged into"
        raise ValueError(message("log_dir", must, log_dir, "\n".join(problems)))
    steps = sorted(step for step, tags in records.items() if metadata.EPOCH_TAG in tags)
    return AttentionLog(setup, pictures, np.array(steps), records, problems)


def _values(data, name, shape):
    """Returns a record's values, float32 in a shape that follows from the setup."""
    arrays, _ = unpack(data)
    codes, highest = arrays.get(name), arrays.get(f"{name}/highest")
    fits = codes is not None and codes.dtype == np.uint8 and codes.size == math.prod(shape)
    if not fits or highest is None or highest.shape != codes.shape[:-1]:
        raise ValueError(f"A record of {name!r} doesn't fit the log's setup: {list(shape)}.")
    return dequantize(codes, highest).reshape(shape)
