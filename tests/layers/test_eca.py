"""Efficient channel attention."""

import math

import numpy as np
import pytest
import tensorflow as tf
from support import feature_oracles as oracles

from keras_attnviz import EfficientChannelAttention
from keras_attnviz.layers.eca import adaptive_kernel_size

LN3 = math.log(3)  # sigmoid(LN3) is 3/4, sigmoid(-LN3) is 1/4


def test_efficient_channel_attention_of_three_channels_by_hand():
    layer = EfficientChannelAttention(3)
    features = tf.constant([[[[2.0, 0, 1], [0, -2, -1]]]])  # means 1, -1, 0
    layer(features)
    # Each score is LN3 times the mean of the channel before: 0, LN3, -LN3.
    oracles.set_weights(layer, across_kernel=[LN3, 0, 0])
    expected = [[[[1, 0, 0.25], [0, -1.5, -0.25]]]]
    np.testing.assert_allclose(layer(features), expected, rtol=1e-6)


def test_efficient_channel_attention_agrees_with_numpy():
    layer = oracles.randomized(EfficientChannelAttention(5, dtype="float64"), 7)
    features = oracles.features(3, 5, 4, 7)
    kernel = oracles.named_weights(layer)["across/kernel"][:, 0, 0]
    means = np.pad(features.mean(axis=(1, 2)), ((0, 0), (2, 2)))
    scores = sum(weight * means[:, tap : tap + 7] for tap, weight in enumerate(kernel))
    expected = features * oracles.sigmoid(scores)[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(layer(features), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("channels", "size"),
    # (log2 + 1) / 2 is 1, 2.5, 3.5, 4, 4.5, 5, 5.5, 6.
    [(2, 1), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_the_kernel_grows_with_the_channels(channels, size):
    assert oracles.count(EfficientChannelAttention(), channels) == size
    assert adaptive_kernel_size(channels, gamma=2, b=1) == size


@pytest.mark.parametrize(("kernel_size", "weights"), [(5, 80), (None, 86)])
def test_weights_of_efficient_channel_attention_in_a_resnet50(kernel_size, weights):
    # The paper's abstract has 80; 2048 channels, half way between 5 and 7, count 7 here.
    assert weights == sum(
        blocks * oracles.count(EfficientChannelAttention(kernel_size), channels)
        for blocks, channels in oracles.RESNET50_BLOCKS
    )


def test_the_kernel_size_is_the_nearest_odd_number():
    for channels in range(2, 3000, 7):
        exact = (math.log2(channels) + 0.3) / 1.7
        size = adaptive_kernel_size(channels, gamma=1.7, b=0.3)
        assert size % 2 == 1
        assert abs(size - exact) <= 1
    assert adaptive_kernel_size(2, gamma=1, b=-7) == 7


def test_a_kernel_size_that_is_given_is_taken():
    assert oracles.count(EfficientChannelAttention(9), 64) == 9


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: EfficientChannelAttention(4),
            ValueError,
            "`kernel_size` must be an odd integer of at least 1. Received: kernel_size=4. "
            "Pass `kernel_size=5`, say",
        ),
        (
            lambda: EfficientChannelAttention("3"),
            TypeError,
            "`kernel_size` must be an odd integer of at least 1. Received: kernel_size='3'",
        ),
        (
            lambda: EfficientChannelAttention(gamma=0),
            ValueError,
            "`gamma` must be a number above 0. Received: gamma=0",
        ),
        (
            lambda: EfficientChannelAttention(gamma="2"),
            TypeError,
            "`gamma` must be a number above 0. Received: gamma='2'",
        ),
        (
            lambda: EfficientChannelAttention(b=None),
            TypeError,
            "`b` must be a number. Received: b=None",
        ),
    ],
)
def test_wrong_arguments_are_told(make, error, text):
    with pytest.raises(error, match=text):
        make()
