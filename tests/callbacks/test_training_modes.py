"""A real fit with the callback, in every way that Keras has to run and to change a model.

Models with several inputs or outputs are in test_several_inputs.py.
"""

import concurrent.futures
import contextlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.event_files import images_of, scalars_of
from support.paths import TESTS
from tensorflow import keras
from zoo.blocks import LearnedTokens, Positions, Take, Tokens, encoder, patches
from zoo.family import KERAS_3, this_stack

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet, TokenLayout

pytestmark = pytest.mark.every_stack

layers = keras.layers
needs_remat = pytest.mark.skipif(this_stack() != KERAS_3, reason="Keras has had remat since 3.9")


@pytest.fixture(scope="module")
def data():
    return random_data()


def random_data():
    """Returns 16 images of noise and their labels; class 1 is the brighter one."""
    labels = np.arange(16) % 2
    noise = np.random.default_rng(2).random((16, 24, 24, 3))
    return (noise * 0.7 + 0.3 * labels[:, None, None, None]).astype("float32"), labels


def small_model(*, compiled=True, **options):
    """Returns a classifier with a class token and two layers, seeded; compiled with `options`."""
    keras.utils.set_random_seed(4)
    image = keras.Input((24, 24, 3))
    token = Take(0)(encoder(LearnedTokens()(patches(image, 16)), dropout=0.2))
    model = keras.Model(image, layers.Dense(2, "softmax", dtype="float32")(token))
    if compiled:
        compile_model(model, **options)
    return model


def compile_model(model, **options):
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", **options)


def own_attentions(model, images):
    """Returns the attention maps that Keras' own layers give when they are asked."""
    found = []
    for layer in model.layers:
        if isinstance(layer, (layers.MultiHeadAttention, RecomputedBlock)):
            source = tf.nest.flatten(layer.input)[0]
            layer = getattr(layer, "attention", layer)
            tokens = keras.Model(model.inputs[0], source)(images, training=False)
            found.append(layer(tokens, tokens, return_attention_scores=True, training=False)[1])
    return found


def check_fit(model, data, log_dir, *, tolerance=1e-5, layout=None):
    """Fits, and holds the log, the maps and the predictions against the model itself."""
    images, labels = data
    callback = AttentionRolloutCallback(ProbeSet(images[:3]), log_dir, layout=layout)
    model.fit(images, labels, batch_size=4, epochs=2, verbose=0, callbacks=[callback])
    check_log(log_dir)
    check_maps(model, images[:3], tolerance=tolerance, layout=layout)


def check_log(log_dir):
    scalars, pictures = scalars_of(log_dir / "attention"), images_of(log_dir / "attention")
    assert len(pictures) == 3
    assert "attention/entropy/layer_1" in scalars
    for series in (*scalars.values(), *pictures.values()):
        assert list(series) == [-1, 0, 1]
    assert np.isfinite([list(series.values()) for series in scalars.values()]).all()
    assert scalars["attention/drift_from_baseline"][1] > 0


def check_maps(model, images, *, tolerance=1e-5, layout=None):
    """Holds predictions and maps of an `AttentionModel` against the model's own."""
    predictions = model(images, training=False)
    expected = own_attentions(model, images)
    attention_model = AttentionModel(model, layout=layout, self_check=False)
    given, attentions = attention_model(images)
    np.testing.assert_allclose(given, predictions, atol=tolerance)
    assert len(attentions) == len(expected) == 2
    for attention, own in zip(attentions, expected, strict=True):
        assert attention.shape == (len(images), 2, 10, 10)
        attention, own = np.asarray(attention, "float32"), np.asarray(own, "float32")
        np.testing.assert_allclose(attention.sum(axis=-1), 1, atol=tolerance)
        np.testing.assert_allclose(attention, own, atol=tolerance)
    assert attention_model.layout == TokenLayout(1, (3, 3), (0,))
    rollout = attention_model.rollout(images).numpy()
    assert rollout.shape == (len(images), 3, 3)
    assert ((rollout.sum(axis=(1, 2)) > 0.2) & (rollout.sum(axis=(1, 2)) < 1)).all()


def test_plain(data, tmp_path):
    check_fit(small_model(), data, tmp_path)


@contextlib.contextmanager
def policy(name):
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(("name", "tolerance"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
def test_mixed_precision(data, tmp_path, name, tolerance):
    with policy(name):
        model = small_model()
    check_fit(model, data, tmp_path, tolerance=tolerance)
    assert model.get_layer("attention_0").compute_dtype == name.removeprefix("mixed_")


@pytest.mark.parametrize(
    "options",
    [{"jit_compile": True}, {"steps_per_execution": 2}, {"run_eagerly": True}],
    ids=lambda options: next(iter(options)),
)
def test_ways_to_compile(data, tmp_path, options):
    check_fit(small_model(**options), data, tmp_path)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
def test_functions_that_run_eagerly_by_the_users_wish(data, tmp_path):
    model = small_model()
    tf.config.run_functions_eagerly(True)
    try:
        check_fit(model, data, tmp_path)
        assert tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)


def trainable_products(model):
    """Returns the layers whose kernel can be adapted, those inside attention among them."""
    found = model._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in found if isinstance(layer, (layers.Dense, layers.EinsumDense))]


@pytest.mark.keras3
def test_lora(data, tmp_path):
    model = small_model(compiled=False)
    products = trainable_products(model)
    assert len(products) == 2 * 6 + 1
    for layer in products:
        layer.enable_lora(2)
    compile_model(model)
    check_fit(model, data, tmp_path)
    assert all(np.abs(layer.lora_kernel_b).max() > 0 for layer in products[:-1])


@pytest.mark.slow
@pytest.mark.keras3
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize:UserWarning")
def test_int8(data, tmp_path):
    model = small_model(compiled=False)
    floats = own_attentions(model, data[0][:3])
    model.quantize("int8")
    for rounded, exact in zip(own_attentions(model, data[0][:3]), floats, strict=True):
        assert 0 < np.abs(rounded - exact).max() < 0.02
    compile_model(model)
    check_fit(model, data, tmp_path)


def test_frozen_layers(data, tmp_path):
    model = small_model(compiled=False)
    for layer in model.layers[:-1]:
        layer.trainable = isinstance(layer, Positions)
    compile_model(model)
    frozen = [weight.numpy() for weight in model.get_layer("attention_0").weights]
    check_fit(model, data, tmp_path)
    for weight, before in zip(model.get_layer("attention_0").weights, frozen, strict=True):
        np.testing.assert_array_equal(weight, before)


class RecomputedBlock(layers.Layer):
    """Attention whose activations are computed again in the backward pass."""

    def __init__(self, name):
        super().__init__(name=name)
        self.attention = layers.MultiHeadAttention(2, 8)
        self.recomputed = keras.remat(self.residual)

    def build(self, shape):
        self.attention.build(shape, shape)

    def residual(self, tokens):
        return tokens + self.attention(tokens, tokens)

    def call(self, tokens):
        return self.recomputed(tokens)


@needs_remat
@pytest.mark.parametrize("layout", [None, TokenLayout(1, (3, 3), (0,))])
def test_recomputed_layers(data, tmp_path, layout):
    keras.utils.set_random_seed(4)
    image = keras.Input((24, 24, 3))
    tokens = LearnedTokens()(patches(image, 16))
    for index in range(2):
        tokens = RecomputedBlock(name=f"block_{index}")(tokens)
    model = keras.Model(image, layers.Dense(2, "softmax")(Take(0)(tokens)))
    compile_model(model)
    check_fit(model, data, tmp_path, layout=layout)


CUSTOM = {layer.__name__: layer for layer in (LearnedTokens, Positions, Take, Tokens)}


def test_a_reloaded_model(data, tmp_path):
    model, images = small_model(), data[0][:3]
    model.fit(*data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=CUSTOM)
    expected = own_attentions(model, images)
    check_maps(loaded, images)
    for attention, before in zip(own_attentions(loaded, images), expected, strict=True):
        np.testing.assert_allclose(attention, before, atol=1e-6)
    check_fit(loaded, data, tmp_path)


def test_threads(data):
    model, images = small_model(), data[0][:3]
    expected = AttentionModel(model).rollout(images)

    def rollouts(_):
        attention_model = AttentionModel(model)
        return [attention_model.rollout(images) for _ in range(3)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(rollouts, range(4)):
            for rollout in found:
                np.testing.assert_allclose(rollout, expected, atol=1e-6)


def mirrored_fit(log_dir):
    """Fits on two logical processors; runs in a process of its own, before TensorFlow starts."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, parts)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = small_model()
    data = random_data()
    check_fit(model, data, log_dir)
    with strategy.scope():
        check_maps(model, data[0][:3])
        assert all(found.trainable for found in AttentionModel(model).maps)
        model.trainable = False
        assert not any(found.trainable for found in AttentionModel(model).maps)


@pytest.mark.slow
def test_mirrored_replicas(tmp_path):
    code = (
        "import sys, pathlib\n"
        f"sys.path[:0] = {[str(TESTS), str(TESTS / 'callbacks')]!r}\n"
        f"import test_training_modes as modes\n"
        f"modes.mirrored_fit(pathlib.Path({str(tmp_path)!r}))\n"
        f"print('held')\n"
    )
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stdout.endswith("held\n"), finished.stderr[-3000:]
