import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.capture.attention_sites import find_attention
from keras_attnviz.capture.graph.operations import Dependence

SCORES, VALUES = (None, 2, 5, 5), (None, 2, 5, 8)


def traced(function, *shapes):
    """Returns the sites of `function` on float inputs of these shapes, the inputs, the outputs."""
    with tf.Graph().as_default() as whole:
        inputs = [tf.compat.v1.placeholder(tf.float32, shape) for shape in shapes]
        outputs = function(*inputs)
        operations = whole.get_operations()
    sites = find_attention(operations, "model", Dependence(operations, inputs))
    return sites, inputs, outputs


def plain(scores, values):
    return tf.matmul(tf.nn.softmax(scores), values)


def half_precision(scores, values):
    return tf.matmul(tf.cast(tf.nn.softmax(scores), tf.float16), tf.cast(values, tf.float16))


def dropped_and_masked(scores, values):
    kept = tf.nn.dropout(tf.nn.softmax(scores), 0.5)
    return tf.matmul(tf.where(scores > 0, kept, 0.0), values)


def heads_merged(scores, values):
    merged = tf.reshape(tf.nn.softmax(scores), [-1, 5, 5])
    return tf.einsum("bqk,bkd->bqd", merged, tf.reshape(values, [-1, 5, 8]))


def one_head_of_two(scores, values):
    first, _ = tf.unstack(tf.nn.softmax(scores), axis=1)
    return tf.matmul(first, values[:, 0])


def heads_mixed_by_a_product(scores, values):
    mixed = tf.einsum("bhqk,hi->biqk", tf.nn.softmax(scores), tf.ones([2, 2]))
    return tf.matmul(mixed, values)


def heads_mixed_by_a_convolution(scores, values):
    heads_last = tf.transpose(tf.nn.softmax(scores), [0, 2, 3, 1])
    mixed = tf.nn.conv2d(heads_last, tf.ones([1, 1, 2, 2]), 1, "VALID")
    return tf.matmul(tf.transpose(mixed, [0, 3, 1, 2]), values)


def of_a_shifted_exponential(scores, values):
    exponentials = tf.exp(scores - tf.reduce_max(scores, axis=-1, keepdims=True))
    return tf.matmul(exponentials / tf.reduce_sum(exponentials, -1, keepdims=True), values)


def of_an_exponential(scores, values):
    exponentials = tf.exp(scores)
    return tf.matmul(exponentials / (tf.reduce_sum(exponentials, -1, True) + 1e-9), values)


def of_a_log_softmax(scores, values):
    return tf.matmul(tf.exp(tf.nn.log_softmax(scores)), values)


def of_a_log_sum(scores, values):
    total = tf.reduce_logsumexp(scores, axis=-1, keepdims=True)
    return tf.matmul(tf.exp(scores - total), values)


FORMS = [
    (plain, "Softmax"),
    (half_precision, "Softmax"),
    (dropped_and_masked, "Softmax"),
    (heads_merged, "Softmax"),
    (one_head_of_two, "Softmax"),
    (heads_mixed_by_a_product, "Softmax"),
    (heads_mixed_by_a_convolution, "Softmax"),
    (of_a_shifted_exponential, "RealDiv"),
    (of_an_exponential, "RealDiv"),
    (of_a_log_softmax, "Exp"),
    (of_a_log_sum, "Exp"),
]


@pytest.mark.parametrize(("function", "last"), FORMS)
def test_attention_is_a_softmax_multiplied_with_values(function, last):
    (site,), (scores, _), output = traced(function, SCORES, VALUES)
    assert site.weights.op.type == last
    assert site.weights.shape.as_list() == list(SCORES)
    assert site.scores is scores
    assert site.output is output


@pytest.mark.parametrize(("function", "last"), FORMS)
def test_the_weights_are_the_softmax_of_the_scores(function, last):
    def weights_of(*inputs):
        function(*inputs)
        operations = tf.compat.v1.get_default_graph().get_operations()
        (site,) = find_attention(operations, "model", Dependence(operations, inputs))
        return site.weights

    random = np.random.default_rng(0)
    scores, values = (random.normal(size=(3, *s[1:])).astype("float32") for s in (SCORES, VALUES))
    weights = tf.function(weights_of, autograph=False)(scores, values)
    np.testing.assert_allclose(weights, tf.nn.softmax(scores), rtol=1e-5)


def classification_head(scores, values):
    return tf.nn.softmax(tf.reduce_mean(scores, axis=[1, 2]))


def segmentation_head(scores, values):
    return 2.0 * tf.nn.softmax(scores)


def scores_of_a_mixture(scores, values):
    # A softmax whose matrix product comes only after another softmax.
    inner = tf.nn.softmax(tf.nn.softmax(scores) + 1.0)
    return tf.reduce_sum(inner) * values


def gates_of_experts(scores, values):
    # One row a picture, not one a token: a mixture of experts, not attention.
    gates = tf.nn.softmax(tf.reduce_mean(scores, axis=[1, 2]))
    return tf.matmul(gates, values[0, 0])


def multiplied_with_weights(scores, values):
    # A layer after a softmax: what it multiplies with is not computed.
    return tf.einsum("bhqk,kd->bhqd", tf.nn.softmax(scores), tf.ones([5, 8]))


def multiplied_with_weights_in_half_precision(scores, values):
    weights = tf.reshape(tf.cast(tf.ones([5, 8]), tf.float16), [5, 8])
    return tf.einsum("bhqk,kd->bhqd", tf.cast(tf.nn.softmax(scores), tf.float16), weights)


def divided_by_another_sum(scores, values):
    return tf.matmul(tf.exp(scores) / tf.reduce_sum(tf.exp(2.0 * scores), -1, True), values)


def sigmoid_attention(scores, values):
    return tf.matmul(tf.nn.sigmoid(scores), values)


def after_a_nonlinear_layer(scores, values):
    return tf.matmul(tf.nn.relu(tf.nn.softmax(scores)), values)


@pytest.mark.parametrize(
    "function",
    [
        classification_head,
        segmentation_head,
        scores_of_a_mixture,
        gates_of_experts,
        multiplied_with_weights,
        multiplied_with_weights_in_half_precision,
        divided_by_another_sum,
        sigmoid_attention,
        after_a_nonlinear_layer,
    ],
)
def test_other_softmaxes_are_no_attention(function):
    sites, _, _ = traced(function, SCORES, VALUES)
    assert sites == []


def test_a_product_with_a_variable_is_no_attention():
    variable = tf.Variable(tf.ones([5, 8]))

    def function(scores):
        operations = tf.compat.v1.get_default_graph().get_operations
        tf.einsum("bhqk,kd->bhqd", tf.nn.softmax(scores), variable)
        assert "ReadVariableOp" in {operation.type for operation in operations()}
        assert find_attention(operations(), "model", Dependence(operations(), [scores])) == []
        return scores

    tf.function(function, autograph=False)(tf.ones([1, 2, 5, 5]))


def test_operations_of_others_are_not_followed():
    with tf.Graph().as_default() as whole:
        scores = tf.compat.v1.placeholder(tf.float32, SCORES)
        values = tf.compat.v1.placeholder(tf.float32, VALUES)
        weights = tf.nn.softmax(scores)
        mine = whole.get_operations()
        tf.matmul(weights, values)
        everything = whole.get_operations()
    dependence = Dependence(everything, [scores, values])
    assert find_attention(mine, "model", dependence) == []
    assert len(find_attention(everything, "model", dependence)) == 1


def test_sites_stand_in_the_order_of_the_graph_with_their_layers():
    def model(scores, values):
        with tf.name_scope("model/block_0/attention"):
            first = plain(scores, values)
        with tf.name_scope("model/block_1/attention"):
            second = tf.matmul(first, first, transpose_b=True)
            return plain(second, first)

    sites, _, _ = traced(model, SCORES, VALUES)
    assert [site.layer for site in sites] == ["model/block_0/attention", "model/block_1/attention"]


TOKENS = (None, 6, 8)


def attention_of(scores, values):
    return tf.matmul(tf.nn.softmax(scores), values)


def queries_and_keys(tokens):
    return tf.tanh(tokens, "queries"), tf.exp(tokens, "keys")


def plain_scores(tokens):
    queries, keys = queries_and_keys(tokens)
    return tf.matmul(queries, keys, transpose_b=True)


def einsum_scores(tokens):
    return tf.einsum("bqd,bkd->bqk", *queries_and_keys(tokens))


def scaled_and_masked_scores(tokens):
    scores = plain_scores(tokens) / 3.0 + tf.ones([6, 6])
    return tf.cast(tf.where(scores > 0, scores, -1e9), tf.float32)


def capped_scores(tokens):
    return 50.0 * tf.tanh(plain_scores(tokens) / 50.0)


def relative_bias(queries):
    return tf.matmul(queries, tf.ones([8, 6]))


def scores_with_relative_bias(tokens):
    queries, keys = queries_and_keys(tokens)
    return tf.matmul(queries, keys, transpose_b=True) + relative_bias(queries)


def relative_bias_before_the_scores(tokens):
    # The bias is nearer to the softmax, and comes first.
    queries, keys = queries_and_keys(tokens)
    return relative_bias(queries) + tf.matmul(queries, keys, transpose_b=True) * 2.0


def scores_of_mixed_heads(tokens):
    heads = tf.reshape(plain_scores(tokens), [-1, 1, 6, 6])
    return tf.reshape(tf.einsum("bhqk,hi->biqk", heads, tf.ones([1, 1])), [-1, 6, 6])


@pytest.mark.parametrize(
    "scores",
    [
        plain_scores,
        einsum_scores,
        scaled_and_masked_scores,
        capped_scores,
        scores_with_relative_bias,
        relative_bias_before_the_scores,
        scores_of_mixed_heads,
    ],
)
def test_operands_are_queries_and_keys(scores):
    (site,), _, _ = traced(lambda tokens: attention_of(scores(tokens), tokens), TOKENS)
    assert [operand.op.name for operand in site.operands] == ["queries", "keys"]


def test_operands_of_learned_queries():
    def pooling(tokens):
        scores = tf.matmul(tf.ones([1, 8]), tf.exp(tokens, "keys"), transpose_b=True)
        return attention_of(scores, tokens)

    (site,), _, _ = traced(pooling, TOKENS)
    assert [operand.op.type for operand in site.operands] == ["Const", "Exp"]


def test_scores_that_are_no_product_have_no_operands():
    def additive(tokens):
        return attention_of(
            tf.nn.relu(tokens[:, :, tf.newaxis, 0] + tokens[:, tf.newaxis, :, 0]), tokens
        )

    (site,), _, _ = traced(additive, TOKENS)
    assert site.operands == ()
