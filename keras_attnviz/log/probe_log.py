"""Probe log: the log of one training's probes, written step by step."""

import contextlib

from keras_attnviz.log.event_writer import AttentionWriter, tag_names
from keras_attnviz.log.image_panels import drawn_panels
from keras_attnviz.log.tab_records import TabRecords


class ProbeLog:
    """Writes snapshots of a monitor's probes into the run of a log directory.

    Args:
        log_dir: path of the log directory.
        monitor: the `ProbeMonitor`.
        probes: the `ProbeSet`.
        colors: the `ColorScale`.
        attention_tab: whether the records of the Attention tab are written.
        full_probes: indices of the probes whose whole attention is written.
        full_every_epochs: number of epochs from one writing of whole attention to the next.
    """

    def __init__(
        self, log_dir, monitor, probes, colors, *, attention_tab, full_probes, full_every_epochs
    ):
        self._log_dir, self._probes, self._colors = log_dir, probes, colors
        self._sheet = monitor.sheet
        self._writer = self._records = None
        if attention_tab:
            self._records = TabRecords(
                monitor,
                probes,
                colors,
                full_probes=full_probes,
                full_every_epochs=full_every_epochs,
            )

    @property
    def is_open(self):
        """Whether the log is open for writing."""
        return self._writer is not None

    def size_lines(self, epochs, every_epochs):
        """Returns the lines to print before the training, see `size_estimate.size_lines`."""
        return [] if self._records is None else self._records.size_lines(epochs, every_epochs)

    def open(self, first_step):
        """Opens the log and writes the tab's setup; raises `ValueError` if it can't."""
        self._writer = AttentionWriter(self._log_dir, first_step=first_step)
        if self._records is not None:
            self._records.write_setup(self._writer, first_step)

    def write(self, step, moment, snapshot, scalars, *, baseline, last):
        """Writes the pictures, scalars, distributions and records of a snapshot.

        Args:
            step: integer.
            moment: text, when the snapshot was taken.
            snapshot: a `Snapshot`.
            scalars: dict from name to float.
            baseline: the `Snapshot` before training, which may be this one, or None.
            last: the `Snapshot` that was logged before this one, or None.
        """
        writer = self._writer
        with drawn_panels(
            step, snapshot, self._probes, self._colors, moment=moment, sheet=self._sheet
        ) as panels:
            named = {f"attention/{name}": value for name, value in scalars.items()}
            writer.scalars(step, named)
            self._write_histograms(step, snapshot)
            with self._tab_records(step, snapshot, baseline=baseline, last=last):
                for panel in panels:
                    writer.image(step, **panel)
        writer.flush()

    def write_text(self, step, tag, text):
        """Writes Markdown for TensorBoard's Text tab."""
        self._writer.text(step, tag, text)
        self._writer.flush()

    def close(self):
        """Closes the log, if it is open."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _tab_records(self, step, snapshot, **compared):
        """Returns the context of `TabRecords.write`, or an empty one without the Attention tab."""
        if self._records is None:
            return contextlib.nullcontext()
        return self._records.write(self._writer, step, snapshot, **compared)

    def _write_histograms(self, step, snapshot):
        """Writes the distribution of each gate's values."""
        tags = tag_names([gate.layer for gate in snapshot.gates])
        for index, tag in enumerate(tags):
            values = snapshot.measures.get(f"gate_profile/{index}")
            if values is not None:
                self._writer.histogram(step, f"attention/gate/{tag}", values)


class NoLog:
    """Replaces the `ProbeLog` on workers other than the chief: writes nothing."""

    is_open = True

    def size_lines(self, epochs, every_epochs):
        """Returns no lines."""
        return []

    def open(self, first_step):
        """Opens nothing."""

    def write(self, step, moment, snapshot, scalars, *, baseline, last):
        """Writes nothing."""

    def write_text(self, step, tag, text):
        """Writes nothing."""

    def close(self):
        """Closes nothing."""
