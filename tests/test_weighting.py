import numpy as np
import tensorflow as tf

from keras_attnviz import gradient_weighted, value_weighted


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
