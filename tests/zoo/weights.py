"""Seeded random weights and inputs, the same under every version of Keras."""

import numpy as np
import tensorflow as tf


def randomize(model, *, image_shape=()):
    """Sets kernels and learned tokens to seeded random numbers; returns the model.

    With Keras' initial values, attention is almost uniform, and a test that confuses one token with
    another could pass. Vectors (biases, scales, gates) keep their values.

    Args:
        model: a Keras model.
        image_shape: `(height, width, channels)`, if the model is not built yet.
    """
    if image_shape:
        model(tf.zeros([1, *image_shape]))
    random = np.random.default_rng(7)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            spread = 2 / np.sqrt(np.prod(weight.shape[:-1]))
            weight.assign(random.normal(0, spread, weight.shape))
    return model


def start_afresh(model, *, image_shape=()):
    """Sets weights as before training: small kernels, learned tokens and positions of zero."""
    randomize(model, image_shape=image_shape)
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        if len(weight.shape) == 3 and weight.shape[0] == 1:
            weight.assign(np.zeros(weight.shape))
        elif len(weight.shape) > 1:
            weight.assign(random.normal(0, 0.02, weight.shape))
    return model


def random_inputs(model, *, count, image_shape=(), text_length=6, seed=0):
    """Returns a batch of inputs as the model takes it: an array, or a list or dict of arrays.

    Images are float32 in [-1, 1], and token numbers int32 in [1, 9]. If a model takes texts of any
    length, they have `text_length` tokens.
    """
    random = np.random.default_rng(seed)
    declared = tf.zeros([1, *image_shape]) if image_shape else model.input

    def random_array(tensor):
        shape = [count, *(text_length if size is None else int(size) for size in tensor.shape[1:])]
        if "int" in str(tensor.dtype):
            return random.integers(1, 10, shape).astype("int32")
        return random.uniform(-1, 1, shape).astype("float32")

    return tf.nest.map_structure(random_array, declared)
