import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import (
    attention_entropy,
    dead_heads,
    duplicate_heads,
    head_divergences,
    jensen_shannon_divergence,
)

pytestmark = pytest.mark.one_stack


def softmax(scores):
    scores = np.exp(scores)
    return scores / scores.sum(-1, keepdims=True)


def test_divergences_by_hand():
    # Heads 0 and 1 share no key, heads 0 and 2 are equal in one of two rows, apart in the other.
    first, second = [1.0, 0], [0, 1.0]
    attention = [[[first, first], [second, second], [first, second]]]
    np.testing.assert_allclose(head_divergences(tf.constant(attention)), [[1, 0.5, 0.5]], rtol=1e-6)


def test_divergences_equal_those_of_the_pairs():
    attention = softmax(np.random.default_rng(0).normal(0, 2, (2, 4, 5, 6)))
    found = head_divergences(tf.constant(attention, tf.float32))
    middle = [(attention[:, i] + attention[:, j]) / 2 for i in range(4) for j in range(i + 1, 4)]
    expected = [
        (0.5 * np.log2(attention[:, [i, j]] / m[:, np.newaxis]) * attention[:, [i, j]])
        .sum((1, 3))
        .mean(1)
        for m, (i, j) in zip(middle, zip(*np.triu_indices(4, 1), strict=True), strict=True)
    ]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-4)
    # And what two heads alone give.
    rows = jensen_shannon_divergence(attention[:, 1], attention[:, 3])
    np.testing.assert_allclose(found[:, 4], tf.reduce_mean(rows, axis=-1), rtol=1e-4)
    half = head_divergences(tf.constant(attention, tf.float16))
    assert half.dtype == tf.float32
    np.testing.assert_allclose(half, found, atol=2e-3)


def test_divergences_in_a_graph_of_any_batch_size():
    signature = [tf.TensorSpec([None, 3, None, None])]
    run = tf.function(head_divergences, input_signature=signature)
    attention = softmax(np.random.default_rng(1).normal(0, 2, (3, 3, 4, 4))).astype(np.float32)
    np.testing.assert_allclose(run(attention), head_divergences(attention), rtol=1e-5)
    # In another order of heads they stand in another order, and are the same.
    turned = np.sort(run(attention[:, ::-1]), axis=1)
    np.testing.assert_allclose(turned, np.sort(run(attention), axis=1), rtol=1e-5, atol=1e-6)


def test_equal_heads_have_no_diversity():
    row = softmax(np.random.default_rng(2).normal(0, 3, (1, 1, 50, 50)))
    found = head_divergences(np.repeat(row, 3, axis=1).astype(np.float32))
    np.testing.assert_allclose(found, np.zeros((1, 3)), atol=1e-6)


def test_other_ranks_and_unknown_heads_are_refused():
    with pytest.raises(ValueError, match=r"`attention` must be of rank 4 .* known number of heads"):
        head_divergences(tf.eye(3))
    run = tf.function(head_divergences, input_signature=[tf.TensorSpec([1, None, 2, 2])])
    with pytest.raises(ValueError, match=r"`attention` must be of rank 4 .* known number of heads"):
        run(tf.ones([1, 2, 2, 2]) / 2)


def test_dead_heads_by_hand():
    # Uniform; sharp on patches; all on the class token; just below both limits.
    entropy, non_patch = [1.0, 0.3, 0.1, 0.98], [0.2, 0.1, 0.97, 0.94]
    np.testing.assert_array_equal(dead_heads(entropy, non_patch), 2)
    np.testing.assert_array_equal(dead_heads([[0.5, 0.5], [1.0, 1.0]], np.zeros((2, 2))), [0, 2])
    assert np.isnan(dead_heads([np.nan, 0.5], [0.0, 0.0]))


def test_a_uniform_head_is_dead():
    attention = tf.fill([1, 2, 5, 5], 0.2)
    np.testing.assert_array_equal(dead_heads(attention_entropy(attention), tf.zeros([1, 2])), [2])


def test_duplicate_heads_by_hand():
    # Pairs (0, 1), (0, 2), (1, 2): all equal; heads 1 and 2 equal; all apart.
    divergences = [[0.0, 0, 0], [0.5, 0.5, 0.009], [0.5, 0.5, 0.011]]
    np.testing.assert_array_equal(duplicate_heads(divergences), [2, 1, 0])
    # Four heads, of which 2 is 0 again and 3 is 1 again.
    np.testing.assert_array_equal(duplicate_heads([0.9, 0, 0.9, 0.9, 0, 0.9]), 2)
    # Both like head 0, not so much like each other.
    np.testing.assert_array_equal(duplicate_heads([0.008, 0.008, 0.015]), 2)
    assert np.isnan(duplicate_heads([np.nan, 0.5, 0.5]))


def test_a_single_head_has_no_duplicate():
    attention = tf.fill([2, 1, 3, 3], 1 / 3)
    divergences = head_divergences(attention)
    assert divergences.shape == (2, 0)
    np.testing.assert_array_equal(duplicate_heads(divergences), [0, 0])
