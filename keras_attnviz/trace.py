"""One inference call of a Keras model as a graph, and functions cut out of that graph."""

import contextlib
import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz import graph


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """One attention map that was found.

    Args:
        layer: path of the layer that computes it.
        heads: number of heads.
        queries: number of query tokens.
        keys: number of key tokens.
    """

    layer: str
    heads: int
    queries: int
    keys: int


@dataclasses.dataclass(frozen=True)
class Findings:
    """What one image, run through the traced graph, has shown."""

    maps: tuple
    patch_grids: tuple
    readout: tuple


class Trace:
    """The graph of one inference call of a model, and functions cut out of it."""

    def __init__(self, model, signature):
        self._signature = signature

        def call(images):
            operations = tf.compat.v1.get_default_graph().get_operations
            before = len(operations())
            predictions = model(images, training=False)
            return predictions, operations()[before:]

        # AutoGraph, so that a model's own Python control flow works as it does in `fit`.
        context = tf.__internal__.autograph.control_status_ctx()
        convert = tf.__internal__.autograph.tf_convert

        def traced(images):
            predictions, operations = convert(call, context)(images)
            self.predictions = _single_output(predictions)
            self.operations = operations
            return self.predictions

        with _losses_kept(model):
            # Unlike tf.function, what this gives can be cut into functions of parts.
            self._wrapped = tf.compat.v1.wrap_function(traced, [signature])
        self.sites = graph.find_attention(self.operations, model.name)
        if not self.sites:
            raise ValueError(_no_attention(model))

    def function(self, outputs):
        """Returns the function from images to `outputs`, tensors of this graph."""
        return self._wrapped.prune(self._wrapped.inputs[0], outputs)

    def inspect(self, sites):
        """Returns the `Findings` of running one image."""
        embeddings = graph.patch_embeddings(self.operations, sites[0].tensor)
        with self._wrapped.graph.as_default():
            shapes = [tf.shape(site.tensor) for site in sites]
            grids = [tf.gather(tf.shape(e), graph.spatial_axes(e)) for e in embeddings]
            depends = _dependence(graph.head_input(self.predictions), sites[-1].tensor)
        image = tf.zeros([1, *self._signature.shape[1:]], self._signature.dtype)
        outputs = [output.numpy() for output in self.function([*shapes, *grids, depends])(image)]
        return Findings(
            maps=tuple(
                _attention_map(site, shape)
                for site, shape in zip(sites, outputs[: len(sites)], strict=True)
            ),
            patch_grids=tuple(
                tuple(int(side) for side in grid) for grid in outputs[len(sites) : -1]
            ),
            readout=tuple(int(token) for token in np.flatnonzero(outputs[-1])),
        )


def _dependence(output, attention):
    """Tells for each query token of `attention` whether `output` depends on it, bool `[queries]`.

    The gradient of a weighted sum is used; the weights differ, because a plain sum of what a
    normalization layer gives is constant.
    """
    flat = tf.reshape(tf.cast(output, tf.float32), [-1])
    weights = tf.cos(tf.cast(tf.range(tf.size(flat)), tf.float32))
    (gradient,) = tf.gradients(flat * weights, attention)
    if gradient is None:
        return tf.zeros([tf.shape(attention)[-2]], tf.bool)
    axes = [axis for axis in range(attention.shape.rank) if axis != attention.shape.rank - 2]
    return tf.reduce_any((gradient != 0) & tf.math.is_finite(gradient), axis=axes)


def _attention_map(site, shape):
    if len(shape) != 4:
        raise ValueError(
            f"The attention map of layer {site.layer} has shape {tuple(shape)} for one image, not "
            "[batch, heads, queries, keys]. Choose other attention maps with `layers`."
        )
    return AttentionMap(site.layer, *(int(size) for size in shape[1:]))


def _single_output(predictions):
    outputs = tf.nest.flatten(predictions)
    if len(outputs) != 1:
        raise ValueError(
            f"`model` must have one output. Received: {len(outputs)} outputs. Pass a model with "
            "the class predictions as its only output."
        )
    return outputs[0]


def _no_attention(model):
    layers = [f"{layer.name} ({type(layer).__name__})" for layer in _all_layers(model)]
    shown = ", ".join(layers[:30]) + (f" and {len(layers) - 30} more" if len(layers) > 30 else "")
    return (
        "`model` must compute attention: a softmax that is multiplied with values. Received: "
        f"model {model.name!r}, in whose graph there is none. Layers seen: {shown}. Attach to a "
        "Vision Transformer; a SavedModel or TFSMLayer hides its operations, load it as .keras."
    )


def _all_layers(model):
    return list(model._flatten_layers(include_self=False, recursive=True))


@contextlib.contextmanager
def _losses_kept(model):
    """Gives each layer back its list of losses, which a call in another graph replaces.

    Left there, the symbolic tensors of our graph would stand in `model.losses` until the next
    call of the model.
    """
    layers = [layer for layer in [model, *_all_layers(model)] if hasattr(layer, "_losses")]
    kept = [(layer, list(layer._losses)) for layer in layers]
    try:
        yield
    finally:
        for layer, losses in kept:
            layer._losses[:] = losses
