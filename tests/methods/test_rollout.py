import numpy as np
import pytest
import tensorflow as tf
from support.rollout_oracle import oracle, random_attentions

from keras_attnviz import attention_rollout, fuse_heads


def test_two_tokens_by_hand():
    # One head. (A + I) / 2: layer 1 [[1, 0], [1/2, 1/2]]; layer 2 [[1/2, 1/2], [1/4, 3/4]].
    first = tf.constant([[[[1.0, 0.0], [1.0, 0.0]]]])
    second = tf.constant([[[[0.0, 1.0], [0.5, 0.5]]]])
    result = attention_rollout([first, second])
    np.testing.assert_allclose(result, [[[0.75, 0.25], [0.625, 0.375]]], rtol=1e-6)


def test_three_tokens_two_heads_by_hand():
    heads = tf.constant(
        [[[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1.0, 0], [0, 0, 1], [1, 0, 0]]]]
    )
    # Mean of heads [[1/2, 1/2, 0], ...]; with the residual [[3/4, 1/4, 0], [0, 3/4, 1/4], ...].
    one = [[0.75, 0.25, 0], [0, 0.75, 0.25], [0.25, 0, 0.75]]
    np.testing.assert_allclose(attention_rollout([heads]), [one], rtol=1e-6)
    # Squared by hand.
    two = [[9, 6, 1], [1, 9, 6], [6, 1, 9]]
    np.testing.assert_allclose(attention_rollout([heads, heads]), [np.array(two) / 16], rtol=1e-6)


def test_discarding_by_hand():
    # The two lowest of four values go; the lower row keeps its residual only.
    attention = tf.constant([[[[0.4, 0.6], [0.9, 0.1]]]])
    fused = fuse_heads(attention, discard_ratio=0.5)
    np.testing.assert_allclose(fused, [[[0, 1], [1, 0]]])
    attention = tf.constant([[[[0.5, 0.5], [0.3, 0.3]]]])
    np.testing.assert_allclose(
        attention_rollout([attention], discard_ratio=0.5), [[[0.75, 0.25], [0, 1]]]
    )


def test_of_equal_values_the_later_are_discarded():
    uniform = tf.fill([1, 1, 2, 2], 0.5)
    np.testing.assert_array_equal(fuse_heads(uniform, discard_ratio=0.5), [[[0.5, 0.5], [0, 0]]])


def test_discarding_looks_at_each_image_by_itself():
    attentions = random_attentions(3)
    together = attention_rollout(attentions, discard_ratio=0.7)
    for image in range(2):
        alone = attention_rollout(
            [layer[image : image + 1] for layer in attentions], discard_ratio=0.7
        )
        np.testing.assert_allclose(together[image], alone[0], rtol=1e-6)


@pytest.mark.parametrize("head_fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("discard_ratio", [0.0, 0.35, 0.9])
@pytest.mark.parametrize("residual", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("start_layer", [0, 2, -2])
def test_equals_the_oracle(head_fusion, discard_ratio, residual, start_layer):
    options = {
        "head_fusion": head_fusion,
        "discard_ratio": discard_ratio,
        "residual": residual,
        "start_layer": start_layer,
    }
    for seed in range(3):
        attentions = random_attentions(seed, layers=4, batch=3, tokens=6)
        result = attention_rollout(attentions, **options)
        np.testing.assert_allclose(result, oracle(attentions, **options), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"head_fusion": "max", "discard_ratio": 0.5}])
def test_query_is_a_row_or_a_weighted_mean_of_rows(options):
    attentions = random_attentions(5)
    full = attention_rollout(attentions, **options).numpy()
    np.testing.assert_allclose(
        attention_rollout(attentions, query=3, **options), full[:, 3], rtol=1e-5
    )
    weights = np.array([1.0, 0, 0, 3.0, 0])
    np.testing.assert_allclose(
        attention_rollout(attentions, query=weights, **options),
        (full[:, 0] + 3 * full[:, 3]) / 4,
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        attention_rollout(attentions, query=tf.constant(2), **options), full[:, 2], rtol=1e-5
    )


def test_rows_sum_to_one_and_identity_stays():
    attentions = random_attentions(1, layers=6)
    sums = tf.reduce_sum(attention_rollout(attentions, discard_ratio=0.9), axis=-1)
    np.testing.assert_allclose(sums, np.ones((2, 5)), rtol=1e-5)
    identity = tf.eye(4, batch_shape=[2, 3])
    np.testing.assert_array_equal(attention_rollout([identity] * 3), tf.eye(4, batch_shape=[2]))


def test_permuting_images_permutes_results():
    attentions = random_attentions(2, batch=4)
    order = [2, 0, 3, 1]
    result = attention_rollout(attentions, discard_ratio=0.4).numpy()
    permuted = attention_rollout([layer[order] for layer in attentions], discard_ratio=0.4)
    np.testing.assert_allclose(permuted, result[order], rtol=1e-6)


def test_layers_are_multiplied_from_the_left():
    attentions = random_attentions(4, layers=2)
    forward = attention_rollout(attentions).numpy()
    upside_down = attention_rollout(attentions[::-1]).numpy()
    assert np.abs(forward - upside_down).max() > 1e-3


def test_a_given_number_of_heads_may_differ_by_layer():
    attentions = [random_attentions(1, layers=1, heads=heads)[0] for heads in (1, 3)]
    options = {"head_fusion": "mean", "discard_ratio": 0.0, "residual": 0.5, "start_layer": 0}
    np.testing.assert_allclose(
        attention_rollout(attentions), oracle(attentions, **options), rtol=1e-5
    )


def test_in_a_graph_with_unknown_sizes():
    spec = tf.TensorSpec([None, 4, None, None], tf.float32)

    @tf.function(input_signature=[[spec] * 3])
    def graph_rollout(attentions):
        return attention_rollout(attentions, discard_ratio=0.3, query=0)

    for batch, tokens in [(1, 5), (3, 7)]:
        attentions = random_attentions(9, batch=batch, tokens=tokens)
        expected = attention_rollout(attentions, discard_ratio=0.3)[:, 0]
        np.testing.assert_allclose(graph_rollout(attentions), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_single(dtype):
    attentions = random_attentions(6, layers=12, tokens=50)
    halves = [tf.cast(layer, dtype) for layer in attentions]
    result = attention_rollout(halves)
    assert result.dtype == tf.float32
    exact = attention_rollout([tf.cast(layer, tf.float32) for layer in halves])
    np.testing.assert_array_equal(result, exact)
    np.testing.assert_allclose(tf.reduce_sum(result, -1), np.ones((2, 50)), rtol=1e-5)


def test_numbers_of_numpy_are_taken():
    attentions = random_attentions(7)
    expected = attention_rollout(attentions, discard_ratio=0.5, residual=0.25, start_layer=-2)
    for real in (np.float16, np.float32, np.float64):
        result = attention_rollout(
            attentions, discard_ratio=real(0.5), residual=real(0.25), start_layer=np.int64(-2)
        )
        np.testing.assert_array_equal(result, expected)


def test_known_batch_sizes_meet_unknown_ones():
    signature = [[tf.TensorSpec([size, 4, 5, 5], tf.float32) for size in (2, None, 2)]]
    graph_rollout = tf.function(attention_rollout, input_signature=signature)
    attentions = random_attentions(7)
    np.testing.assert_allclose(graph_rollout(attentions), attention_rollout(attentions), rtol=1e-6)


def test_inputs_are_not_changed():
    attentions = random_attentions(8)
    copies = [layer.copy() for layer in attentions]
    attention_rollout(attentions, discard_ratio=0.5, head_fusion="max")
    for layer, copy in zip(attentions, copies, strict=True):
        np.testing.assert_array_equal(layer, copy)


IDENTITY = np.eye(3, dtype=np.float32)[np.newaxis, np.newaxis]


@pytest.mark.parametrize(
    ("attentions", "options", "error", "text"),
    [
        (IDENTITY, {}, TypeError, r"`attentions` must be a list or tuple .* bottom layer first"),
        (
            [],
            {},
            ValueError,
            r"`attentions` must be at least one layer.* attentions=\[\]",
        ),
        ([IDENTITY[0]], {}, ValueError, r"must be square.* Received shapes: \[\(1, 3, 3\)\]"),
        ([IDENTITY[..., :2]], {}, ValueError, r"Received shapes: \[\(1, 1, 3, 2\)\]"),
        ([IDENTITY, IDENTITY[:, :, :2, :2]], {}, ValueError, "same number of tokens"),
        (
            [IDENTITY],
            {"head_fusion": "median"},
            ValueError,
            r"`head_fusion` must be one of 'mean', 'max', 'min'\. Received: head_fusion='median'",
        ),
        ([IDENTITY], {"discard_ratio": 1.0}, ValueError, r"`discard_ratio` must be in \[0, 1\)"),
        ([IDENTITY], {"discard_ratio": -0.1}, ValueError, r"Received: discard_ratio=-0\.1"),
        ([IDENTITY], {"discard_ratio": "0.5"}, TypeError, r"`discard_ratio` must be a number"),
        ([IDENTITY], {"residual": 1}, ValueError, r"`residual` must be in \[0, 1\)"),
        (
            [IDENTITY],
            {"start_layer": 1},
            ValueError,
            r"`start_layer` must be an .* in \[-1, 1\)",
        ),
        ([IDENTITY], {"start_layer": 0.0}, TypeError, "`start_layer` must be an integer"),
        ([IDENTITY], {"query": 3}, ValueError, r"`query` must be a token index in \[0, 3\)"),
        ([IDENTITY], {"query": -1}, ValueError, r"`query` must be a token index in \[0, 3\)"),
        ([IDENTITY], {"query": 0.5}, TypeError, r"`query` must be None, a token index or float"),
        ([IDENTITY], {"query": [1.0, 0.0]}, ValueError, r"`query` must be weights of shape \[3\]"),
        ([IDENTITY], {"query": [0.0] * 3}, ValueError, "`query` must be weights .* not all zero"),
        ([IDENTITY], {"query": [1.0, np.nan, 0.0]}, ValueError, "`query` must be .* finite"),
        ([IDENTITY], {"query": [1.0, np.inf, 0.0]}, ValueError, "`query` must be .* finite"),
        ([IDENTITY], {"query": [1.0, -1.0, 0.0]}, ValueError, "`query` must be .* at least 0"),
        (
            [IDENTITY, np.repeat(IDENTITY, 2, axis=0)],
            {},
            ValueError,
            r"`attentions` must have the same batch size .* \[\(1, 1, 3, 3\), \(2, 1, 3, 3\)\]",
        ),
        ([IDENTITY], {"start_layer": False}, TypeError, "`start_layer` must be an integer"),
        ([IDENTITY], {"start_layer": np.int64(1)}, ValueError, r"`start_layer` must be an .*"),
    ],
)
def test_bad_input_is_named(attentions, options, error, text):
    with pytest.raises(error, match=text):
        attention_rollout(attentions, **options)


def test_fuse_heads_refuses_other_ranks():
    with pytest.raises(ValueError, match=r"`attention` must be of rank 4 .* shape \(1, 3, 3\)"):
        fuse_heads(IDENTITY[0])
