import numpy as np
import tensorflow as tf

from keras_attnviz import gradient_weighted, sink_damping, value_weighted


def test_gradients_weight_by_hand_and_what_speaks_against_is_nothing():
    attention = tf.constant([[[[0.5, 0.5], [0.25, 0.75]]]])
    gradient = tf.constant([[[[2.0, -4.0], [0.0, 1.0]]]])
    result = gradient_weighted(attention, gradient)
    np.testing.assert_array_equal(result, [[[[1, 0], [0, 0.75]]]])


def test_values_weight_keys_by_hand():
    attention = tf.constant([[[[0.5, 0.5], [0.25, 0.75]]]])
    result = value_weighted(attention, tf.constant([[[4.0, 2.0]]]))
    np.testing.assert_array_equal(result, [[[[2, 1], [1, 1.5]]]])


def test_half_precision_is_computed_in_float32():
    attention = tf.constant([[[[0.1, 0.9], [0.3, 0.7]]]], tf.float16)
    for result in (gradient_weighted(attention, attention), value_weighted(attention, [[[3, 1]]])):
        assert result.dtype == tf.float32
    single = np.asarray(attention, np.float32)
    np.testing.assert_array_equal(gradient_weighted(attention, attention), single * single)


def test_sinks_are_damped_to_a_multiple_of_the_median_by_hand():
    # Medians 2, and (2 + 4) / 2 = 3.
    odd = sink_damping(tf.constant([[1.0, 2.0, 8.0]]), limit=2)
    np.testing.assert_allclose(odd, [[1, 1, 0.5]])
    even = sink_damping(tf.constant([[1.0, 2.0, 4.0, 12.0]]), limit=2)
    np.testing.assert_allclose(even, [[1, 1, 1, 0.5]])


def test_nothing_is_damped_without_sinks_nor_amplified():
    received = np.random.default_rng(0).uniform(1, 1.9, (3, 20))
    np.testing.assert_array_equal(sink_damping(received), np.ones((3, 20)))
    np.testing.assert_array_equal(sink_damping(np.zeros((1, 4))), np.ones((1, 4)))
    wild = np.random.default_rng(0).exponential(1, (3, 21)) ** 4
    factors = sink_damping(wild).numpy()
    assert factors.max() == 1
    assert factors.min() > 0
    limits = 2 * np.median(wild, axis=1, keepdims=True)
    np.testing.assert_allclose(factors * wild, np.minimum(wild, limits), rtol=1e-5)
