"""Hand-written attention and patches, computed without a ready-made layer."""

import tensorflow as tf
from tensorflow import keras

from zoo.blocks import (
    LearnedTokens,
    Positions,
    Take,
    classifier,
    encoder,
    norm,
    patches,
    perceptron,
)

layers = keras.layers


def plain_softmax(scores):
    weights = tf.exp(scores)
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def shifted_softmax(scores):
    weights = tf.exp(scores - tf.reduce_max(scores, axis=-1, keepdims=True))
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def log_softmax(scores):
    return tf.exp(tf.nn.log_softmax(scores))


def split_heads(tokens, heads):
    """Returns `[batch, heads, tokens, channels]` from `[batch, tokens, heads * channels]`."""
    _, count, width = tokens.shape
    split = tf.reshape(tokens, [-1, count, heads, width // heads])
    return tf.transpose(split, [0, 2, 1, 3])


class HandwrittenAttention(layers.Layer):
    """Self-attention from dense layers and matrix products."""

    def __init__(self, width, heads, softmax, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.softmax = heads, softmax
        self.mixed = layers.Dense(3 * width)
        self.projection = layers.Dense(width)

    def call(self, tokens):
        parts = tf.split(self.mixed(tokens), 3, axis=-1)
        queries, keys, values = (split_heads(part, self.heads) for part in parts)
        scale = queries.shape[-1] ** -0.5
        attention = self.softmax(tf.matmul(queries * scale, keys, transpose_b=True))
        mixed = tf.transpose(tf.matmul(attention, values), [0, 2, 1, 3])
        return self.projection(tf.reshape(mixed, [-1, *tokens.shape[1:]]))


class EinsumAttention(HandwrittenAttention):
    """The same in einsums, with the head axis third, `[batch, queries, heads, keys]`."""

    def call(self, tokens):
        parts = tf.split(self.mixed(tokens), 3, axis=-1)
        queries, keys, values = (split_heads(part, self.heads) for part in parts)
        scale = queries.shape[-1] ** -0.5
        attention = self.softmax(tf.einsum("bhqc,bhkc->bqhk", queries * scale, keys))
        mixed = tf.einsum("bqhk,bhkc->bqhc", attention, values)
        return self.projection(tf.reshape(mixed, [-1, *tokens.shape[1:]]))


class OneHead(layers.Layer):
    """Self-attention with one head and no head axis, `[batch, tokens, tokens]`."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.mixed = layers.Dense(3 * width)

    def call(self, tokens):
        queries, keys, values = tf.split(self.mixed(tokens), 3, axis=-1)
        scores = tf.matmul(queries, keys, transpose_b=True) * queries.shape[-1] ** -0.5
        return tf.matmul(tf.nn.softmax(scores), values)


def with_attention(make_attention):
    """Returns a small model whose blocks hold the layers of `make_attention(name)`."""
    images = keras.Input((32, 24, 3))
    tokens = LearnedTokens()(patches(images, 16))
    for index in range(2):
        tokens = tokens + make_attention(f"attention_{index}")(norm(tokens))
        tokens = perceptron(tokens)
    return classifier(images, Take(0)(norm(tokens)))


def exponentials():
    return with_attention(lambda name: HandwrittenAttention(16, 2, plain_softmax, name=name))


def shifted_exponentials():
    return with_attention(lambda name: HandwrittenAttention(16, 2, shifted_softmax, name=name))


def exponential_of_log_softmax():
    return with_attention(lambda name: HandwrittenAttention(16, 2, log_softmax, name=name))


def softmax_function():
    return with_attention(lambda name: HandwrittenAttention(16, 2, tf.nn.softmax, name=name))


def heads_third():
    return with_attention(lambda name: EinsumAttention(16, 2, tf.nn.softmax, name=name))


def one_head():
    return with_attention(lambda name: OneHead(16, name=name))


class ReshapedPatches(layers.Layer):
    """Patches of 8 x 8 pixels by reshaping and transposing."""

    def call(self, images):
        _, height, width, channels = images.shape
        cut = tf.reshape(images, [-1, height // 8, 8, width // 8, 8, channels])
        cut = tf.transpose(cut, [0, 1, 3, 2, 4, 5])
        return tf.reshape(cut, [-1, height * width // 64, 64 * channels])


class ExtractedPatches(layers.Layer):
    """Patches of 8 x 8 pixels by `tf.image.extract_patches`."""

    def call(self, images):
        sizes = [1, 8, 8, 1]
        cut = tf.image.extract_patches(images, sizes, sizes, [1, 1, 1, 1], "VALID")
        return tf.reshape(cut, [-1, cut.shape[1] * cut.shape[2], cut.shape[3]])


class KerasOperationPatches(layers.Layer):
    """Patches of 8 x 8 pixels by `keras.ops.image.extract_patches`."""

    def call(self, images):
        cut = keras.ops.image.extract_patches(images, 8)
        return keras.ops.reshape(cut, (-1, cut.shape[1] * cut.shape[2], cut.shape[3]))


def from_patches(cut):
    images = keras.Input((32, 24, 3))
    tokens = Positions()(layers.Dense(16)(cut(images)))
    return classifier(images, Take(0)(encoder(LearnedTokens()(tokens))))


def reshaped_patches():
    return from_patches(ReshapedPatches())


def extracted_patches():
    return from_patches(ExtractedPatches())


def keras_operation_patches():
    return from_patches(KerasOperationPatches())


class TalkingHeads(HandwrittenAttention):
    """Heads whose maps are mixed after the softmax."""

    def __init__(self, width=8, heads=2):
        super().__init__(width, heads, tf.nn.softmax)
        self.mixing = keras.layers.Dense(heads)
        self.softmax = lambda scores: self._mixed(tf.nn.softmax(scores))

    def _mixed(self, weights):
        return tf.transpose(self.mixing(tf.transpose(weights, [0, 2, 3, 1])), [0, 3, 1, 2])
