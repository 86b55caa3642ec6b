"""Feature maps, their axes, and what mixes their positions."""

import pytest
import tensorflow as tf
from support.small_graphs import traced

from keras_attnviz.capture.graph.positions import (
    feature_maps,
    mixes_positions,
    position_axes,
    spatial_axes,
)

pytestmark = pytest.mark.every_stack


def conv(images, size, stride, *, channels=8, depthwise=False, padding="SAME"):
    kernel = tf.ones([size, size, images.shape[-1], 1 if depthwise else channels])
    function = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
    strides = [1, stride, stride, 1]
    return function(images, kernel, strides, padding)


def test_feature_maps_before_a_tensor():
    def model(images):
        stem = conv(images, 3, 1)
        patches = tf.image.extract_patches(stem, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID")
        wide = conv(patches, 3, 1, depthwise=True)
        pooled = tf.nn.avg_pool2d(wide, 2, 2, "VALID")
        mixed = tf.nn.softmax(pooled)
        return stem, patches, wide, pooled, mixed, conv(mixed, 1, 1)

    _, (*before, mixed, _), operations = traced(model, [None, 12, 16, 3])
    assert [each.name for each in feature_maps(operations, mixed)] == [each.name for each in before]


def channels_first(images, size, stride):
    kernel, strides = tf.ones([size, size, 3, 8]), [1, 1, stride, stride]
    return tf.nn.conv2d(images, kernel, strides, "VALID", data_format="NCHW")


def test_axes_of_height_and_width():
    _, last, _ = traced(lambda images: conv(images, 3, 1), [None, 8, 8, 3])
    assert spatial_axes(last) == position_axes(last) == (1, 2)
    _, first, _ = traced(lambda images: channels_first(images, 3, 1), [None, 3, 8, 8])
    assert spatial_axes(first) == position_axes(first) == (2, 3)
    _, tokens, _ = traced(tf.tanh, [None, 12, 8])
    assert position_axes(tokens) == (1,)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda images: conv(images, 4, 4), False),
        (lambda images: conv(images, 1, 1), False),
        (lambda images: conv(images, 1, 2), False),
        (lambda images: conv(images, 3, 1), True),
        (lambda images: conv(images, 7, 4), True),
        (lambda images: conv(images, 3, 1, depthwise=True), True),
        (lambda images: conv(images, 2, 2, depthwise=True), False),
        (lambda images: tf.nn.conv2d(images, tf.ones([1, 3, 3, 8]), [1, 1, 2, 1], "SAME"), True),
        (lambda images: tf.nn.conv2d(images, tf.ones([1, 3, 3, 8]), [1, 1, 3, 1], "SAME"), False),
        (lambda images: tf.nn.avg_pool2d(images, 2, 2, "SAME"), False),
        (lambda images: tf.nn.max_pool2d(images, 3, 2, "SAME"), True),
        (tf.tanh, False),
        (lambda images: tf.matmul(images, tf.ones([3, 3])), False),
        # A token that is the mean of the others is not what they are normalized with.
        (lambda images: tf.reduce_mean(images, [1, 2], keepdims=True), False),
    ],
)
def test_overlapping_windows_mix_positions(function, expected):
    _, output, _ = traced(function, [None, 16, 16, 3])
    assert mixes_positions(output) is expected


def statistics(axes):
    """Returns a function to the mean and the variance that images are normalized with."""

    def function(images):
        mean, variance = tf.nn.moments(images, axes, keepdims=True)
        return mean, variance, (images - mean) * tf.math.rsqrt(variance + 1e-3)

    return function


@pytest.mark.parametrize(("axes", "expected"), [([1, 2], True), ([1, 2, 3], True), ([3], False)])
def test_statistics_that_all_positions_are_normalized_with_mix_them(axes, expected):
    _, _, operations = traced(statistics(axes), [None, 8, 8, 3])
    found = [o.outputs[0] for o in operations if o.outputs and mixes_positions(o.outputs[0])]
    assert {tensor.op.type for tensor in found} == ({"Mean"} if expected else set())
    assert len(found) == (2 if expected else 0)


@pytest.mark.parametrize(("size", "stride", "expected"), [(4, 4, False), (3, 2, True)])
def test_windows_of_channels_first_images(size, stride, expected):
    _, output, _ = traced(lambda images: channels_first(images, size, stride), [None, 3, 16, 16])
    assert mixes_positions(output) is expected
