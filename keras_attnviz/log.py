"""What the Attention tab shows, read back from event files as arrays."""

import dataclasses
import glob
import json
import os

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto import event_pb2
from tensorboard.util import tensor_util

from keras_attnviz._checks import message
from keras_attnviz.events import RUN
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import PackingError, dequantize, unpack


@dataclasses.dataclass(frozen=True)
class AttentionLog:
    """A log of the Attention tab. All attention is in times uniform attention.

    Args:
        setup: dict, see docs/log-format.md.
        pictures: list of bytes, each probe's picture as PNG.
        steps: int array `[steps]`, ascending; the baseline stands before the first epoch's.
        records: dict from step to a dict from tag to the bytes that were logged.
        problems: list of texts, what could not be read.
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
        """Returns a metric at all steps, float32 `[steps, ...]`, axes as the setup says.

        Raises:
            ValueError: the log has no metric of that name.
        """
        known = [item["name"] for item in self.setup["series"]]
        if name not in known:
            raise ValueError(message("name", f"one of {', '.join(known)}", name))
        return np.stack([self._epoch(step)[f"series/{name}"] for step in self.steps])

    def heatmaps(self, method="rollout"):
        """Returns the heatmaps, float32 `[steps, probes, grid_height, grid_width]`."""
        self._check_method(method)
        tag = metadata.heat_tag(method)
        found = [_values(self._record(step, tag), "heat") for step in self.steps]
        return np.stack(found).reshape(len(found), -1, *self.setup["grid"])

    def heads(self, step, probe):
        """Returns what the read-out attends to in each layer and head.

        Args:
            step: one of `steps`.
            probe: index or name.

        Returns:
            list, bottom layer first, of float32 arrays `[heads, height, width]` on `head_grid`.
        """
        values = _values(self._blob(step, metadata.HEADS_TAG, self._index(probe)), "heads")
        ends = np.cumsum([layer["heads"] for layer in self.setup["layers"]])[:-1]
        return np.split(values.reshape(-1, *self.setup["head_grid"]), ends)

    def token_maps(self, step, probe, method="rollout"):
        """Returns where the patches attend.

        Args:
            step: one of `steps`.
            probe: index or name.
            method: one of the setup's `methods`.

        Returns:
            float32 array `[height, width, height, width]` on `token_grid`, from the first two to
            the last two.
        """
        self._check_method(method)
        data = self._blob(step, metadata.tokens_tag(method), self._index(probe))
        return _values(data, "tokens").reshape(*self.setup["token_grid"] * 2)

    def full_attention(self, step, probe, layer):
        """Returns where the patches attend in each head of one layer.

        Returns:
            float32 array `[heads, height, width, height, width]` on `token_grid`.

        Raises:
            ValueError: that was not logged for the probe, or not at that step.
        """
        chosen = (self.setup["full"] or {"probes": []})["probes"]
        index, layers = self._index(probe), len(self.setup["layers"])
        if index not in chosen:
            must = f"one of those that `full_probes` named, {chosen}"
            raise ValueError(message("probe", must, probe))
        blob = chosen.index(index) * layers + range(layers)[layer]
        values = _values(self._blob(step, metadata.FULL_TAG, blob), "full")
        return values.reshape(-1, *self.setup["token_grid"] * 2)

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
    """Returns what `AttentionRolloutCallback` has logged for the Attention tab.

    Of a training that was resumed, what it repeated is given as logged last.

    Args:
        log_dir: path of the log directory that the callback was given, or of its run
            `attention`.

    Returns:
        `AttentionLog`.

    Raises:
        ValueError: there is no such log, or it is of a newer format.
    """
    log_dir = os.fspath(log_dir)
    run = os.path.join(log_dir, RUN)
    folder = run if os.path.isdir(run) else log_dir
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*tfevents*")))
    records, problems = {}, []
    for path in paths:
        _read_file(path, records, problems)
    setups = [
        tags[metadata.SETUP_TAG]
        for _, tags in sorted(records.items())
        if metadata.SETUP_TAG in tags
    ]
    if not setups:
        must = "a directory that `AttentionRolloutCallback` has logged into"
        raise ValueError(message("log_dir", must, log_dir, "\n".join(problems)))
    setup = json.loads(setups[-1][0])
    if setup["version"] > metadata.FORMAT_VERSION:
        raise ValueError(
            f"The log in {folder!r} is of format {setup['version']}; this version of keras_attnviz "
            f"reads up to {metadata.FORMAT_VERSION}. Install a newer one."
        )
    steps = sorted(step for step, tags in records.items() if metadata.EPOCH_TAG in tags)
    return AttentionLog(setup, list(setups[-1][1:]), np.array(steps), records, problems)


def _read_file(path, records, problems):
    """Adds a file's records to a dict from step to tag to a list of bytes."""
    try:
        for event in EventFileLoader(path).Load():
            if event.session_log.status == event_pb2.SessionLog.START:
                for step in [step for step in records if step >= event.step]:
                    del records[step]
            for value in event.summary.value:
                if value.tag.startswith(metadata.TAGS):
                    _keep(records, event.step, value, problems)
    except Exception as error:  # TensorBoard's reader raises errors of several kinds.
        problems.append(f"{path}: {type(error).__name__}: {error}")


def _keep(records, step, value, problems):
    blobs = tensor_util.make_ndarray(value.tensor).ravel().tolist()
    try:
        if value.tag != metadata.SETUP_TAG:
            for blob in blobs:
                unpack(blob)
        records.setdefault(step, {})[value.tag] = blobs
    except PackingError as error:
        problems.append(f"{value.tag} at step {step}: {error}")


def _values(data, name):
    arrays, _ = unpack(data)
    return dequantize(arrays[name], arrays[f"{name}/highest"])
