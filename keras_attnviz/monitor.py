"""What a model does on the probes at one moment, and how far it has moved since another."""

import dataclasses

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_choice, check_count, check_ratio, message
from keras_attnviz.capture import AttentionModel
from keras_attnviz.cells import mask_shares
from keras_attnviz.classes import class_probabilities
from keras_attnviz.health import (
    health_measures,
    health_scalars,
    layer_health,
    localization_measures,
    localization_scalars,
    scalar_names,
)
from keras_attnviz.measures import Measures
from keras_attnviz.metrics import jensen_shannon_divergence
from keras_attnviz.rollout import FUSIONS, check_start_layer
from keras_attnviz.signature import InputSignature


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The probes' attention and predictions at one moment.

    The heads of all layers follow one another, bottom layer first.

    Args:
        relative: float32 array `[probes, grid_height, grid_width]`, rollout as a multiple of
            uniform attention, at least 0.
        entropy: float32 array `[layers]` in [0, 1], mean over probes, heads and queries.
        classes: integer array `[probes]`, or None where the outputs are not class predictions.
        confidences: float array `[probes]` in [0, 1], or None.
        label_confidences: float array `[probes]` in [0, 1], of the true classes, or None.
        measures: dict from the name of a `Measures` function to its float32 array
            `[probes, ...]`: `entropy`, those of `health_measures`, and where details are measured
            `heads`, `others`, `distance` and `tokens`.
        is_right: bool array `[probes]`, whether the predicted class is the true one, or None.
        health: what `layer_health` tells of each layer, a dict of float32 arrays `[layers]`.
        localization: what `localizations` gives, a dict of float32 arrays `[probes]`; empty
            without masks.
    """

    relative: np.ndarray
    entropy: np.ndarray
    classes: np.ndarray | None
    confidences: np.ndarray | None
    label_confidences: np.ndarray | None = None
    measures: dict = dataclasses.field(default_factory=dict)
    is_right: np.ndarray | None = None
    health: dict = dataclasses.field(default_factory=dict)
    localization: dict = dataclasses.field(default_factory=dict)


class ProbeMonitor:
    """Takes snapshots of a model on its probes; the model is traced once, at construction.

    Args:
        model: see `AttentionModel`.
        probes: a `ProbeSet`.
        batch_size: probes that are run at a time.
        start_layer: see `attention_rollout`.
        rollout_options: dict of `head_fusion`, `discard_ratio` and `residual` of
            `attention_rollout`.
        details: whether single heads and maps from every patch are measured too.
        **options: `layers`, `layout`, `output` and `self_check` of `AttentionModel`.

    Attributes:
        attention_model: the `AttentionModel`.
        measures: the `Measures`.

    Raises:
        ValueError: probes of a shape, or class names of a number, that the model doesn't have;
            a `start_layer` that it doesn't have; and what `AttentionModel` raises.
    """

    def __init__(
        self, model, probes, *, batch_size, start_layer, rollout_options, details=False, **options
    ):
        _check_inputs(model, probes)
        self.model = model
        self.attention_model = AttentionModel(model, **_input_options(probes), **options)
        self.layers = tuple(found.layer for found in self.attention_model.maps)
        check_start_layer(start_layer, len(self.layers))
        self.options = {"start_layer": start_layer, **rollout_options}
        self.measures = Measures(
            self.attention_model,
            image_size=probes.images.shape[1:3],
            rollout_options=self.options,
        )
        self._heads = np.cumsum([0, *(found.heads for found in self.attention_model.maps)])
        self._batch_size, self._details, self._labels = batch_size, details, probes.labels
        self._masks = None
        if probes.masks is not None:
            self._masks = mask_shares(probes.masks, self.attention_model.layout.grid)
        self._inputs = self.attention_model.signature.check(probes.inputs, name="probes")
        specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in self._inputs]
        self._measure = tf.function(self._measure_graph, input_signature=[specs])
        self._full = tf.function(self._full_graph, input_signature=[specs])
        outputs = self._measure.get_concrete_function().output_shapes["predictions"]
        _check_class_names(probes, outputs)

    def snapshot(self):
        """Returns the `Snapshot` of the model as it is now."""
        batches = [self._measure(batch) for batch in self._batches()]
        found = {
            name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]
        }
        probabilities = class_probabilities(
            found.pop("predictions"), activation=self.attention_model.activation
        )
        entropy = self.by_layer(found["entropy"].mean(axis=0))
        relative = found.pop("relative")
        return Snapshot(
            relative=relative,
            entropy=np.float32([heads.mean() for heads in entropy]),
            **_predictions(probabilities, self._labels),
            measures=found,
            health=layer_health(found, [len(heads) for heads in entropy]),
            localization=localization_measures(relative, self._masks),
        )

    def scalar_names(self):
        """Returns the names of the scalars that `snapshot_scalars` gives."""
        of_layers = [_layer_name(layer) for layer in range(len(self.layers))]
        has = {"masks": self._masks is not None, "labels": self._labels is not None}
        drifts = ["drift_from_baseline", "drift_from_last"]
        return ["entropy", *of_layers, *drifts, *scalar_names(**has)]

    def by_layer(self, heads):
        """Returns an array `[heads of all layers, ...]` as a list of one array a layer."""
        return np.split(heads, self._heads[1:-1])

    def full_maps(self, probe):
        """Returns what `Measures.full` gives for one probe, a list of one array a layer."""
        found = self._full([array[probe : probe + 1] for array in self._inputs])
        return [layer.numpy()[0] for layer in found]

    def _batches(self):
        """Returns the probes in batches, flat lists of arrays."""
        starts = range(0, len(self._inputs[0]), self._batch_size)
        return [
            [array[start : start + self._batch_size] for array in self._inputs] for start in starts
        ]

    def _measure_graph(self, inputs):
        """Returns predictions, relative rollout, and measures, a dict of tensors."""
        predictions, attentions = self._attentions(inputs)
        found = {
            "predictions": predictions,
            "relative": self.measures.heat(attentions),
            "entropy": self.measures.entropy(attentions),
            **health_measures(self.attention_model, attentions, self.measures.received(attentions)),
        }
        if self._details:
            found["heads"], found["others"] = self.measures.heads(attentions)
            found["distance"] = self.measures.distance(attentions)
            found["tokens"] = self.measures.tokens(attentions)
        return found

    def _full_graph(self, inputs):
        _, attentions = self._attentions(inputs)
        return [self.measures.full(attentions, layer) for layer in range(len(attentions))]

    def _attentions(self, inputs):
        return self.attention_model(self.attention_model.signature.pack(inputs))


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
        **health_scalars(
            snapshot.health,
            entropy=snapshot.entropy,
            baseline=None if baseline is None else baseline.entropy,
        ),
        **localization_scalars(snapshot.localization, snapshot.is_right),
    }
    if baseline is not None:
        scalars["drift_from_baseline"] = _drift(snapshot, baseline)
    return scalars


def overall(names):
    """Returns those of the names that don't belong to a single layer."""
    return [name for name in names if "/layer_" not in name]


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


def _predictions(probabilities, labels):
    """Returns what a `Snapshot` holds of predictions, as a dict."""
    if probabilities is None:
        return {"classes": None, "confidences": None}
    rows, classes = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    is_known = np.isfinite(probabilities).all(axis=1)
    return {
        "classes": classes,
        "confidences": probabilities[rows, classes],
        "label_confidences": None if labels is None else probabilities[rows, labels],
        "is_right": None if labels is None else is_known & (classes == labels),
    }


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
