"""Convolutional networks with gates, written with plain layers as in many projects."""

import tensorflow as tf
from tensorflow import keras

from zoo.blocks import Positions, Tokens, encoder

layers = keras.layers


class Branches(layers.Layer):
    """Weights two feature maps by a softmax over the two, channel by channel."""

    def build(self, shapes):
        channels = shapes[0][-1]
        self.logits = layers.Dense(2 * channels, name="logits")
        self.logits.build((None, channels))
        self.channels = channels
        self.built = True

    def call(self, branches):
        pooled = tf.reduce_mean(branches[0] + branches[1], axis=[1, 2])
        logits = tf.reshape(self.logits(pooled), [-1, 2, self.channels])
        weights = tf.nn.softmax(logits, axis=1)[:, :, tf.newaxis, tf.newaxis]
        return weights[:, 0] * branches[0] + weights[:, 1] * branches[1]


class PlusOne(layers.Layer):
    """Returns `1 + x`."""

    def call(self, x):
        return 1 + x


def stem(size=24, channels=8, activation="relu"):
    """Returns an input, and a feature map with half its size."""
    images = keras.Input((size, size, 3))
    features = layers.Conv2D(channels, 3, strides=2, padding="same", name="stem")(images)
    return images, layers.Activation(activation)(features)


def channel(features, name, *, activation="sigmoid"):
    """Squeeze and excitation."""
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(features)
    gate = layers.Conv2D(features.shape[-1], 1, activation=activation)(squeezed)
    return layers.Multiply(name=name)([features, gate])


def spatial(features, name):
    """A gate for each position."""
    gate = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(features)
    return layers.Multiply(name=name)([gate, features])


def both(features, name):
    """A gate for each channel at each position, with the features added again."""
    gate = layers.Conv2D(features.shape[-1], 3, padding="same")(features)
    gate = PlusOne()(layers.Activation("sigmoid")(gate))
    return layers.Multiply(name=name)([features, gate])


def branches(features, name):
    """Two convolutions, weighted by a softmax."""
    wide = layers.Conv2D(features.shape[-1], 3, padding="same", dilation_rate=2)(features)
    narrow = layers.Conv2D(features.shape[-1], 3, padding="same")(features)
    return Branches(name=name)([narrow, wide])


def downsampled(features, channels):
    """A convolution that halves the resolution, with an activation that isn't a gate."""
    return layers.Conv2D(channels, 3, strides=2, padding="same", activation="swish")(features)


def head(images, features, classes=2):
    """Returns the model, compiled."""
    pooled = layers.GlobalAveragePooling2D()(features)
    outputs = layers.Dense(classes, activation="softmax", name="classes")(pooled)
    return compiled(keras.Model(images, outputs, name="gated"))


def compiled(model):
    """Returns a classifier, ready to be trained."""
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    return model


def all_kinds():
    """Returns a network with a gate of each kind, at two resolutions."""
    keras.utils.set_random_seed(3)
    images, features = stem()
    features = channel(features, "squeeze")
    features = spatial(features, "where")
    features = both(downsampled(features, 12), "bottleneck")
    return head(images, branches(features, "select"))


def channels_only():
    """Returns a network with channel gates only."""
    keras.utils.set_random_seed(3)
    images, features = stem()
    features = downsampled(channel(features, "first"), 12)
    return head(images, channel(features, "second", activation="hard_sigmoid"))


def hybrid():
    """Returns a stem with channel gates and spatial gates, then tokens with self-attention."""
    keras.utils.set_random_seed(3)
    images, features = stem()
    features = spatial(channel(features, "squeeze"), "where")
    tokens = encoder(Positions()(Tokens()(downsampled(features, 16))))
    pooled = layers.GlobalAveragePooling1D()(tokens)
    return compiled(keras.Model(images, layers.Dense(2, "softmax", name="classes")(pooled)))
