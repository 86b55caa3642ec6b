"""What a training has shown so far, which later epochs are compared with, also after a restart."""

from keras_attnviz.kept import KeptState
from keras_attnviz.monitor.snapshot import snapshot_scalars


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
