"""Traces of small models of patches and attention layers."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_attnviz.capture.observed_trace import observed
from keras_attnviz.capture.trace import trace_model
from keras_attnviz.model_io.signature import InputSignature

HEIGHT, WIDTH, WIDE = 3, 2, 8
PLAIN = (0, 1, 2, 3)


class Attention(keras.layers.Layer):
    """Attention over tokens `[batch, tokens, WIDE]` with two heads and a residual.

    Args:
        queries: function from the tokens to the tokens that queries are computed from.
        keys: the same for keys.
    """

    def __init__(self, queries=tf.identity, keys=tf.identity, **options):
        super().__init__(**options)
        self.queries, self.keys = queries, keys

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(3, WIDE, 2, WIDE // 2), initializer="random_normal", name="kernel"
        )

    def call(self, tokens):
        query = tf.einsum("btd,dhe->bhte", self.queries(tokens), self.kernel[0])
        key = tf.einsum("btd,dhe->bhte", self.keys(tokens), self.kernel[1])
        value = tf.einsum("btd,dhe->bhte", self.keys(tokens), self.kernel[2])
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))
        read = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        read = tf.reshape(read, [-1, *read.shape[1:2], WIDE])
        return tokens + read if read.shape[1] == tokens.shape[1] else read


def patches_of(images):
    patches = keras.layers.Conv2D(WIDE, 4, 4, name="patches")(images)
    return keras.layers.Lambda(lambda maps: tf.reshape(maps, [-1, HEIGHT * WIDTH, WIDE]))(patches)


def traced(*layers):
    """Returns the trace of a model of patches and `layers`, and one random image."""
    keras.utils.set_random_seed(1)
    images = keras.Input((4 * HEIGHT, 4 * WIDTH, 3))
    outputs = patches_of(images)
    for layer in layers:
        outputs = layer(outputs)
    outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(outputs))
    return observed_model(keras.Model(images, outputs))


def observed_model(model):
    signature = InputSignature.of(model)
    inputs = [tf.constant(values) for values in signature.random(1)]
    return observed(trace_model(model, signature), inputs), inputs


def one_hot(count, index, *, leading=(1, 2)):
    """Returns a factor `[*leading, slots]` that is 1 at one slot and 0 elsewhere."""
    return np.broadcast_to(np.eye(count)[index], [*leading, count])


def reached(gradient):
    """Returns the numbers of the positions that a gradient reaches."""
    strength = np.abs(gradient).max(axis=-1)
    return np.flatnonzero(strength > 1e-6 * strength.max()).tolist()


def columns_first(tokens):
    grid = tf.reshape(tokens, [-1, HEIGHT, WIDTH, WIDE])
    return tf.reshape(tf.transpose(grid, [0, 2, 1, 3]), [-1, HEIGHT * WIDTH, WIDE])


def behind_a_class_token(tokens):
    return tf.concat([tf.zeros_like(tokens[:, :1]) + 1.0, tokens], axis=1)


def normalized(tokens):
    mean, variance = tf.nn.moments(tokens, axes=[-1], keepdims=True)
    return (tokens - mean) / tf.sqrt(variance + 1e-6)


def mean_of_rows(tokens):
    return tf.reduce_mean(tf.reshape(tokens, [-1, HEIGHT, WIDTH, WIDE]), axis=2)


# For each function, the positions that each slot is computed from.
SIDES = {
    "row by row": (tf.identity, [[0], [1], [2], [3], [4], [5]]),
    "column by column": (columns_first, [[0], [2], [4], [1], [3], [5]]),
    "behind a class token": (behind_a_class_token, [[], [0], [1], [2], [3], [4], [5]]),
    "normalized": (normalized, [[0], [1], [2], [3], [4], [5]]),
    "pooled": (mean_of_rows, [[0, 1], [2, 3], [4, 5]]),
}
