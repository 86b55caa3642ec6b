"""A model on its probes: traced once, asked at any moment."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_choice, check_count, check_ratio, message
from keras_attnviz.capture.attention_model import AttentionModel
from keras_attnviz.data.masks import mask_shares, tall_masks
from keras_attnviz.drawing.contact_sheet import Sheet
from keras_attnviz.methods.registry import DEFAULT, MEAN_OF_GATES, chosen_methods
from keras_attnviz.methods.rollout import FUSIONS, check_start_layer
from keras_attnviz.metrics.attention import frame_importance
from keras_attnviz.model_io.calling import parts_of
from keras_attnviz.model_io.outputs import class_probabilities, classes_to_explain
from keras_attnviz.model_io.workers import own_variables
from keras_attnviz.monitor.attention_measures import Measures
from keras_attnviz.monitor.gate_measures import GateMeasures
from keras_attnviz.monitor.gate_measures import scalar_names as gate_scalar_names
from keras_attnviz.monitor.health import (
    layer_health,
    localization_measures,
    scalar_names,
)
from keras_attnviz.monitor.probe_checks import (
    check_class_names,
    check_classes,
    check_inputs,
    input_options,
    place_of,
)
from keras_attnviz.monitor.probe_pass import ProbeGraph
from keras_attnviz.monitor.scalars import entropy_name, frame_names
from keras_attnviz.monitor.snapshot import Snapshot


class ProbeMonitor:
    """Takes snapshots of a model on its probes; the model is traced once, at construction.

    Only where its variables are others than before is it traced anew: LoRA, integer weights.

    Args:
        model: see `AttentionModel`.
        probes: a `ProbeSet`.
        batch_size: probes that are run at a time.
        start_layer: see `attention_rollout`.
        rollout_options: dict of `head_fusion`, `discard_ratio` and `residual` of
            `attention_rollout`.
        details: whether single heads and maps from every patch are measured too.
        methods: dict from the names of methods, see `AttentionModel.explain`, to their options;
            `DEFAULT` unless given, none in a model without attention maps. `"rollout"` has those of
            `rollout_options` and `start_layer` too.
        explained_class: see `AttentionRolloutCallback`.
        **options: `layers`, `layout`, `output` and `self_check` of `AttentionModel`.

    Attributes:
        attention_model: the `AttentionModel`.
        measures: the `Measures`; None without attention maps.
        gates: the `GateMeasures`, without effect where the model has no gates.
        methods: dict from the names of the methods to their options.
        heats: names of all heatmaps that are measured, the methods' and `MEAN_OF_GATES`, a list.
        grid: `(height, width)` of the heatmaps, None where there is none. Of videos the frames
            stand below one another in it.
        frames: number of frames of the heatmaps of videos, None for images.
        sheet: the `Sheet` that frames are shown in.
        inputs: flat list of arrays, what the model takes, one entry a probe.
        image_place: which of them holds the images.
        explained: int32 array `[probes]`, the classes that are explained, -1 for the predicted.
        has_classes: whether the predictions are class scores.

    Raises:
        ValueError: probes of a shape, or class names of a number, that the model doesn't have;
            a `start_layer` that it doesn't have; methods of a model without attention maps; and
            what `AttentionModel` raises.
    """

    def __init__(
        self,
        model,
        probes,
        *,
        batch_size,
        start_layer,
        rollout_options,
        details=False,
        methods=None,
        explained_class="predicted",
        **options,
    ):
        check_inputs(model, probes)
        self.model, self._probes, self._details = model, probes, details
        self._options_given = {**input_options(probes), **options}
        self._methods_given, self._batch_size = methods, batch_size
        self.options = {"start_layer": start_layer, **rollout_options}
        self._labels, self._masks, self._fingerprint = probes.labels, None, probes.fingerprint()
        self.image_place = place_of(probes.images, probes.inputs)
        self.explained = classes_to_explain(explained_class, len(probes), labels=probes.labels)
        self._trace()
        if probes.masks is not None and self.grid is not None:
            self._masks = mask_shares(self.tall_masks(probes.masks), self.grid)
        outputs = self._pass.shape("predictions")
        self.has_classes, self._outputs = len(outputs) == 2, list(outputs[1:])
        check_class_names(probes, outputs)
        check_classes(explained_class, self.explained, outputs)

    def snapshot(self):
        """Returns the `Snapshot` of the model as it is now.

        Raises:
            ValueError: the model has other variables than before, LoRA or integer weights say, and
                was traced anew, but doesn't have the same attention maps and gates any more.
        """
        if _variables_of(self.model) != self._variables:
            self._trace_anew()
        batches = self._pass()
        found = {
            name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]
        }
        probabilities = class_probabilities(
            found.pop("predictions"), activation=self.attention_model.activation
        )
        entropy, health = [], {}
        if self.measures is not None:
            entropy = self.by_layer(found["entropy"].mean(axis=0))
            health = layer_health(found, [len(heads) for heads in entropy])
        heat = {name: found.pop(f"heat/{name}") for name in self.heats}
        return Snapshot(
            heat=heat,
            entropy=np.float32([heads.mean() for heads in entropy]),
            **_predictions(probabilities, self._labels),
            measures=found,
            health=health,
            gates=self.gates.gates,
            localization={
                method: localization_measures(maps, self._masks) for method, maps in heat.items()
            },
            frame_share={} if self.frames is None else self._frame_shares(heat),
        )

    def scalar_names(self):
        """Returns the names of the scalars that `snapshot_scalars` gives."""
        names = []
        if self.measures is not None:
            of_layers = [entropy_name(layer) for layer in range(len(self.layers))]
            names += ["entropy", *of_layers]
        if self.heats:
            names += ["drift_from_baseline", "drift_from_last"]
            names += [f"agreement/{name}" for name in self.heats[1:]]
        names += scalar_names(
            health=self.measures is not None,
            masks=self._masks is not None,
            labels=self._labels is not None,
            others=self.heats[1:],
        )
        names += frame_names(self.frames or 0)
        return names + gate_scalar_names(self.gates.gates)

    def identity(self):
        """Returns what snapshots must have in common to be compared, a dict that JSON can hold."""
        return {
            "probes": self._fingerprint,
            "grid": self.grid and list(self.grid),
            "layers": [[found.layer, found.heads] for found in self.attention_model.maps],
            "gates": [[gate.layer, gate.kind, gate.channels] for gate in self.gates.gates],
            "methods": self.methods,
            "details": self._details,
        }

    def described(self):
        """Returns what a person must know of the model to see that it has changed, one line."""
        parts = []
        maps, gates = self.attention_model.maps, self.gates.gates
        for kind, found in (("attention layers", maps), ("gates", gates)):
            if found:
                trained = sum(each.trainable for each in found)
                parts.append(f"{len(found)} {kind}, {trained} of them trained")
        return ", ".join([*parts, f"outputs {self._outputs}"])

    def plan_line(self):
        """Returns what is frozen and how much of the pass over the probes is left, one line."""
        self._pass.look()
        frozen = self._pass.frozen
        layers = f"{sum(frozen)} of {len(frozen)} attention layers are frozen; " if frozen else ""
        return (
            f"Probes: {layers}{self._pass.share:.0%} of the operations of their pass are run again "
            "at each epoch."
        )

    def forget(self):
        """Lets go of the tensors that are kept for the next snapshot."""
        self._pass.forget()

    def by_layer(self, heads):
        """Returns an array `[heads of all layers, ...]` as a list of one array a layer."""
        return np.split(heads, self._heads[1:-1])

    def tall_masks(self, masks):
        """Returns the probes' masks on the pictures that `grid` is laid over."""
        return masks if masks.ndim == 3 else tall_masks(masks, self.frames or 1)

    def full_maps(self, probe):
        """Returns what `Measures.full` gives for one probe, a list of one array a layer."""
        found = self._full([array[probe : probe + 1] for array in self.inputs])
        return [layer.numpy()[0] for layer in found]

    def _frame_shares(self, heat):
        """Returns the share of each frame in heatmaps by their names, `[probes, frames]` each."""
        return {
            name: frame_importance(
                maps.reshape(len(maps), self.frames, -1, maps.shape[-1]),
            ).numpy()
            for name, maps in heat.items()
        }

    def _trace(self):
        """Traces the model as it is now, and finds what is measured in it."""
        self.attention_model = AttentionModel(self.model, **self._options_given)
        # Not before: a model that isn't built has none.
        self._variables = _variables_of(self.model)
        maps, layout = self.attention_model.maps, self.attention_model.layout
        self.layers = tuple(found.layer for found in maps)
        self.methods = _methods_of(self.attention_model, self._methods_given)
        if "rollout" in self.methods:
            self.options = self.methods["rollout"] = {**self.options, **self.methods["rollout"]}
        self.measures = None
        if maps:
            check_start_layer(self.options["start_layer"], len(maps))
            self.measures = Measures(
                self.attention_model,
                image_size=self._probes.images.shape[-3:-1],
                rollout_options=self.options,
            )
        self.gates = GateMeasures(self.attention_model.gates, layout and layout.grid)
        self.frames = self.attention_model.frames
        self.sheet = Sheet(self.frames or 1)
        self.heats = [*self.methods, *([MEAN_OF_GATES] if self.gates.spatial else [])]
        self.grid = self.gates.grid
        self._heads = np.cumsum([0, *(found.heads for found in maps)])
        self.inputs = self.attention_model.signature.arrays(self._probes.inputs, name="probes")
        specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in self.inputs]
        graph = ProbeGraph(
            self.attention_model, self.measures, self.gates, self.methods, details=self._details
        )
        self._pass = self.attention_model.fixed_pass(
            graph, self._batches(), methods=list(self.methods)
        )
        self._full = tf.function(graph.full_maps, input_signature=[specs])

    def _trace_anew(self):
        """Traces a model whose variables were exchanged; where that fails, nothing is changed."""
        state, identity = dict(vars(self)), self.identity()
        self.forget()
        try:
            self._trace()
            if self.identity() != identity:
                must = "a model with the attention maps and gates that it was traced with"
                raise ValueError(message("model", must, self.described()))
        except BaseException:
            # What was traced before is not of the model as it is: it is tried again next time.
            vars(self).update(state)
            raise

    def _batches(self):
        """Returns the probes in batches: flat lists of arrays, and their classes."""
        parts = [
            slice(start, start + self._batch_size)
            for start in range(0, len(self.explained), self._batch_size)
        ]
        return [([array[part] for array in self.inputs], self.explained[part]) for part in parts]


def _variables_of(model):
    """Returns which weights a model has, a frozen set; they may be exchanged for others."""
    with own_variables(model):
        # The trace keeps the handles alive, so no other one gets the same id.
        return frozenset(id(part.handle) for each in model.weights for part in parts_of(each))


def _methods_of(attention_model, methods):
    """Returns the methods of a model, a dict from names to options."""
    if not attention_model.maps:
        if methods is not None:
            must = "None for a model that has gates and no attention maps"
            raise ValueError(message("methods", must, list(methods)))
        return {}
    return dict(chosen_methods(DEFAULT) if methods is None else methods)


def check_options(*, batch_size, head_fusion, discard_ratio, residual):
    """Raises for options that no model could take; the rest is checked with the model."""
    check_count("batch_size", batch_size)
    check_choice("head_fusion", head_fusion, FUSIONS)
    check_ratio("discard_ratio", discard_ratio)
    check_ratio("residual", residual)


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
