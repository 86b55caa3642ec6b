import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from zoo import plain
from zoo.blocks import LearnedTokens, classifier, encoder, patches

from keras_attnviz import AttentionModel, TokenLayout
from keras_attnviz.capture.observed_trace import observed
from keras_attnviz.capture.tokens.geometry import (
    MapGeometry,
    TokenSide,
    by_group,
    symbolic_by_group,
)
from keras_attnviz.capture.tokens.gradient_codes import LeadingAxes, plain_axes
from keras_attnviz.capture.tokens.readout import rows_read
from keras_attnviz.capture.trace import trace_model
from keras_attnviz.model_io.signature import InputSignature

pytestmark = pytest.mark.every_stack

WIDE = 8
PLAIN = (0, 1, 2, 3)


def test_values_by_group_by_hand():
    # Two windows on the first axis, two heads on the second, one query, two keys.
    values = np.arange(8).reshape(2, 2, 1, 2)
    found = by_group(values, LeadingAxes((2, 1, 2), (True, False, False)), 1)
    np.testing.assert_array_equal(found, values)
    # The same with heads before groups.
    found = by_group(values, LeadingAxes((1, 2, 2), (True, False, True)), 1)
    np.testing.assert_array_equal(found, [[[[0, 1]], [[4, 5]]], [[[2, 3]], [[6, 7]]]])
    # Groups and heads merged with the batch.
    found = by_group(values.reshape(4, 1, 2), LeadingAxes((2, 2), (True, False)), 1)
    np.testing.assert_array_equal(found, values)


def geometry_of(axes, queries, keys, *, order=PLAIN, owners=None):
    owners = np.arange(queries) if owners is None else np.array(owners)
    return MapGeometry(
        0,
        axes,
        TokenSide(queries, (1, len(owners)), owners),
        TokenSide(keys, None, None),
        "groups",
        order,
    )


AXES = {
    "heads": ((1, 4), LeadingAxes((1, 1, 4), (True, False, False))),
    "windows": ((6, 2), LeadingAxes((6, 1, 2), (True, False, False))),
    "windows and heads merged": ((6,), LeadingAxes((3, 2), (True, False))),
    "heads merged with the batch": ((6,), LeadingAxes((1, 6), (True, False))),
    "groups before heads": ((1, 3, 2), LeadingAxes((1, 1, 3, 2), (True, False, True, False))),
    "heads before groups": ((1, 3, 2), LeadingAxes((1, 1, 3, 2), (True, False, False, True))),
}


@pytest.mark.parametrize("name", AXES)
def test_symbolic_maps_of_two_images_are_split_as_those_of_one(name):
    leading, axes = AXES[name]
    random = np.random.default_rng(0)
    images = [random.normal(size=(*leading, 3, 5)).astype("float32") for _ in range(2)]
    order = tuple(range(len(leading) + 2))
    geometry = geometry_of(axes, 3, 5, order=order)
    split = tf.function(lambda weights: symbolic_by_group(weights, geometry))
    found = split(tf.concat(images, axis=0)).numpy()
    groups = [axes.groups] if axes.groups > 1 else []
    assert found.shape == (2, *groups, axes.heads, 3, 5)
    expected = [by_group(image, axes, 3) for image in images]
    np.testing.assert_array_equal(found.reshape(2, axes.groups, axes.heads, 3, 5), expected)


def test_axes_are_put_in_order():
    geometry = geometry_of(plain_axes((1, 2)), 3, 3, order=(0, 2, 1, 3))
    weights = np.arange(18, dtype="float32").reshape(1, 3, 2, 3)
    np.testing.assert_array_equal(
        symbolic_by_group(weights, geometry), weights.transpose(0, 2, 1, 3)
    )


class Attention(keras.layers.Layer):
    """Attention over tokens `[batch, 7, WIDE]`, without a residual."""

    def call(self, tokens):
        scores = tf.matmul(tokens, tf.tanh(tokens), transpose_b=True)
        weights = tf.nn.softmax(scores[:, tf.newaxis])
        return tf.matmul(weights, tokens[:, tf.newaxis])[:, 0]


class HeadsBetween(keras.layers.Layer):
    """The same with maps `[batch, queries, heads, keys]`."""

    def call(self, tokens):
        heads = tf.reshape(tokens, [-1, 7, 2, WIDE // 2])
        weights = tf.nn.softmax(tf.einsum("bqhd,bkhd->bqhk", heads, tf.tanh(heads)))
        return tf.reshape(tf.einsum("bqhk,bkhd->bqhd", weights, heads), [-1, 7, WIDE])


def model_of(read, *, between=tf.identity, attention=Attention):
    """Returns a model whose head reads a part of a class token and 2 x 3 patches."""
    mean = keras.layers.Lambda(
        lambda tokens: tf.reduce_mean(tf.tanh(read(between(tokens))), axis=1)
    )
    return model_with_head(
        lambda tokens: keras.layers.Dense(3, "softmax")(mean(tokens)), attention=attention
    )


def model_with_head(head, *, attention=Attention):
    """Returns a model with attention among a class token and 2 x 3 patches, and a head."""
    keras.utils.set_random_seed(5)
    images = keras.Input((8, 12, 3))
    tokens = keras.layers.Reshape((6, WIDE))(keras.layers.Conv2D(WIDE, 4, 4)(images))
    first = keras.layers.Lambda(lambda patches: tf.reduce_max(patches, axis=1, keepdims=True))(
        tokens
    )
    tokens = attention()(keras.layers.Concatenate(axis=1)([first, tokens]))
    return keras.Model(images, head(tokens))


def rows_of(model, *, heads=1, order=PLAIN):
    signature = InputSignature.of(model)
    inputs = [tf.constant(values) for values in signature.random(1)]
    trace = observed(trace_model(model, signature), inputs)
    geometry = geometry_of(plain_axes((1, heads)), 7, 7, owners=range(1, 7), order=order)
    return rows_read(trace, geometry, inputs).tolist()


READS = {
    "class token": (lambda tokens: tokens[:, :1], [0]),
    "patches": (lambda tokens: tokens[:, 1:], [1, 2, 3, 4, 5, 6]),
    "all tokens": (lambda tokens: tokens, [0, 1, 2, 3, 4, 5, 6]),
}


@pytest.mark.parametrize("name", READS)
def test_rows_that_the_head_reads(name):
    read, rows = READS[name]
    expected = [row in rows for row in range(7)]
    assert rows_of(model_of(read)) == expected


@pytest.mark.parametrize("name", READS)
def test_rows_that_the_head_reads_without_gradients(name):
    read, rows = READS[name]
    expected = [row in rows for row in range(7)]
    assert rows_of(model_of(read, between=tf.stop_gradient)) == expected


@pytest.mark.parametrize("name", READS)
def test_rows_of_maps_with_their_heads_behind_the_queries(name):
    read, rows = READS[name]
    model = model_of(read, attention=HeadsBetween)
    found = rows_of(model, heads=2, order=(0, 2, 1, 3))
    assert found == [row in rows for row in range(7)]


def test_single_patches_are_read():
    assert rows_of(model_of(lambda tokens: tokens[:, 2:4])) == [row in (2, 3) for row in range(7)]


def test_all_heads_of_a_sum_are_read():
    def read(head):
        return keras.layers.Dense(3, "softmax")(head)

    model = model_with_head(lambda tokens: read(tokens[:, 0]) + read(tokens[:, 3]))
    assert rows_of(model) == [row in (0, 3) for row in range(7)]


class ZeroGate(keras.layers.Layer):
    """Multiplies by a weight that begins at zero."""

    def build(self, input_shape):
        self.gate = self.add_weight(shape=(), initializer="zeros", name="gate")

    def call(self, inputs):
        return self.gate * inputs


def zero_head(tokens, **options):
    return keras.layers.Dense(3, kernel_initializer="zeros", **options)(tokens)


def zero_convolution(tokens):
    grid = keras.layers.Reshape((2, 3, WIDE))(tokens[:, 1:])
    return keras.layers.Conv2D(3, 1, kernel_initializer="zeros")(grid)


HEADS_OF_ZEROS = {
    "product": (lambda tokens: zero_head(tokens[:, 0], activation="softmax"), [0]),
    "activation": (lambda tokens: zero_head(tokens[:, 0], activation="softplus"), [0]),
    "scale": (lambda tokens: keras.layers.Rescaling(5.0, 2.0)(zero_head(tokens[:, 0])), [0]),
    "two": (lambda tokens: zero_head(tokens[:, 0]) + zero_head(tokens[:, 1]), [0, 1]),
    "one of two": (lambda tokens: zero_head(tokens[:, 0]) + tokens[:, 1, :3], [0, 1]),
    "mean": (
        lambda tokens: keras.layers.GlobalAveragePooling1D()(zero_head(tokens)),
        list(range(7)),
    ),
    "convolution": (zero_convolution, [1, 2, 3, 4, 5, 6]),
    "gate": (lambda tokens: keras.layers.Dense(3)(ZeroGate()(tokens[:, 2])), [2]),
}


@pytest.mark.parametrize("between", [tf.identity, tf.stop_gradient])
@pytest.mark.parametrize("name", HEADS_OF_ZEROS)
def test_heads_of_zeros_are_looked_behind(name, between):
    head, rows = HEADS_OF_ZEROS[name]
    if between is tf.stop_gradient and max(rows) > 0:
        rows = {*rows, 1, 2, 3, 4, 5, 6}  # Without gradients, patches are changed together.
    model = model_with_head(lambda tokens: head(keras.layers.Lambda(between)(tokens)))
    assert rows_of(model) == [row in rows for row in range(7)]


@pytest.mark.parametrize("between", [lambda tokens: 0.0 * tokens, tf.zeros_like])
def test_a_gate_of_zeros_hides_all_rows(between):
    assert not any(rows_of(model_of(lambda tokens: tokens, between=between)))


def largest_patch(tokens):
    return keras.layers.GlobalMaxPooling1D()(tokens[:, 1:])


def vit(read):
    """Returns a ViT with a class token and 3 x 3 patches, and a head of what `read` gives."""
    keras.utils.set_random_seed(2)
    images = keras.Input((24, 24, 3))
    tokens = encoder(LearnedTokens()(patches(images, 16)), depth=1)
    return classifier(images, read(tokens))


def test_a_readout_that_is_not_given_is_measured():
    model = vit(lambda tokens: keras.layers.GlobalAveragePooling1D()(tokens[:, 1:]))
    found = AttentionModel(model, layout=TokenLayout(1, (3, 3))).layout
    assert found == TokenLayout(1, (3, 3), range(1, 10))
    pooled = plain.average_pooling()
    tokens = AttentionModel(pooled).layout.grid
    found = AttentionModel(pooled, layout=TokenLayout(0, tokens), self_check=False).layout
    assert found.readout_text() == "all patches"


def test_a_readout_that_the_output_does_not_depend_on_is_refused():
    model, layout = vit(lambda tokens: tokens[:, 0]), TokenLayout(1, (3, 3), (0, 3, 5))
    text = (
        r"`layout` must be one whose read-out the model's output depends on, as on class token\. "
        r"Received: layout=TokenLayout\(.*\)\. The output doesn't depend on token 3, 5\. Leave out "
        "`readout`, so that it is measured"
    )
    with pytest.raises(ValueError, match=text):
        AttentionModel(model, layout=layout)
    assert AttentionModel(model, layout=layout, self_check=False).layout is layout


def test_a_part_of_what_the_head_reads_may_be_looked_at():
    model = vit(keras.layers.GlobalAveragePooling1D())
    layout = TokenLayout(1, (3, 3), (4,))
    assert AttentionModel(model, layout=layout).layout is layout


def test_readouts_that_differ_by_image_are_not_held():
    model, layout = vit(largest_patch), TokenLayout(1, (3, 3), range(1, 10))
    assert len(AttentionModel(model).layout.readout) < 9
    assert AttentionModel(model, layout=layout).layout is layout


def test_a_readout_that_can_not_be_measured_is_asked_for():
    model = vit(keras.layers.Lambda(lambda tokens: 0.0 * tokens[:, 0]))
    text = (
        "output depends on no token of the last attention map, weights of zeros aside.* "
        r"Candidates: TokenLayout\(prefix=1, grid=\(3, 3\), readout=\(0,\)\); "
        r"TokenLayout\(prefix=1, grid=\(3, 3\), readout=range\(1, 10\)\)\."
    )
    with pytest.raises(ValueError, match=text):
        AttentionModel(model)
    given = TokenLayout(1, (3, 3), (2,))
    assert AttentionModel(model, layout=given).layout is given
    assert AttentionModel(model, layout=TokenLayout(1, (3, 3))).layout.readout == (0,)
