"""Attention rollout callback: logs the attention on probes during `model.fit`, for TensorBoard."""

import os
import time

from tensorflow import keras

from keras_attnviz._checks import check_count, message
from keras_attnviz.callbacks.time_budget import TimeBudget
from keras_attnviz.callbacks.training_run import TrainingRun
from keras_attnviz.callbacks.wait_line import wait_line
from keras_attnviz.data.probes import ProbeSet
from keras_attnviz.drawing.color_scale import ColorScale
from keras_attnviz.log.probe_log import NoLog, ProbeLog
from keras_attnviz.log.tab_records import chosen_probes
from keras_attnviz.methods.registry import chosen_methods
from keras_attnviz.model_io.outputs import classes_to_explain
from keras_attnviz.model_io.workers import Agreement
from keras_attnviz.monitor.probe_faithfulness import ProbeFaithfulness
from keras_attnviz.monitor.probe_monitor import ProbeMonitor, check_options
from keras_attnviz.monitor.scalars import overall


class AttentionRolloutCallback(keras.callbacks.Callback):
    """Logs where a Vision Transformer looks on fixed probe images, epoch by epoch.

    It logs the model's state before the first training step as the baseline, at the step before
    the first epoch's (-1 in a fit from the start). Then it logs after each epoch, at the step
    `epoch` that Keras counts from 0. Everything goes into the run `<log_dir>/attention`.

    It logs a picture of each probe with its attention rollout and prediction, and the scalars
    `attention/entropy`, `attention/entropy/layer_<n>`, `attention/drift_from_baseline`,
    `attention/drift_from_last`, for videos `attention/frame_share/<n>`, and others for health and
    localization; docs/log.md lists them all. The scalars also go into Keras' `logs`, as
    `attention_entropy` and so on, for the progress bar, the history and callbacks after this one
    in the list. Epochs that are not logged repeat the last logged values. If there are several
    workers, the chief writes, and all of them get its scalars.

    Args:
        probes: a `ProbeSet`, or an array of images `[probes, height, width, channels]` or videos
            `[probes, frames, height, width, channels]`, exactly as the model takes them. For a
            model with several inputs, a dict, list or tuple of arrays with images among them.
        log_dir: path of the log directory, the same as for `keras.callbacks.TensorBoard`.
        every_epochs: number of epochs from one logging to the next. The last epoch is always
            logged.
        head_fusion: see `attention_rollout`, also for the next three.
        discard_ratio: float in [0, 1).
        residual: float in [0, 1).
        start_layer: integer; layers below it are ignored, and -1 is the last layer.
        layers: see `AttentionModel`.
        layout: see `AttentionModel`.
        output: see `AttentionModel`; captions name the class that this output predicts.
        self_check: see `AttentionModel`.
        methods: names of the methods whose heatmaps are logged, see `AttentionModel.explain` and
            docs/methods.md; or a dict from names to their options. Default: rollout and affinity.
            Drift is measured on the first. Rollout also takes the options above.
        explained_class: the class that methods with gradients explain: `"predicted"`, `"label"`
            for each probe's label, the index of one class, or a list of indices, one per probe.
        color_scale: `"uniform"` for one color scale for all pictures and epochs, in multiples of
            uniform attention; `"image"` for a scale for each picture, from 0 to its maximum.
        color_limit: float above 0; with `"uniform"`, the value of the highest color.
        color_map: name of a matplotlib color map.
        opacity: float in [0, 1], the heatmap's opacity over the picture.
        batch_size: number of probes in a batch. Where their attention takes more memory than
            `memory_limit`, fewer run at a time, down to one; a line says so.
        memory_limit: None, or the most bytes that the probes' attention may take while it is
            computed; an estimate. None stands for a quarter of the memory that is free when
            training begins, on a GPU of the GPU's.
        per_layer_logs: whether the scalars of single layers, and of single frames of videos, also
            go into `logs`; TensorBoard has them in any case.
        attention_tab: whether the data of the Attention tab is logged: 0.5 MB per epoch for 8
            probes of a ViT-B/16.
        full_probes: names or indices of probes whose whole attention is also logged: every layer
            and head, from every patch to every patch. Each logging takes 5.6 MB per probe for a
            ViT-B/16; the size is printed when training begins.
        full_every_epochs: number of epochs from one logging of whole attention to the next. It is
            also logged before the first epoch.
        max_overhead: None, or the largest share of the training's time that logging may take,
            such as 0.05. To stay within it, epochs are skipped, but never the last one. A line is
            printed at the first skipped epoch and at the end. The first trace and the baseline
            don't count.
        faithfulness_every_epochs: None, or the number of epochs from one measurement of deletion,
            insertion and perturbation of each method's heatmaps to the next. They are also
            measured before the first epoch. The scalars are
            `attention/faithfulness/<figure>/<method>`. This runs about 60 changed pictures per
            probe and method through the model.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range. `fit` also raises it before the first training
            step, for probes that the model doesn't take, for a log directory that can't be
            written, and wherever `AttentionModel` raises it.

    A failure after training has begun, such as a full disk, does not end the training: the callback
    warns once, and warns again at the end with the steps that are missing in the log.

    Example:
        >>> probes = ProbeSet.from_directory("data/val", image_size=224, per_class=2)
        >>> model.fit(train, epochs=10, callbacks=[
        ...     AttentionRolloutCallback(probes, log_dir="logs"),
        ...     keras.callbacks.TensorBoard("logs"),
        ... ])

    References:
        See `attention_rollout`, `attention_entropy` and `jensen_shannon_divergence`.
    """

    def __init__(
        self,
        probes,
        log_dir,
        *,
        every_epochs=1,
        head_fusion="mean",
        discard_ratio=0.0,
        residual=0.5,
        start_layer=0,
        layers=None,
        layout=None,
        output=None,
        self_check=True,
        methods=None,
        explained_class="predicted",
        color_scale="uniform",
        color_limit=4.0,
        color_map="inferno",
        opacity=0.6,
        batch_size=8,
        memory_limit=None,
        per_layer_logs=True,
        attention_tab=True,
        full_probes=(),
        full_every_epochs=5,
        max_overhead=None,
        faithfulness_every_epochs=None,
    ):
        super().__init__()
        check_count("every_epochs", every_epochs)
        self.probes = probes if isinstance(probes, ProbeSet) else ProbeSet(probes)
        if not isinstance(log_dir, (str, os.PathLike)):
            raise TypeError(message("log_dir", "the path of a directory", log_dir))
        self.log_dir = os.fspath(log_dir)
        self.every_epochs = every_epochs
        if memory_limit is not None:
            check_count("memory_limit", memory_limit)
        check_options(
            batch_size=batch_size,
            head_fusion=head_fusion,
            discard_ratio=discard_ratio,
            residual=residual,
        )
        self._monitor_options = {
            "layers": layers,
            "layout": layout,
            "output": output,
            "self_check": self_check,
            "details": attention_tab,
            "methods": None if methods is None else chosen_methods(methods),
            "explained_class": explained_class,
            "batch_size": batch_size,
            "memory_limit": memory_limit,
            "start_layer": start_layer,
            "rollout_options": {
                "head_fusion": head_fusion,
                "discard_ratio": discard_ratio,
                "residual": residual,
            },
        }
        classes_to_explain(explained_class, len(self.probes), labels=self.probes.labels)
        self._colors = ColorScale(color_scale, color_limit, color_map, opacity)
        self._per_layer_logs = per_layer_logs
        check_count("full_every_epochs", full_every_epochs)
        self._log_options = {
            "attention_tab": attention_tab,
            "full_probes": chosen_probes(full_probes, self.probes.names, attention_tab),
            "full_every_epochs": full_every_epochs,
        }
        if faithfulness_every_epochs is not None:
            check_count("faithfulness_every_epochs", faithfulness_every_epochs)
        self._faithfulness_every_epochs = faithfulness_every_epochs
        self._budget, self._began = TimeBudget(max_overhead), None
        self._has_begun, self._epoch = False, None
        self._monitor = self._run = self._agreement = self._history = None

    def on_train_begin(self, logs=None):
        """Finds the attention maps; raises if there are none or the probes don't fit."""
        if self._run is not None:
            self._run.log.close()
            self._history, self._run = self._run.history, None
        self._has_begun, self._epoch = False, None
        self._budget.restart()
        before = self._monitor
        if before is not None:
            before.forget()
            if before.model is not self.model:
                self._history = None
        with self._wait("Reading attention out of the model"):
            self._monitor = ProbeMonitor(self.model, self.probes, **self._monitor_options)
        self._agreement = Agreement(self.model.distribute_strategy)
        self._run = self._new_run()
        # The run has taken over what it needs; the history would keep the monitor before alive.
        self._history = None
        if before is not None and before.described() != self._monitor.described():
            self._run.say(
                "The model has changed since the fit before, and its attention was traced anew: "
                f"{self._monitor.described()}; before: {before.described()}."
            )
        memory_line = self._monitor.memory_line()
        if memory_line is not None and self.params.get("verbose", 1):
            self._run.say(memory_line)
        for line in self._run.log.size_lines(self.params.get("epochs"), self.every_epochs):
            self._run.say(line)

    def on_epoch_begin(self, epoch, logs=None):
        """Logs the baseline before the first training step of a fit."""
        # Not in `on_train_begin`: a callback after this one may restore weights there.
        if not self._has_begun:
            what = f"The attention log in {self.log_dir!r} could not be started"
            is_due = self._is_due(epoch - 1)
            layers = len(self._monitor.attention_model.maps)
            doing = f"Measuring {len(self.probes)} probes in {layers} attention layers"
            with self._wait(doing if layers else f"Measuring {len(self.probes)} probes"):
                self._agreement.on_all(lambda: self._run.begin(epoch, is_due=is_due), what)
            self._has_begun = True
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Logs the epoch if it is due, and adds the scalars to `logs`."""
        self._epoch = epoch
        ended = time.monotonic()
        self._budget.trained(ended - self._began)
        is_last = epoch + 1 == self.params.get("epochs") or self.model.stop_training
        run = self._run
        if is_last or (self._is_due(epoch) and self._budget.admits(epoch, run.say)):
            run.log_epoch(epoch)
            self._budget.logged(time.monotonic() - ended)
        names, known = run.scalar_names(), run.scalars()
        names = names if self._per_layer_logs else overall(names)
        # A callback that stops the training because of a scalar must do so on all workers.
        values = self._agreement.from_chief([known.get(name, float("nan")) for name in names])
        for name, value in zip(names, values, strict=True):
            if logs is not None:
                logs[f"attention_{name.replace('/', '_')}"] = value

    def on_train_end(self, logs=None):
        """Logs the last epoch if that is still due, closes the log, and warns of missing steps."""
        # A callback after this one may have ended the training.
        if self._epoch is not None and self._epoch != self._run.logged:
            self._run.log_epoch(self._epoch)
        self._budget.tell(self._run.say)
        self._run.end()
        self._monitor.forget()

    def plan_line(self):
        """Returns a line: how many attention layers are frozen, and how much of the pass reruns.

        It describes the model as it is now.

        Returns:
            text, one line.

        Raises:
            RuntimeError: no training has started.
        """
        if self._monitor is None:
            raise RuntimeError("no training has started; call this in or after `fit`")
        return self._monitor.plan_line()

    def write_text(self, step, tag, text):
        """Writes Markdown for TensorBoard's Text tab into the log of the running training.

        Raises:
            RuntimeError: no log is open.
            OSError: the log's file was removed.
            tf.errors.OpError: the file can't be written.
        """
        if self._run is None or not self._run.log.is_open:
            raise RuntimeError(f"no attention log is open in {self.log_dir!r}")
        self._run.log.write_text(step, tag, text)

    def _wait(self, text):
        """Returns the `wait_line` of this fit, which is quiet if the fit is."""
        is_chief = self.model.distribute_strategy.extended.should_save_summary
        return wait_line(text, is_quiet=not is_chief or not self.params.get("verbose", 1))

    def _new_run(self):
        """Returns the `TrainingRun` of a fit. Each worker has one; only the chief's writes."""
        is_chief = self.model.distribute_strategy.extended.should_save_summary
        faithfulness, log = None, NoLog()
        if self._faithfulness_every_epochs is not None:
            faithfulness = ProbeFaithfulness(self._monitor, self._faithfulness_every_epochs)
        if is_chief:
            log = ProbeLog(
                self.log_dir, self._monitor, self.probes, self._colors, **self._log_options
            )
        return TrainingRun(
            self.log_dir,
            self._monitor,
            log,
            names=self.probes.names,
            faithfulness=faithfulness,
            is_chief=is_chief,
            earlier=self._history,
        )

    def _is_due(self, epoch):
        return (epoch + 1) % self.every_epochs == 0
