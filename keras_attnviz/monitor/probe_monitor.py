"""Probe monitor: a model on its probes, traced once, with a snapshot at any moment."""

import operator

import numpy as np

from keras_attnviz._checks import check_choice, check_count, check_ratio, message
from keras_attnviz.data.masks import mask_shares, tall_masks
from keras_attnviz.methods.rollout import FUSIONS
from keras_attnviz.metrics.attention import frame_importance
from keras_attnviz.model_io.outputs import class_probabilities, classes_to_explain
from keras_attnviz.monitor.health import layer_health, localization_measures
from keras_attnviz.monitor.probe_checks import (
    check_class_names,
    check_classes,
    check_inputs,
    image_index,
    input_options,
)
from keras_attnviz.monitor.scalars import scalar_names
from keras_attnviz.monitor.snapshot import Contents, Snapshot
from keras_attnviz.monitor.traced_probes import traced_probes, variables_of


class ProbeMonitor:
    """Takes snapshots of a model on its probes; the model is traced once, at construction.

    It is traced again only if its variables are exchanged, for example by LoRA or quantization.

    Args:
        model: see `AttentionModel`.
        probes: a `ProbeSet`.
        batch_size: number of probes in a batch, fewer where memory is short.
        start_layer: see `attention_rollout`.
        rollout_options: dict of `head_fusion`, `discard_ratio` and `residual` of
            `attention_rollout`.
        details: whether single heads and maps from every patch are measured too.
        methods: dict from the names of methods, see `AttentionModel.explain`, to their options;
            `DEFAULT` unless given; none for a model without attention maps. `"rollout"` also takes
            `rollout_options` and `start_layer`.
        explained_class: see `AttentionRolloutCallback`.
        memory_limit: see `AttentionRolloutCallback`.
        **options: `layers`, `layout`, `output` and `self_check` of `AttentionModel`.

    Attributes:
        attention_model: the `AttentionModel`.
        attention_measures: the `Measures`; None without attention maps.
        gate_measures: the `GateMeasures`, empty if the model has no gates.
        methods: dict from the names of the methods to their options.
        options: dict, all options of `attention_rollout`.
        heatmap_names: list of the names of all heatmaps: the methods' names and `MEAN_OF_GATES`.
        grid: `(height, width)` of the heatmaps, with the frames of videos below one another; None
            if there are no heatmaps.
        frames: number of frames of the heatmaps of videos, None for images.
        sheet: the `Sheet` that shows frames side by side.
        inputs: flat list of the model's input arrays, with one entry per probe.
        image_place: index of the images among `inputs`.
        explained_classes: int32 array `[probes]`, -1 for the predicted class.
        has_classes: whether the predictions are class scores.

    Raises:
        ValueError: the shape of the probes, the number of class names or `start_layer` doesn't fit
            the model; methods are given for a model without attention maps; see also
            `AttentionModel`.
    """

    # What the last trace found.
    attention_model = property(operator.attrgetter("_traced.attention_model"))
    attention_measures = property(operator.attrgetter("_traced.attention_measures"))
    gate_measures = property(operator.attrgetter("_traced.gate_measures"))
    methods = property(operator.attrgetter("_traced.methods"))
    options = property(operator.attrgetter("_traced.rollout_options"))
    heatmap_names = property(operator.attrgetter("_traced.heatmap_names"))
    grid = property(operator.attrgetter("_traced.grid"))
    frames = property(operator.attrgetter("_traced.frames"))
    sheet = property(operator.attrgetter("_traced.sheet"))
    inputs = property(operator.attrgetter("_traced.inputs"))

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
        memory_limit=None,
        **options,
    ):
        check_inputs(model, probes)
        self.model, self._probes = model, probes
        self.image_place = image_index(probes.images, probes.inputs)
        self.explained_classes = classes_to_explain(
            explained_class, len(probes), labels=probes.labels
        )
        self._options = {
            "batch_size": batch_size,
            "rollout_options": {"start_layer": start_layer, **rollout_options},
            "methods": methods,
            "details": details,
            "memory_limit": memory_limit,
            **input_options(probes),
            **options,
        }
        self._traced = self._traced_now()
        self._masks, self._fingerprint = None, probes.fingerprint()
        if probes.masks is not None and self.grid is not None:
            self._masks = mask_shares(self.tall_masks(probes.masks), self.grid)
        outputs = self._traced.outputs
        self.has_classes = len(outputs) == 2
        check_class_names(probes, outputs)
        check_classes(explained_class, self.explained_classes, outputs)

    def snapshot(self):
        """Returns the `Snapshot` of the model as it is now.

        Raises:
            ValueError: the model's variables were exchanged, for example by LoRA or quantization,
                and its new trace doesn't have the same attention maps and gates.
        """
        if variables_of(self.model) != self._traced.variables:
            self._trace_anew()
        batches = self._traced.fixed_pass()
        found = {
            name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]
        }
        probabilities = class_probabilities(
            found.pop("predictions"), activation=self.attention_model.activation
        )
        entropy, health = [], {}
        if self.attention_measures is not None:
            entropy = self.by_layer(found["entropy"].mean(axis=0))
            health = layer_health(found, [len(heads) for heads in entropy])
        heat = {name: found.pop(f"heat/{name}") for name in self.heatmap_names}
        return Snapshot(
            heatmaps=heat,
            entropy=np.float32([heads.mean() for heads in entropy]),
            **_predictions(probabilities, self._probes.labels),
            measures=found,
            health=health,
            gates=self.gate_measures.gates,
            localization={
                method: localization_measures(maps, self._masks) for method, maps in heat.items()
            },
            frame_share={} if self.frames is None else self._frame_shares(heat),
        )

    @property
    def contents(self):
        """The `Contents` of all snapshots."""
        return Contents(
            layers=len(self.attention_model.maps),
            heatmaps=tuple(self.heatmap_names),
            gates=self.gate_measures.gates,
            frames=self.frames or 0,
            has_masks=self._masks is not None,
            has_labels=self._probes.labels is not None,
        )

    def scalar_names(self):
        """Returns the names of the scalars that `snapshot_scalars` gives, a list."""
        return scalar_names(self.contents)

    def identity(self):
        """Returns what snapshots must share to be compared, a dict for JSON."""
        return {
            "probes": self._fingerprint,
            **self._traced.identity(),
            "details": self._options["details"],
        }

    def described(self):
        """Returns one line that shows a person whether the model has changed."""
        return self._traced.described()

    def plan_line(self):
        """Returns one line: what is frozen, and how much of the pass over the probes runs again."""
        fixed_pass = self._traced.fixed_pass
        fixed_pass.look()
        frozen = fixed_pass.frozen
        layers = f"{sum(frozen)} of {len(frozen)} attention layers are frozen; " if frozen else ""
        return (
            f"Probes: {layers}{fixed_pass.share:.0%} of the operations of their pass are run again "
            "at each epoch."
        )

    def memory_line(self):
        """Returns a line: how many probes run at a time; None where it is the batch size."""
        return self._traced.plan.line("probes")

    def forget(self):
        """Releases the tensors that are kept for the next snapshot."""
        self._traced.fixed_pass.forget()

    def by_layer(self, heads):
        """Returns an array `[heads of all layers, ...]` as a list of one array per layer."""
        return self._traced.by_layer(heads)

    def tall_masks(self, masks):
        """Returns the probes' masks, with a video's frames stacked, `[probes, height, width]`."""
        return masks if masks.ndim == 3 else tall_masks(masks, self.frames or 1)

    def full_maps(self, probe):
        """Returns `Measures.full` for one probe, a list of one array per layer."""
        found = self._traced.full_maps([array[probe : probe + 1] for array in self.inputs])
        return [layer.numpy()[0] for layer in found]

    def _frame_shares(self, heat):
        """Returns each frame's share of the heatmaps by name, `[probes, frames]`, rows sum to 1."""
        return {
            name: frame_importance(
                maps.reshape(len(maps), self.frames, -1, maps.shape[-1]),
            ).numpy()
            for name, maps in heat.items()
        }

    def _trace_anew(self):
        """Traces a model whose variables were exchanged; if that fails, the old trace stays."""
        self.forget()
        traced = self._traced_now()
        if traced.identity() != self._traced.identity():
            must = "a model with the attention maps and gates that it was traced with"
            raise ValueError(message("model", must, traced.described()))
        self._traced = traced

    def _traced_now(self):
        """Returns the `TracedProbes` of the model as it is now."""
        return traced_probes(
            self.model, self._probes, classes=self.explained_classes, **self._options
        )


def check_options(*, batch_size, head_fusion, discard_ratio, residual):
    """Raises for options that fit no model; the others are checked with the model."""
    check_count("batch_size", batch_size)
    check_choice("head_fusion", head_fusion, FUSIONS)
    check_ratio("discard_ratio", discard_ratio)
    check_ratio("residual", residual)


def _predictions(probabilities, labels):
    """Returns the fields of a `Snapshot` that describe predictions, a dict."""
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
