"""The history of a training: its baseline and last snapshots, in memory and beside the log.

Later epochs are compared with them, even after the training was killed and restarted.
"""

import io
import json
import os

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.log.event_writer import RUN
from keras_attnviz.monitor.scalars import snapshot_scalars
from keras_attnviz.monitor.snapshot import Snapshot

# The measures of the baseline that later ones are compared with.
_COMPARED, _PROFILES = ("gate_maps", "heads"), "gate_profile/"
_BASELINE, _LAST = "baseline.npz", "last.npz"


class History:
    """The baseline of a training and the last snapshots that were measured.

    `History.begin` and `History.resume` make one. A killed training leaves its files intact: each
    is written under another name and then renamed, so it is either old or new, never partial. The
    files hold only numbers and texts, no code.

    Attributes:
        baseline: the `Snapshot` before training, or None if it isn't known.
        last: the `Snapshot` that the next one is compared with, or None.
        before: the `Snapshot` that `last` was compared with, or None.
        scalars: dict from name to float, the scalars of the snapshot measured last; empty if
            measuring it failed.
        logged: for a resumed training, the last step that was logged before it; None if it isn't
            known.
        is_continued: whether an earlier fit of the same callback left its last snapshot.
    """

    def __init__(self, log_dir, monitor, *, baseline=None, last=None, scalars=None, recent=None):
        self._log_dir, self._monitor = log_dir, monitor
        self._identity = _identity_of(monitor)
        # From the last two kept steps to their heatmaps.
        self._recent = recent or {}
        self.baseline, self.last, self.before = baseline, last, None
        self.scalars = scalars or {}
        self.logged, self.is_continued = None, last is not None

    @classmethod
    def begin(cls, log_dir, monitor):
        """Returns the history of a new training; the state of the model now is its baseline.

        Args:
            log_dir: path of the log directory.
            monitor: the `ProbeMonitor` that takes the snapshots.
        """
        history = cls(log_dir, monitor, baseline=monitor.snapshot())
        history._take(history.baseline)
        return history

    @classmethod
    def resume(cls, log_dir, monitor, *, epoch, earlier=None):
        """Returns the history of a training that resumes at an epoch; measures nothing.

        What no earlier fit has left is read from the files beside the log. A file of another
        model or with other options counts as missing.

        Args:
            log_dir: path of the log directory.
            monitor: the `ProbeMonitor` that takes the snapshots.
            epoch: integer, the first epoch.
            earlier: the `History` of an earlier fit of the same model, or None.

        Raises:
            ValueError: a file has other probes.
        """
        identity = _identity_of(monitor)
        recent = _recent_heat(_read(log_dir, _LAST, identity) or {})
        known = [] if earlier is None else [earlier.baseline, earlier.last, earlier.scalars]
        baseline, last, scalars = known or (None, None, None)
        if baseline is None:
            baseline = _baseline_of(_read(log_dir, _BASELINE, identity))
        history = cls(
            log_dir, monitor, baseline=baseline, last=last, scalars=scalars, recent=recent
        )
        history.logged = max((step for step in recent if step < epoch), default=None)
        if last is None and history.logged is not None:
            history.last = Snapshot(recent[history.logged], np.float32([]), None, None)
        return history

    def measure(self, *, is_logged=True):
        """Returns a `Snapshot` of the model as it is now, and sets `scalars`.

        Args:
            is_logged: whether the snapshot will be logged. If not, the next one is compared with
                the one logged before, if there is one.
        """
        self.scalars = {}
        snapshot = self._monitor.snapshot()
        self._take(snapshot, is_logged=is_logged)
        return snapshot

    def keep(self, step, snapshot):
        """Writes the files beside the log, once a step is completely logged.

        The heatmaps of the step before are kept too: a training may resume one epoch earlier.

        Raises:
            OSError, tf.errors.OpError: a file can't be written.
        """
        if snapshot is self.baseline:
            self._recent = {}
            self._write(_BASELINE, _baseline_arrays(snapshot))
        before = {known: heat for known, heat in self._recent.items() if known < step}
        self._recent = {**dict(sorted(before.items())[-1:]), step: snapshot.heatmaps}
        arrays = {
            f"{number}/{method}": maps
            for number, heat in self._recent.items()
            for method, maps in heat.items()
        }
        self._write(_LAST, arrays)

    def _take(self, snapshot, *, is_logged=True):
        """Sets the scalars of a snapshot, and which snapshot the next one is compared with."""
        self.scalars = snapshot_scalars(snapshot, baseline=self.baseline, last=self.last)
        if is_logged or self.last is None:
            self.before, self.last = self.last, snapshot

    def _write(self, name, arrays):
        """Writes a file under another name, and renames it."""
        data = io.BytesIO()
        np.savez(data, identity=json.dumps(self._identity), **arrays)
        path = os.path.join(self._log_dir, RUN, name)
        unfinished = f"{path}.{os.getpid()}.unfinished"
        with tf.io.gfile.GFile(unfinished, "wb") as file:
            file.write(data.getvalue())
        tf.io.gfile.rename(unfinished, path, overwrite=True)


def _identity_of(monitor):
    """Returns what snapshots must have in common to be compared, as it is read from a file."""
    return json.loads(json.dumps(monitor.identity(), default=str))


def _read(log_dir, name, identity):
    """Returns a file's arrays, a dict; None if it is missing or has another identity."""
    path = os.path.join(log_dir, RUN, name)
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            data = io.BytesIO(file.read())
        with np.load(data, allow_pickle=False) as found:
            arrays = dict(found)
        kept = json.loads(str(arrays.pop("identity")))
        probes = kept["probes"]
    # NumPy raises errors of several kinds for a file that it can't read.
    except Exception:
        return None
    if probes != identity["probes"]:
        must = f"the images that the log in {log_dir!r} was started with"
        remedy = "Pass the same ones, or another `log_dir` for a new run."
        raise ValueError(message("probes", must, "other images", remedy))
    return arrays if kept == identity else None


def _baseline_arrays(snapshot):
    """Returns the arrays of a `Snapshot` for the baseline's file, a dict."""
    measures = {
        f"measures/{name}": values
        for name, values in snapshot.measures.items()
        if name in _COMPARED or name.startswith(_PROFILES)
    }
    heat = {f"heat/{method}": maps for method, maps in snapshot.heatmaps.items()}
    return {**heat, "entropy": snapshot.entropy, **measures}


def _baseline_of(arrays):
    """Returns the `Snapshot` in the baseline's file, with what drift needs, or None."""
    if arrays is None:
        return None
    heat, measures = _by_prefix(arrays, "heat/"), _by_prefix(arrays, "measures/")
    return Snapshot(heat, arrays["entropy"], None, None, measures=measures)


def _recent_heat(arrays):
    """Returns the heatmaps in `_LAST`, a dict from step to a dict from method to array."""
    steps = {name.split("/")[0] for name in arrays}
    return {int(step): _by_prefix(arrays, f"{step}/") for step in steps}


def _by_prefix(arrays, prefix):
    """Returns the arrays whose names begin with a prefix, a dict from the rest of the name."""
    return {
        name.removeprefix(prefix): values
        for name, values in arrays.items()
        if name.startswith(prefix)
    }
