"""Traced probes: a model's graph over its probes, with what is measured in it."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.capture.attention_model import AttentionModel
from keras_attnviz.capture.graph.fixed_pass import FixedPass
from keras_attnviz.capture.memory_plan import MemoryPlan, planned
from keras_attnviz.drawing.contact_sheet import Sheet
from keras_attnviz.methods.registry import DEFAULT, MEAN_OF_GATES, chosen_methods
from keras_attnviz.methods.rollout import check_start_layer
from keras_attnviz.model_io.calling import parts_of
from keras_attnviz.model_io.workers import own_variables
from keras_attnviz.monitor.attention_measures import Measures
from keras_attnviz.monitor.gate_measures import GateMeasures
from keras_attnviz.monitor.probe_pass import ProbeGraph


@dataclasses.dataclass(frozen=True, eq=False)
class TracedProbes:
    """A model as it was traced on its probes; `traced_probes` makes one.

    Args:
        attention_model: the `AttentionModel`.
        variables: frozen set of ids, see `variables_of`, of the variables that the graph reads.
        methods: dict from the names of the methods to their options.
        rollout_options: dict, all options of `attention_rollout`.
        attention_measures: the `Measures`; None without attention maps.
        gate_measures: the `GateMeasures`, empty if the model has no gates.
        inputs: flat list of the model's input arrays, with one entry per probe.
        plan: the `MemoryPlan`, how many probes run at once.
        fixed_pass: the `FixedPass` over the probes, which returns the tensors of `ProbeGraph`.
        full_maps: function from a flat list of inputs to `Measures.full` of each layer.
    """

    attention_model: AttentionModel
    variables: frozenset
    methods: dict
    rollout_options: dict
    attention_measures: Measures | None
    gate_measures: GateMeasures
    inputs: list
    plan: MemoryPlan
    fixed_pass: FixedPass
    full_maps: Callable

    @property
    def heatmap_names(self):
        """List of the names of all heatmaps: the methods' names and `MEAN_OF_GATES`."""
        return [*self.methods, *([MEAN_OF_GATES] if self.gate_measures.spatial else [])]

    @property
    def grid(self):
        """`(height, width)` of the heatmaps, frames below one another; None without heatmaps."""
        return self.gate_measures.grid

    @property
    def frames(self):
        """The number of frames of the heatmaps of videos, None for images."""
        return self.attention_model.frames

    @property
    def sheet(self):
        """The `Sheet` that shows the frames."""
        return Sheet(self.frames or 1)

    @property
    def outputs(self):
        """The shape of the predictions, batch first."""
        return self.fixed_pass.shape("predictions")

    def by_layer(self, heads):
        """Returns an array `[heads of all layers, ...]` as a list of one array per layer."""
        return np.split(heads, np.cumsum([found.heads for found in self.attention_model.maps])[:-1])

    def identity(self):
        """Returns what two traces must have in common to be compared, a dict for JSON."""
        return {
            "grid": self.grid and list(self.grid),
            "layers": [[found.layer, found.heads] for found in self.attention_model.maps],
            "gates": [[gate.layer, gate.kind, gate.channels] for gate in self.gate_measures.gates],
            "methods": self.methods,
        }

    def described(self):
        """Returns one line that shows a person whether the model has changed."""
        parts = []
        maps, gates = self.attention_model.maps, self.gate_measures.gates
        for kind, found in (("attention layers", maps), ("gates", gates)):
            if found:
                trained = sum(each.trainable for each in found)
                parts.append(f"{len(found)} {kind}, {trained} of them trained")
        return ", ".join([*parts, f"outputs {list(self.outputs[1:])}"])


def traced_probes(
    model,
    probes,
    *,
    classes,
    batch_size,
    rollout_options,
    methods,
    details,
    memory_limit=None,
    **options,
):
    """Returns the `TracedProbes` of a model as it is now.

    Args:
        model: see `AttentionModel`.
        probes: a `ProbeSet`.
        classes: int32 array `[probes]`, the classes to explain, -1 for the predicted class.
        batch_size: number of probes in a batch, fewer where memory is short.
        rollout_options: dict of options of `attention_rollout`; options in `methods` override them.
        methods: dict from the names of methods to their options, or None, see `ProbeMonitor`.
        details: whether single heads and maps from every patch are measured too.
        memory_limit: see `planned`.
        **options: options of `AttentionModel`.

    Raises:
        ValueError: methods are given for a model without attention maps; a `start_layer` that the
            model doesn't have; see also `AttentionModel`.
    """
    attention_model = AttentionModel(model, **options)
    # After the trace: a model that isn't built yet has no variables.
    variables = variables_of(model)
    methods = _methods_of(attention_model, methods)
    if "rollout" in methods:
        methods["rollout"] = rollout_options = {**rollout_options, **methods["rollout"]}
    measures = _measures_of(attention_model, probes, rollout_options)
    layout = attention_model.layout
    gates = GateMeasures(attention_model.gates, layout and layout.grid)
    inputs = attention_model.signature.arrays(probes.inputs, name="probes")
    plan = planned(
        attention_model.stack,
        list(methods),
        images=min(batch_size, len(classes)),
        memory_limit=memory_limit,
    )
    specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in inputs]
    graph = ProbeGraph(attention_model, measures, gates, methods, details=details)
    return TracedProbes(
        attention_model=attention_model,
        variables=variables,
        methods=methods,
        rollout_options=rollout_options,
        attention_measures=measures,
        gate_measures=gates,
        inputs=inputs,
        plan=plan,
        fixed_pass=attention_model.fixed_pass(
            graph, _batches(inputs, classes, plan.images), methods=list(methods)
        ),
        full_maps=tf.function(graph.full_maps, input_signature=[specs]),
    )


def variables_of(model):
    """Returns the ids of a model's weights, a frozen set; it changes if weights are exchanged."""
    with own_variables(model):
        # The trace keeps the handles alive, so no other handle gets the same id.
        return frozenset(id(part.handle) for each in model.weights for part in parts_of(each))


def _methods_of(attention_model, methods):
    """Returns the methods of a model, a new dict from names to options."""
    if not attention_model.maps:
        if methods is not None:
            must = "None for a model that has gates and no attention maps"
            raise ValueError(message("methods", must, list(methods)))
        return {}
    return dict(chosen_methods(DEFAULT) if methods is None else methods)


def _measures_of(attention_model, probes, rollout_options):
    """Returns the `Measures` of a model on its probes, or None without attention maps."""
    if not attention_model.maps:
        return None
    check_start_layer(rollout_options["start_layer"], len(attention_model.maps))
    return Measures(
        attention_model,
        image_size=probes.images.shape[-3:-1],
        rollout_options=rollout_options,
    )


def _batches(inputs, classes, size):
    """Returns the probes in batches: flat lists of arrays, and their classes."""
    parts = [slice(start, start + size) for start in range(0, len(classes), size)]
    return [([array[part] for array in inputs], classes[part]) for part in parts]
