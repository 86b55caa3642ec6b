"""Gradients at the positions of a feature map, for example gradients of the tokens above it."""

import math

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.paths import gradients_or_none
from keras_attnviz.capture.graph.positions import as_floats, position_axes


class PositionGradients:
    """The gradient that arrives at the positions of a tensor, for fed cotangents.

    The tensor is fed with random values, so that only what lies above it is run.

    Args:
        trace: an `ObservedTrace`.
        feature_map: symbolic tensor `[batch, height, width, channels]`, or channels first as the
            `data_format` of its operation says, or `[batch, tokens, channels]`. In a video, frames
            may stand before the height, on a separate axis or merged with the batch; their
            positions then stand below one another.
        arriving: symbolic tensor of the same shape, the gradient.
        fed: placeholders for the cotangents, from which the gradient is computed.
        inputs: flat list of the model's inputs, one image.
        randomized: more tensors that are fed with random values.
        others: more tensors that are computed from the placeholders.

    Attributes:
        grid: the positions' `(height, width)`, or `(tokens,)`.
    """

    def __init__(self, trace, feature_map, arriving, fed, inputs, *, randomized=(), others=()):
        given = input_shapes(trace, inputs)
        shape = trace.shape_of(feature_map) or given[feature_map.name]
        self._axes = position_axes(feature_map)
        *frames, last = np.moveaxis(np.broadcast_to(0, shape), *self._moves()).shape[:-1]
        self.grid = (math.prod(frames), last) if len(frames) > 1 else (last,)
        random = [t for t in (feature_map, *randomized) if t.name not in given]
        generator = np.random.default_rng(2)
        self._arguments = [tf.constant(values) for values in inputs]
        self._arguments += [
            tf.constant(generator.normal(size=trace.shape_of(tensor)), tensor.dtype)
            for tensor in random
        ]
        self._function = trace.experiment([arriving, *others], feeds=[*random, *fed])

    def __call__(self, *cotangents):
        """Returns the gradients that arrive, float64 `[positions, channels]`."""
        found = np.moveaxis(self._run(cotangents)[0], *self._moves())
        return found.reshape(-1, found.shape[-1])

    def others(self, *cotangents):
        """Returns the values of `others`, a list of float64 arrays."""
        return self._run(cotangents)[1:]

    def _moves(self):
        """Returns which axes of the feature map move where, to stand right after the batch axis."""
        return self._axes, range(1, len(self._axes) + 1)

    def _run(self, cotangents):
        fed = [tf.constant(values, tf.float32) for values in cotangents]
        found = self._function(*self._arguments, *fed)
        return [values.numpy().astype(float) for values in found]


def token_gradients(trace, feature_map, tokens, inputs):
    """Returns a function from factors `[tokens]` to gradients at a feature map's positions.

    Args:
        trace: an `ObservedTrace`.
        feature_map: see `PositionGradients`.
        tokens: symbolic tensor of one of these forms, computed from the feature map.
        inputs: flat list of the model's inputs, one image.

    Returns:
        `(grid, gradient)`: the positions' `(height, width)` or `(tokens,)`, and the function. None
        where no gradient arrives or the tokens don't belong to one image.
    """
    shape = trace.shape_of(tokens)
    if shape is None or shape[0] != 1:
        return None
    with trace.as_default():
        fed = tf.compat.v1.placeholder(tf.float32, shape)
        cotangent = tf.cast(fed, tokens.dtype)
    (arriving,) = gradients_at(trace, [tokens], [cotangent], [feature_map])
    if arriving is None:
        return None
    gradients = PositionGradients(trace, feature_map, arriving, [fed], inputs)
    random = np.random.default_rng(1).normal(size=shape)
    axes = position_axes(tokens)

    def gradient(factor):
        sizes = [size if axis in axes else 1 for axis, size in enumerate(shape)]
        return gradients(random * factor.reshape(sizes))

    return gradients.grid, gradient


def gradients_at(trace, outputs, cotangents, feature_maps):
    """Returns the gradients at feature maps, symbolic; None where there are none.

    The attention of the layers below is held constant, as are convolutions whose windows
    overlap, so that each query and each key depends on the positions that its token stands for.
    """
    with trace.as_default():
        return gradients_or_none(
            outputs, feature_maps, grad_ys=cotangents, stop_gradients=trace.mixing()
        )


def input_shapes(trace, inputs):
    """Returns the shapes of the model's inputs, and of their casts, by tensor name.

    Args:
        trace: a `Trace`.
        inputs: flat list of the model's inputs, one image.
    """
    return {
        tensor.name: tuple(values.shape)
        for symbolic, values in zip(trace.inputs, inputs, strict=True)
        for tensor in (symbolic, *as_floats(symbolic))
    }
