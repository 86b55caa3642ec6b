"""Small models of videos."""

from tensorflow import keras
from zoo import video


def open_model(**options):
    """Returns a model of videos of any length that pools the patches of all frames."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((None, None, None, 3), **options)
    x = keras.layers.Conv3D(16, (1, 8, 8), (1, 8, 8))(inputs)
    x = keras.layers.Reshape((-1, 16))(x)
    x = keras.layers.GlobalAveragePooling1D()(video.block(x))
    return keras.Model(inputs, keras.layers.Dense(2, "softmax")(x))


def gated_frames(clip):
    """Returns a network for each frame with gates over channels, over positions and over both."""
    layers = keras.layers
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(video.Fold()(clip))
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply(name="which")([x, layers.Conv2D(8, 1, activation="sigmoid")(pooled)])
    x = layers.Multiply(name="where")([x, layers.Conv2D(1, 3, 1, "same", activation="sigmoid")(x)])
    x = layers.Multiply(name="both")([x, layers.Conv2D(8, 3, 1, "same", activation="sigmoid")(x)])
    x = layers.GlobalAveragePooling2D()(x)
    return layers.GlobalAveragePooling1D()(video.Unfold(clip.shape[1])(x))
