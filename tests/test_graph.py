import pytest
import tensorflow as tf

from keras_attnviz import graph


def operations_of(function, *shapes):
    """Returns the operations of `function` traced on float inputs, and its output."""
    with tf.Graph().as_default() as traced:
        output = function(*(tf.compat.v1.placeholder(tf.float32, shape) for shape in shapes))
        return traced.get_operations(), output


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
    return tf.matmul(gates, tf.ones([5, 8]))


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (plain, 1),
        (half_precision, 1),
        (dropped_and_masked, 1),
        (heads_merged, 1),
        (classification_head, 0),
        (segmentation_head, 0),
        (scores_of_a_mixture, 0),
        (gates_of_experts, 0),
    ],
)
def test_attention_is_a_softmax_multiplied_with_values(function, count):
    operations, _ = operations_of(function, [None, 2, 5, 5], [None, 2, 5, 8])
    sites = graph.find_attention(operations, "model")
    assert [site.tensor.op.type for site in sites] == ["Softmax"] * count


def test_operations_of_others_are_not_followed():
    with tf.Graph().as_default() as traced:
        scores = tf.nn.softmax(tf.ones([1, 2, 5, 5]))
        mine = traced.get_operations()
        tf.matmul(scores, tf.ones([1, 2, 5, 8]))
    assert graph.find_attention(mine, "model") == []


def test_patch_embeddings_before_the_first_map():
    def model(images):
        patches = tf.nn.conv2d(images, tf.ones([4, 4, 3, 8]), 4, "VALID")
        tokens = tf.reshape(patches, [-1, 12, 8])
        mixed = plain(tf.matmul(tokens, tokens, transpose_b=True), tokens)
        return tf.nn.conv2d(tf.reshape(mixed, [-1, 3, 4, 8]), tf.ones([1, 1, 8, 8]), 1, "VALID")

    operations, _ = operations_of(model, [None, 12, 16, 3])
    (site,) = graph.find_attention(operations, "model")
    (patches,) = graph.patch_embeddings(operations, site.tensor)
    assert patches.shape.as_list() == [None, 3, 4, 8]
    assert graph.spatial_axes(patches) == (1, 2)


@pytest.mark.parametrize("activation", [tf.identity, tf.nn.softmax, tf.nn.sigmoid])
def test_head_input_is_what_the_last_product_reads(activation):
    def model(features):
        return activation(tf.nn.bias_add(tf.matmul(tf.tanh(features), tf.ones([8, 3])), tf.ones(3)))

    _, output = operations_of(model, [None, 8])
    assert graph.head_input(output).op.type == "Tanh"


def test_head_input_is_the_prediction_where_there_is_no_head():
    _, output = operations_of(lambda tokens: tokens[:, 0], [None, 5, 8])
    assert graph.head_input(output) is output


@pytest.mark.parametrize(
    ("name", "model_name", "path"),
    [
        # Keras 3, and a model whose own name ends in a number.
        ("model_1/block_0_1/att_1/Softmax", "model", "model/block_0/att"),
        ("model_1_1/block_12/Softmax", "model_1", "model_1/block"),
        # tf.keras 2.
        ("model/block_0/att/Softmax", "model", "model/block_0/att"),
        ("Softmax", "model", "Softmax"),
    ],
)
def test_layer_path(name, model_name, path):
    assert graph.layer_path(name, model_name) == path
