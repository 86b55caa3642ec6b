import re

import numpy as np
import pytest
import tensorflow as tf
from support.rollout_oracle import random_attentions

from keras_attnviz import attention_relevance
from keras_attnviz.methods.placement import Placement
from keras_attnviz.methods.relevance import placed_legrad, placed_relevance


def random_gradients(seed, attentions):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=layer.shape).astype("float32") for layer in attentions]


def oracle(attentions, gradients, start_layer=0):
    """Equations 5 and 6 of arXiv 2103.15679 in float64 NumPy, image by image, head by head."""
    images = []
    for image in range(len(attentions[0])):
        relevance = np.eye(attentions[0].shape[-1])
        for attention, gradient in list(zip(attentions, gradients, strict=True))[start_layer:]:
            heads = attention[image].astype(np.float64) * gradient[image].astype(np.float64)
            mean = sum(np.where(head > 0, head, 0) for head in heads) / len(heads)
            relevance = relevance + mean @ relevance
        images.append(relevance)
    return np.stack(images)


def plain(tokens):
    return Placement(1, tokens, tokens, np.arange(tokens), np.arange(tokens))


def test_two_layers_by_hand():
    # A = relu(attention * gradient): below [[1, 0], [0, 2]], above [[0, 3], [0, 0]].
    below = (tf.constant([[[[0.5, 0.5], [0.0, 1.0]]]]), tf.constant([[[[2.0, -1.0], [9.0, 2.0]]]]))
    above = (tf.constant([[[[0.0, 1.0], [0.5, 0.5]]]]), tf.constant([[[[1.0, 3.0], [-1.0, 0.0]]]]))
    attentions, gradients = zip(below, above, strict=True)
    # R = I + A = [[2, 0], [0, 3]]; then [[2, 0], [0, 3]] + [[0, 3], [0, 0]] [[2, 0], [0, 3]].
    expected = [[[2, 9], [0, 3]]]
    np.testing.assert_array_equal(attention_relevance(attentions, gradients), expected)
    np.testing.assert_array_equal(attention_relevance(attentions, gradients, query=0), [[2, 9]])


@pytest.mark.parametrize("start_layer", [0, 1, -1])
def test_equals_the_oracle(start_layer):
    for seed in range(3):
        attentions = random_attentions(seed, layers=3, batch=3, tokens=6)
        gradients = random_gradients(seed, attentions)
        result = attention_relevance(attentions, gradients, start_layer=start_layer)
        expected = oracle(attentions, gradients, start_layer)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_query_is_a_row_or_a_weighted_mean_of_rows():
    attentions = random_attentions(5)
    gradients = random_gradients(6, attentions)
    full = attention_relevance(attentions, gradients).numpy()
    row = attention_relevance(attentions, gradients, query=2)
    np.testing.assert_allclose(row, full[:, 2], rtol=1e-5)
    weights = np.float32([0, 1, 0, 3, 0])
    mean = attention_relevance(attentions, gradients, query=weights)
    np.testing.assert_allclose(mean, (full[:, 1] + 3 * full[:, 3]) / 4, rtol=1e-5)


def test_placed_maps_in_order_give_the_same():
    attentions = random_attentions(7)
    gradients = random_gradients(8, attentions)
    weights = np.float32([0.25, 0, 0.75, 0, 0])
    expected = attention_relevance(attentions, gradients, query=weights, start_layer=1)
    placements = [plain(5)] * 3
    found = placed_relevance(attentions, gradients, placements, query=weights, start_layer=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_windows_merged_keys_and_pooling_by_hand():
    # Two windows of two tokens, the second in reverse; above, a pooling query reads all four.
    windows = Placement(2, 2, 2, np.array([0, 1, 3, 2]), np.array([0, 1, 3, 2]))
    pooling = Placement(1, 1, 2, None, np.array([0, 0, 1, 1]))
    attention = tf.constant([[[[[0.5, 0.5], [0, 1]]], [[[1, 0], [0.5, 0.5]]]]])
    top = tf.constant([[[[0.5, 0.5]]]])
    gradients = [tf.ones_like(attention), tf.constant([[[[4.0, -1.0]]]])]
    # The query reads 2 of the first key, 1 each of tokens 0 and 1; these add what they read.
    found = placed_relevance([attention, top], gradients, [windows, pooling], query=[1.0])
    np.testing.assert_allclose(found, [[1 + 0.5, 1 + 0.5 + 1, 0, 0]])


def test_legrad_is_the_mean_positive_gradient_of_heads_queries_and_layers_by_hand():
    gradients = [
        tf.constant([[[[2.0, -1.0], [4.0, 1.0]], [[0.0, 0.0], [-2.0, 3.0]]]]),
        tf.constant([[[[1.0, -1.0], [-1.0, 1.0]]]]),
    ]
    # Columns: (2 + 4) / 4 and (1 + 3) / 4; then 1 / 2 and 1 / 2.
    found = placed_legrad(gradients, [plain(2)] * 2)
    np.testing.assert_allclose(found, [[(1.5 + 0.5) / 2, (1 + 0.5) / 2]])
    np.testing.assert_allclose(
        placed_legrad(gradients, [plain(2)] * 2, start_layer=-1), [[0.5, 0.5]]
    )


def test_permuted_images_give_permuted_relevance_also_in_a_graph_of_open_batch_size():
    attentions = random_attentions(9, batch=4)
    gradients = random_gradients(9, attentions)
    order = [2, 0, 3, 1]
    specs = [tf.TensorSpec([None, 4, 5, 5])] * 3

    @tf.function(input_signature=[specs, specs])
    def of(attentions, gradients):
        return attention_relevance(attentions, gradients)

    permuted = of([a[order] for a in attentions], [g[order] for g in gradients])
    np.testing.assert_allclose(permuted, of(attentions, gradients).numpy()[order], rtol=1e-6)


@pytest.mark.parametrize(
    ("gradients", "text"),
    [
        (lambda g: g[:2], "`gradients` must be of the shapes of `attentions`"),
        (lambda g: [each[:, :2] for each in g], "`gradients` must be of the shapes of"),
    ],
)
def test_other_gradients_than_the_maps_are_refused(gradients, text):
    attentions = random_attentions(1)
    with pytest.raises(ValueError, match=re.escape(text)):
        attention_relevance(attentions, gradients(random_gradients(1, attentions)))
