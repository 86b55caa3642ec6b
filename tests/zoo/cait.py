"""CaiT: talking heads and layer scale, then class attention.

References:
    Touvron et al. 2021, "Going deeper with Image Transformers", arXiv 2103.17239, section 3;
    Shazeer et al. 2020, "Talking-Heads Attention", arXiv 2003.02436.
"""

import tensorflow as tf
from tensorflow import keras

from zoo.blocks import LearnedTokens, Take, classifier, norm, patches
from zoo.handwritten import split_heads

layers = keras.layers


class LayerScale(layers.Layer):
    """Multiplies each channel by a learned number."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:], initializer="ones")

    def call(self, tokens):
        return tokens * self.scale


class HeadMixing(layers.Layer):
    """A learned linear mixture of heads, `[batch, heads, queries, keys]`."""

    def build(self, shape):
        self.mixture = self.add_weight(
            name="mixture", shape=(shape[1], shape[1]), initializer="glorot_uniform"
        )

    def call(self, heads):
        return tf.einsum("bhqk,hg->bgqk", heads, self.mixture)


class TalkingHeadsAttention(layers.Layer):
    """Self-attention whose heads are mixed before and after the softmax."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.mixed = layers.Dense(3 * width)
        self.before, self.after = HeadMixing(), HeadMixing()
        self.projection = layers.Dense(width)

    def call(self, tokens):
        parts = tf.split(self.mixed(tokens), 3, axis=-1)
        queries, keys, values = (split_heads(part, self.heads) for part in parts)
        scores = tf.matmul(queries * queries.shape[-1] ** -0.5, keys, transpose_b=True)
        attention = self.after(tf.nn.softmax(self.before(scores)))
        mixed = tf.transpose(tf.matmul(attention, values), [0, 2, 1, 3])
        return self.projection(tf.reshape(mixed, [-1, *tokens.shape[1:]]))


class ClassAttention(layers.Layer):
    """Attention from the class token, the first token, to all tokens; returns only this token."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.query, self.key, self.value = (layers.Dense(width) for _ in range(3))
        self.projection = layers.Dense(width)

    def call(self, tokens):
        queries = split_heads(self.query(tokens[:, :1]), self.heads)
        keys = split_heads(self.key(tokens), self.heads)
        values = split_heads(self.value(tokens), self.heads)
        scores = tf.matmul(queries * queries.shape[-1] ** -0.5, keys, transpose_b=True)
        mixed = tf.matmul(tf.nn.softmax(scores), values)
        mixed = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, 1, tokens.shape[-1]])
        return self.projection(mixed)


class ClassAndPatches(layers.Layer):
    """Puts the class token, `[batch, 1, channels]`, before the patches."""

    def call(self, class_token, patch_tokens):
        return tf.concat([class_token, patch_tokens], axis=1)


class FirstToken(layers.Layer):
    """The first token, `[batch, 1, channels]`."""

    def call(self, tokens):
        return tokens[:, :1]


def scaled_perceptron(tokens):
    hidden = layers.Dense(2 * tokens.shape[-1], "gelu")(norm(tokens))
    return tokens + LayerScale()(layers.Dense(tokens.shape[-1])(hidden))


def cait(*, depth=2, class_depth=2, width=16, heads=4):
    images = keras.Input((32, 24, 3))
    tokens = patches(images, width)
    for index in range(depth):
        attention = TalkingHeadsAttention(width, heads, name=f"attention_{index}")
        tokens = scaled_perceptron(tokens + LayerScale()(attention(norm(tokens))))
    class_token = FirstToken()(LearnedTokens()(tokens))
    for index in range(class_depth):
        attention = ClassAttention(width, heads, name=f"class_attention_{index}")
        together = norm(ClassAndPatches()(class_token, tokens))
        class_token = scaled_perceptron(class_token + LayerScale()(attention(together)))
    return classifier(images, Take(0)(norm(ClassAndPatches()(class_token, tokens))))
