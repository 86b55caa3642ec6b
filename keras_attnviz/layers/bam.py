"""A Keras layer that weighs each value of a feature map: the bottleneck attention module."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_count, check_ratio
from keras_attnviz.layers.feature_gate import FeatureGate, reduced


@keras.utils.register_keras_serializable("keras_attnviz")
class BottleneckAttention(FeatureGate):
    """Adds to a feature map its product with a gate, from a channel branch and a spatial branch.

    It computes `features + features * sigmoid(channel + spatial)`. The channel branch is a network
    of two layers on the channels' means. The spatial branch is a 1x1 convolution to
    `channels // ratio` channels, two dilated 3x3 convolutions and a 1x1 convolution to one channel.
    Batch normalization at the end of each branch brings them to one scale.

    With C channels and c = C / ratio, it has `3 C c + 18 c**2 + c` kernel weights, `C + 4 c + 1`
    biases, and `2 C + 2` trainable and as many non-trainable normalization weights. After the
    stages of 256, 512 and 1024 channels of a ResNet50, this is 0.36 million.

    The paper's equations 3 and 4 have no activation in the branches. This layer has a ReLU after
    each hidden layer, as in the authors' code. Where that code differs from the paper otherwise,
    the layer follows the paper: normalization is at the end of the branches, not inside, and the
    branches are added, not multiplied.

    Before loading a model with this layer, run `from keras_attnviz import BottleneckAttention`.

    Call arguments:
        features: float tensor `[batch, height, width, channels]`, or channels first; height and
            width may be unknown.
        training: whether normalization uses, and learns from, the batch.

    Args:
        ratio: factor by which the hidden layers are smaller, an integer >= 1. They have at least
            one channel.
        dilation: distance between the values that the 3x3 convolutions read, an integer >= 1.
        momentum: momentum of batch normalization's moving averages, a float in [0, 1); lower it for
            a training of few steps.
        data_format: "channels_last" or "channels_first"; by default Keras' `image_data_format()`.
            The spatial branch is computed with channels last in either case.
        **options: `name`, `dtype` and `trainable` of a Keras layer.

    Returns:
        tensor of the shape of `features`, in the layer's compute dtype: the features times one
        plus a gate `[batch, height, width, channels]` in (0, 1).

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range; or, when built, the input is not a feature map
            with a known number of channels.

    Example:
        >>> features = BottleneckAttention()(features)  # where a stage ends
        >>> features = keras.layers.MaxPooling2D()(features)

    References:
        Park et al., BAM: Bottleneck Attention Module, arXiv:1807.06514, section 3, equations 1
        to 4.
    """

    def __init__(self, ratio=16, *, dilation=4, momentum=0.99, data_format=None, **options):
        super().__init__(data_format=data_format, **options)
        check_count("ratio", ratio)
        check_count("dilation", dilation)
        check_ratio("momentum", momentum)
        self.ratio, self.dilation = int(ratio), int(dilation)
        self.momentum = float(momentum)

    def build(self, input_shape):
        """Creates the layers of both branches."""
        channels, policy = self.channels(input_shape), self.dtype_policy
        hidden = reduced(channels, self.ratio)

        def dense(units, name, activation=None):
            return keras.layers.Dense(units, activation, name=name, dtype=policy)

        def normalization(name):
            return keras.layers.BatchNormalization(
                axis=-1, momentum=self.momentum, name=name, dtype=policy
            )

        self.squeeze = self.part(dense(hidden, "squeeze", "relu"), (None, channels))
        self.excite = self.part(dense(channels, "excite"), (None, hidden))
        self.channel_norm = self.part(normalization("channel_norm"), (None, channels))
        self.reduce = self._convolution(hidden, 1, "reduce", channels)
        self.context_1 = self._convolution(hidden, 3, "context_1", hidden)
        self.context_2 = self._convolution(hidden, 3, "context_2", hidden)
        self.project = self._convolution(1, 1, "project", hidden)
        self.spatial_norm = self.part(normalization("spatial_norm"), (None, None, None, 1))
        super().build(input_shape)

    def _convolution(self, filters, size, name, channels):
        """Returns a built convolution of the spatial branch."""
        layer = keras.layers.Conv2D(
            filters,
            size,
            padding="same",
            data_format="channels_last",
            dilation_rate=self.dilation if size > 1 else 1,
            activation="relu" if name != "project" else None,
            name=name,
            dtype=self.dtype_policy,
        )
        return self.part(layer, (None, None, None, channels))

    def call(self, features, training=None):
        """Returns the weighted features."""
        channel = self.excite(self.squeeze(self.means(features)))
        channel = self.on_channels(self.channel_norm(channel, training=training), self.excite.units)
        spatial = self.channels_last(features)
        for layer in (self.reduce, self.context_1, self.context_2, self.project):
            spatial = layer(spatial)
        spatial = self.own_format(self.spatial_norm(spatial, training=training))
        return features + features * tf.sigmoid(channel + spatial)

    def get_config(self):
        """Returns the arguments, for `from_config`."""
        return super().get_config() | {
            "ratio": self.ratio,
            "dilation": self.dilation,
            "momentum": self.momentum,
        }
