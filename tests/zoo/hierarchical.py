"""Hierarchical models, which reduce keys or tokens: PVT, CvT, MobileViT; and convolution stems."""

import tensorflow as tf
from tensorflow import keras

from zoo.blocks import (
    FeatureMap,
    LearnedTokens,
    Positions,
    Take,
    Tokens,
    classifier,
    encoder,
    encoder_block,
    norm,
    perceptron,
)

layers = keras.layers


def attend(queries, keys, *, heads, name):
    """Returns the output of Keras' attention layer for normalized queries and keys."""
    return layers.MultiHeadAttention(heads, queries.shape[-1] // heads, name=name)(queries, keys)


def reduced_block(tokens, grid, *, ratio, heads, name):
    """A block of PVT: a strided convolution reduces keys and values."""
    normalized = norm(tokens)
    keys = normalized
    if ratio > 1:
        feature_map = FeatureMap(grid)(normalized)
        keys = norm(Tokens()(layers.Conv2D(tokens.shape[-1], ratio, ratio)(feature_map)))
    return perceptron(tokens + attend(normalized, keys, heads=heads, name=name))


def pvt():
    """Two stages on grids of 8 x 6 and 4 x 3; keys are reduced by 2 in the first.

    References:
        Wang et al. 2021, "Pyramid Vision Transformer", arXiv 2102.12122, section 3.
    """
    images = keras.Input((32, 24, 3))
    tokens = Positions()(norm(Tokens()(layers.Conv2D(8, 4, 4)(images))))
    for index in range(2):
        tokens = reduced_block(tokens, (8, 6), ratio=2, heads=1, name=f"first_{index}")
    tokens = Tokens()(layers.Conv2D(16, 2, 2)(FeatureMap((8, 6))(tokens)))
    tokens = Positions()(norm(tokens))
    for index in range(2):
        tokens = reduced_block(tokens, (4, 3), ratio=1, heads=2, name=f"second_{index}")
    return classifier(images, layers.GlobalAveragePooling1D()(norm(tokens)))


def pvt_with_class_token():
    """One stage with reduced keys, then a class token and global attention."""
    images = keras.Input((32, 24, 3))
    tokens = Positions()(norm(Tokens()(layers.Conv2D(8, 4, 4)(images))))
    for index in range(2):
        tokens = reduced_block(tokens, (8, 6), ratio=2, heads=1, name=f"first_{index}")
    tokens = Tokens()(layers.Conv2D(16, 2, 2)(FeatureMap((8, 6))(tokens)))
    tokens = encoder(LearnedTokens()(norm(tokens)), prefix="second")
    return classifier(images, Take(0)(tokens))


def cvt():
    """Queries, keys and values from depthwise convolutions, strided for keys and values.

    References:
        Wu et al. 2021, "CvT", arXiv 2103.15808, section 3.2.
    """
    images = keras.Input((32, 24, 3))
    features = layers.Conv2D(16, 7, 4, padding="same")(images)
    for index in range(2):
        normalized = norm(features)
        queries = layers.DepthwiseConv2D(3, 1, padding="same")(normalized)
        keys = layers.DepthwiseConv2D(3, 2, padding="same")(normalized)
        attended = attend(Tokens()(queries), Tokens()(keys), heads=2, name=f"attention_{index}")
        features = perceptron(features + FeatureMap((8, 6))(attended))
    return classifier(images, layers.GlobalAveragePooling2D()(norm(features)))


class Unfold(layers.Layer):
    """Converts a feature map to groups of pixels `[batch, 4, cells, channels]`.

    Cells are 2 x 2 pixels; a group holds the pixels at the same position in every cell.
    """

    def call(self, features):
        _, height, width, channels = features.shape
        cells = tf.reshape(features, [-1, height // 2, 2, width // 2, 2, channels])
        groups = tf.transpose(cells, [0, 2, 4, 1, 3, 5])
        return tf.reshape(groups, [-1, 4, height * width // 4, channels])


class Fold(layers.Layer):
    """The inverse of `Unfold`."""

    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.grid = grid

    def call(self, groups):
        height, width = self.grid
        cells = tf.reshape(groups, [-1, 2, 2, height // 2, width // 2, groups.shape[-1]])
        cells = tf.transpose(cells, [0, 3, 1, 4, 2, 5])
        return tf.reshape(cells, [-1, height, width, groups.shape[-1]])


def mobilevit():
    """A MobileViT block on a feature map of 8 x 6.

    References:
        Mehta & Rastegari 2021, "MobileViT", arXiv 2110.02178, section 3.1.
    """
    images = keras.Input((32, 24, 3))
    features = layers.Conv2D(8, 4, 4, activation="relu")(images)
    groups = Unfold()(layers.Conv2D(16, 3, padding="same")(features))
    for index in range(2):
        groups = encoder_block(groups, axes=(2,), name=f"attention_{index}")
    folded = layers.Conv2D(8, 1)(Fold((8, 6))(norm(groups)))
    fused = layers.Conv2D(8, 3, padding="same")(layers.Concatenate()([features, folded]))
    return classifier(images, layers.GlobalAveragePooling2D()(fused))


def residual(features, channels, *, strides):
    """A residual block of convolutions."""
    hidden = layers.Conv2D(channels, 3, strides, padding="same", activation="relu")(features)
    hidden = layers.BatchNormalization()(layers.Conv2D(channels, 3, padding="same")(hidden))
    shortcut = layers.Conv2D(channels, 1, strides, padding="same")(features)
    return layers.ReLU()(layers.Add()([hidden, shortcut]))


def hybrid():
    """Residual convolutions with stride 8, a 1 x 1 convolution, then tokens, as in R50+ViT."""
    images = keras.Input((32, 48, 3))
    features = layers.Conv2D(8, 7, 2, padding="same")(images)
    features = residual(features, 8, strides=2)
    features = residual(features, 16, strides=2)
    tokens = Positions()(LearnedTokens()(Tokens()(layers.Conv2D(16, 1)(features))))
    return classifier(images, Take(0)(encoder(tokens)))


class SequencePooling(layers.Layer):
    """Sums the tokens, weighted by a softmax over them, `[batch, channels]`."""

    def build(self, shape):
        self.weighting = layers.Dense(1)
        self.weighting.build(shape)

    def call(self, tokens):
        weights = tf.nn.softmax(self.weighting(tokens), axis=1)
        return tf.matmul(weights, tokens, transpose_a=True)[:, 0]


def compact():
    """A compact convolutional transformer, whose tokens come from overlapping pools.

    References:
        Hassani et al. 2021, "Escaping the Big Data Paradigm with Compact Transformers",
        arXiv 2104.05704, section 3.
    """
    images = keras.Input((32, 24, 3))
    features = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(images)
    for width in (8, 16):
        features = layers.Conv2D(width, 3, padding="same", activation="relu")(features)
        features = layers.MaxPool2D(3, 2, "same")(features)
    tokens = encoder(Positions()(Tokens()(features)))
    return classifier(images, SequencePooling(name="pooling")(tokens))
