"""Building blocks of the models written here; they run under Keras 2 and Keras 3."""

import tensorflow as tf
from tensorflow import keras

layers = keras.layers


class Tokens(layers.Layer):
    """Converts a feature map `[batch, height, width, channels]` to tokens, row by row."""

    def call(self, feature_map):
        _, height, width, channels = feature_map.shape
        return tf.reshape(feature_map, [-1, height * width, channels])


class FeatureMap(layers.Layer):
    """Converts tokens `[batch, height * width, channels]` to `[batch, height, width, channels]`."""

    def __init__(self, grid, **kwargs):
        super().__init__(**kwargs)
        self.grid = grid

    def call(self, tokens):
        return tf.reshape(tokens, [-1, *self.grid, tokens.shape[-1]])


class LearnedTokens(layers.Layer):
    """Puts learned tokens, for example class tokens, before or after the others."""

    def __init__(self, count=1, *, last=False, **kwargs):
        super().__init__(**kwargs)
        self.count, self.last = count, last

    def build(self, shape):
        self.tokens = self.add_weight(
            name="tokens", shape=(1, self.count, shape[-1]), initializer="random_normal"
        )

    def call(self, tokens):
        learned = tf.repeat(tf.cast(self.tokens, tokens.dtype), tf.shape(tokens)[0], axis=0)
        return tf.concat([tokens, learned] if self.last else [learned, tokens], axis=1)


class Positions(layers.Layer):
    """Adds a learned position embedding."""

    def build(self, shape):
        self.positions = self.add_weight(
            name="positions", shape=(1, *shape[1:]), initializer="random_normal"
        )

    def call(self, tokens):
        return tokens + tf.cast(self.positions, tokens.dtype)


class Take(layers.Layer):
    """Takes the token at one index, `[batch, channels]`."""

    def __init__(self, index, **kwargs):
        super().__init__(**kwargs)
        self.index = index

    def call(self, tokens):
        return tokens[:, self.index]


def patches(images, width, *, size=8):
    """Returns patch tokens `[batch, patches, width]` from a convolution, with positions."""
    return Positions()(Tokens()(layers.Conv2D(width, size, size)(images)))


def norm(inputs):
    """Returns the normalized inputs."""
    return layers.LayerNormalization(epsilon=1e-6)(inputs)


def perceptron(tokens):
    """Returns the tokens after a residual perceptron."""
    hidden = layers.Dense(2 * tokens.shape[-1], "gelu")(norm(tokens))
    return tokens + layers.Dense(tokens.shape[-1])(hidden)


def encoder_block(tokens, *, heads=2, name=None, axes=None, dropout=0.0, mask=None):
    """Returns the tokens after a pre-norm block with Keras' attention layer."""
    attention = layers.MultiHeadAttention(
        heads, tokens.shape[-1] // heads, attention_axes=axes, dropout=dropout, name=name
    )
    normalized = norm(tokens)
    options = {} if mask is None else {"attention_mask": mask}
    return perceptron(tokens + attention(normalized, normalized, **options))


def encoder(tokens, *, depth=2, prefix="attention", **options):
    """Returns the tokens after `depth` blocks whose attention layers are `<prefix>_<index>`."""
    for index in range(depth):
        tokens = encoder_block(tokens, name=f"{prefix}_{index}", **options)
    return norm(tokens)


def classifier(images, features, *, classes=3):
    """Returns the model from images to class probabilities, with a head on `features`."""
    return keras.Model(images, layers.Dense(classes, "softmax")(features))
