"""Models of video `[batch, frames, height, width, channels]`: TimeSformer- and ViViT-like."""

import tensorflow as tf
from tensorflow import keras

from zoo.blocks import LearnedTokens, Take

layers = keras.layers


class Fold(layers.Layer):
    """Moves axis 1 into the batch: `[batch, n, ...]` to `[batch * n, ...]`."""

    def call(self, x):
        return tf.reshape(x, [-1, *x.shape[2:]])


class Unfold(layers.Layer):
    """Takes axis 1 out of the batch again: `[batch * n, ...]` to `[batch, n, ...]`."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    def call(self, x):
        return tf.reshape(x, [-1, self.count, *x.shape[1:]])


class Swap(layers.Layer):
    """Exchanges axes 1 and 2."""

    def call(self, x):
        return tf.transpose(x, [0, 2, 1, 3])


def attended(tokens, width, heads=2):
    """Pre-norm self-attention with a residual."""
    x = layers.LayerNormalization()(tokens)
    return tokens + layers.MultiHeadAttention(heads, width // heads)(x, x)


def mlp(tokens, width):
    x = layers.LayerNormalization()(tokens)
    return tokens + layers.Dense(width)(layers.Dense(2 * width, activation="gelu")(x))


def frame_patches(video, patch, width):
    """Returns tokens `[batch, frames, patches, width]` by a convolution of each frame."""
    _, frames, height, wide, _ = video.shape
    x = layers.Conv2D(width, patch, strides=patch)(Fold()(video))
    x = layers.Reshape(((height // patch) * (wide // patch), width))(x)
    return Unfold(frames)(x)


def timesformer(video, patch=8, width=16, depth=2):
    """Divided space-time attention without a class token: over frames, then within a frame."""
    x = frame_patches(video, patch, width)
    frames, patches = x.shape[1:3]
    for _ in range(depth):
        x = Swap()(x)
        x = Swap()(Unfold(patches)(attended(Fold()(x), width)))
        x = Unfold(frames)(attended(Fold()(x), width))
        x = mlp(x, width)
    return layers.GlobalAveragePooling1D()(layers.Reshape((frames * patches, width))(x))


def joint(video, patch=8, width=16, depth=2, tubelet=None):
    """Joint space-time attention with a class token, ViViT's model 1; `tubelet` frames a token."""
    if tubelet is None:
        x = frame_patches(video, patch, width)
        x = layers.Reshape((x.shape[1] * x.shape[2], width))(x)
    else:
        size = (tubelet, patch, patch)
        x = layers.Conv3D(width, size, strides=size)(video)
        x = layers.Reshape((x.shape[1] * x.shape[2] * x.shape[3], width))(x)
    x = LearnedTokens()(x)
    for _ in range(depth):
        x = mlp(attended(x, width), width)
    return Take(0)(x)


def model_of(body, frames=4, size=(16, 24), classes=3, **options):
    keras.utils.set_random_seed(5)
    video = keras.Input((frames, *size, 3))
    outputs = layers.Dense(classes, activation="softmax")(body(video, **options))
    return keras.Model(video, outputs, name="video")
