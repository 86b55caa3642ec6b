import pytest
import tensorflow as tf

from keras_attnviz.capture.graph.logits import before_activation, last_activation
from keras_attnviz.capture.graph.operations import Dependence, hidden_calls, layer_path
from keras_attnviz.capture.graph.paths import masks_between, tensors_between
from keras_attnviz.capture.graph.positions import (
    feature_maps,
    mixes_positions,
    position_axes,
    spatial_axes,
)

pytestmark = pytest.mark.every_stack


def traced(function, *shapes):
    """Returns the inputs, what `function` gives for them, and all operations of the graph."""
    with tf.Graph().as_default() as whole:
        inputs = [tf.compat.v1.placeholder(tf.float32, shape) for shape in shapes]
        return inputs, function(*inputs), whole.get_operations()


def test_dependence_is_on_values_and_not_on_shapes():
    def function(images, text):
        by_shape = tf.zeros(tf.shape(text)) + images
        return [
            images * 2.0,
            tf.exp(text),
            images + text,
            by_shape,
            tf.ones([2]),
            tf.ones_like(text),
        ]

    inputs, outputs, operations = traced(function, [None, 4], [None, 4])
    dependence = Dependence(operations, inputs)
    assert [dependence.of(tensor) for tensor in outputs] == [{0}, {1}, {0, 1}, {0}, set(), set()]
    assert [dependence.of(tensor) for tensor in inputs] == [{0}, {1}]


def test_dependence_passes_what_lies_between():
    def function(images):
        inner = tf.tanh(images)
        return [inner, tf.exp(inner), images * 2.0]

    _, (inner, above, beside), operations = traced(function, [None, 4])
    dependence = Dependence(operations, [inner, above])
    assert dependence.of(above) == {0, 1}
    assert dependence.of(inner) == {0}
    assert dependence.of(beside) == set()


def test_dependence_of_an_unknown_tensor_is_on_nothing():
    (images,), doubled, operations = traced(lambda images: images * 2.0, [None, 4])
    assert Dependence(operations[:1], [images]).of(doubled) == set()


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


def test_masks_between_two_tensors():
    def model(images):
        doubled = 2.0 * images
        masked = tf.where(images[:1] > 0.0, doubled, -1e9)
        return doubled, masked, masked + tf.where(images > 0.0, 1.0, 0.0)

    _, (doubled, masked, last), _ = traced(model, [None, 4, 4, 3])
    ((found, unmasked),) = masks_between(doubled, last)
    assert (found.name, unmasked.name) == (masked.name, doubled.name)


@pytest.mark.parametrize(("size", "stride", "expected"), [(4, 4, False), (3, 2, True)])
def test_windows_of_channels_first_images(size, stride, expected):
    _, output, _ = traced(lambda images: channels_first(images, size, stride), [None, 3, 16, 16])
    assert mixes_positions(output) is expected


def between(function, shape=(None, 6, 8)):
    """Returns the names of the tensors between the first and last of `function`'s tensors."""
    _, (source, *_, target), _ = traced(function, shape)
    return [tensor.op.name for tensor in tensors_between(source, target)]


def test_tensors_that_every_path_passes():
    def residual(tokens):
        source = tf.identity(tokens, "source")
        branch = tf.exp(tf.tanh(source, "inside"), "branch")
        total = tf.add(source, branch, "total")
        above = tf.tanh(total, "above")
        return source, tf.multiply(above, tf.exp(above, "beside"), "target")

    assert between(residual) == ["source", "total", "above", "target"]


def test_tensors_of_other_ranks_or_without_the_batch_are_passed_over():
    def reshaped(tokens):
        source = tf.identity(tokens, "source")
        flat = tf.reshape(source, [-1, 48], "flat")
        folded = tf.reshape(flat, [4, -1, 8], "folded")
        square = tf.reshape(folded, [-1, 2, 3, 8], "square")
        return source, tf.reshape(square, [-1, 6, 8], "target")

    assert between(reshaped) == ["source", "square", "target"]


def test_paths_by_shapes_do_not_count():
    def by_shape(tokens):
        source = tf.identity(tokens, "source")
        middle = tf.tanh(source, "middle")
        return source, tf.reshape(middle, tf.shape(source), "target")

    names = between(by_shape)
    assert names[:2] == ["source", "middle"]


def test_nothing_is_between_tensors_without_a_path():
    def apart(tokens):
        return tf.tanh(tokens, "source"), tf.exp(tokens, "target")

    assert between(apart) == []


@pytest.mark.parametrize(
    "activation",
    [
        tf.identity,
        tf.nn.softmax,
        tf.nn.log_softmax,
        lambda logits: tf.cast(tf.reshape(tf.nn.sigmoid(logits), [-1]), tf.float16),
    ],
)
def test_before_the_activation(activation):
    _, (logits, output), _ = traced(lambda x: (y := tf.tanh(x), activation(y)), [None, 8])
    assert before_activation(output) is logits


def test_a_sum_of_activations_is_none():
    _, output, _ = traced(lambda x: tf.nn.softmax(x) + tf.nn.sigmoid(x), [None, 8])
    assert before_activation(output) is output


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (tf.nn.softmax, "Softmax"),
        (lambda logits: tf.cast(tf.nn.sigmoid(logits), tf.float16), "Sigmoid"),
        (lambda logits: tf.reshape(tf.identity(tf.nn.softmax(logits)), [-1]), "Softmax"),
        (lambda logits: tf.nn.softmax(logits) * 2.0, None),
        (tf.nn.relu, None),
    ],
)
def test_last_activation(function, expected):
    _, output, _ = traced(function, [None, 3])
    assert last_activation(output) == expected


def test_calls_of_functions_are_named():
    with tf.Graph().as_default() as whole:
        tokens = tf.compat.v1.placeholder(tf.float32, [None, 8])
        tf.tanh(tf.function(tf.exp)(tokens))
        (name,) = hidden_calls(whole.get_operations())
    assert name == "PartitionedCall"


@pytest.mark.parametrize(
    ("name", "model_name", "path"),
    [
        # Keras 3, and a model whose own name ends in a number.
        ("model_1/block_0_1/att_1/Softmax", "model", "model/block_0/att"),
        ("model_1_1/block_12/Softmax", "model_1", "model_1/block"),
        # tf.keras 2.
        ("model/block_0/att/Softmax", "model", "model/block_0/att"),
        ("Softmax", "model", "Softmax"),
    ],
)
def test_layer_path(name, model_name, path):
    assert layer_path(name, model_name) == path
