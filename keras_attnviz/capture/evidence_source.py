"""Evidence for explanation methods, from one batch: maps, gradients, weighted values."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz._templates import copies
from keras_attnviz.capture.graph.fixed_pass import FixedPass
from keras_attnviz.capture.graph.logits import before_activation
from keras_attnviz.capture.graph.paths import gradients_or_none
from keras_attnviz.capture.logit_lens import gradients_by_layer, logits_by_layer
from keras_attnviz.capture.tokens.geometry import symbolic_by_group
from keras_attnviz.capture.value_norms import value_norms
from keras_attnviz.methods.evidence import GATES, GRADIENTS, LAYER_GRADIENTS, VALUES, Evidence

_OF_CLASSES = {GRADIENTS, LAYER_GRADIENTS}


class EvidenceSource:
    """Functions from inputs to `Evidence`, cut out of a model's graph once for each set of needs.

    Args:
        trace: a `Trace`.
        geometries: sequence of `MapGeometry`, bottom first.
        gates: the `GateSource` of the same model.
    """

    def __init__(self, trace, geometries, gates):
        self._trace, self._geometries, self._gates = trace, tuple(geometries), gates
        self._functions = {}
        self._sites = [trace.sites[geometry.index] for geometry in self._geometries]

    @property
    def indices(self):
        """The numbers of the maps among the sites of the trace, a tuple."""
        return tuple(geometry.index for geometry in self._geometries)

    @property
    def classes(self):
        """Number of classes that have gradients; None where the model has no class scores."""
        logits = before_activation(self._trace.predictions)
        if self._trace.predictions.shape.rank != 2 or logits.shape.rank != 2:
            return None
        return max(2, logits.shape[-1]) if logits.shape[-1] else None

    def prepare(self, needs):
        """Cuts the function for some needs out of the graph; raises what `of` raises."""
        if frozenset(needs) not in self._functions:
            with tf.init_scope():
                self._functions[frozenset(needs)] = self._function(needs)

    def checked_classes(self, classes, images):
        """Returns classes as an int32 tensor `[batch]`, -1 for the predicted class.

        Args:
            classes: None, an integer, or integers `[batch]`.
            images: tensor whose first axis is the batch.

        Raises:
            TypeError: they are not integers.
            ValueError: the model has no such class, or there are not as many classes as images.
        """
        batch, count = images.shape[0], self.classes
        must = f"None, a class or classes [{batch or 'batch'}]"
        if count is not None:
            must += f", integers in [-1, {count})"
        if not tf.is_tensor(classes):
            values = np.asarray(-1 if classes is None else classes)
            if values.dtype.kind not in "iu":
                raise TypeError(message("classes", must, classes))
            in_range = (values >= -1) & (values < (np.inf if count is None else count))
            if values.ndim > 1 or (values.ndim and len(values) != batch) or not in_range.all():
                raise ValueError(message("classes", must, classes))
        classes = tf.cast(-1 if classes is None else classes, tf.int32)
        return tf.broadcast_to(classes, tf.shape(images)[:1])

    def of(self, inputs, *, needs=(), classes=None):
        """Returns the `Evidence` of a batch.

        Args:
            inputs: flat list of the model's inputs.
            needs: what is computed beside the maps, names of fields of `Evidence`: `GATES`,
                `GRADIENTS`, `LAYER_GRADIENTS`, `VALUES`.
            classes: int32 tensor `[batch]`, the class of each image whose score the gradients are
                taken of; a number below 0 stands for the predicted class. Needed with gradients.

        Raises:
            ValueError: the model has no class scores, or a map has no gradient or no values.
        """
        self.prepare(needs)
        further = [classes] if _OF_CLASSES & set(needs) else []
        return Evidence(**self._functions[frozenset(needs)](*inputs, *further))

    def _function(self, needs):
        """Returns the function from inputs and classes to a dict of the fields of `Evidence`."""
        evidence, feeds = self.symbolic(needs)
        fields = ("predictions", "attentions", *needs)
        return self._trace.function({name: getattr(evidence, name) for name in fields}, feeds=feeds)

    def symbolic(self, needs):
        """Returns the symbolic `Evidence` of any batch, in the graph of the trace.

        Returns:
            `(evidence, feeds)`; `feeds` is a list of symbolic tensors that the evidence needs
            beside the model's inputs: the classes, where it holds gradients.

        Raises:
            ValueError: see `of`.
        """
        found, feeds = {"attentions": [site.weights for site in self._sites]}, []
        with self._trace.as_default():
            if _OF_CLASSES & set(needs):
                feeds.append(tf.compat.v1.placeholder(tf.int32, [None]))
                found |= self._gradients(needs, *feeds)
            if VALUES in needs:
                found[VALUES] = self._values()
            fields = {name: self._by_group(tensors) for name, tensors in found.items()}
            if GATES in needs:
                fields[GATES] = self._gates.symbolic()
        return Evidence(self._trace.predictions, **fields), feeds

    def _by_group(self, tensors):
        """Returns one tensor for each layer, in the form that maps have in `Evidence`."""
        return [symbolic_by_group(*pair) for pair in zip(tensors, self._geometries, strict=True)]

    def fixed_pass(self, model, compute, batches, *, needs):
        """Returns a `FixedPass` that computes tensors from the evidence of some batches.

        Args:
            model: the Keras model.
            compute: function from `Evidence`, symbolic, to a dict of symbolic tensors.
            batches: list of `(inputs, classes)`: a flat list of arrays, the model's inputs; and
                integers `[batch]`, see `of`.
            needs: see `of`.
        """
        evidence, feeds = self.symbolic(needs)
        with self._trace.as_default(), copies():
            fetches = compute(evidence)
        given = [[*inputs, *([classes] * len(feeds))] for inputs, classes in batches]
        maps = [site.weights for site in self._sites]
        return FixedPass(model, self._trace, fetches, feeds=feeds, batches=given, watched=maps)

    def _gradients(self, needs, asked):
        """Returns a dict from each need that depends on classes to a list of gradients."""
        count = self.classes
        if count is None:
            shape = tuple(self._trace.predictions.shape)
            raise ValueError(
                "Methods with gradients need a model that gives class scores [batch, classes]. "
                f"Received: predictions of shape {shape}. Choose a method without gradients, or "
                "the output of the classes with `output`."
            )
        logits = _of_two_classes(before_activation(self._trace.predictions))
        predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
        classes = tf.where(asked < 0, predicted, asked)
        found = {}
        by_layer = None
        if LAYER_GRADIENTS in needs:
            by_layer = logits_by_layer(
                self._trace, [geometry.index for geometry in self._geometries]
            )
        if by_layer is not None:
            scores = [_scores(_of_two_classes(each), classes) for each in by_layer[0]]
            found[LAYER_GRADIENTS] = gradients_by_layer(scores, by_layer[1], self._sites)
        if GRADIENTS in needs or by_layer is None:
            weights = [site.weights for site in self._sites]
            of_model = gradients_or_none(_scores(logits, classes), weights)
            found = {GRADIENTS: of_model, LAYER_GRADIENTS: of_model, **found}
        found = {need: found[need] for need in sorted(_OF_CLASSES & set(needs))}
        for gradients in found.values():
            self._check(
                gradients,
                "has a gradient of the class's score",
                "Layers that are quantized or computed again in the backward pass have none.",
            )
        return found

    def _values(self):
        """Returns each map times the norms of its values."""
        names = {operation.name for operation in self._trace.operations}
        norms = [value_norms(site, names) for site in self._sites]
        self._check(norms, "is multiplied with values", "Heads may be mixed before that.")
        return [
            tf.cast(site.weights, tf.float32) * each
            for site, each in zip(self._sites, norms, strict=True)
        ]

    def _check(self, found, what, why):
        missing = [s.layer for s, each in zip(self._sites, found, strict=True) if each is None]
        if missing:
            raise ValueError(
                f"This method needs attention maps each of which {what}. Received, where that "
                f"can't be found: {', '.join(missing)}. {why} Choose another method, or other maps "
                "with `layers`."
            )


def _of_two_classes(logits):
    """Returns logits as float32; a single logit becomes `[-logit, logit]`."""
    logits = tf.cast(logits, tf.float32)
    return tf.concat([-logits, logits], axis=-1) if logits.shape[-1] == 1 else logits


def _scores(logits, classes):
    """Returns the logit of each image's class, `[batch]`."""
    return tf.gather(logits, classes, batch_dims=1)
