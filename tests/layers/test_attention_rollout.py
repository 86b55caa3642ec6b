"""The layer from attention maps to a heatmap, in models that people build themselves."""

import numpy as np
import pytest
import tensorflow as tf
from support.rollout_oracle import oracle, random_attentions
from tensorflow import keras

from keras_attnviz import AttentionRollout

pytestmark = pytest.mark.every_stack

layers = keras.layers
ROWS, COLUMNS, WIDTH = 2, 3, 8


def test_a_class_token_and_two_patches_by_hand():
    # One head. (A + I) / 2: layer 1 [[1/2, 1/2, 0], ...], layer 2 [[1/2, 0, 1/2], ...].
    first = tf.constant([[[[0.0, 1, 0], [0, 1, 0], [1, 0, 0]]]])
    second = tf.constant([[[[0.0, 0, 1], [0, 1, 0], [0, 0, 1]]]])
    # Class row of the product: half of layer 1's class row, half of its last: [1/2, 1/4, 1/4].
    heatmap = AttentionRollout((1, 2))([first, second])
    np.testing.assert_allclose(heatmap, [[[0.25, 0.25]]], rtol=1e-6)


@pytest.mark.parametrize("prefix_suffix_readout", [(1, 0, None), (0, 1, (5, 6)), (0, 0, None)])
def test_heatmaps_agree_with_numpy(prefix_suffix_readout):
    prefix, suffix, readout = prefix_suffix_readout
    options = {"head_fusion": "max", "discard_ratio": 0.3, "residual": 0.2, "start_layer": 1}
    tokens = prefix + 6 + suffix
    maps = random_attentions(1, tokens=tokens)
    layer = AttentionRollout(
        (ROWS, COLUMNS), prefix=prefix, suffix=suffix, readout=readout, **options
    )
    rows = oracle(maps, **options)
    read = rows[:, list(readout or ([0] if prefix else range(6)))].mean(axis=1)
    expected = read[:, prefix : prefix + 6].reshape(2, ROWS, COLUMNS)
    np.testing.assert_allclose(layer(list(map(tf.constant, maps))), expected, atol=1e-6)


def test_one_map_stands_for_a_list_of_one():
    maps = tf.constant(random_attentions(2, layers=1, tokens=7)[0])
    layer = AttentionRollout((ROWS, COLUMNS))
    np.testing.assert_array_equal(layer(maps), layer([maps]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32_unless_asked_otherwise(dtype):
    maps = [tf.cast(layer, dtype) for layer in random_attentions(3, tokens=7)]
    heatmap = AttentionRollout((ROWS, COLUMNS))(maps)
    assert heatmap.dtype == tf.float32
    wide = AttentionRollout((ROWS, COLUMNS))([tf.cast(layer, "float32") for layer in maps])
    np.testing.assert_array_equal(heatmap, wide)
    asked = AttentionRollout((ROWS, COLUMNS), dtype=f"mixed_{dtype}")
    assert asked(maps).dtype == asked.compute_dtype == dtype


def own_model(*, count=2):
    """Returns a model of Keras' attention layers that gives its classes and a heatmap."""
    keras.utils.set_random_seed(6)
    images = keras.Input((ROWS * 4, COLUMNS * 4, 3))
    tokens = layers.Conv2D(WIDTH, 4, 4)(images)
    tokens = layers.Reshape((ROWS * COLUMNS, WIDTH))(tokens)
    tokens = layers.ZeroPadding1D((1, 0))(tokens)
    maps = []
    for _ in range(count):
        read, attention = layers.MultiHeadAttention(2, 4)(
            tokens, tokens, return_attention_scores=True
        )
        tokens = layers.Add()([tokens, read])
        maps.append(attention)
    heatmap = AttentionRollout((ROWS, COLUMNS), residual=0.4, name="heatmap")(maps)
    classes = layers.Dense(2, dtype="float32")(layers.GlobalAveragePooling1D()(tokens))
    return keras.Model(images, [classes, heatmap, *maps])


@pytest.fixture
def images():
    generator = np.random.default_rng(8)
    return generator.random((3, ROWS * 4, COLUMNS * 4, 3)).astype("float32")


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_with_it_is_saved_and_loaded(tmp_path, images, count):
    model = own_model(count=count)
    _, heatmap, *maps = model.predict(images, verbose=0)
    rows = oracle(maps, head_fusion="mean", discard_ratio=0, residual=0.4, start_layer=0)
    np.testing.assert_allclose(heatmap, rows[:, 0, 1:].reshape(-1, ROWS, COLUMNS), atol=1e-6)
    assert tuple(model.outputs[1].shape) == (None, ROWS, COLUMNS)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0)[1], heatmap)
    assert loaded.get_layer("heatmap").get_config() == model.get_layer("heatmap").get_config()


def test_mixed_precision_and_training(images):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = own_model()
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert model.get_layer("heatmap").compute_dtype == "float32"
    _, heatmap, *maps = model.predict(images, verbose=0)
    assert maps[0].dtype == np.float16
    assert heatmap.dtype == np.float32
    rows = oracle(maps, head_fusion="mean", discard_ratio=0, residual=0.4, start_layer=0)
    np.testing.assert_allclose(heatmap, rows[:, 0, 1:].reshape(-1, ROWS, COLUMNS), atol=2e-6)
    classifier = keras.Model(model.inputs, model.outputs[0])
    classifier.compile("sgd", "mse")
    assert np.isfinite(classifier.fit(images, np.zeros((3, 2)), verbose=0).history["loss"]).all()


def test_the_config_holds_what_was_given():
    layer = AttentionRollout((2, 3), prefix=2, suffix=1, readout=(0, 1), start_layer=-1, name="h")
    again = AttentionRollout.from_config(layer.get_config())
    assert again.layout == layer.layout
    assert again.get_config() == layer.get_config()
    assert AttentionRollout((2, 3)).get_config()["readout"] is None
    assert tuple(layer.compute_output_shape([(5, 4, 9, 9)])) == (5, 2, 3)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"head_fusion": "sum"}, ValueError, "`head_fusion` must be one of 'mean', 'max', 'min'"),
        ({"residual": 1.0}, ValueError, r"`residual` must be in \[0, 1\). Received: residual=1.0"),
        ({"discard_ratio": "0"}, TypeError, "`discard_ratio` must be a number in"),
        ({"readout": (9,)}, ValueError, r"`readout` must be one or more token indices in \[0, 7\)"),
    ],
)
def test_wrong_arguments_are_told(options, error, text):
    with pytest.raises(error, match=text):
        AttentionRollout((2, 3), **options)


@pytest.mark.parametrize(
    ("shape", "options", "text"),
    [
        ((1, 2, 6, 6), {}, r"`attentions` must be \[batch, heads, 7, 7\].*has 7 tokens.*prefix"),
        ((1, 7, 7), {}, r"`attentions` must be \[batch, heads, 7, 7\]"),
        ((1, 2, 7, 7), {"start_layer": 1}, r"`start_layer` must be an integer in \[-1, 1\)"),
    ],
)
def test_maps_that_do_not_fit_are_told(shape, options, text):
    with pytest.raises(ValueError, match=text):
        AttentionRollout((2, 3), **options)([tf.ones(shape)])
