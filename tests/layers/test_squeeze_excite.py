"""Squeeze-and-excitation."""

import math

import numpy as np
import pytest
import tensorflow as tf
from support import feature_oracles as oracles

from keras_attnviz import SqueezeExcite

LN3 = math.log(3)  # sigmoid(LN3) is 3/4, sigmoid(-LN3) is 1/4


def test_squeeze_and_excitation_of_two_channels_by_hand():
    layer = SqueezeExcite(2)
    features = tf.constant([[[[1.0, 0], [3, 2]]]])  # means 2 and 1
    layer(features)
    # Hidden: 2 - 1 = 1. Scores: LN3 and -LN3.
    oracles.set_weights(layer, squeeze_kernel=[1, -1], excite_kernel=[LN3, -LN3])
    np.testing.assert_allclose(layer(features), [[[[0.75, 0], [2.25, 0.5]]]], rtol=1e-6)
    # Hidden: relu(1 - 2) = 0. Scores: 0.
    oracles.set_weights(layer, squeeze_kernel=[-1, 1])
    np.testing.assert_allclose(layer(features), [[[[0.5, 0], [1.5, 1]]]], rtol=1e-6)


@pytest.mark.parametrize("use_bias", [False, True])
def test_squeeze_and_excitation_agrees_with_numpy(use_bias):
    layer = oracles.randomized(SqueezeExcite(4, use_bias=use_bias, dtype="float64"), 12)
    features = oracles.features(3, 5, 4, 12)
    weights = oracles.named_weights(layer)
    hidden = features.mean(axis=(1, 2)) @ weights["squeeze/kernel"]
    hidden = oracles.relu(hidden + weights.get("squeeze/bias", 0))
    scores = hidden @ weights["excite/kernel"] + weights.get("excite/bias", 0)
    expected = features * oracles.sigmoid(scores)[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(layer(features), expected, rtol=1e-10)
    assert np.all(np.abs(layer(features)) <= np.abs(features))


def test_weights_of_squeeze_and_excitation_are_those_of_the_paper():
    assert oracles.count(SqueezeExcite(16), 256) == 2 * 256**2 // 16
    assert oracles.count(SqueezeExcite(16, use_bias=True), 256) == 2 * 256**2 // 16 + 256 + 16
    # Section 4: about 2.5 million more in a ResNet50, with one in each block.
    added = sum(
        blocks * oracles.count(SqueezeExcite(16), channels)
        for blocks, channels in oracles.RESNET50_BLOCKS
    )
    assert added == 2_514_944


def test_there_is_at_least_one_hidden_unit():
    assert oracles.count(SqueezeExcite(16), 8) == 16


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: SqueezeExcite(0),
            ValueError,
            "`ratio` must be at least 1. Received: ratio=0",
        ),
        (
            lambda: SqueezeExcite(2.5),
            TypeError,
            "`ratio` must be an integer of at least 1. Received: ratio=2.5",
        ),
    ],
)
def test_wrong_arguments_are_told(make, error, text):
    with pytest.raises(error, match=text):
        make()
