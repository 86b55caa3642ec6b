import numpy as np
import pytest
import tensorflow as tf
from support.traces import (
    HEIGHT,
    SIDES,
    WIDE,
    WIDTH,
    Attention,
    reached,
    traced,
)
from tensorflow import keras

from keras_attnviz.capture.tokens.position_gradients import PositionGradients, token_gradients


@pytest.mark.parametrize("name", SIDES)
def test_gradients_of_tokens(name):
    function, expected = SIDES[name]
    trace, inputs = traced(
        Attention(), keras.layers.Lambda(lambda tokens: tf.add(function(tokens), 0.0, "end"))
    )
    (feature_map,) = trace.feature_maps(trace.sites[0])
    (tokens,) = (
        operation.outputs[0]
        for operation in trace.operations
        if operation.name.split("/")[-1] == "end"
    )
    grid, gradient = token_gradients(trace, feature_map, tokens, inputs)
    assert grid == (HEIGHT, WIDTH)
    for slot, positions in enumerate(expected):
        found = gradient(np.eye(len(expected))[slot])
        assert (reached(found) if positions else np.abs(found).max()) == (positions or 0)


def test_tokens_that_do_not_depend_on_the_feature_map_give_none():
    trace, inputs = traced(Attention())
    (feature_map,) = trace.feature_maps(trace.sites[0])
    assert token_gradients(trace, feature_map, trace.inputs[0], inputs) is None


def test_gradients_of_a_feature_map_are_exact():
    trace, inputs = traced(Attention())
    (feature_map,) = trace.feature_maps(trace.sites[0])
    with trace.as_default():
        factor = tf.compat.v1.placeholder(tf.float32, [])
        (arriving,) = tf.gradients(factor * feature_map**2, feature_map)
    gradients = PositionGradients(trace, feature_map, arriving, [factor], inputs)
    assert gradients.grid == (HEIGHT, WIDTH)
    values = gradients(1.0)
    assert values.shape == (HEIGHT * WIDTH, WIDE)
    assert values.dtype == np.float64
    np.testing.assert_allclose(gradients(-3.0), -3 * values, rtol=1e-6)
