"""Faithfulness of the probes' heatmaps: deletion, insertion and perturbation, epoch by epoch."""

import math

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.metrics.faithfulness import deletion_auc, insertion_auc, perturbation_auc
from keras_attnviz.model_io.outputs import probabilities

# Each figure, and whether a low value is good.
FIGURES = {
    "deletion": True,
    "insertion": False,
    "positive_perturbation": True,
    "negative_perturbation": False,
}
# Number of steps of deletion or insertion: fine enough for a curve, at a low cost.
_STEPS = 20


class ProbeFaithfulness:
    """Measures the faithfulness of a monitor's heatmaps; the model is traced at the first use.

    It follows the score of the class that the monitor explains: the predicted one unless another
    was chosen. Probes run one at a time, each with all steps of a curve in batches, so that the
    model's other inputs stay the probe's.

    Args:
        monitor: a `ProbeMonitor`.
        every_epochs: number of epochs from one measurement to the next.

    Raises:
        ValueError: the model's predictions are not class scores.
    """

    def __init__(self, monitor, every_epochs):
        self._monitor, self._model = monitor, None
        self._every_epochs = every_epochs
        if not monitor.has_classes:
            must = "None for a model that gives no class scores [batch, classes]"
            raise ValueError(message("faithfulness_every_epochs", must, "a number of epochs"))

    def is_due(self, step):
        """Returns whether to measure at a step."""
        return (step + 1) % self._every_epochs == 0

    def scalar_names(self):
        """Returns the names of the scalars, a list in their order."""
        return [
            f"faithfulness/{figure}/{method}"
            for method in self._monitor.heatmap_names
            for figure in FIGURES
        ]

    def scalars(self, snapshot):
        """Returns the means over probes, a dict from name to float in [0, 1]."""
        if self._model is not self._monitor.attention_model:
            self._trace()
        classes = np.where(
            self._monitor.explained_classes < 0, snapshot.classes, self._monitor.explained_classes
        ).astype(np.int32)
        means = []
        for heat in snapshot.heatmaps.values():
            by_probe = []
            for probe in range(len(heat)):
                one = slice(probe, probe + 1)
                inputs = [array[one] for array in self._monitor.inputs]
                by_probe.append(self._measure(inputs, heat[one], classes[one]))
            means += [
                float(np.mean([values[figure].numpy() for values in by_probe]))
                for figure in FIGURES
            ]
        return dict(zip(self.scalar_names(), means, strict=True))

    def _trace(self):
        """Builds the graph function for the model as the monitor last traced it."""
        monitor = self._monitor
        self._model = monitor.attention_model
        specs = [tf.TensorSpec([1, *array.shape[1:]], array.dtype) for array in monitor.inputs]
        heat = tf.TensorSpec([1, *monitor.grid], tf.float32)
        classes = tf.TensorSpec([1], tf.int32)
        self._measure = tf.function(self._measure_graph, input_signature=[specs, heat, classes])

    def _measure_graph(self, inputs, heat, classes):
        """Returns the figures of one probe, a dict of tensors `[1]`."""
        place = self._monitor.image_place
        images = inputs[place]

        def predict(changed):
            count = tf.shape(changed)[0]
            batch = [tf.repeat(other, count, axis=0) for other in inputs]
            batch[place] = tf.cast(changed, images.dtype)
            outputs, _ = self._model(self._model.signature.pack(batch))
            return probabilities(outputs, activation=self._model.activation)

        step = -(-math.prod(self._monitor.grid) // _STEPS)
        given = predict, images, heat, classes
        return {
            "deletion": deletion_auc(*given, step=step),
            "insertion": insertion_auc(*given, step=step),
            "positive_perturbation": perturbation_auc(*given),
            "negative_perturbation": perturbation_auc(*given, lowest_first=True),
        }
