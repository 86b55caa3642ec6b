"""Templates: copied graphs compute what the function computes, with the same bits."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz._templates import copies, templated

pytestmark = pytest.mark.every_stack


class Scaled:
    """Multiplies and sums; counts how often its graph is built operation by operation."""

    def __init__(self, factor):
        self.factor, self.builds = factor, 0

    @templated
    def product(self, values, weights=None, *, power=1):
        self.builds += 1
        found = self.factor * values**power
        return found if weights is None else {"sum": tf.matmul(found, weights), "given": values}


VALUES = np.float32([[1, 2], [3, 4]])


def in_graph(function, *arrays):
    def copying(*values):
        with copies():
            return function(*values)

    return tf.function(copying, autograph=False)(*map(tf.constant, arrays))


def test_layers_share_one_graph_and_give_the_same_bits():
    scaled, other = Scaled(0.3), Scaled(0.7)
    run = lambda first, second: [  # noqa: E731
        scaled.product(first),
        scaled.product(second),
        other.product(second),
        scaled.product(first, power=2),
    ]
    expected = run(tf.constant(VALUES), tf.constant(VALUES + 5))
    scaled.builds = other.builds = 0
    found = in_graph(run, VALUES, VALUES + 5)
    for some, others in zip(found, expected, strict=True):
        np.testing.assert_array_equal(some, others)
    assert (scaled.builds, other.builds) == (2, 1)
    # In another graph too.
    in_graph(run, VALUES, VALUES)
    assert (scaled.builds, other.builds) == (2, 1)


def test_the_same_call_in_a_graph_gives_the_same_tensor():
    scaled = Scaled(2.0)

    def run(values):
        first, second = scaled.product(values), scaled.product(values, None)
        assert first is second
        assert scaled.product(values, power=2) is not first
        return first

    np.testing.assert_array_equal(in_graph(run, VALUES), 2 * VALUES)


def test_structures_arrays_and_inputs_that_are_returned():
    scaled = Scaled(3.0)
    weights = np.float32([[1, 0, 1], [0, 1, 1]])
    found = in_graph(lambda values: scaled.product(values, weights), VALUES)
    np.testing.assert_allclose(found["sum"], 3 * VALUES @ weights)
    np.testing.assert_array_equal(found["given"], VALUES)
    # Other weights are another graph.
    found = in_graph(lambda values: scaled.product(values, 2 * weights), VALUES)
    np.testing.assert_allclose(found["sum"], 6 * VALUES @ weights)


def test_a_tensor_from_outside_is_captured():
    outside = tf.constant(VALUES)
    scaled = Scaled(2.0)
    np.testing.assert_array_equal(in_graph(lambda _: scaled.product(outside), VALUES), 2 * VALUES)


def test_the_batch_may_have_any_size():
    scaled = Scaled(2.0)
    spec = tf.TensorSpec([None, 2], tf.float32)

    def copying(values):
        with copies():
            return scaled.product(values)

    run = tf.function(copying, input_signature=[spec], autograph=False)
    for count in (1, 3):
        np.testing.assert_array_equal(run(np.ones((count, 2), np.float32)), np.full((count, 2), 2))
    assert scaled.builds == 1


def test_gradient_tapes_see_what_is_not_copied():
    scaled = Scaled(2.0)

    @tf.function
    def run(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = tf.reduce_sum(scaled.product(values, power=3))
        return tape.gradient(total, values)

    np.testing.assert_allclose(run(tf.constant(VALUES)), 6 * VALUES**2, rtol=1e-6)


def test_graph_gradients_pass_through_copies():
    scaled = Scaled(2.0)

    def run(values):
        return tf.gradients(scaled.product(values, power=3), [values])[0]

    np.testing.assert_allclose(in_graph(run, VALUES), 6 * VALUES**2, rtol=1e-6)


def test_nothing_is_held_longer_than_its_owner_and_graph():
    scaled = Scaled(2.0)
    in_graph(scaled.product, VALUES)
    gone = weakref.ref(scaled)
    del scaled
    gc.collect()
    assert gone() is None
