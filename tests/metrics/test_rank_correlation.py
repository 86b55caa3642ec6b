import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import rank_correlation
from keras_attnviz.metrics.rank_correlation import average_ranks

pytestmark = pytest.mark.one_stack


def ranks_by_counting(values):
    """Float64 oracle: how many are smaller, and half of those that are equal."""
    values = np.asarray(values, float)
    smaller = (values[..., np.newaxis] > values[..., np.newaxis, :]).sum(-1)
    equal = (values[..., np.newaxis] == values[..., np.newaxis, :]).sum(-1)
    return smaller + (equal + 1) / 2


def correlation(first, second):
    rows = zip(ranks_by_counting(first), ranks_by_counting(second), strict=True)
    return [np.corrcoef(*row)[0, 1] for row in rows]


def test_ranks_by_hand():
    np.testing.assert_array_equal(average_ranks([0.1, 0.5, 0.3]), [1, 3, 2])
    # The two fives share the ranks 2 and 3.
    np.testing.assert_array_equal(average_ranks([[5, 1, 5, 9], [2, 2, 2, 2]])[0], [2.5, 1, 2.5, 4])
    np.testing.assert_array_equal(average_ranks([2.0, 2, 2, 2]), [2.5] * 4)


def test_ranks_equal_the_oracle():
    values = np.random.default_rng(0).integers(0, 20, (3, 2, 40))
    np.testing.assert_array_equal(average_ranks(values), ranks_by_counting(values))


def test_correlation_by_hand():
    # 1 - 6 * (1 + 1) / (3 * 8): the upper two of three change places.
    np.testing.assert_allclose(rank_correlation([1.0, 2, 3], [10.0, 30, 20]), 0.5, rtol=1e-6)
    # Only the order counts.
    np.testing.assert_allclose(rank_correlation([1.0, 2, 9], [0.1, 0.2, 0.3]), 1, rtol=1e-6)
    np.testing.assert_allclose(rank_correlation([1.0, 2, 9], [0.3, 0.2, 0.1]), -1, rtol=1e-6)


def test_correlation_equals_float64():
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 9, (2, 6, 50)).astype(np.float32)
    found = rank_correlation(first, second)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, correlation(first, second), rtol=1e-4, atol=1e-6)
    # The same order of patches in both changes nothing.
    order = generator.permutation(50)
    np.testing.assert_allclose(
        rank_correlation(first[:, order], second[:, order]), found, atol=1e-6
    )


def test_correlation_in_a_graph_of_any_batch_size():
    run = tf.function(rank_correlation, input_signature=[tf.TensorSpec([None, None])] * 2)
    maps = np.random.default_rng(2).random((2, 4, 9)).astype(np.float32)
    np.testing.assert_allclose(run(*maps), correlation(*maps), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("other", [[1.0, 1, 1], [1.0, np.nan, 2], [1.0, np.inf, 2]])
def test_no_correlation_with_a_constant_or_broken_map(other):
    assert np.isnan(rank_correlation([1.0, 2, 3], other))
    assert np.isnan(rank_correlation(other, [1.0, 2, 3]))


def test_maps_of_other_grids_are_refused():
    with pytest.raises(ValueError, match=r"`second` must be of as many patches as `first`, 2"):
        rank_correlation([1.0, 2], [1.0, 2, 3])
