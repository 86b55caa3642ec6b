"""What a training has shown so far, which later epochs are compared with, also after a restart."""

import io
import json
import os

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.log.event_writer import RUN
from keras_attnviz.monitor.scalars import snapshot_scalars
from keras_attnviz.monitor.snapshot import Snapshot

# The measures that later ones are compared with.
_COMPARED, _PROFILES = ("gate_maps", "heads"), "gate_profile/"
_BASELINE, _LAST = "baseline.npz", "last.npz"


class Course:
    """The baseline of a training and the last snapshots that were measured.

    Attributes:
        baseline: the `Snapshot` before training, or None where it isn't known.
        last: the last `Snapshot`, or None.
        before: the one before that, or None.
        scalars: the last one's scalars, a dict from name to float.
    """

    def __init__(self):
        self._kept = None
        self.scalars = {}
        self.forget()

    def forget(self):
        """Forgets all snapshots."""
        self.baseline = self.last = self.before = None

    def attach(self, log_dir, monitor):
        """Says where snapshots are kept, and of which `ProbeMonitor` they are."""
        self._kept = KeptState(log_dir, monitor)

    def measure(self, snapshot):
        """Takes a snapshot, and its scalars by comparison with the baseline and the last one."""
        self.scalars = snapshot_scalars(snapshot, baseline=self.baseline, last=self.last)
        self.before, self.last = self.last, snapshot

    def resume(self, epoch):
        """Takes up what was kept before an epoch, where this object doesn't know it.

        Returns:
            the last step below `epoch` that was logged, or None where that isn't known. Its
            snapshot is `last` now, unless there was one.

        Raises:
            ValueError: what was kept is of other probes.
        """
        kept = self._kept.last(epoch)
        if self.baseline is None:
            self.baseline = self._kept.baseline()
        if kept is None:
            return None
        if self.last is None:
            self.last = kept[1]
        return kept[0]

    def keep(self, step, snapshot):
        """Keeps a snapshot that has been logged, for a training that is started again.

        Raises:
            OSError: it can't be written; also `tf.errors.OpError`.
        """
        if snapshot is self.baseline:
            self._kept.keep_baseline(snapshot)
        self._kept.keep_last(step, snapshot)


class KeptState:
    """The baseline of a log and its last heatmaps, in files that a killed training leaves whole.

    A file is written under another name and then renamed, so that there is the old one or the new
    one, never a part of one. They hold numbers and texts only, and no code.

    Args:
        log_dir: path of the log directory.
        monitor: the `ProbeMonitor` whose snapshots are kept.
    """

    def __init__(self, log_dir, monitor):
        self._folder, self._log_dir = os.path.join(log_dir, RUN), log_dir
        # As it is after it was read.
        self._identity = json.loads(json.dumps(monitor.identity(), default=str))
        self._recent = {}

    def keep_baseline(self, snapshot):
        """Keeps the state before training.

        Raises:
            OSError: the file can't be written; also `tf.errors.OpError`.
        """
        arrays = {f"heat/{method}": heat for method, heat in snapshot.heatmaps.items()}
        arrays["entropy"] = snapshot.entropy
        arrays |= {
            f"measures/{name}": values
            for name, values in snapshot.measures.items()
            if name in _COMPARED or name.startswith(_PROFILES)
        }
        self._recent = {}
        self._write(_BASELINE, {"identity": json.dumps(self._identity), **arrays})

    def keep_last(self, step, snapshot):
        """Keeps the heatmaps of a step after all of it has been logged; raises the same.

        The step before is kept too: a training may be taken up again one epoch earlier.
        """
        before = {known: heat for known, heat in self._recent.items() if known < step}
        latest = dict(sorted(before.items())[-1:])
        self._recent = {**latest, step: snapshot.heatmaps}
        arrays = {
            f"{number}/{method}": maps
            for number, heat in self._recent.items()
            for method, maps in heat.items()
        }
        self._write(_LAST, {"identity": json.dumps(self._identity), **arrays})

    def baseline(self):
        """Returns the `Snapshot` of the baseline, as far as drift needs it, or None.

        None where it wasn't kept, or is of another model or of other options.

        Raises:
            ValueError: it is of other probes.
        """
        arrays = self._read(_BASELINE)
        if arrays is None:
            return None
        heat = _by_prefix(arrays, "heat/")
        measures = _by_prefix(arrays, "measures/")
        return Snapshot(heat, arrays["entropy"], None, None, measures=measures)

    def last(self, before):
        """Returns the last step below `before` that was logged and a `Snapshot` of it, or None.

        Raises:
            ValueError: it is of other probes.
        """
        arrays = self._read(_LAST) or {}
        self._recent = {
            int(step): _by_prefix(arrays, f"{step}/")
            for step in {name.split("/")[0] for name in arrays}
        }
        known = [step for step in self._recent if step < before]
        if not known:
            return None
        return max(known), Snapshot(self._recent[max(known)], np.float32([]), None, None)

    def _read(self, name):
        """Returns what a file holds, a dict of arrays, or None."""
        path = os.path.join(self._folder, name)
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                data = io.BytesIO(file.read())
            with np.load(data, allow_pickle=False) as found:
                arrays = dict(found)
            identity = json.loads(str(arrays.pop("identity")))
            probes = identity["probes"]
        # What NumPy raises for a file that is none of its own is of several kinds.
        except Exception:
            return None
        if probes != self._identity["probes"]:
            must = f"the images that the log in {self._log_dir!r} was begun with"
            remedy = "Pass the same ones, or another `log_dir` for a new run."
            raise ValueError(message("probes", must, "other images", remedy))
        return arrays if identity == self._identity else None

    def _write(self, name, arrays):
        data = io.BytesIO()
        np.savez(data, **arrays)
        path = os.path.join(self._folder, name)
        unfinished = f"{path}.{os.getpid()}.unfinished"
        with tf.io.gfile.GFile(unfinished, "wb") as file:
            file.write(data.getvalue())
        tf.io.gfile.rename(unfinished, path, overwrite=True)


def _by_prefix(arrays, prefix):
    return {
        name.removeprefix(prefix): values
        for name, values in arrays.items()
        if name.startswith(prefix)
    }
