"""What a model does on the probes at one moment, and how far it has moved since another."""

import dataclasses

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_choice, check_count, check_ratio, message
from keras_attnviz.capture import AttentionModel
from keras_attnviz.classes import class_predictions
from keras_attnviz.metrics import attention_entropy, jensen_shannon_divergence
from keras_attnviz.rollout import FUSIONS, check_start_layer
from keras_attnviz.signature import InputSignature


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The probes' attention and predictions at one moment.

    Args:
        relative: float32 array `[probes, grid_height, grid_width]`, rollout as a multiple of
            uniform attention, at least 0.
        entropy: float32 array `[layers]` in [0, 1], mean over probes, heads and queries.
        classes: integer array `[probes]`, or None where the outputs are not class predictions.
        confidences: float array `[probes]` in [0, 1], or None.
    """

    relative: np.ndarray
    entropy: np.ndarray
    classes: np.ndarray | None
    confidences: np.ndarray | None


class ProbeMonitor:
    """Takes snapshots of a model on its probes; the model is traced once, at construction.

    Args:
        model: see `AttentionModel`.
        probes: a `ProbeSet`.
        batch_size: probes that are run at a time.
        start_layer: see `attention_rollout`.
        rollout_options: dict of `head_fusion`, `discard_ratio` and `residual` of
            `attention_rollout`.
        **options: `layers`, `layout`, `output` and `self_check` of `AttentionModel`.

    Raises:
        ValueError: probes of a shape, or class names of a number, that the model doesn't have;
            a `start_layer` that it doesn't have; and what `AttentionModel` raises.
    """

    def __init__(self, model, probes, *, batch_size, start_layer, rollout_options, **options):
        _check_inputs(model, probes)
        self.model = model
        self._attention_model = AttentionModel(model, **_input_options(probes), **options)
        self.layers = tuple(found.layer for found in self._attention_model.maps)
        check_start_layer(start_layer, len(self.layers))
        self._batch_size = batch_size
        self._options = {"start_layer": start_layer, **rollout_options}
        self._inputs = self._attention_model.signature.check(probes.inputs, name="probes")
        specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in self._inputs]
        self._measure = tf.function(self._measure_graph, input_signature=[specs])
        outputs = self._measure.get_concrete_function().output_shapes[0]
        _check_class_names(probes, outputs)

    def snapshot(self):
        """Returns the `Snapshot` of the model as it is now."""
        batches = [[result.numpy() for result in self._measure(batch)] for batch in self._batches()]
        outputs, relative, entropy = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        activation = self._attention_model.activation
        classes, confidences = class_predictions(outputs, activation=activation) or (None, None)
        return Snapshot(relative, entropy.mean(axis=0), classes, confidences)

    def _batches(self):
        """Returns the probes in batches, flat lists of arrays."""
        starts = range(0, len(self._inputs[0]), self._batch_size)
        return [
            [array[start : start + self._batch_size] for array in self._inputs] for start in starts
        ]

    def _measure_graph(self, inputs):
        """Returns predictions, relative rollout, and entropy `[batch, layers]`."""
        packed = self._attention_model.signature.pack(inputs)
        predictions, attentions = self._attention_model(packed)
        rollout = self._attention_model.heatmap(attentions, **self._options)
        relative = rollout * self._attention_model.layout.tokens
        return predictions, relative, tf.stack([_entropy(a) for a in attentions], axis=1)


def snapshot_scalars(snapshot, *, baseline, last):
    """Returns a snapshot's scalars, a dict from name to float.

    Args:
        snapshot: `Snapshot`.
        baseline: the `Snapshot` before training, or None: then `drift_from_baseline` is left out.
        last: the `Snapshot` logged before, or None where this one is the first.
    """
    values = [float(value) for value in snapshot.entropy]
    scalars = {
        "entropy": float(snapshot.entropy.mean()),
        **{_layer_name(layer): value for layer, value in enumerate(values)},
        "drift_from_last": _drift(snapshot, last or snapshot),
    }
    if baseline is not None:
        scalars["drift_from_baseline"] = _drift(snapshot, baseline)
    return scalars


def scalar_names(layers):
    """Returns the names of the scalars of a model with `layers` layers."""
    of_layers = [_layer_name(layer) for layer in range(layers)]
    return ["entropy", *of_layers, "drift_from_baseline", "drift_from_last"]


def overall(names):
    """Returns those of the names that don't belong to a single layer."""
    return [name for name in names if "/" not in name]


def check_options(*, batch_size, head_fusion, discard_ratio, residual):
    """Raises for options that no model could take; the rest is checked with the model."""
    check_count("batch_size", batch_size)
    check_choice("head_fusion", head_fusion, FUSIONS)
    check_ratio("discard_ratio", discard_ratio)
    check_ratio("residual", residual)


def _layer_name(layer):
    return f"entropy/layer_{layer}"


def _drift(snapshot, reference):
    """Returns the divergence of the rollouts, mean over probes, in [0, 1]."""
    maps = [item.relative.reshape(len(item.relative), -1) for item in (snapshot, reference)]
    return float(np.mean(jensen_shannon_divergence(*maps)))


def _entropy(attention):
    """Returns the entropy of an attention map, mean over groups, heads and queries, `[batch]`."""
    shape = tf.shape(attention)
    attention = tf.reshape(attention, [shape[0], -1, shape[-2], shape[-1]])
    return tf.reduce_mean(attention_entropy(attention), axis=1)


def _check_inputs(model, probes):
    declared = InputSignature.declared(model) if isinstance(model, keras.Model) else None
    if declared is not None:
        declared.check(probes.inputs, name="probes")


def _input_options(probes):
    """Returns what tells `AttentionModel` the sizes that a model doesn't declare."""
    if probes.inputs is probes.images:
        return {"image_shape": probes.images.shape[1:]}
    return {"inputs": probes.inputs}


def _check_class_names(probes, outputs):
    """Raises unless the model gives the classes that the probes name or are labeled with."""
    classes = outputs[-1] if len(outputs) == 2 else None
    if classes is None:
        return
    must = f"of {max(classes, 2)} classes, as the model's output has"
    names, labels = probes.class_names, probes.labels
    if names is not None and len(names) != max(classes, 2):
        remedy = "Pass the class names in the order of the outputs."
        raise ValueError(message("probes", must, names, remedy))
    if labels is not None and labels.max() >= max(classes, 2):
        raise ValueError(message("probes", must, labels.tolist(), "Pass labels below that."))
