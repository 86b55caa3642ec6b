"""The selective kernel."""

import math

import numpy as np
import pytest
import tensorflow as tf
from support import feature_oracles as oracles

from keras_attnviz import SelectiveKernel

LN3 = math.log(3)
CENTER = np.pad([[1.0]], 1)


def test_one_channel_at_one_position_by_hand():
    layer = SelectiveKernel(groups=1, ratio=1, smallest=1)
    features = tf.constant([[[[2.0]]]])
    layer(features)
    # Branches 2 and 6, their sum 8, the hidden unit 1, scores 0 and LN3, weights 1/4 and 3/4.
    oracles.set_weights(
        layer,
        branch_1_kernel=CENTER,
        branch_2_kernel=3 * CENTER,
        fuse_kernel=1 / 8,
        select_kernel=[0, LN3],
    )
    np.testing.assert_allclose(layer(features), [[[[2 / 4 + 6 * 3 / 4]]]], rtol=1e-5)


@pytest.mark.parametrize(
    ("filters", "dilations", "groups"), [(None, (1, 2), 1), (12, (1, 2), 3), (9, (3, 1, 2), 3)]
)
def test_it_agrees_with_numpy(filters, dilations, groups):
    options = {"dilations": dilations, "groups": groups, "ratio": 3, "smallest": 2}
    layer = oracles.randomized(SelectiveKernel(filters, dtype="float64", **options), 6)
    features = oracles.features(3, 8, 7, 6)
    weights = oracles.named_weights(layer)
    branches = []
    for index, dilation in enumerate(dilations, 1):
        kernel = weights[f"branch_{index}/kernel"]
        branch = oracles.convolved(features, kernel, dilation=dilation, groups=groups)
        branches.append(oracles.relu(oracles.normalized(branch, weights, f"branch_{index}_norm")))
    hidden = sum(branches).mean(axis=(1, 2)) @ weights["fuse/kernel"]
    hidden = oracles.relu(oracles.normalized(hidden, weights, "fuse_norm"))
    scores = (hidden @ weights["select/kernel"]).reshape(3, -1, len(dilations))
    shares = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    expected = sum(
        branch * shares[:, np.newaxis, np.newaxis, :, index]
        for index, branch in enumerate(branches)
    )
    answer = layer(features)
    assert tuple(answer.shape) == tuple(layer.compute_output_shape(features.shape))
    np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-12)


def test_equal_branches_give_themselves():
    # The weights of a channel sum to 1.
    layer = oracles.randomized(SelectiveKernel(dilations=(2, 2, 2), groups=1), 4)
    weights = {
        f"branch_{index}_{kind}": oracles.named_weights(layer)[f"branch_1{kind_path}"]
        for index in (2, 3)
        for kind, kind_path in (
            ("kernel", "/kernel"),
            ("norm_gamma", "_norm/gamma"),
            ("norm_beta", "_norm/beta"),
            ("norm_moving_mean", "_norm/moving_mean"),
        )
    }
    oracles.set_weights(layer, **weights)
    features = tf.constant(oracles.features(2, 6, 6, 4), tf.float32)
    alone = tf.nn.relu(layer.norms[0](layer.convolutions[0](features)))
    np.testing.assert_allclose(layer(features), alone, rtol=1e-5, atol=1e-5)


def test_weights_are_counted_as_in_the_docstring():
    branches, filters, channels, groups, units = 3, 64, 32, 8, 16
    layer = SelectiveKernel(filters, dilations=(1, 2, 3), groups=groups, ratio=4, smallest=2)
    kernels = 9 * branches * channels * filters // groups + (branches + 1) * filters * units
    normalization = 2 * branches * filters + 2 * units
    assert oracles.count(layer, channels, trainable=True) == kernels + normalization


def test_the_layer_between_has_a_smallest_size():
    assert tuple(oracles.randomized(SelectiveKernel(groups=1), 64).fuse.kernel.shape) == (64, 32)


def test_sknet50_has_the_papers_number_of_weights():
    # Bottlenecks with SK[2, 32, 16] between two 1x1 convolutions; the paper has 27.5 million.
    total, channels = 7 * 7 * 3 * 64 + 2 * 64, 64
    for (blocks, outputs), width in zip(
        oracles.RESNET50_BLOCKS, (128, 256, 512, 1024), strict=True
    ):
        selective = oracles.count(SelectiveKernel(groups=32), width, trainable=True)
        total += channels * outputs + 2 * outputs  # the shortcut of the first block
        for _ in range(blocks):
            total += channels * width + 2 * width + selective + width * outputs + 2 * outputs
            channels = outputs
    total += 2048 * 1000 + 1000
    assert round(total / 1e6, 1) == 27.5


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"filters": 0}, ValueError, "`filters` must be at least 1. Received: filters=0"),
        ({"groups": 0}, ValueError, "`groups` must be at least 1. Received: groups=0"),
        ({"ratio": 1.0}, TypeError, "`ratio` must be an integer of at least 1. Received: .*1.0"),
        ({"smallest": 0}, ValueError, "`smallest` must be at least 1. Received: smallest=0"),
        (
            {"dilations": (1,)},
            ValueError,
            "`dilations` must be two or more integers of at least 1, one per branch. "
            "Received: .*1,",
        ),
        ({"dilations": 2}, TypeError, "`dilations` must be two or more integers of at least 1"),
        ({"dilations": (1, 0)}, ValueError, "`dilations` must be at least 1. Received: .*=0"),
        (
            {"filters": 48},
            ValueError,
            "`filters` must be a multiple of groups=32. Received: filters=48. Pass `groups` that "
            "divide it, or `groups=1`",
        ),
    ],
)
def test_wrong_arguments_are_told(options, error, text):
    with pytest.raises(error, match=text):
        SelectiveKernel(**options)


def test_channels_that_groups_do_not_divide_are_told():
    text = "`channels` must be a multiple of groups=32. Received: channels=48. Pass `groups` that"
    with pytest.raises(ValueError, match=text):
        SelectiveKernel().build((None, 4, 4, 48))
