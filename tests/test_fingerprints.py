"""Fingerprints of variables: any change of one value shows."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.fingerprints import Fingerprints, _odd_numbers, _weighted


def test_by_hand():
    odd = _odd_numbers(3)
    assert (odd % 2 == 1).all()
    rows = Fingerprints([tf.Variable([[1, 2, 3], [4, 5, 6]], dtype=tf.int32)])()
    sums = [[1, 2, 3], [4, 5, 6]] @ odd
    np.testing.assert_array_equal(rows[0], sums.astype("int32"))
    of_long = Fingerprints([tf.Variable([[1, 2, 3], [4, 5, 6]], dtype=tf.int64)])()
    np.testing.assert_array_equal(of_long[0], sums)
    # As on a GPU.
    on_gpu = _weighted(tf.constant([[1, 2, 3], [4, 5, 6]]), on_gpu=True)
    np.testing.assert_array_equal(on_gpu, sums)
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


@pytest.mark.parametrize("width", [7, 8])
def test_values_that_swap_places_show(width):
    start = np.random.default_rng(2).normal(size=(3, width)).astype("float32")
    variable = tf.Variable(start)
    fingerprints = Fingerprints([variable])
    before = fingerprints()
    for first, second in itertools.combinations(range(width), 2):
        swapped = start.copy()
        swapped[:, [first, second]] = start[:, [second, first]]
        variable.assign(swapped)
        assert not fingerprints.are_equal(before, fingerprints())


def test_a_long_vector_is_summed():
    variable = tf.Variable(tf.zeros(5000))
    fingerprints = Fingerprints([variable])
    before = fingerprints()
    assert before[0].shape == (1,)
    variable.scatter_nd_update([[4999]], [1e-30])
    assert not fingerprints.are_equal(before, fingerprints())


def test_texts_are_refused():
    with pytest.raises(TypeError, match="no fingerprint of a variable of string"):
        Fingerprints([tf.Variable("text")])
