"""A class token that stands in every frame: one token of several rows and columns."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from zoo import video
from zoo.weights import randomize

from keras_attnviz import AttentionModel
from keras_attnviz.methods.placement import Placement
from keras_attnviz.methods.rollout import placed_rollout
from keras_attnviz.methods.token_copies import Copies

pytestmark = pytest.mark.every_stack

# A class token in both of two groups, and one patch in each: rows and columns are class, patch.
PLACEMENT = Placement(
    groups=2,
    queries=2,
    keys=2,
    query_slots=np.array([0, 1, 3, 2]),
    key_slots=np.array([0, 1, 3, 2]),
    copies=np.array([0]),
)
# `[batch, groups, heads, queries, keys]`
ATTENTION = np.float32([[[[[0.5, 0.5], [0.25, 0.75]]], [[[0.25, 0.75], [1.0, 0.0]]]]])
# The class token's row is the mean of its two rows; each patch asks within its group.
AMONG_TOKENS = np.array([[0.375, 0.25, 0.375], [0.25, 0.75, 0], [1, 0, 0]])


def test_weights_are_spread_and_gathered():
    copies = Copies(3, np.array([0, 0, 2]))
    rows = tf.constant([[0.6, 0.2, 0.2]])
    spread = copies.spread(rows)
    np.testing.assert_allclose(spread, [[0.2, 0.2, 0.1, 0.2, 0.2, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(copies.gathered(spread), rows, rtol=1e-6)
    np.testing.assert_allclose(spread @ tf.transpose(copies.means()), [[0.2, 0.2, 0.1]], rtol=1e-6)


def test_the_map_among_tokens_by_hand():
    np.testing.assert_allclose(PLACEMENT.token_map(ATTENTION)[0], AMONG_TOKENS)


@pytest.mark.parametrize("token", range(3))
def test_rows_go_through_as_through_the_map(token):
    rows = np.eye(3, dtype=np.float32)[token]
    found = PLACEMENT.rows_through(rows[None, None], ATTENTION, residual=0.5)
    expected = (rows + rows @ AMONG_TOKENS) / 2
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)
    found = PLACEMENT.relevance_through(rows[None, None], ATTENTION)
    np.testing.assert_allclose(found[0, 0], rows + rows @ AMONG_TOKENS, rtol=1e-6)
    found = placed_rollout([ATTENTION] * 2, [PLACEMENT] * 2, query=rows)
    layer = (np.eye(3) + AMONG_TOKENS) / 2
    np.testing.assert_allclose(found[0], rows @ layer @ layer, rtol=1e-6)


def test_what_tokens_receive_by_hand():
    # Of four rows two are the class token's.
    expected = (2 * AMONG_TOKENS[0] + AMONG_TOKENS[1] + AMONG_TOKENS[2]) / 4
    np.testing.assert_allclose(PLACEMENT.received(ATTENTION)[0], expected)


def test_single_heads_of_the_class_token_by_hand():
    weights = PLACEMENT.query_weights([1, 0, 0])
    np.testing.assert_array_equal(weights, [[0.5, 0, 0.5, 0]])
    rows = PLACEMENT.head_rows(weights, ATTENTION)
    np.testing.assert_allclose(rows[0, 0], AMONG_TOKENS[:1])
    assert PLACEMENT.tokens_with(np.array([False, False, True, True])).tolist() == [0, 2]


def test_sinks_are_damped_among_patches_alone():
    damped = PLACEMENT.damped(ATTENTION, np.array([False, True, True]), limit=1.0)
    assert (damped.numpy()[..., 0] == ATTENTION[..., 0]).all()


def test_a_class_token_in_every_frame_is_one_token():
    found = AttentionModel(randomize(video.timesformer_class_token()))
    assert [each.prefix for each in found.maps] == [0, 1, 0, 1]
    assert found.layout.readout_text() == "class token"
    assert [len(each.copies) for each in found.placements] == [0, 3, 0, 3]


class Windows(keras.layers.Layer):
    """Cuts a feature map of 4 x 4 into two windows of 4 x 2."""

    def call(self, x):
        split = tf.reshape(x, [-1, 4, 2, 2, x.shape[-1]])
        return tf.reshape(tf.transpose(split, [0, 2, 1, 3, 4]), [-1, 8, x.shape[-1]])


class Whole(keras.layers.Layer):
    """Puts the windows together again, without the last row."""

    def call(self, x):
        split = tf.reshape(x, [-1, 2, 4, 2, x.shape[-1]])
        return tf.reshape(tf.transpose(split, [0, 2, 1, 3, 4]), [-1, 4, 4, x.shape[-1]])[:, :3]


def test_padding_that_every_window_has_is_no_token():
    layers = keras.layers
    images = keras.Input((24, 32, 3))
    x = layers.Conv2D(8, 8, 8)(images)
    for _ in range(2):
        padded = Windows()(layers.ZeroPadding2D(((0, 1), (0, 0)))(x))
        x = x + Whole()(layers.MultiHeadAttention(2, 4)(padded, padded))
    outputs = layers.Dense(2)(layers.GlobalAveragePooling2D()(x))
    model = randomize(keras.Model(images, outputs))
    for weight in model.trainable_weights:  # Padding has keys and queries, the same everywhere.
        if len(weight.shape) < 3:
            weight.assign(tf.random.stateless_normal(weight.shape, (1, 2)))
    found = AttentionModel(model)
    assert [each.kind for each in found.maps] == ["windows"] * 2
    assert (found.layout.prefix, found.layout.suffix) == (0, 0)
    assert all(len(each.copies) == 0 for each in found.placements)
