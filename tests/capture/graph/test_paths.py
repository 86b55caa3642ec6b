"""Tensors and masks between two tensors of a graph."""

import pytest
import tensorflow as tf
from support.small_graphs import traced

from keras_attnviz.capture.graph.paths import masks_between, tensors_between

pytestmark = pytest.mark.every_stack


def test_masks_between_two_tensors():
    def model(images):
        doubled = 2.0 * images
        masked = tf.where(images[:1] > 0.0, doubled, -1e9)
        return doubled, masked, masked + tf.where(images > 0.0, 1.0, 0.0)

    _, (doubled, masked, last), _ = traced(model, [None, 4, 4, 3])
    ((found, unmasked),) = masks_between(doubled, last)
    assert (found.name, unmasked.name) == (masked.name, doubled.name)


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
