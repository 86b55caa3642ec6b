"""A Keras layer that chooses among convolutions, channel by channel: the selective kernel."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_count, message
from keras_attnviz.layers.feature_gate import FeatureGate, mean_over


@keras.utils.register_keras_serializable("keras_attnviz")
class SelectiveKernel(FeatureGate):
    """Convolves a feature map with kernels of several sizes and weighs the results per channel.

    Each branch is a grouped 3x3 convolution with its own dilation, batch normalization and ReLU;
    dilation 2 stands for a 5x5 kernel. The branches are summed, and the sum's channel means go
    through a hidden layer of `max(filters // ratio, smallest)` units with batch normalization and
    ReLU. A second layer computes a score for each channel of each branch. The weights are the
    softmax of the scores over the branches, and the output is the weighted sum of the branches.

    With M branches, C channels, F filters and d units, it has `9 M C F / groups + (M + 1) F d`
    kernel weights, and `2 M F + 2 d` trainable and as many non-trainable normalization weights.

    Before loading a model with this layer, run `from keras_attnviz import SelectiveKernel`.

    Call arguments:
        features: float tensor `[batch, height, width, channels]`, or channels first; height and
            width may be unknown.
        training: whether normalization uses, and learns from, the batch.

    Args:
        filters: number of channels of the output, a multiple of `groups`; None for as many as the
            input has.
        dilations: the dilation of each branch, two or more integers >= 1.
        groups: number of groups of the convolutions, which divides `channels` and `filters`.
        ratio: factor by which the hidden layer is smaller, an integer >= 1.
        smallest: lower bound on its number of units, an integer >= 1; the paper's L.
        data_format: "channels_last" or "channels_first"; by default Keras' `image_data_format()`.
            The layer computes with channels last in either case.
        **options: `name`, `dtype` and `trainable` of a Keras layer.

    Returns:
        tensor of the shape of `features` with `filters` channels, in the layer's compute dtype:
        branches `[batch, branches, height, width, filters]` times weights
        `[batch, branches, 1, 1, filters]`, summed over the branches. A channel's weights sum to 1.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range; or, when built, the input is not a feature map
            with a known number of channels that `groups` divides.

    Example:
        >>> features = SelectiveKernel(groups=32)(features)  # SK[2, 32, 16]

    References:
        Li et al., Selective Kernel Networks, arXiv:1903.06586, section 3.1, equations 1 to 6. The
        paper writes SK[M, G, r] for the number of branches, groups and ratio.
    """

    def __init__(
        self,
        filters=None,
        *,
        dilations=(1, 2),
        groups=32,
        ratio=16,
        smallest=32,
        data_format=None,
        **options,
    ):
        super().__init__(data_format=data_format, **options)
        if filters is not None:
            check_count("filters", filters)
        for name, value in (("groups", groups), ("ratio", ratio), ("smallest", smallest)):
            check_count(name, value)
        if filters is not None:
            _check_divided("filters", filters, groups)
        self.filters = None if filters is None else int(filters)
        self.dilations = _checked_dilations(dilations)
        self.groups, self.ratio, self.smallest = int(groups), int(ratio), int(smallest)

    def build(self, input_shape):
        """Creates the branches and the two layers that compute the weights."""
        channels, policy = self.channels(input_shape), self.dtype_policy
        _check_divided("channels", channels, self.groups)
        filters = self.filters or channels
        hidden = max(filters // self.ratio, self.smallest)
        fuse = keras.layers.Dense(hidden, use_bias=False, name="fuse", dtype=policy)
        select = keras.layers.Dense(
            filters * len(self.dilations), use_bias=False, name="select", dtype=policy
        )
        self.convolutions, self.norms = [], []
        for index, dilation in enumerate(self.dilations, 1):
            self.convolutions.append(self._convolution(filters, dilation, index, channels))
            norm = keras.layers.BatchNormalization(name=f"branch_{index}_norm", dtype=policy)
            self.norms.append(self.part(norm, (None, None, None, filters)))
        self.fuse = self.part(fuse, (None, filters))
        fuse_norm = keras.layers.BatchNormalization(name="fuse_norm", dtype=policy)
        self.fuse_norm = self.part(fuse_norm, (None, hidden))
        self.select = self.part(select, (None, hidden))
        super().build(input_shape)

    def _convolution(self, filters, dilation, index, channels):
        """Returns the built convolution of one branch."""
        layer = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            data_format="channels_last",
            dilation_rate=dilation,
            groups=self.groups,
            use_bias=False,
            name=f"branch_{index}",
            dtype=self.dtype_policy,
        )
        return self.part(layer, (None, None, None, channels))

    def call(self, features, training=None):
        """Returns the weighted sum of the branches."""
        features = self.channels_last(features)
        branches = [
            tf.nn.relu(norm(convolution(features), training=training))
            for convolution, norm in zip(self.convolutions, self.norms, strict=True)
        ]
        weights = self._weights(tf.add_n(branches), training)
        weighted = tf.stack(branches, axis=1) * weights
        return self.own_format(tf.reduce_sum(weighted, axis=1, keepdims=False))

    def _weights(self, fused, training):
        """Returns the branches' weights `[batch, branches, 1, 1, filters]`."""
        hidden = self.fuse(mean_over(fused, (1, 2), keepdims=False))
        scores = self.select(tf.nn.relu(self.fuse_norm(hidden, training=training)))
        count = len(self.dilations)
        scores = tf.reshape(scores, [-1, 1, 1, self.select.units // count, count])
        # Branches come first: with branches last, the product takes ten times as long on CPU.
        return tf.transpose(tf.nn.softmax(scores), [0, 4, 1, 2, 3])

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input with `filters` channels."""
        shape = list(input_shape)
        shape[self.channel_axis] = self.filters or shape[self.channel_axis]
        return tuple(shape)

    def get_config(self):
        """Returns the arguments, for `from_config`."""
        return super().get_config() | {
            "filters": self.filters,
            "dilations": list(self.dilations),
            "groups": self.groups,
            "ratio": self.ratio,
            "smallest": self.smallest,
        }


def _checked_dilations(dilations):
    """Returns the dilations as a tuple."""
    must = "two or more integers of at least 1, one per branch"
    if not isinstance(dilations, (list, tuple)):
        raise TypeError(message("dilations", must, dilations))
    for dilation in dilations:
        check_count("dilations", dilation)
    if len(dilations) < 2:
        raise ValueError(message("dilations", must, dilations))
    return tuple(int(dilation) for dilation in dilations)


def _check_divided(name, count, groups):
    """Raises unless `count` is a multiple of `groups`."""
    if count % groups:
        remedy = "Pass `groups` that divide it, or `groups=1`."
        raise ValueError(message(name, f"a multiple of groups={groups}", count, remedy))
