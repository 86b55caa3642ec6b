"""The bottleneck attention module."""

import math

import numpy as np
import pytest
import tensorflow as tf
from support import feature_oracles as oracles

from keras_attnviz import BottleneckAttention

LN3 = math.log(3)
CENTER = np.pad([[1.0]], 1)


def test_two_channels_at_two_positions_by_hand():
    layer = BottleneckAttention(2)
    features = tf.constant([[[[1.0, 2], [3, 0]]]])  # means 2 and 1
    layer(features)
    # Channel branch: hidden 2 - 1 = 1, scores LN3 and 0.
    # Spatial branch: relu(1 - 2) = 0 and 3 - 0 = 3, kept by both kernels, times LN3 / 3.
    oracles.set_weights(
        layer,
        squeeze_kernel=[1, -1],
        excite_kernel=[LN3, 0],
        reduce_kernel=[1, -1],
        context_1_kernel=CENTER,
        context_2_kernel=CENTER,
        project_kernel=LN3 / 3,
    )
    # Gates: LN3, 0 at the first position; 2 LN3, LN3 at the second.
    gates = np.array([[[[3 / 4, 1 / 2], [9 / 10, 3 / 4]]]])
    np.testing.assert_allclose(layer(features), features * (1 + gates), rtol=1e-6)


@pytest.mark.parametrize("dilation", [1, 4])
def test_it_agrees_with_numpy(dilation):
    layer = oracles.randomized(BottleneckAttention(3, dilation=dilation, dtype="float64"), 6)
    features = oracles.features(3, 9, 7, 6)
    weights = oracles.named_weights(layer)

    def dense(values, name):
        return values @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def convolution(values, name, *, dilation=1):
        kernel = weights[f"{name}/kernel"]
        return oracles.convolved(values, kernel, dilation=dilation) + weights[f"{name}/bias"]

    channel = dense(oracles.relu(dense(features.mean(axis=(1, 2)), "squeeze")), "excite")
    channel = oracles.normalized(channel, weights, "channel_norm")
    spatial = oracles.relu(convolution(features, "reduce"))
    for name in ("context_1", "context_2"):
        spatial = oracles.relu(convolution(spatial, name, dilation=dilation))
    spatial = oracles.normalized(convolution(spatial, "project"), weights, "spatial_norm")
    gate = oracles.sigmoid(channel[:, np.newaxis, np.newaxis] + spatial)
    np.testing.assert_allclose(layer(features), features + features * gate, rtol=1e-9)


def test_features_are_kept_and_at_most_doubled():
    layer = oracles.randomized(BottleneckAttention(2), 4)
    features = oracles.features(2, 8, 8, 4).astype("float32")
    ratio = layer(features) / features
    assert np.all((ratio > 1 - 1e-6) & (ratio < 2 + 1e-6))


def test_in_training_both_branches_have_one_scale():
    layer = oracles.randomized(BottleneckAttention(2), 4)
    # As it begins to learn: normalization to mean 0, variance 1.
    for part in (layer.channel_norm, layer.spatial_norm):
        part.gamma.assign(np.ones(part.gamma.shape))
        part.beta.assign(np.zeros(part.beta.shape))
    features = tf.constant(oracles.features(64, 8, 8, 4), tf.float32)
    gate = layer(features, training=True) / features - 1
    # Scores of variance 2 about 0: half of the gates above a half, 83% within sigmoid(+-2).
    assert 0.3 < np.mean(gate > 0.5) < 0.7
    assert np.mean(np.abs(gate - 0.5) < 0.38) > 0.7


def test_weights_are_counted_as_in_the_docstring():
    channels, hidden = 64, 4
    kernels = 3 * channels * hidden + 18 * hidden**2 + hidden
    biases = channels + 4 * hidden + 1
    learned = kernels + biases + 2 * channels + 2
    assert oracles.count(BottleneckAttention(16), channels, trainable=True) == learned
    assert oracles.count(BottleneckAttention(16), channels) == learned + 2 * channels + 2


def test_a_resnet50_grows_as_in_the_paper():
    # After the stages that another follows; the paper has 25.56 and 25.92 million.
    added = sum(
        oracles.count(BottleneckAttention(), channels, trainable=True)
        for _, channels in oracles.RESNET50_BLOCKS[:3]
    )
    assert round(oracles.RESNET50_COUNT / 1e6, 2) == 25.56
    assert round((oracles.RESNET50_COUNT + added) / 1e6, 2) == 25.92


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ratio": 0}, ValueError, "`ratio` must be at least 1. Received: ratio=0"),
        ({"ratio": None}, TypeError, "`ratio` must be an integer of at least 1. Received: .*None"),
        ({"dilation": 0}, ValueError, "`dilation` must be at least 1. Received: dilation=0"),
        ({"dilation": 1.5}, TypeError, "`dilation` must be an integer of at least 1. Received"),
    ],
)
def test_wrong_arguments_are_told(options, error, text):
    with pytest.raises(error, match=text):
        BottleneckAttention(**options)
