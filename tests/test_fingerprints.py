"""Fingerprints of variables: any change of one value shows."""

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.fingerprints import Fingerprints


def test_by_hand():
    rows = Fingerprints([tf.Variable([[1, 2, 3], [4, 5, 6]], dtype=tf.int32)])()
    np.testing.assert_array_equal(rows[0], [6, 15])
    # The bits of 1.0 and -2.0.
    vector = Fingerprints([tf.Variable([1.0, -2.0])])()
    np.testing.assert_array_equal(vector[0], np.array([0x3F800000, 0xC0000000]).astype("int32"))


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int8", "bool"]
)
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4, 5)])
def test_any_one_value_shows(dtype, shape):
    values = np.random.default_rng(1).integers(0, 2, shape)
    variable = tf.Variable(tf.cast(values, dtype))
    fingerprints = Fingerprints([tf.Variable([1.0]), variable])
    before = fingerprints()
    assert fingerprints.are_equal(before, fingerprints())
    for place in range(values.size):
        changed = np.array(values)
        changed.flat[place] = 1 - changed.flat[place]
        variable.assign(tf.cast(changed, dtype))
        assert not fingerprints.are_equal(before, fingerprints())
    variable.assign(tf.cast(values, dtype))
    assert fingerprints.are_equal(before, fingerprints())


def test_the_smallest_change_and_numbers_that_are_none():
    variable = tf.Variable(np.full((2, 2), np.nan, "float32"))
    fingerprints = Fingerprints([variable])
    before = fingerprints()
    assert fingerprints.are_equal(before, fingerprints())
    variable.assign([[1.0, 2.0], [3.0, 4.0]])
    before = fingerprints()
    variable.assign([[1.0, 2.0], [3.0, np.nextafter(np.float32(4), np.float32(5))]])
    assert not fingerprints.are_equal(before, fingerprints())


def test_texts_are_refused():
    with pytest.raises(TypeError, match="no fingerprint of a variable of string"):
        Fingerprints([tf.Variable("text")])
