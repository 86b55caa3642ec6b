"""A Keras layer that weighs channels, then positions: the convolutional block attention module."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_count
from keras_attnviz.layers.feature_gate import FeatureGate, check_odd, mean_over, reduced


@keras.utils.register_keras_serializable("keras_attnviz")
class ConvBlockAttention(FeatureGate):
    """Weighs the channels of a feature map by one gate, then its positions by another.

    The channel gate is the sigmoid of a network of two layers applied to the channels' means,
    plus the same network applied to their maxima. The spatial gate is the sigmoid of a
    convolution over two maps: the mean and the maximum of the channels at each position.

    The layer has `2 * channels**2 / ratio + 2 * kernel_size**2` weights; biases add
    `channels + channels / ratio`.

    The layer follows the paper's equations 2 and 3. The authors' code has batch normalization
    after the convolution, and the maximum before the mean.

    Before loading a model with this layer, run `from keras_attnviz import ConvBlockAttention`.

    Call arguments:
        features: float tensor `[batch, height, width, channels]`, or channels first; height and
            width may be unknown.

    Args:
        ratio: factor by which the hidden layer is smaller, an integer >= 1. The hidden layer has
            at least one unit.
        kernel_size: side of the spatial gate's kernel, an odd integer >= 1.
        use_bias: whether the shared layers add biases. The default is False, because the paper's
            equations have none. Its 28.09 million parameters of a ResNet50 include biases; without
            them it is 28.07 million.
        data_format: "channels_last" or "channels_first"; by default Keras' `image_data_format()`.
            The convolution is computed with channels last in either case.
        **options: `name`, `dtype` and `trainable` of a Keras layer.

    Returns:
        tensor of the shape of `features`, in the layer's compute dtype: the features times a gate
        `[batch, 1, 1, channels]`, then times a gate `[batch, height, width, 1]`, both in (0, 1).

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range; or, when built, the input is not a feature map
            with a known number of channels.

    Example:
        >>> features = ConvBlockAttention()(features)  # before a residual block's addition
        >>> features = keras.layers.Add()([features, shortcut])

    References:
        Woo et al., CBAM: Convolutional Block Attention Module, arXiv:1807.06521, section 3,
        equations 1 to 3.
    """

    def __init__(self, ratio=16, *, kernel_size=7, use_bias=False, data_format=None, **options):
        super().__init__(data_format=data_format, **options)
        check_count("ratio", ratio)
        check_odd("kernel_size", kernel_size)
        self.ratio, self.kernel_size, self.use_bias = int(ratio), int(kernel_size), bool(use_bias)

    def build(self, input_shape):
        """Creates the shared layers of the channel gate and the spatial gate's convolution."""
        channels, policy = self.channels(input_shape), self.dtype_policy
        hidden, bias = reduced(channels, self.ratio), self.use_bias
        squeeze = keras.layers.Dense(hidden, "relu", bias, name="squeeze", dtype=policy)
        excite = keras.layers.Dense(channels, use_bias=bias, name="excite", dtype=policy)
        options = {"padding": "same", "data_format": "channels_last", "use_bias": False}
        around = keras.layers.Conv2D(1, self.kernel_size, name="around", dtype=policy, **options)
        self.squeeze = self.part(squeeze, (None, channels))
        self.excite = self.part(excite, (None, hidden))
        self.around = self.part(around, (None, None, None, 2))
        super().build(input_shape)

    def call(self, features):
        """Returns the weighted features."""
        features = features * self._channel_gate(features)
        return features * self._spatial_gate(features)

    def _channel_gate(self, features):
        """Returns the gate of equation 2."""
        maxima = tf.reduce_max(features, axis=self.spatial_axes, keepdims=False)
        of_means, of_maxima = (
            self.excite(self.squeeze(pooled)) for pooled in (self.means(features), maxima)
        )
        return tf.sigmoid(self.on_channels(of_means + of_maxima, self.excite.units))

    def _spatial_gate(self, features):
        """Returns the gate of equation 3."""
        means = mean_over(features, self.channel_axis, keepdims=True)
        maxima = tf.reduce_max(features, axis=self.channel_axis, keepdims=True)
        pooled = self.channels_last(tf.concat([means, maxima], axis=self.channel_axis))
        return tf.sigmoid(self.own_format(self.around(pooled)))

    def get_config(self):
        """Returns the arguments, for `from_config`."""
        own = {"ratio": self.ratio, "kernel_size": self.kernel_size, "use_bias": self.use_bias}
        return super().get_config() | own
