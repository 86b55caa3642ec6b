import numpy as np
import pytest
import tensorflow as tf
from support.traces import (
    HEIGHT,
    PLAIN,
    SIDES,
    WIDE,
    WIDTH,
    Attention,
    columns_first,
    observed_model,
    one_hot,
    patches_of,
    reached,
    traced,
)
from tensorflow import keras

from keras_attnviz.capture.tokens.score_gradients import ScoreGradients

pytestmark = pytest.mark.every_stack


def score_gradients(trace, inputs, shape, index=0):
    return ScoreGradients(trace, trace.sites[index], shape, order=PLAIN, key_axes=1, inputs=inputs)


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("side", ["queries", "keys"])
def test_gradients_of_a_slot_arrive_at_its_positions(side, name):
    function, expected = SIDES[name]
    trace, inputs = traced(Attention(**{side: function}))
    sizes = {"queries": HEIGHT * WIDTH, "keys": HEIGHT * WIDTH} | {side: len(expected)}
    gradients = score_gradients(trace, inputs, (1, 2, sizes["queries"], sizes["keys"]))
    assert gradients.has_gradients
    assert gradients.leading == (1, 2)
    assert {name: gradients.slots(name) for name in sizes} == sizes
    (feature_map,) = trace.feature_maps(trace.sites[0])
    found = gradients.at(feature_map, side)
    assert found.grid == (HEIGHT, WIDTH)
    for slot, positions in enumerate(expected):
        gradient = found.of_slots(one_hot(len(expected), slot))
        assert gradient.shape == (HEIGHT * WIDTH, WIDE)
        assert (reached(gradient) if positions else np.abs(gradient).max()) == (positions or 0)


@pytest.mark.parametrize("side", ["queries", "keys"])
def test_gradients_are_proportional_to_the_factor_of_the_slot(side):
    trace, inputs = traced(Attention())
    gradients = score_gradients(trace, inputs, (1, 2, 6, 6))
    (feature_map,) = trace.feature_maps(trace.sites[0])
    found = gradients.at(feature_map, side)
    factors = np.array([1, 2, 0.5, 3, 1.5, 0])
    base = found.of_slots(np.ones((1, 2, 6)))
    factors_of_heads = np.broadcast_to(factors, [1, 2, 6])
    np.testing.assert_allclose(
        found.of_slots(factors_of_heads), base * factors[:, np.newaxis], rtol=1e-4
    )
    np.testing.assert_allclose(found.of_leading(np.ones((1, 2))), base, rtol=1e-6)
    # Each position is read by both heads.
    heads = [found.of_leading(np.array([[1, 0]])), found.of_leading(np.array([[0, 1]]))]
    np.testing.assert_allclose(heads[0] + heads[1], base, rtol=1e-3, atol=1e-6)
    assert np.abs(heads[0] - heads[1]).max() > 0.01 * np.abs(base).max()


def test_attention_below_is_held_constant():
    trace, inputs = traced(Attention(), Attention(queries=columns_first))
    gradients = score_gradients(trace, inputs, (1, 2, 6, 6), index=1)
    (feature_map,) = trace.feature_maps(trace.sites[1])
    found = gradients.at(feature_map, "queries")
    assert reached(found.of_slots(one_hot(6, 1))) == [2]
    found = gradients.at(feature_map, "keys")
    assert reached(found.of_slots(one_hot(6, 1))) == [1]


def test_wide_convolutions_are_held_constant_and_their_own_positions_count():
    def convolved(tokens):
        grid = tf.reshape(tokens, [-1, HEIGHT, WIDTH, WIDE])
        wide = tf.nn.conv2d(grid, tf.ones([3, 3, WIDE, WIDE]), 1, "SAME")
        return tf.reshape(grid + wide, [-1, HEIGHT * WIDTH, WIDE])

    trace, inputs = traced(keras.layers.Lambda(convolved), Attention())
    gradients = score_gradients(trace, inputs, (1, 2, 6, 6))
    for feature_map in trace.feature_maps(trace.sites[0]):
        found = gradients.at(feature_map, "queries")
        assert reached(found.of_slots(one_hot(6, 4))) == [4]


def test_a_feature_map_beside_the_attention_gives_none():
    def beside(tokens):
        grid = tf.reshape(tokens, [-1, HEIGHT, WIDTH, WIDE])
        tf.nn.conv2d(grid, tf.ones([1, 1, WIDE, WIDE]), 1, "SAME", name="beside")
        return tokens

    trace, inputs = traced(keras.layers.Lambda(beside), Attention())
    gradients = score_gradients(trace, inputs, (1, 2, 6, 6))
    used, unused = trace.feature_maps(trace.sites[0])
    assert gradients.at(unused, "queries") is None
    assert gradients.at(used, "queries") is not None


def test_a_feature_map_of_parts_of_images_gives_none():
    def apart(images):
        return tf.concat(tf.split(images, 2, axis=2), axis=0)

    def together(tokens):
        return tf.concat(tf.split(tokens, 2, axis=0), axis=1)

    keras.utils.set_random_seed(1)
    images = keras.Input((4 * HEIGHT, 8 * WIDTH, 3))
    halves = keras.layers.Lambda(lambda batch: tf.ensure_shape(apart(batch), [None, 12, 8, 3]))(
        images
    )
    joined = keras.layers.Lambda(lambda batch: tf.ensure_shape(together(batch), [None, 12, WIDE]))
    tokens = Attention()(joined(patches_of(halves)))
    trace, inputs = observed_model(keras.Model(images, keras.layers.Flatten()(tokens)))
    gradients = score_gradients(trace, inputs, (1, 2, 12, 12))
    (feature_map,) = trace.feature_maps(trace.sites[0])
    assert gradients.at(feature_map, "queries") is None
    # The images themselves are one.
    found = gradients.at(trace.inputs[0], "queries")
    assert found.grid == (12, 16)
    # The second half's second patch of the first row.
    rows, columns = np.divmod(reached(found.of_slots(one_hot(12, 7))), 16)
    assert (sorted(set(rows)), sorted(set(columns))) == ([0, 1, 2, 3], [12, 13, 14, 15])


def test_queries_that_are_weights_have_no_gradients_there():
    class Pooling(keras.layers.Layer):
        def build(self, input_shape):
            self.query = self.add_weight(shape=(1, WIDE), initializer="ones", name="query")

        def call(self, tokens):
            query = tf.convert_to_tensor(self.query)[tf.newaxis] * tf.ones_like(tokens[:, :1])
            scores = tf.matmul(query, tokens, transpose_b=True)
            return tf.matmul(tf.nn.softmax(scores), tokens)

    trace, inputs = traced(Pooling())
    shape = (1, 1, HEIGHT * WIDTH)
    gradients = ScoreGradients(
        trace, trace.sites[0], shape, order=(0, 1, 2), key_axes=1, inputs=inputs
    )
    (feature_map,) = trace.feature_maps(trace.sites[0])
    found = gradients.at(feature_map, "keys")
    assert reached(found.of_slots(one_hot(6, 3, leading=[1]))) == [3]
    found = gradients.at(feature_map, "queries")
    assert not np.any(found.of_slots(np.ones((1, 1))))


def test_scores_without_two_operands_have_no_gradients():
    class Additive(keras.layers.Layer):
        def call(self, tokens):
            scores = tf.nn.relu(tokens[:, :, tf.newaxis, 0] + tokens[:, tf.newaxis, :, 1])
            return tf.matmul(tf.nn.softmax(scores), tokens)

    trace, inputs = traced(Additive())
    gradients = ScoreGradients(
        trace, trace.sites[0], (1, 6, 6), order=(0, 1, 2), key_axes=1, inputs=inputs
    )
    assert not gradients.has_gradients


@pytest.mark.parametrize("order", ["heads last", "heads first"])
def test_axes_are_taken_in_the_given_order(order):
    class HeadsBetween(keras.layers.Layer):
        def call(self, tokens):
            shape = [-1, HEIGHT * WIDTH, 2, WIDE // 2]
            heads, keys = tf.reshape(tokens, shape), tf.reshape(tf.tanh(tokens), shape)
            letters = "bqhk" if order == "heads last" else "bhqk"
            weights = tf.nn.softmax(tf.einsum(f"bqhd,bkhd->{letters}", heads, keys))
            read = tf.einsum(f"{letters},bkhd->bqhd", weights, heads)
            return tf.reshape(read, [-1, HEIGHT * WIDTH, WIDE])

    trace, inputs = traced(HeadsBetween())
    axes = (0, 2, 1, 3) if order == "heads last" else PLAIN
    gradients = ScoreGradients(
        trace, trace.sites[0], (1, 2, 6, 6), order=axes, key_axes=1, inputs=inputs
    )
    (feature_map,) = trace.feature_maps(trace.sites[0])
    for side in ("queries", "keys"):
        found = gradients.at(feature_map, side)
        assert reached(found.of_slots(one_hot(6, 5))) == [5]


def test_gradients_of_channels_first_positions():
    try:
        tf.nn.conv2d(tf.zeros([1, 1, 2, 2]), tf.zeros([1, 1, 1, 1]), 1, "VALID", data_format="NCHW")
    except tf.errors.UnimplementedError:
        pytest.skip("TensorFlow's convolutions are channels-last alone on this processor.")

    def channels_first(tokens):
        grid = tf.reshape(tokens, [-1, HEIGHT, WIDTH, WIDE])
        grid = tf.transpose(grid, [0, 3, 1, 2])
        kernel = tf.reshape(tf.range(WIDE * WIDE, dtype=tf.float32), [1, 1, WIDE, WIDE])
        return tf.nn.conv2d(grid, tf.cos(kernel), 1, "VALID", data_format="NCHW", name="first")

    def tokens_again(grid):
        return tf.reshape(tf.transpose(grid, [0, 2, 3, 1]), [-1, HEIGHT * WIDTH, WIDE])

    trace, inputs = traced(
        keras.layers.Lambda(channels_first), keras.layers.Lambda(tokens_again), Attention()
    )
    _, feature_map = trace.feature_maps(trace.sites[0])
    assert feature_map.shape.as_list() == [None, WIDE, HEIGHT, WIDTH]
    found = score_gradients(trace, inputs, (1, 2, 6, 6)).at(feature_map, "keys")
    assert found.grid == (HEIGHT, WIDTH)
    assert reached(found.of_slots(one_hot(6, 3))) == [3]
