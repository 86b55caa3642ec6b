"""Vision Transformers as users write them, with Keras' attention layers."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from zoo.blocks import (
    LearnedTokens,
    Take,
    Tokens,
    classifier,
    encoder,
    norm,
    patches,
    perceptron,
)

layers = keras.layers


def class_token_first():
    images = keras.Input((32, 24, 3))
    return classifier(images, Take(0)(encoder(LearnedTokens()(patches(images, 16)))))


def class_token_last():
    images = keras.Input((32, 24, 3))
    tokens = encoder(LearnedTokens(last=True)(patches(images, 16)))
    return classifier(images, Take(-1)(tokens))


def average_pooling():
    images = keras.Input((32, 24, 3))
    tokens = encoder(patches(images, 16))
    return classifier(images, layers.GlobalAveragePooling1D()(tokens))


def flattened_tokens():
    images = keras.Input((32, 24, 3))
    tokens = encoder(LearnedTokens()(patches(images, 16)))
    return classifier(images, layers.Flatten()(tokens))


def registers_and_pooling():
    """Class token and registers before the patches; the head reads only the patches."""
    images = keras.Input((32, 24, 3))
    tokens = encoder(LearnedTokens(4)(patches(images, 16)))
    pooled = layers.GlobalAveragePooling1D()(layers.Cropping1D((4, 0))(tokens))
    return classifier(images, pooled)


def registers_after_the_patches():
    """Class token, patches, then three registers."""
    images = keras.Input((32, 24, 3))
    tokens = LearnedTokens(3, last=True)(LearnedTokens()(patches(images, 16)))
    return classifier(images, Take(0)(encoder(tokens)))


def masked():
    """Each patch sees only its neighbors in reading order."""
    images = keras.Input((32, 24, 3))
    steps = np.arange(13)
    mask = np.abs(steps[:, np.newaxis] - steps) <= 4
    tokens = LearnedTokens()(patches(images, 16))
    return classifier(images, Take(0)(encoder(tokens, mask=tf.constant(mask[np.newaxis]))))


def causal():
    """Each token sees itself and those before it; the class token is the last."""
    images = keras.Input((32, 24, 3))
    tokens = LearnedTokens(last=True)(patches(images, 16))
    mask = tf.constant(np.tril(np.ones((1, 13, 13), bool)))
    return classifier(images, Take(-1)(encoder(tokens, mask=mask)))


def with_dropout():
    images = keras.Input((32, 24, 3))
    tokens = LearnedTokens()(patches(images, 16))
    return classifier(images, Take(0)(encoder(tokens, dropout=0.3)))


def grouped_queries():
    images = keras.Input((32, 24, 3))
    tokens = LearnedTokens()(patches(images, 16))
    for index in range(2):
        attention = layers.GroupQueryAttention(
            head_dim=4, num_query_heads=4, num_key_value_heads=2, name=f"attention_{index}"
        )
        normalized = norm(tokens)
        tokens = perceptron(tokens + attention(normalized, normalized))
    return classifier(images, Take(0)(norm(tokens)))


def feature_map_attention():
    """Attention over both axes of a feature map, `attention_axes=(1, 2)`."""
    images = keras.Input((32, 24, 3))
    features = layers.Conv2D(16, 8, 8)(images)
    features = encoder(features, axes=(1, 2))
    return classifier(images, layers.GlobalAveragePooling2D()(features))


def axial():
    """Attention along the columns, then along the rows of a feature map, twice."""
    images = keras.Input((32, 24, 3))
    features = layers.Conv2D(16, 8, 8)(images)
    for index in range(2):
        features = encoder(features, depth=1, axes=(1,), prefix=f"columns_{index}")
        features = encoder(features, depth=1, axes=(2,), prefix=f"rows_{index}")
    return classifier(images, layers.GlobalAveragePooling2D()(features))


class Block(layers.Layer):
    """A pre-norm block as a layer with sublayers."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.first_norm = layers.LayerNormalization()
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.second_norm = layers.LayerNormalization()
        self.hidden = layers.Dense(2 * width, "gelu")
        self.output_layer = layers.Dense(width)

    def call(self, tokens):
        normalized = self.first_norm(tokens)
        tokens = tokens + self.attention(normalized, normalized)
        return tokens + self.output_layer(self.hidden(self.second_norm(tokens)))


class Subclassed(keras.Model):
    """A Vision Transformer as a subclass of `keras.Model`."""

    def __init__(self, depth=2, width=16):
        super().__init__()
        self.embedding = layers.Conv2D(width, 8, 8)
        self.tokens = Tokens()
        self.class_token = LearnedTokens()
        self.blocks = [Block(width, 2, name=f"block_{index}") for index in range(depth)]
        self.norm = layers.LayerNormalization()
        self.head = layers.Dense(3)

    def call(self, images):
        tokens = self.class_token(self.tokens(self.embedding(images)))
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens)[:, 0])


def subclassed():
    return Subclassed()


class DecoratedBlock(Block):
    """A block whose `call` is a `tf.function`."""

    @tf.function
    def call(self, tokens):
        return super().call(tokens)


class DecoratedModel(Subclassed):
    """A model whose `call` is a `tf.function`."""

    @tf.function
    def call(self, images):
        return super().call(images)


class DecoratedBlocks(Subclassed):
    """A decorated model of decorated blocks."""

    def __init__(self):
        super().__init__()
        self.blocks = [DecoratedBlock(16, 2, name=f"block_{index}") for index in range(2)]

    @tf.function
    def call(self, images):
        return super().call(images)


def decorated_model():
    return DecoratedModel()


def decorated_blocks():
    return DecoratedBlocks()
