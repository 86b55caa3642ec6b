"""A Keras layer that weighs each channel of a feature map: efficient channel attention."""

import math
import numbers

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import message
from keras_attnviz.layers.feature_gate import FeatureGate, check_odd


@keras.utils.register_keras_serializable("keras_attnviz")
class EfficientChannelAttention(FeatureGate):
    """Weighs the channels of a feature map by a gate computed from neighboring channels' means.

    The gate is the sigmoid of a convolution of the means over the channels, with one kernel of k
    weights and no bias, so the layer has k weights. By default, k is the odd number nearest to
    `(log2(channels) + b) / gamma`: 3 for 64 channels, 5 for 256 to 1024, 7 for 2048.

    Deviation from the paper: a number halfway between two odd ones, such as the 6 of 2048
    channels, is rounded up, as in most implementations. The paper's 80 parameters in a ResNet50 are
    16 kernels of 5, so the paper rounded down; pass `kernel_size` for that.

    Before loading a model with it, run `from keras_attnviz import EfficientChannelAttention`.

    Call arguments:
        features: float tensor `[batch, height, width, channels]`, or channels first; height and
            width may be unknown.

    Args:
        kernel_size: k, an odd integer >= 1; None to compute it from the number of channels.
        gamma: a number > 0; see above.
        b: a number; see above.
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
        >>> features = EfficientChannelAttention()(features)

    References:
        Wang et al., ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks,
        arXiv:1910.03151, section 3.2, and section 3.3 for the kernel size.
    """

    def __init__(self, kernel_size=None, *, gamma=2, b=1, data_format=None, **options):
        super().__init__(data_format=data_format, **options)
        if kernel_size is not None:
            check_odd("kernel_size", kernel_size)
            kernel_size = int(kernel_size)
        _check_number("gamma", gamma, "a number above 0")
        _check_number("b", b, "a number")
        if not gamma > 0:
            raise ValueError(message("gamma", "a number above 0", gamma))
        self.kernel_size, self.gamma, self.b = kernel_size, float(gamma), float(b)

    def build(self, input_shape):
        """Creates the convolution over the channels."""
        channels = self.channels(input_shape)
        size = self.kernel_size or adaptive_kernel_size(channels, gamma=self.gamma, b=self.b)
        options = {"padding": "same", "data_format": "channels_last", "use_bias": False}
        across = keras.layers.Conv1D(1, size, name="across", dtype=self.dtype_policy, **options)
        self.across = self.part(across, (None, channels, 1))
        super().build(input_shape)

    def call(self, features):
        """Returns the weighted features."""
        channels = features.shape[self.channel_axis]
        scores = self.across(self.means(features)[:, :, tf.newaxis])
        return features * tf.sigmoid(self.on_channels(scores, channels))

    def get_config(self):
        """Returns the arguments, for `from_config`."""
        own = {"kernel_size": self.kernel_size, "gamma": self.gamma, "b": self.b}
        return super().get_config() | own


def adaptive_kernel_size(channels, *, gamma, b):
    """Returns the odd number nearest to `|(log2(channels) + b) / gamma|`; halfway rounds up."""
    return 2 * int(abs(math.log2(channels) + b) / gamma / 2) + 1


def _check_number(name, value, must):
    """Raises unless `value` is a Python or NumPy real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(message(name, must, value))
