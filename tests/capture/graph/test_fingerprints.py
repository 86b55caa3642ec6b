"""Fingerprints of variables: any change of values shows, on the CPU and as on a GPU."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.capture.graph.fingerprints import Fingerprints, weighted_sums

pytestmark = pytest.mark.every_stack

DTYPES = ["float32", "float64", "float16", "bfloat16", "complex128", "int64", "int8", "bool"]


class OnGpu:
    """The fingerprints of variables on a GPU, computed here."""

    def __init__(self, variables):
        self._variables = variables

    def __call__(self):
        sums = [weighted_sums(tf.convert_to_tensor(variable)) for variable in self._variables]
        return np.concatenate(sums)

    are_equal = Fingerprints.are_equal


both = pytest.mark.parametrize("kind", [Fingerprints, OnGpu])


def changes(kind, start, others):
    """Tells for each of other values whether the fingerprint differs from that at the start."""
    variable = tf.Variable(start)
    fingerprints = kind([tf.Variable([1.0]), variable])
    before = fingerprints()
    assert fingerprints.are_equal(before, fingerprints())
    for values in others:
        variable.assign(values)
        yield not fingerprints.are_equal(before, fingerprints())
    variable.assign(start)
    assert fingerprints.are_equal(before, fingerprints())


def test_by_hand():
    odd = weighted_sums(tf.eye(3, dtype=tf.int32)).numpy()
    assert (odd % 2 == 1).all()
    assert len(set(odd)) == 3
    values = np.array([[1, 2, 3], [4, 5, -6]])
    np.testing.assert_array_equal(weighted_sums(tf.constant(values, tf.int32)), values @ odd)
    np.testing.assert_array_equal(weighted_sums(tf.constant(values, tf.int8))[:1], values[:1] @ odd)
    # The bits of 1.0 and -2.0.
    bits = np.array([0x3F800000, 0xC0000000 - 2**32])
    odd = weighted_sums(tf.eye(2, dtype=tf.int32)).numpy()
    np.testing.assert_array_equal(weighted_sums(tf.constant([1.0, -2.0])), [bits @ odd])


@both
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4, 5)])
def test_any_one_value_shows(kind, dtype, shape):
    values = np.random.default_rng(1).integers(0, 2, shape)
    others = np.repeat(values.reshape(1, -1), values.size, axis=0)
    others ^= np.eye(values.size, dtype=int)
    others = [tf.cast(each.reshape(shape), dtype) for each in others]
    assert all(changes(kind, tf.cast(values, dtype), others))


@both
def test_the_smallest_change_and_numbers_that_are_none(kind):
    none = np.full((2, 2), np.nan, "float32")
    start = np.float32([[1, 2], [3, 4]])
    more = start.copy()
    more[1, 1] = np.nextafter(np.float32(4), np.float32(5))
    assert list(changes(kind, start, [more, none])) == [True, True]
    assert list(changes(kind, none, [none, start])) == [False, True]


@both
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("width", [1, 2, 7, 64])
def test_what_is_done_to_all_values_shows(kind, dtype, width):
    start = np.random.default_rng(3).normal(size=(6, width)).astype(dtype)
    others = [-start, 2 * start, start / 2, start + 1, start[::-1], np.roll(start, 1), 0 * start]
    others += [np.abs(start), start.astype("float16").astype(dtype) * 1.001]
    assert all(changes(kind, start, others))


@both
@pytest.mark.parametrize("values", [[-1, 1], [1, 2], [0, 1], [-1, 0, 1]])
def test_values_that_are_simple_and_swap_places_show(kind, values):
    start = np.random.default_rng(4).choice(np.float32(values), (2, 24))
    others = []
    for first, second in itertools.combinations(range(24), 2):
        swapped = start.copy()
        swapped[0, [first, second]] = start[0, [second, first]]
        flipped = start.copy()
        flipped[0, [first, second]] *= -1
        others += [each for each in (swapped, flipped) if (each != start).any()]
    assert all(changes(kind, start, others))


@both
def test_a_variable_of_any_shape(kind):
    variable = tf.Variable([[1.0, 2.0]], shape=tf.TensorShape(None))
    fingerprints = kind([variable])
    before = fingerprints()
    variable.assign([[1.0, 3.0]])
    assert not fingerprints.are_equal(before, fingerprints())


@both
def test_a_variable_without_values(kind):
    assert list(changes(kind, np.zeros((0, 4), "float32"), [np.zeros((0, 4), "float32")])) == [
        False
    ]


def test_texts_are_refused():
    with pytest.raises(TypeError, match="no fingerprint of a variable of string"):
        Fingerprints([tf.Variable("text")])
