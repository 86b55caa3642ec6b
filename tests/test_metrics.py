import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import attention_entropy, jensen_shannon_divergence


def test_entropy_by_hand():
    # Head 0: one row uniform over 4 keys (1), one on a single key (0). Head 1: halves (1/2).
    attention = [[[[0.25] * 4, [1.0, 0, 0, 0]], [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]]]
    np.testing.assert_allclose(attention_entropy(tf.constant(attention)), [[0.5, 0.5]], rtol=1e-6)


def test_entropy_equals_float64():
    scores = np.random.default_rng(0).normal(0, 3, (2, 3, 7, 7))
    attention = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = (-(attention * np.log(attention)).sum(-1) / np.log(7)).mean(-1)
    np.testing.assert_allclose(attention_entropy(attention.astype(np.float32)), expected, rtol=1e-5)
    half = attention_entropy(tf.constant(attention, tf.float16))
    assert half.dtype == tf.float32
    np.testing.assert_allclose(half, expected, rtol=2e-3)


def test_entropy_of_a_single_key_is_zero():
    np.testing.assert_array_equal(attention_entropy(tf.ones([1, 1, 2, 1])), [[0.0]])


def test_entropy_refuses_other_ranks():
    with pytest.raises(ValueError, match=r"`attention` must be of rank 4 .* shape \(2, 2\)"):
        attention_entropy(tf.eye(2))


def test_divergence_by_hand():
    # 1/2 KL([1,0] | [3/4,1/4]) + 1/2 KL([1/2,1/2] | [3/4,1/4]), in bits.
    half = 0.5 * np.log2(4 / 3) + 0.5 * (0.5 * np.log2(2 / 3) + 0.5 * np.log2(2))
    result = jensen_shannon_divergence([[1.0, 0.0]], [[2.0, 2.0]])
    np.testing.assert_allclose(result, [half], rtol=1e-6)


def test_divergence_properties():
    generator = np.random.default_rng(1)
    first, second = generator.random((2, 5, 30)).astype(np.float32)
    forward = jensen_shannon_divergence(first, second)
    np.testing.assert_allclose(forward, jensen_shannon_divergence(second, first), rtol=1e-5)
    assert (forward.numpy() > 0).all()
    np.testing.assert_allclose(jensen_shannon_divergence(first, 3 * first), np.zeros(5), atol=1e-6)
    apart = jensen_shannon_divergence([1.0, 0.0, 0.0], [0.0, 0.5, 0.5])
    np.testing.assert_allclose(apart, 1.0, rtol=1e-6)
