"""Small convolutional networks for the tests of stages."""

import numpy as np
from tensorflow import keras

layers = keras.layers
SIDE = 32


def residual_net(*, side=SIDE, classes=None):
    """Returns a network with four resolutions, paddings, two shortcuts and normalization."""
    images = keras.Input((side, side, 3), name="images")
    features = layers.Normalization(name="standardize")(images)
    features = layers.ZeroPadding2D(1, name="stem_pad")(features)
    features = layers.Conv2D(4, 3, strides=2, name="stem_conv")(features)
    features = layers.ReLU(name="stem_relu")(features)  # a half
    features = layers.ZeroPadding2D(1, name="pool_pad")(features)
    features = layers.MaxPooling2D(3, 2, name="pool")(features)  # a quarter
    branch = layers.Conv2D(4, 3, padding="same", name="block_conv")(features)
    branch = layers.BatchNormalization(name="block_norm")(branch)
    features = features + branch  # an operation without a name
    features = layers.ReLU(name="block_out")(features)
    shortcut = layers.Conv2D(6, 1, strides=2, name="down_shortcut")(features)  # an eighth
    features = layers.Conv2D(6, 3, strides=2, padding="same", name="down_conv")(features)
    features = layers.Add(name="down_out")([shortcut, features])
    if classes:
        features = layers.MaxPooling2D(name="last_pool")(features)  # a stage without kernels
        pooled = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(features)
        pooled = layers.Conv2D(5, 1, name="top_conv")(pooled)
        features = layers.Dense(classes, name="classes")(layers.Flatten()(pooled))
    return filled(keras.Model(images, features, name="small"))


ENDS = [
    (1, "stem_relu", (16, 16, 4)),
    (2, "block_out", (8, 8, 4)),
    (3, "down_out", (4, 4, 6)),
]


def filled(model, *, seed=5):
    """Returns the model with random weights, even if their initial values are all alike."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        weights = [generator.uniform(0.1, 0.5, array.shape) for array in layer.get_weights()]
        if not isinstance(layer, layers.Normalization):
            layer.set_weights(weights)
    standardize = [layer for layer in model.layers if isinstance(layer, layers.Normalization)]
    for layer in standardize:
        layer.adapt(generator.uniform(3, 5, (2, 8, 8, 3)))
    return model


def photographs(count=2, *, side=SIDE):
    """Returns random images in [0, 8]."""
    return np.random.default_rng(9).uniform(0, 8, (count, side, side, 3)).astype("float32")
