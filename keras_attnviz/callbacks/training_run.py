"""One fit's part of a log: begun or taken up again, epoch by epoch, and what is missing in it."""

import contextlib
import warnings

from keras_attnviz.log.event_writer import has_log


class ProbeRun:
    """Measures a monitor's probes and logs them from the first epoch of a fit to its last.

    Args:
        log_dir: path of the log directory.
        monitor: the `ProbeMonitor`.
        log: the `ProbeLog`, or the `NoLog` of a worker that doesn't write.
        course: the `Course`, which may know earlier fits of the same model.
        names: sequence of the probes' names.
        faithfulness: a `ProbeFaithfulness`, or None.
        is_chief: whether this worker writes, keeps what a resumed training must know, and speaks.

    Attributes:
        log: the log.
        logged: the last epoch that was logged or tried, or None.
    """

    def __init__(self, log_dir, monitor, log, course, *, names, faithfulness, is_chief):
        self._log_dir, self._monitor, self._course = log_dir, monitor, course
        self._names = names
        self._faithfulness, self._is_chief = faithfulness, is_chief
        self.log, self.logged = log, None
        self._faithful, self._missing, self._told = {}, [], set()

    def scalar_names(self):
        """Returns the names of all scalars, a list."""
        measured = [] if self._faithfulness is None else self._faithfulness.scalar_names()
        return self._monitor.scalar_names() + measured

    def scalars(self):
        """Returns the scalars that were measured last, a dict from name to float."""
        return {**self._faithful, **self._course.scalars}

    def say(self, text):
        """Prints a line, once among all workers."""
        if self._is_chief:
            print(text)

    def begin(self, epoch, *, is_due):
        """Opens the log and takes the baseline, or takes up a log where a training has ended.

        Args:
            epoch: the first epoch.
            is_due: whether the epoch before it was one to be logged.

        Raises:
            ValueError: the log directory can't be written, or its log is of other probes.
        """
        course = self._course
        course.attach(self._log_dir, self._monitor)
        if epoch > 0 and (course.baseline is not None or has_log(self._log_dir)):
            self._resume(epoch, is_due)
            return
        course.forget()
        self.log.open(epoch - 1)
        course.baseline = snapshot = self._monitor.snapshot()
        course.measure(snapshot)
        self._write(epoch - 1, f"before epoch {epoch + 1}", snapshot)
        self._tell_of_no_pattern(snapshot)

    def log_epoch(self, epoch):
        """Measures and logs; whatever fails becomes a warning, because training must go on."""
        self.logged = epoch
        self._course.scalars = {}
        try:
            snapshot = self._monitor.snapshot()
            self._course.measure(snapshot)
            if not self.log.is_open:
                self.log.open(epoch)
            self._write(epoch, f"after epoch {epoch + 1}", snapshot)
        except Exception as error:
            if not self._missing:
                _warn(
                    f"The attention at step {epoch} could not be logged: {_reason(error)}. "
                    "Training goes on, and logging is tried again; missing steps are named at "
                    "the end."
                )
            self._missing.append(epoch)
            # A file whose writing has failed may end within an entry, so the next gets another.
            with contextlib.suppress(Exception):
                self.log.close()
        else:
            self._tell_of_no_pattern(snapshot)

    def end(self):
        """Closes the log, and warns of the steps that are missing in it."""
        try:
            self.log.close()
        except Exception as error:
            _warn(f"The attention log in {self._log_dir!r} could not be closed: {_reason(error)}.")
        if self._missing:
            steps = ", ".join(map(str, self._missing))
            _warn(f"The attention log in {self._log_dir!r} is incomplete; missing steps: {steps}.")

    def _resume(self, epoch, is_due):
        """Goes on in a log at an epoch."""
        course, is_known = self._course, self._course.last is not None
        logged = course.resume(epoch)
        if course.baseline is None and self._is_chief:
            _warn(
                f"Training goes on at epoch {epoch + 1} in {self._log_dir!r}, whose baseline is "
                "of another model or of other options, or wasn't kept: `drift_from_baseline` is "
                "left out."
            )
        if is_known:
            self.log.open(epoch)
            return
        # With a new callback, where a killed training is started again. The state now is that after
        # the epoch before, which it may not have come to log.
        is_missing = logged is not None and logged < epoch - 1 and is_due
        self.log.open(epoch - 1 if is_missing else epoch)
        snapshot, last = self._monitor.snapshot(), course.last
        course.measure(snapshot)
        if is_missing:
            self._write(epoch - 1, f"after epoch {epoch}", snapshot)
        elif logged is not None:
            course.last = last
        self._tell_of_no_pattern(snapshot)

    def _write(self, step, moment, snapshot):
        """Writes a snapshot, with its faithfulness where that is due, and keeps it."""
        course, scalars = self._course, self._course.scalars
        measure = self._faithfulness
        if measure is not None and (snapshot is course.baseline or measure.is_due(step)):
            self._faithful = measure.scalars(snapshot)
            scalars = {**scalars, **self._faithful}
        self.log.write(
            step, moment, snapshot, scalars, baseline=course.baseline, last=course.before
        )
        if self._is_chief:
            self._keep(step, snapshot)

    def _keep(self, step, snapshot):
        """Keeps what a training that is started again must know; what fails is told once."""
        try:
            self._course.keep(step, snapshot)
        except Exception as error:
            if "kept" not in self._told:
                self._told.add("kept")
                _warn(
                    f"What a resumed training must know of the log in {self._log_dir!r} could not "
                    f"be kept: {_reason(error)}. Training and logging go on; a training that is "
                    "started again may lack drift from the baseline."
                )

    def _tell_of_no_pattern(self, snapshot):
        """Warns once a method of heatmaps that show nothing."""
        if not self._is_chief:
            return
        for method, probes in snapshot.without_pattern():
            if method in self._told:
                continue
            self._told.add(method)
            names = ", ".join(self._names[probe] for probe in probes)
            _warn(
                f"The heatmaps by {method!r} of these probes show nothing, the same value "
                f"everywhere or no number: {names}. They are logged as they are; look at the "
                "model's outputs and weights. This is said once."
            )


def _reason(error):
    return f"{type(error).__name__}: {error}"


def _warn(text):
    warnings.warn(text, RuntimeWarning, stacklevel=3)
