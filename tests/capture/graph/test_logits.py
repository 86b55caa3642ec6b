"""Logits and the last activation, on graphs of a few operations."""

import pytest
import tensorflow as tf
from support.small_graphs import traced

from keras_attnviz.capture.graph.logits import before_activation, last_activation

pytestmark = pytest.mark.every_stack


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
