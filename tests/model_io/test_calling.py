import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from zoo.blocks import classifier, encoder, patches

from keras_attnviz import AttentionModel
from keras_attnviz.model_io.calling import build, own_predictions, variables_kept
from keras_attnviz.model_io.signature import InputSignature

pytestmark = pytest.mark.every_stack


class Counter(keras.layers.Layer):
    """Counts its calls; raises after the count where it is told to."""

    def __init__(self, fails=False, **options):
        super().__init__(**options)
        self.fails = fails

    def build(self, _):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, inputs):
        self.calls.assign_add(1.0)
        if self.fails:
            inputs = inputs + tf.gather([0.0], tf.cast(inputs[0, 0, 0, 0], tf.int32) + 7)
        return inputs


def vit(*before):
    keras.utils.set_random_seed(2)
    images = keras.Input((24, 24, 3))
    inputs = images
    for layer in before:
        inputs = layer(inputs)
    tokens = encoder(patches(inputs, 16), depth=1)
    return classifier(images, keras.layers.GlobalAveragePooling1D()(tokens))


def test_variables_are_left_as_found():
    counter = Counter()
    model = vit(counter)
    before = [tf.identity(variable) for variable in model.variables]
    attention_model = AttentionModel(model)
    attention_model.rollout(np.zeros((2, 24, 24, 3), np.float32))
    assert float(tf.convert_to_tensor(counter.calls)) == 0
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(tf.convert_to_tensor(variable), value)


@pytest.mark.keras3
def test_random_states_are_left_as_found():
    class Noise(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed = keras.random.SeedGenerator(4)

        def call(self, inputs):
            return inputs + 0.0 * keras.random.normal(tf.shape(inputs), seed=self.seed)

    noise = Noise()
    model = vit(noise)

    def state():
        return tf.convert_to_tensor(noise.seed.state).numpy().tolist()

    before = state()
    AttentionModel(model)
    assert state() == before
    model(np.zeros((1, 24, 24, 3), np.float32))
    assert state() != before


def test_variables_are_given_back_after_a_failure():
    counter = Counter(fails=True)
    model = keras.Sequential([keras.Input((4, 4, 1)), counter])
    pixels = tf.ones([1, 4, 4, 1])
    text = r"an error for made-up ones of the shapes \{.*: \(1, 4, 4, 1\)\}: .* Pass an example"
    with pytest.raises(ValueError, match=text):
        own_predictions(model, InputSignature.of(model), [pixels])
    assert float(tf.convert_to_tensor(counter.calls)) == 0


def test_a_weight_that_a_call_sets_is_given_back():
    model = vit()
    weights = model.get_weights()
    with variables_kept(model):
        model.set_weights([np.full_like(array, 3) for array in weights])
    for found, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_own_predictions_are_those_of_a_call():
    model = vit()
    (pixels,) = InputSignature.of(model).random(2)
    found = own_predictions(model, InputSignature.of(model), [tf.constant(pixels)])
    np.testing.assert_array_equal(found, model(pixels, training=False))


def test_models_are_built_for_any_batch_size():
    layers = keras.layers
    inner = keras.Sequential([layers.Flatten(), layers.Dense(4)])
    model = keras.Sequential([layers.Conv2D(4, 8, 8), inner, layers.Dense(3)])
    build(model, InputSignature.of(model, image_shape=(16, 24, 3)))
    assert tuple(model.input_shape) == (None, 16, 24, 3)
    assert tuple(inner.input_shape) == (None, 2, 3, 4)
    assert model.predict(np.zeros((5, 16, 24, 3), np.float32), verbose=0).shape == (5, 3)


def test_building_calls_nothing():
    counter = Counter()
    model = keras.Sequential([counter, keras.layers.Flatten()])
    build(model, InputSignature.of(model, image_shape=(4, 4, 1)))
    assert model.built
    assert float(tf.convert_to_tensor(counter.calls)) == 0


def test_what_is_built_is_left_alone():
    model = vit()
    build(model, None)
