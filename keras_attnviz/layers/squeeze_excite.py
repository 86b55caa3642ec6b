"""A Keras layer that weighs each channel of a feature map: squeeze-and-excitation."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_count
from keras_attnviz.layers.feature_gate import FeatureGate, reduced


@keras.utils.register_keras_serializable("keras_attnviz")
class SqueezeExcite(FeatureGate):
    """Weighs the channels of a feature map by a gate computed from their means.

    The gate is `sigmoid(W2 relu(W1 mean))`, where W1 has `channels // ratio` rows. The layer has
    `2 * channels**2 / ratio` weights; biases add `channels + channels / ratio`.

    Before loading a model with this layer, run `from keras_attnviz import SqueezeExcite`.

    Call arguments:
        features: float tensor `[batch, height, width, channels]`, or channels first; height and
            width may be unknown.

    Args:
        ratio: factor by which the hidden layer is smaller, an integer >= 1. The hidden layer has
            at least one unit.
        use_bias: whether the two layers add biases. The default is False, because the paper's
            equation 3 and parameter counts have none.
        data_format: "channels_last" or "channels_first"; by default Keras' `image_data_format()`.
        **options: `name`, `dtype` and `trainable` of a Keras layer.

    Returns:
        tensor of the shape of `features`, in the layer's compute dtype: the features times a gate
        `[batch, 1, 1, channels]` in (0, 1).

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range; or, when built, the input is not a feature map
            with a known number of channels.

    Example:
        >>> features = keras.layers.Conv2D(64, 3, activation="relu")(images)
        >>> features = SqueezeExcite(ratio=16)(features)

    References:
        Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3, equations 2 to 4;
        section 4 for the parameters.
    """

    def __init__(self, ratio=16, *, use_bias=False, data_format=None, **options):
        super().__init__(data_format=data_format, **options)
        check_count("ratio", ratio)
        self.ratio, self.use_bias = int(ratio), bool(use_bias)

    def build(self, input_shape):
        """Creates the two layers of the gate."""
        channels, policy = self.channels(input_shape), self.dtype_policy
        hidden, bias = reduced(channels, self.ratio), self.use_bias
        squeeze = keras.layers.Dense(hidden, "relu", bias, name="squeeze", dtype=policy)
        excite = keras.layers.Dense(channels, use_bias=bias, name="excite", dtype=policy)
        self.squeeze = self.part(squeeze, (None, channels))
        self.excite = self.part(excite, (None, hidden))
        super().build(input_shape)

    def call(self, features):
        """Returns the weighted features."""
        scores = self.excite(self.squeeze(self.means(features)))
        return features * tf.sigmoid(self.on_channels(scores, self.excite.units))

    def get_config(self):
        """Returns the arguments, for `from_config`."""
        return super().get_config() | {"ratio": self.ratio, "use_bias": self.use_bias}
