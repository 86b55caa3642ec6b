import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import (
    artifact_tokens,
    attention_distance,
    attention_entropy,
    entropy_collapse,
    jensen_shannon_divergence,
    non_patch_share,
    sink_share,
)

pytestmark = pytest.mark.one_stack


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


def test_distance_by_hand():
    # Two patches 10 px apart and a class token, which is no patch.
    nan = np.nan
    distances = [[nan, nan, nan], [nan, 0, 10], [nan, 10, 0]]
    attention = [[[[0.2, 0.4, 0.4], [0.5, 0.5, 0], [0.2, 0.6, 0.2]]]]
    # Patch 1 looks at itself; patch 2 with 3/4 of its attention to patches at patch 1.
    np.testing.assert_allclose(attention_distance(attention, distances), [[3.75]], rtol=1e-6)


def test_distance_of_queries_that_are_no_patches_is_not_a_number():
    assert np.isnan(attention_distance([[[0.5, 0.5]]], [[np.nan, np.nan]])).all()


def test_distance_equals_float64_and_broadcasts():
    generator = np.random.default_rng(2)
    attention = generator.random((2, 3, 4, 5, 6)).astype(np.float32)
    distances = generator.random((3, 1, 5, 6))
    wide = np.broadcast_to(distances, attention.shape)
    expected = ((attention * wide).sum(-1, dtype=float) / attention.sum(-1, dtype=float)).mean(-1)
    np.testing.assert_allclose(attention_distance(attention, distances), expected, rtol=1e-5)


def test_sink_share_by_hand():
    # 20 of 25 lie on the patch that receives more than ten times uniform; ten is no sink yet.
    received = [[10.0] + [1.0] * 10, [20.0] + [0.5] * 10]
    np.testing.assert_allclose(sink_share(received), [0, 0.8])
    np.testing.assert_array_equal(sink_share(np.zeros((2, 4))), [0, 0])


def test_artifact_tokens_by_hand():
    # As for the share: ten is no sink yet. Then two of them, then a network that has diverged.
    received = [[10.0] + [1.0] * 10, [20.0, 11.0] + [0.5] * 9, [np.nan] * 11]
    np.testing.assert_array_equal(artifact_tokens(received), [0, 2, np.nan])
    assert artifact_tokens(tf.zeros([2, 0, 4])).shape == (2, 0)


def test_artifact_tokens_are_there_where_sinks_are():
    received = np.random.default_rng(3).exponential(3, (200, 20))
    are_there = artifact_tokens(received).numpy() > 0
    assert 0 < are_there.sum() < 200
    np.testing.assert_array_equal(are_there, sink_share(received).numpy() > 0)


def test_collapse_by_hand():
    # Without a baseline the limit alone counts; with one, what has halved.
    np.testing.assert_array_equal(entropy_collapse([0.09, 0.1, np.nan]), [1, 0, np.nan])
    flags = entropy_collapse([0.04, 0.06, 0.3], baseline=[0.1, 0.1, 0.9])
    np.testing.assert_array_equal(flags, [1, 0, 0])
    assert flags.dtype == tf.float32


def test_non_patch_share_by_hand():
    # A class token, two patches, a register: 0.2 + 0.1 of one query, 0 of the other.
    attention = [[[0.2, 0.3, 0.4, 0.1], [0, 0.5, 0.5, 0]]]
    share = non_patch_share(attention, [False, True, True, False])
    np.testing.assert_allclose(share, [0.15], rtol=1e-6)
    np.testing.assert_array_equal(non_patch_share(attention, [True] * 4), [0])


def test_non_patch_share_equals_float64():
    generator = np.random.default_rng(4)
    attention = generator.random((2, 3, 5, 7))
    attention /= attention.sum(-1, keepdims=True)
    is_patch = generator.random(7) > 0.4
    run = tf.function(
        non_patch_share,
        input_signature=[
            tf.TensorSpec([None, 3, None, 7], tf.float16),
            tf.TensorSpec([7], tf.bool),
        ],
    )
    found = run(attention.astype(np.float16), is_patch)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, attention[..., ~is_patch].sum(-1).mean(-1), rtol=2e-3)
