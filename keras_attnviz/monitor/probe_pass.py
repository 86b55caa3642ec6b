"""Probe pass: everything that is measured on probes, as tensors in the graph of a forward pass."""

import tensorflow as tf

from keras_attnviz.methods.registry import MEAN_OF_GATES, times_uniform, token_values


class ProbeGraph:
    """Computes predictions, heatmaps and measures from a model's evidence.

    Args:
        attention_model: the `AttentionModel`.
        measures: its `Measures`; None without attention maps.
        gates: its `GateMeasures`.
        methods: dict from the names of the methods to their options.
        details: whether single heads and maps from every patch are measured too.
    """

    def __init__(self, attention_model, measures, gates, methods, *, details):
        self._model, self._measures, self._gates = attention_model, measures, gates
        self._methods, self._details = methods, details

    def __call__(self, evidence):
        """Returns a dict from names to tensors `[batch, ...]`.

        These are `predictions`; `heat/<method>`, in multiples of uniform attention where that has
        a meaning; and the measures that `Snapshot` lists.
        """
        model = self._model
        found = {"predictions": evidence.predictions}
        for method, options in self._methods.items():
            values = token_values(method, evidence, model.stack, options)
            found[f"heat/{method}"] = times_uniform(method, values, model.layout)
        if model.gates:
            found |= self._gates.measured(evidence.gates)
        if self._gates.spatial:
            found[f"heat/{MEAN_OF_GATES}"] = tf.reduce_mean(found["gate_maps"], axis=1)
        if self._measures is not None:
            found |= self._measures.measured(evidence.attentions, details=self._details)
        return found

    def full_maps(self, inputs):
        """Returns `Measures.full` of each layer for the model's inputs, a list of tensors."""
        _, attentions = self._model(self._model.signature.pack(inputs))
        return [self._measures.full(attentions, layer) for layer in range(len(attentions))]
