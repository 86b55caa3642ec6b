import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from support.small_models import small_classifier, small_vit
from tensorflow import keras
from vit_keras import layers as vit_layers
from vit_keras import visualize, vit

from keras_attnviz import AttentionModel, TokenLayout, attention_rollout

pytestmark = pytest.mark.every_stack


def images_like(model, count=3, seed=0):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def block_outputs(vit_model, pixels):
    """The attention maps as vit-keras itself gives them: the blocks' second outputs."""
    blocks = [item for item in vit_model.layers if isinstance(item, vit_layers.TransformerBlock)]
    outputs = [block.output[1] for block in blocks]
    return keras.Model(vit_model.inputs[0], outputs)(pixels, training=False)


def behind_rescaling():
    base = small_vit(image_size=(24, 16))
    inputs = keras.Input((24, 16, 3))
    augmented = keras.layers.RandomRotation(0.1)(keras.layers.RandomFlip()(inputs))
    tokens = base(keras.layers.Rescaling(1 / 127.5, offset=-1)(augmented))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(tokens)))


def behind_resizing():
    base = small_vit()
    inputs = keras.Input((40, 30, 3))
    return keras.Model(inputs, base(keras.layers.Resizing(24, 24)(inputs)))


def nested_twice():
    inner = keras.Sequential([small_vit(), keras.layers.Flatten()], name="inner")
    return keras.Sequential([keras.layers.Rescaling(2.0), inner, keras.layers.Dense(2, "softmax")])


FORMS = {
    "bare, without top": (small_vit, (6, 6)),
    "bare, with top": (lambda: small_vit(include_top=True), (6, 6)),
    "softmax top": (lambda: small_vit(include_top=True, activation="softmax"), (6, 6)),
    "sequential": (small_classifier, (6, 6)),
    "behind rescaling and augmentation": (behind_rescaling, (6, 4)),
    "behind resizing": (behind_resizing, (6, 6)),
    "nested twice": (nested_twice, (6, 6)),
    "wide image": (lambda: small_vit(image_size=(16, 40)), (4, 10)),
    "tall image": (lambda: small_classifier(image_size=(40, 16)), (10, 4)),
}


@pytest.fixture(params=FORMS, scope="module")
def form(request):
    build, grid = FORMS[request.param]
    model = build()
    if not model.built:
        model.build((None, 24, 24, 3))
    return model, AttentionModel(model), grid


def test_finds_maps_and_layout(form):
    _, attention_model, grid = form
    tokens = 1 + grid[0] * grid[1]
    assert attention_model.layout == TokenLayout(1, grid, (0,))
    sizes = [(found.heads, found.queries, found.keys) for found in attention_model.maps]
    assert sizes == [(4, tokens, tokens)] * 2
    for index, found in enumerate(attention_model.maps):
        assert f"encoderblock_{index}/" in found.layer


@pytest.mark.vit_keras  # TensorFlow fuses what other models do in another order.
def test_predictions_do_not_change_by_a_bit(form):
    model, attention_model, _ = form
    pixels = images_like(model)
    predictions, _ = attention_model(pixels)
    plain = tf.function(lambda batch: model(batch, training=False))
    np.testing.assert_array_equal(predictions, plain(tf.constant(pixels)))
    np.testing.assert_array_equal(predictions, model.predict(pixels, verbose=0))


@pytest.mark.vit_keras
def test_maps_are_those_of_the_blocks():
    base = small_vit(image_size=(24, 16))
    pixels = images_like(base)
    model = keras.Sequential([base, keras.layers.Flatten(), keras.layers.Dense(2)])
    _, attentions = AttentionModel(model)(pixels)
    for attention, expected in zip(attentions, block_outputs(base, pixels), strict=True):
        np.testing.assert_allclose(attention, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.vit_keras
@pytest.mark.parametrize("photograph", ["astronaut", "coffee"])
def test_rollout_equals_vit_keras(photograph):
    model = small_vit(image_size=96, include_top=True)
    # A picture of the grid's size: vit-keras enlarges it for the model, and its mask, which it
    # multiplies with the picture, stays as it is.
    picture = cv2.resize(getattr(skimage.data, photograph)(), (24, 24)) // 2 + 127
    theirs = visualize.attention_map(model, picture)
    pixels = vit.preprocess_inputs(cv2.resize(picture, (96, 96)).astype(np.float32))
    heatmap = AttentionModel(model).rollout(pixels[np.newaxis]).numpy()[0]
    ours = (heatmap / heatmap.max())[..., np.newaxis] * picture
    # Theirs is cut off to whole numbers.
    assert np.abs(theirs - np.floor(ours)).max() <= 1
    assert (theirs == np.floor(ours)).mean() > 0.99
    assert theirs.std() > 5


@pytest.mark.vit_keras
def test_rollout_equals_float64():
    model = small_vit(image_size=(24, 16))
    pixels = images_like(model)
    expected = np.eye(25)
    for attention in block_outputs(model, pixels):
        mixed = 0.5 * attention.numpy().astype(np.float64).mean(1) + 0.5 * np.eye(25)
        expected = mixed @ expected
    heatmaps = AttentionModel(model).rollout(pixels)
    np.testing.assert_allclose(heatmaps, expected[:, 0, 1:].reshape(3, 6, 4), rtol=1e-5)


@pytest.mark.one_stack
def test_rollout_takes_the_options():
    model = small_vit()
    attention_model = AttentionModel(model)
    pixels = images_like(model)
    options = {"head_fusion": "max", "discard_ratio": 0.5, "residual": 0.3, "start_layer": 1}
    _, attentions = attention_model(pixels)
    row = attention_rollout(attentions, query=0, **options).numpy()
    result = attention_model.rollout(pixels, **options)
    np.testing.assert_allclose(result, row[:, 1:].reshape(3, 6, 6), rtol=1e-5)


def test_in_a_function_with_unknown_batch():
    model = small_classifier()
    attention_model = AttentionModel(model)

    @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3])])
    def both(batch):
        return attention_model(batch)[0], attention_model.rollout(batch, discard_ratio=0.2)

    for count in (1, 5):
        pixels = images_like(model, count)
        predictions, heatmaps = both(pixels)
        np.testing.assert_array_equal(predictions, attention_model(pixels)[0])
        expected = attention_model.rollout(pixels, discard_ratio=0.2)
        np.testing.assert_allclose(heatmaps, expected, rtol=1e-5)


def test_weight_updates_are_seen_without_tracing_again(faces):
    images, labels = faces
    model = small_classifier()
    attention_model = AttentionModel(model)
    before = attention_model.rollout(images[:2]).numpy()
    model.fit(images, labels, epochs=1, verbose=0)
    after = attention_model.rollout(images[:2]).numpy()
    assert np.abs(after - before).max() > 1e-5
    np.testing.assert_allclose(after, AttentionModel(model).rollout(images[:2]), rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = small_classifier()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    attention_model = AttentionModel(model)
    pixels = images_like(model)
    predictions, attentions = attention_model(pixels)
    np.testing.assert_array_equal(predictions, model.predict(pixels, verbose=0))
    assert attentions[0].dtype == policy.removeprefix("mixed_")
    assert attention_model.layout == TokenLayout(1, (6, 6), (0,))
    heatmaps = attention_model.rollout(pixels)
    assert heatmaps.dtype == tf.float32
    single = small_classifier()
    single.set_weights(model.get_weights())
    expected = AttentionModel(single).rollout(pixels)
    np.testing.assert_allclose(heatmaps, expected, rtol=0.05)


def test_reloaded_model(tmp_path):
    model = keras.Sequential([small_vit(), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    pixels = images_like(model)
    expected = AttentionModel(model).rollout(pixels)
    np.testing.assert_allclose(AttentionModel(reloaded).rollout(pixels), expected, rtol=1e-6)


def test_head_initialized_with_zeros_is_looked_behind():
    model = keras.Sequential(
        [small_vit(), keras.layers.Dense(2, "softmax", kernel_initializer="zeros")]
    )
    assert AttentionModel(model).layout.readout == (0,)


def test_no_trace_is_left_on_the_model():
    regularized = keras.layers.Dense(2, "softmax", activity_regularizer="l2")
    model = keras.Sequential([small_vit(), keras.layers.BatchNormalization(), regularized])
    model.compile("sgd", "sparse_categorical_crossentropy")
    pixels = images_like(model)
    model(pixels)
    layers = list(model._flatten_layers())
    attributes = {id(layer): sorted(vars(layer)) for layer in layers}
    losses = [loss.numpy() for loss in model.losses]
    weights = [weight.numpy() for weight in model.weights]
    AttentionModel(model)(pixels)
    assert [loss.numpy() for loss in model.losses] == losses
    assert len(losses) == 1
    for weight, kept in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(weight, kept)
    assert {id(layer): sorted(vars(layer)) for layer in layers} == attributes


def test_losses_are_given_back_after_an_error():
    class Failing(keras.layers.Layer):
        fails = False

        def call(self, inputs):
            if self.fails:
                raise RuntimeError("on purpose")
            return inputs

    failing = Failing()
    regularized = keras.layers.Dense(2, activity_regularizer="l2")
    model = keras.Sequential([small_vit(), regularized, failing])
    pixels = images_like(model)
    model(pixels)
    failing.fails = True
    with pytest.raises(RuntimeError, match="on purpose"):
        AttentionModel(model)
    (loss,) = model.losses
    assert loss.numpy() > 0


@pytest.mark.one_stack
def test_layers_by_index_and_by_path():
    model = small_vit(layers=3)
    last = AttentionModel(model, layers=[-1])
    assert [found.layer for found in last.maps] == [AttentionModel(model).maps[2].layer]
    named = AttentionModel(model, layers=["encoderblock_0/", "encoderblock_2/"])
    assert [re.findall(r"block_(\d)", found.layer) for found in named.maps] == [["0"], ["2"]]
    pixels = images_like(model)
    _, attentions = AttentionModel(model)(pixels)
    np.testing.assert_array_equal(last(pixels)[1][0], attentions[2])


@pytest.mark.one_stack
def test_layout_given():
    layout = TokenLayout(1, (4, 9), (0,))
    attention_model = AttentionModel(small_vit(), layout=layout, self_check=False)
    assert attention_model.layout is layout
    assert attention_model.rollout(images_like(small_vit())).shape == (3, 4, 9)


def test_summary_lists_maps_and_layout():
    lines = []
    AttentionModel(small_classifier()).summary(print_fn=lines.append)
    header = "layer tower kind groups heads queries keys grid prefix read-out"
    assert " ".join(lines[0].split()) == header
    assert " ".join(lines[1].split()[2:]) == "0 self-attention 1 4 37 37 6x6 1"
    assert "encoderblock_0/" in lines[1]
    assert lines[2].split()[-4:] == ["6x6", "1", "class", "token"]
    assert lines[-1] == "TokenLayout(prefix=1, grid=(6, 6), readout=(0,))"


@pytest.mark.parametrize(
    ("top", "activation"),
    [("softmax", "Softmax"), ("sigmoid", "Sigmoid"), ("linear", None)],
)
def test_last_activation(top, activation):
    model = keras.Sequential([small_vit(), keras.layers.Dense(3, top, dtype="float32")])
    assert AttentionModel(model).activation == activation


def two_inputs():
    inputs = [keras.Input((24, 24, 3), name=name) for name in ("left", "right")]
    return keras.Model(inputs, small_vit()(keras.layers.Add()(inputs)))


class KeysFromQueries(keras.layers.Layer):
    def call(self, tokens):
        keys = tokens / tf.norm(tokens, axis=-1, keepdims=True)
        weights = tf.nn.softmax(tf.matmul(tokens, keys, transpose_b=True))
        return tokens + tf.matmul(weights, tf.tanh(tokens))


def test_keys_may_be_computed_from_the_queries():
    inputs = keras.Input((12, 8, 3))
    patches = keras.layers.Conv2D(5, 4, strides=4)(inputs)
    tokens = KeysFromQueries()(keras.layers.Reshape((6, 5))(patches))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(tokens)))
    (found,) = AttentionModel(model).maps
    assert (found.queries, found.keys, found.grid) == (6, 6, (3, 2))


def test_two_inputs_are_taken_as_the_model_takes_them():
    model = two_inputs()
    attention_model = AttentionModel(model)
    left = images_like(small_vit())
    right = 1 - left
    predictions, _ = attention_model([left, right])
    np.testing.assert_allclose(predictions, model([left, right]), rtol=1e-5, atol=1e-6)
    assert attention_model.rollout([left, right]).shape == (3, 6, 6)
    with pytest.raises(ValueError, match="`images` must be a list or tuple of 2 members"):
        attention_model(left)


def siamese():
    inputs, tower = keras.Input((24, 24, 3)), small_vit()
    return keras.Model(inputs, tower(inputs) + tower(-inputs))


@pytest.mark.one_stack
def test_one_call_of_two_can_be_chosen():
    model = siamese()
    attention_model = AttentionModel(model, layers=[0, 1])
    pixels = images_like(model)
    expected = AttentionModel(model.get_layer("small")).rollout(pixels)
    np.testing.assert_allclose(attention_model.rollout(pixels), expected, rtol=1e-5)


def two_outputs():
    tokens = small_vit()
    return keras.Model(tokens.input, [tokens.output, tokens.output + 1])


def convolutional():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="stem"), keras.layers.Softmax()]
    )


class Conditional(keras.layers.Layer):
    """Attention in a branch, and a loop beside it."""

    def call(self, tokens):
        def attend():
            return tf.matmul(tf.nn.softmax(tf.matmul(tokens, tokens, transpose_b=True)), tokens)

        return tf.cond(tf.reduce_sum(tokens) < 9.0, attend, lambda: tokens)


def conditional():
    images = keras.Input((24, 24, 3))
    tokens = keras.layers.Reshape((9, 4))(keras.layers.Conv2D(4, 8, 8)(images))
    return keras.Model(images, Conditional(name="gated")(tokens))


class Trained(keras.Model):
    """A model that can be trained and not called."""

    def train_step(self, data):
        return {"loss": 0.0}


@pytest.mark.parametrize(
    ("build", "options", "error", "text"),
    [
        (lambda: "vit", {}, TypeError, r"`model` must be a Keras model\. Received: model='vit'"),
        (Trained, {}, ValueError, r"can be called\. Received: model 'trained' .* has no `call`\."),
        (conditional, {}, ValueError, r"outside of conditions and loops.*`tf\.cond`.*gated"),
        (convolutional, {}, ValueError, r"must compute attention.*Layers seen: .*stem \(Conv2D\)"),
        (
            two_outputs,
            {},
            ValueError,
            r"`output` must be .*Received: output=None.*The model has: 0:",
        ),
        (lambda: keras.Sequential([small_vit().layers[-1]]), {}, ValueError, "image size must be"),
        (small_vit, {"layers": [3]}, ValueError, r"`layers` must be indices.*Received: layers=3"),
        (small_vit, {"layers": ["block_7"]}, ValueError, r"layers='block_7'.*encoderblock_0"),
        (
            small_vit,
            {"layers": "block_1"},
            TypeError,
            r"`layers` must be a list.*Pass \['block_1'\]",
        ),
        (small_vit, {"layers": 1}, TypeError, r"`layers` must be a list of indices"),
        (siamese, {}, ValueError, r"must belong to one stack.*block_0/.* doesn't read .*block_1/"),
        (small_vit, {"layers": []}, ValueError, "`layers` must be None or at least one layer"),
        (small_vit, {"layout": (1, 6, 6)}, TypeError, "`layout` must be a TokenLayout"),
        (
            small_vit,
            {"layout": TokenLayout(1, (5, 5))},
            ValueError,
            r"`layout` must be .* grid=\(6, 6\)",
        ),
        (small_vit, {"layout": TokenLayout(0, (6, 6), suffix=1)}, ValueError, "prefix=1.*suffix=0"),
        (small_vit, {"image_shape": (32, 32, 3)}, ValueError, r"`image_shape` must be .*24, 24, 3"),
    ],
)
def test_bad_models_and_arguments_are_named(build, options, error, text):
    with pytest.raises(error, match=text):
        AttentionModel(build(), **options)


def test_images_of_another_shape_are_refused():
    attention_model = AttentionModel(small_vit())
    with pytest.raises(ValueError, match=r"`images` must be of shape \(None, 24, 24, 3\)"):
        attention_model(np.zeros((1, 32, 32, 3), np.float32))


@pytest.mark.one_stack  # It needs another backend, which only the default stack installs.
def test_another_keras_backend_is_refused():
    code = (
        "from tensorflow import keras\n"
        "from keras_attnviz import AttentionModel\n"
        "AttentionModel(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "The Keras backend must be 'tensorflow'. Received: 'jax'" in result.stderr
