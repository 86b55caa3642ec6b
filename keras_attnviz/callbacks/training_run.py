"""Training run: starts or resumes a log, writes it epoch by epoch, and ends it with the fit."""

import contextlib
import warnings

from keras_attnviz.callbacks.history import History
from keras_attnviz.log.event_writer import has_log


class TrainingRun:
    """Measures a monitor's probes and logs them from the first epoch of a fit to its last.

    Args:
        log_dir: path of the log directory.
        monitor: the `ProbeMonitor`.
        log: the `ProbeLog`, or the `NoLog` of a worker that doesn't write.
        names: sequence of the probes' names.
        faithfulness: a `ProbeFaithfulness`, or None.
        is_chief: whether this worker writes, keeps what a resumed training needs, prints and warns.
        earlier: the `History` of an earlier fit of the same model, or None.

    Attributes:
        log: the log.
        logged: the last epoch that was logged or tried, or None.
        history: the `History`; before `begin`, the earlier fit's or None.
    """

    def __init__(self, log_dir, monitor, log, *, names, faithfulness, is_chief, earlier=None):
        self._log_dir, self._monitor, self._names = log_dir, monitor, names
        self._faithfulness, self._is_chief = faithfulness, is_chief
        self.log, self.logged, self.history = log, None, earlier
        self._faithful, self._missing, self._told = {}, [], set()

    def scalar_names(self):
        """Returns the names of all scalars, a list."""
        measured = [] if self._faithfulness is None else self._faithfulness.scalar_names()
        return self._monitor.scalar_names() + measured

    def scalars(self):
        """Returns the scalars that were measured last, a dict from name to float."""
        return {**self._faithful, **self.history.scalars}

    def say(self, text):
        """Prints a line, on the chief only."""
        if self._is_chief:
            print(text)

    def begin(self, epoch, *, is_due):
        """Opens the log and takes the baseline, or resumes the log of an earlier training.

        Args:
            epoch: the first epoch.
            is_due: whether `every_epochs` asks for logging after the epoch before it.

        Raises:
            ValueError: the log directory can't be written, or its log has other probes.
        """
        is_known = self.history is not None and self.history.baseline is not None
        if epoch > 0 and (is_known or has_log(self._log_dir)):
            self._resume(epoch, is_due)
            return
        self.history = None
        self.log.open(epoch - 1)
        self.history = History.begin(self._log_dir, self._monitor)
        snapshot = self.history.baseline
        self._write(epoch - 1, f"before epoch {epoch + 1}", snapshot)
        self._warn_of_no_pattern(snapshot)

    def log_epoch(self, epoch):
        """Measures and logs; any failure becomes a warning, because training must go on."""
        self.logged = epoch
        try:
            snapshot = self.history.measure()
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
            # After a failure, the file may end within an entry. The next step starts a new file.
            with contextlib.suppress(Exception):
                self.log.close()
        else:
            self._warn_of_no_pattern(snapshot)

    def end(self):
        """Closes the log, and warns if steps are missing."""
        try:
            self.log.close()
        except Exception as error:
            _warn(f"The attention log in {self._log_dir!r} could not be closed: {_reason(error)}.")
        if self._missing:
            steps = ", ".join(map(str, self._missing))
            _warn(f"The attention log in {self._log_dir!r} is incomplete; missing steps: {steps}.")

    def _resume(self, epoch, is_due):
        """Resumes a log at an epoch."""
        history = self.history = History.resume(
            self._log_dir, self._monitor, epoch=epoch, earlier=self.history
        )
        if history.baseline is None and self._is_chief:
            _warn(
                f"Training goes on at epoch {epoch + 1} in {self._log_dir!r}, whose baseline is "
                "of another model or of other options, or wasn't kept: `drift_from_baseline` is "
                "left out."
            )
        if history.is_continued:
            self.log.open(epoch)
            return
        # A killed training was restarted with a new callback. The model's state is the one after
        # the epoch before, which may not have been logged.
        logged = history.logged
        is_missing = logged is not None and logged < epoch - 1 and is_due
        self.log.open(epoch - 1 if is_missing else epoch)
        snapshot = history.measure(is_logged=is_missing)
        if is_missing:
            self._write(epoch - 1, f"after epoch {epoch}", snapshot)
        self._warn_of_no_pattern(snapshot)

    def _write(self, step, moment, snapshot):
        """Writes a snapshot, with its faithfulness if that is due, and keeps it."""
        history, scalars = self.history, self.history.scalars
        measure = self._faithfulness
        if measure is not None and (snapshot is history.baseline or measure.is_due(step)):
            self._faithful = measure.scalars(snapshot)
            scalars = {**scalars, **self._faithful}
        self.log.write(
            step, moment, snapshot, scalars, baseline=history.baseline, last=history.before
        )
        if self._is_chief:
            self._keep(step, snapshot)

    def _keep(self, step, snapshot):
        """Keeps what a resumed training needs; warns once if that fails."""
        try:
            self.history.keep(step, snapshot)
        except Exception as error:
            if "kept" not in self._told:
                self._told.add("kept")
                _warn(
                    f"What a resumed training must know of the log in {self._log_dir!r} could not "
                    f"be kept: {_reason(error)}. Training and logging go on; a training that is "
                    "started again may lack drift from the baseline."
                )

    def _warn_of_no_pattern(self, snapshot):
        """Warns once per method if its heatmaps show nothing."""
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
                "model's outputs and weights. This warning is shown once."
            )


def _reason(error):
    return f"{type(error).__name__}: {error}"


def _warn(text):
    warnings.warn(text, RuntimeWarning, stacklevel=3)
