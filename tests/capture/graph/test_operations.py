"""What operations are computed from, and which layer added them."""

import pytest
import tensorflow as tf
from support.small_graphs import traced

from keras_attnviz.capture.graph.operations import Dependence, hidden_calls, layer_path

pytestmark = pytest.mark.every_stack


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
