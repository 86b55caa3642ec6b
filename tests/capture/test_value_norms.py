"""The norms of values, held against what each model's own weights give in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from zoo import blocks
from zoo.handwritten import EinsumAttention, HandwrittenAttention, TalkingHeads

from keras_attnviz.capture.trace import trace_model
from keras_attnviz.capture.value_norms import value_norms
from keras_attnviz.model_io.signature import InputSignature

layers = keras.layers
WIDTH, HEADS = 8, 2


def built(attend):
    """Returns a model with one attention layer, and the one to what that layer gets."""
    keras.utils.set_random_seed(11)
    images = keras.Input((16, 24, 3))
    tokens = blocks.patches(images, WIDTH)
    attended = attend(tokens)
    scores = layers.Dense(3)(layers.GlobalAveragePooling1D()(attended))
    return keras.Model(images, scores), keras.Model(images, tokens)


def found_norms(model, images):
    trace = trace_model(model, InputSignature.of(model))
    (site,) = trace.sites
    with trace.as_default():
        norms = value_norms(site, {operation.name for operation in trace.operations})
        shapes = [tf.shape(site.weights), tf.shape(norms)]
    norms, of_map, own = trace.function([norms, *shapes])(images)
    assert np.all((own.numpy() == of_map.numpy()) | (own.numpy() == 1))
    return norms.numpy()


def oracle(tokens, kernel, bias, projection):
    """Returns the norms `[batch, heads, tokens]` in float64, head by head, token by token.

    `kernel` is `[channels, heads, features]`, `projection` `[heads, features, channels]`.
    """
    tokens, kernel, bias, projection = (
        np.asarray(array, np.float64) for array in (tokens, kernel, bias, projection)
    )
    norms = np.empty((len(tokens), kernel.shape[1], tokens.shape[1]))
    for image, head, token in np.ndindex(*norms.shape):
        value = tokens[image, token] @ kernel[:, head] + bias[head]
        norms[image, head, token] = np.linalg.norm(value @ projection[head])
    return norms


def images():
    return np.random.default_rng(3).random((2, 16, 24, 3)).astype("float32")


def of_keras_layer(attention):
    (kernel, bias), (projection, _) = (
        dense.get_weights() for dense in (attention._value_dense, attention._output_dense)
    )
    return kernel, bias, projection


def of_handwritten_layer(attention, heads=HEADS):
    kernel, bias = attention.mixed.get_weights()
    kernel = kernel[:, 2 * WIDTH :].reshape(WIDTH, heads, -1)
    projection = attention.projection.get_weights()[0]
    return kernel, bias[2 * WIDTH :].reshape(heads, -1), projection.reshape(heads, -1, WIDTH)


def with_biases(model):
    """Gives each bias, zeros at first, random numbers."""
    generator = np.random.default_rng(5)
    for variable in model.variables:
        if "bias" in getattr(variable, "path", variable.name):
            variable.assign(generator.normal(size=variable.shape))


@pytest.mark.parametrize("heads", [1, HEADS])
def test_keras_attention(heads):
    attention = layers.MultiHeadAttention(heads, 5)
    model, below = built(lambda tokens: attention(tokens, tokens))
    with_biases(model)
    expected = oracle(below(images()), *of_keras_layer(attention))
    found = found_norms(model, images())
    np.testing.assert_allclose(found, expected[:, :, np.newaxis], rtol=1e-4)
    assert expected.std() > 0.05 * expected.mean()


def test_keras_attention_over_height_and_width():
    attention = layers.MultiHeadAttention(HEADS, 5, attention_axes=(1, 2))

    def attend(tokens):
        feature_map = blocks.FeatureMap((2, 3))(tokens)
        return blocks.Tokens()(attention(feature_map, feature_map))

    model, below = built(attend)
    with_biases(model)
    expected = oracle(below(images()), *of_keras_layer(attention))
    found = found_norms(model, images())
    np.testing.assert_allclose(found, expected.reshape(2, HEADS, 1, 1, 2, 3), rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "axes"),
    [(HandwrittenAttention, (0, 1, 2, 3)), (EinsumAttention, (0, 2, 1, 3))],
)
def test_handwritten_attention(kind, axes):
    attention = kind(WIDTH, HEADS, tf.nn.softmax)
    model, below = built(attention)
    with_biases(model)
    expected = oracle(below(images()), *of_handwritten_layer(attention))
    expected = expected[:, :, np.newaxis].transpose(axes)
    np.testing.assert_allclose(found_norms(model, images()), expected, rtol=1e-4)


class OneHead(layers.Layer):
    """One head without a head axis, whose values are multiplied with a projection or none."""

    def __init__(self, projects):
        super().__init__()
        self.mixed, self.projection = layers.Dense(3 * WIDTH), None
        if projects:
            self.projection = layers.Dense(WIDTH)

    def call(self, tokens):
        queries, keys, values = tf.split(self.mixed(tokens), 3, axis=-1)
        attention = tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True))
        read = tf.matmul(attention, values)
        return read if self.projection is None else self.projection(read)


@pytest.mark.parametrize("projects", [True, False])
def test_one_head_without_a_head_axis_and_values_that_go_into_no_projection(projects):
    attention = OneHead(projects)
    model, below = built(attention)
    with_biases(model)
    if projects:
        parts = of_handwritten_layer(attention, heads=1)
    else:
        kernel, bias = attention.mixed.get_weights()
        parts = kernel[:, np.newaxis, 2 * WIDTH :], bias[np.newaxis, 2 * WIDTH :], [np.eye(WIDTH)]
    # The next product after none is the head's, behind a mean over tokens.
    expected = oracle(below(images()), *parts)
    np.testing.assert_allclose(found_norms(model, images()), expected, rtol=1e-4)


def test_mixed_heads_have_no_values_of_their_own():
    model, _ = built(TalkingHeads())
    trace = trace_model(model, InputSignature.of(model))
    names = {operation.name for operation in trace.operations}
    with trace.as_default():
        assert [value_norms(site, names) for site in trace.sites] == [None]


def test_half_precision_is_computed_in_float32():
    keras.utils.set_random_seed(2)
    images = keras.Input((16, 24, 3), dtype="float16")
    policy = {"dtype": "float16"}
    tokens = blocks.Tokens(**policy)(layers.Conv2D(WIDTH, 8, 8, **policy)(images))
    attended = layers.MultiHeadAttention(HEADS, 5, **policy)(tokens, tokens)
    scores = layers.Dense(3, **policy)(layers.GlobalAveragePooling1D(**policy)(attended))
    model = keras.Model(images, scores)
    trace = trace_model(model, InputSignature.of(model))
    with trace.as_default():
        norms = value_norms(trace.sites[0], {each.name for each in trace.operations})
    assert norms.dtype == tf.float32
