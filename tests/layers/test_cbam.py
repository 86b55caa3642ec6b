"""The convolutional block attention module."""

import math

import numpy as np
import pytest
import tensorflow as tf
from support import feature_oracles as oracles

from keras_attnviz import ConvBlockAttention

LN3 = math.log(3)


def test_two_channels_at_two_positions_by_hand():
    layer = ConvBlockAttention(2, kernel_size=1)
    features = tf.constant([[[[1.0, 2], [3, 0]]]])
    layer(features)
    # Means 2, 1 and maxima 3, 2: both give 1 in the hidden unit, so scores LN3 and 0, gates 3/4
    # and 1/2. The features become 3/4, 1 and 9/4, 0, their means 7/8 and 9/8, maxima 1 and 9/4.
    # Scores of the positions: (7 - 4) LN3 and (9 - 9) LN3, gates 27/28 and 1/2.
    oracles.set_weights(
        layer,
        squeeze_kernel=[1, -1],
        excite_kernel=[LN3 / 2, 0],
        around_kernel=[8 * LN3, -4 * LN3],
    )
    expected = [[[[3 / 4 * 27 / 28, 27 / 28], [9 / 8, 0]]]]
    np.testing.assert_allclose(layer(features), expected, rtol=1e-5)


@pytest.mark.parametrize("use_bias", [False, True])
def test_it_agrees_with_numpy(use_bias):
    options = {"kernel_size": 5, "use_bias": use_bias, "dtype": "float64"}
    layer = oracles.randomized(ConvBlockAttention(3, **options), 6)
    features = oracles.features(3, 8, 7, 6)
    weights = oracles.named_weights(layer)

    def dense(values, name):
        return values @ weights[f"{name}/kernel"] + weights.get(f"{name}/bias", 0)

    scores = sum(
        dense(oracles.relu(dense(pooled, "squeeze")), "excite")
        for pooled in (features.mean(axis=(1, 2)), features.max(axis=(1, 2)))
    )
    expected = features * oracles.sigmoid(scores)[:, np.newaxis, np.newaxis]
    pooled = np.stack([expected.mean(axis=-1), expected.max(axis=-1)], axis=-1)
    expected *= oracles.sigmoid(oracles.convolved(pooled, weights["around/kernel"]))
    np.testing.assert_allclose(layer(features), expected, rtol=1e-9)
    assert np.all(np.abs(layer(features)) <= np.abs(features))


def test_weights_are_counted_as_in_the_docstring():
    kernels = 2 * 64**2 // 16 + 2 * 7**2
    assert oracles.count(ConvBlockAttention(), 64) == kernels
    assert oracles.count(ConvBlockAttention(use_bias=True), 64) == kernels + 64 + 4


@pytest.mark.parametrize(("use_bias", "millions"), [(True, 28.09), (False, 28.07)])
def test_a_resnet50_grows_as_in_the_paper(use_bias, millions):
    # With one in each block; the paper has 28.09 million.
    added = sum(
        blocks * oracles.count(ConvBlockAttention(use_bias=use_bias), channels)
        for blocks, channels in oracles.RESNET50_BLOCKS
    )
    assert round((oracles.RESNET50_COUNT + added) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ratio": -1}, ValueError, "`ratio` must be at least 1. Received: ratio=-1"),
        (
            {"ratio": "8"},
            TypeError,
            "`ratio` must be an integer of at least 1. Received: ratio='8'",
        ),
        (
            {"kernel_size": 6},
            ValueError,
            "`kernel_size` must be an odd integer of at least 1. Received: kernel_size=6. Pass "
            "`kernel_size=7`, say",
        ),
        ({"kernel_size": (7, 7)}, TypeError, "`kernel_size` must be an odd integer of at least 1"),
    ],
)
def test_wrong_arguments_are_told(options, error, text):
    with pytest.raises(error, match=text):
        ConvBlockAttention(**options)
