"""The base class of layers that weigh the feature maps of a convolutional network."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_choice, is_integer, message

DATA_FORMATS = ("channels_last", "channels_first")


class FeatureGate(keras.layers.Layer):
    """Knows a feature map's channel and spatial axes, and keeps its shape.

    A subclass implements `call`, and builds its inner layers in `build` with `part`.

    Args:
        data_format: "channels_last" for `[batch, height, width, channels]`, "channels_first" for
            `[batch, channels, height, width]`; None for Keras' `image_data_format()`.
        **options: `name`, `dtype` and `trainable` of a Keras layer.
    """

    def __init__(self, *, data_format=None, **options):
        super().__init__(**options)
        data_format = data_format or keras.backend.image_data_format()
        check_choice("data_format", data_format, DATA_FORMATS)
        self.data_format = data_format

    @property
    def channel_axis(self):
        """The axis of the channels."""
        return 3 if self.data_format == "channels_last" else 1

    @property
    def spatial_axes(self):
        """The axes of height and width."""
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    def channels(self, input_shape):
        """Returns the number of channels of a feature map.

        Raises:
            ValueError: the input is not a feature map, or its number of channels isn't known.
        """
        shape = tuple(input_shape)
        if len(shape) != 4 or shape[self.channel_axis] is None:
            order = "height, width, channels"
            if self.data_format == "channels_first":
                order = "channels, height, width"
            must = f"[batch, {order}] with a known number of channels"
            raise ValueError(message("features", must, shape, "Put the layer on a feature map."))
        return int(shape[self.channel_axis])

    def part(self, layer, shape):
        """Returns the layer, built for `shape`. Keras 2 needs the scope to name its weights."""
        with tf.name_scope(layer.name):
            layer.build(shape)
        return layer

    def means(self, features):
        """Returns the mean of each channel, `[batch, channels]`."""
        return mean_over(features, self.spatial_axes, keepdims=False)

    def on_channels(self, scores, channels):
        """Returns `[batch, channels]` reshaped to broadcast over a feature map's positions."""
        sides = [1, 1, channels] if self.data_format == "channels_last" else [channels, 1, 1]
        return tf.reshape(scores, [-1, *sides])

    def channels_last(self, features):
        """Returns a feature map with its channels last, which convolutions on CPU need."""
        is_last = self.data_format == "channels_last"
        return features if is_last else tf.transpose(features, [0, 2, 3, 1])

    def own_format(self, features):
        """Returns a channels-last feature map in the layer's data format."""
        is_last = self.data_format == "channels_last"
        return features if is_last else tf.transpose(features, [0, 3, 1, 2])

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input."""
        return tuple(input_shape)

    def get_config(self):
        """Returns the arguments, for `from_config`."""
        return super().get_config() | {"data_format": self.data_format}


def mean_over(features, axes, *, keepdims):
    """Returns means in the dtype of `features`; sums in half precision would overflow."""
    wide = tf.cast(features, tf.float32) if features.dtype.size < 4 else features
    return tf.cast(tf.reduce_mean(wide, axis=axes, keepdims=keepdims), features.dtype)


def reduced(channels, ratio):
    """Returns the number of a gate's hidden channels: `channels // ratio`, at least 1."""
    return max(1, channels // ratio)


def check_odd(name, value):
    """Raises unless `value` is an odd integer of at least 1."""
    must = "an odd integer of at least 1"
    if not is_integer(value):
        raise TypeError(message(name, must, value))
    if value < 1 or value % 2 == 0:
        raise ValueError(message(name, must, value, f"Pass `{name}={max(1, value + 1)}`, say."))
