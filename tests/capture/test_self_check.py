import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_attnviz import AttentionModel
from keras_attnviz.capture.gates import GateSource
from keras_attnviz.capture.observed_trace import observed
from keras_attnviz.capture.self_check import check_capture
from keras_attnviz.capture.stack import find_stack
from keras_attnviz.capture.trace import trace_model
from keras_attnviz.model_io.signature import InputSignature

pytestmark = pytest.mark.every_stack

WIDE = 8


class Attention(keras.layers.Layer):
    """Attention over tokens `[batch, tokens, WIDE]` with a residual.

    Args:
        weights: function from scores to attention.
    """

    def __init__(self, weights=tf.nn.softmax, **options):
        super().__init__(**options)
        self.weights_of = weights

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(3, WIDE, WIDE), initializer="random_normal", name="kernel"
        )

    def call(self, tokens):
        query, key, value = (
            tf.matmul(tokens, tf.cast(k, tokens.dtype)) for k in tf.unstack(self.kernel)
        )
        scores = tf.matmul(query, key, transpose_b=True)
        return tokens + tf.matmul(self.weights_of(scores), value)


def model_of(*layers, attention=None, first=tf.identity):
    """Returns a model of 2 x 3 patches with one attention, then `layers`, then a head."""
    keras.utils.set_random_seed(3)
    images = keras.Input((8, 12, 3))
    tokens = keras.layers.Conv2D(WIDE, 4, 4)(keras.layers.Lambda(first)(images))
    tokens = keras.layers.Reshape((6, WIDE))(tokens)
    tokens = (attention or Attention)(name="attention")(tokens)
    for layer in layers:
        tokens = layer(tokens)
    return keras.Model(images, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(tokens)))


def noisy(values):
    return values + tf.random.normal(tf.shape(values))


def less_than_one_each(scores):
    exponentials = tf.exp(scores)
    return exponentials / (1.01 * tf.reduce_sum(exponentials, axis=-1, keepdims=True))


def with_the_mean_image(images):
    return images + tf.reduce_mean(images, axis=0, keepdims=True)


class RowsOff(Attention):
    def __init__(self, **options):
        super().__init__(weights=less_than_one_each, **options)


FAILURES = {
    "random numbers behind the attention": (
        lambda: model_of(keras.layers.Lambda(noisy)),
        r"the traced model's predictions differ from the model's own by up to \d.*; it may draw "
        "random numbers in inference mode",
    ),
    "random numbers before the attention": (
        lambda: model_of(first=noisy),
        "the traced model's predictions differ from the model's own by up to .* random numbers "
        "in inference mode",
    ),
    "rows of another sum": (
        lambda: model_of(attention=RowsOff),
        r"the attention rows of layer .*attention don't sum to 1: off by 0\.0099",
    ),
    "attention that other images change": (
        lambda: model_of(first=with_the_mean_image),
        "the attention of layer .*attention for one image depends on the other images of the "
        "batch, so its rows can't be assigned to images",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_does_not_hold_is_named(name):
    build, reason = FAILURES[name]
    text = (
        rf"The check of what was found in the model failed: {reason}\. Choose other attention maps "
        "with `layers`, or pass `self_check=False` if you know better"
    )
    with pytest.raises(ValueError, match=text):
        AttentionModel(build())


@pytest.mark.parametrize("name", FAILURES)
def test_the_check_can_be_left_out(name):
    build, _ = FAILURES[name]
    attention_model = AttentionModel(build(), self_check=False)
    assert len(attention_model.maps) == 1
    images = np.zeros((2, 8, 12, 3), np.float32)
    assert attention_model.rollout(images).shape == (2, 2, 3)


def test_a_model_that_is_as_found_passes():
    assert len(AttentionModel(model_of()).maps) == 1


def captured(model):
    """Returns a model's observed trace, its stack and its gates, unchecked."""
    signature = InputSignature.of(model)
    image = [tf.constant(values) for values in signature.random(1)]
    trace = observed(trace_model(model, signature), image)
    return trace, find_stack(trace, layers=None, layout=None, self_check=True), GateSource(trace)


def check(trace, stack, gates, changed=lambda predictions: predictions):
    check_capture(
        trace, stack, gates, lambda inputs: changed(trace.model(inputs[0], training=False))
    )


def test_weights_that_are_not_finite_are_named():
    model = model_of()
    trace, stack, gates = captured(model)
    model.get_layer("attention").set_weights([np.full((3, WIDE, WIDE), np.nan, np.float32)])
    with pytest.raises(ValueError, match=r"rows of layer .*attention don't sum to 1: off by nan"):
        check(trace, stack, gates, changed=lambda predictions: trace.seen.predictions)


@pytest.mark.parametrize(("factor", "passes"), [(1.0005, True), (1.002, False)])
def test_predictions_may_differ_by_a_thousandth_of_the_largest(factor, passes):
    found = captured(model_of())

    def changed(predictions):
        return factor * predictions

    if passes:
        check(*found, changed)
        return
    with pytest.raises(ValueError, match="predictions differ from the model's own by up to"):
        check(*found, changed)


@pytest.mark.parametrize(("factor", "passes"), [(1.01, True), (1.1, False)])
def test_half_precision_may_differ_by_more(factor, passes):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        found = captured(model_of())
    finally:
        keras.mixed_precision.set_global_policy("float32")

    def changed(predictions):
        return tf.cast(predictions, tf.float32) * factor

    if passes:
        check(*found, changed)
        return
    with pytest.raises(ValueError, match="predictions differ from the model's own by up to"):
        check(*found, changed)


def test_predictions_of_another_shape_are_refused():
    found = captured(model_of())
    text = r"predictions have the shape \(2, 2\), the model's own \(1, 2, 2\)"
    with pytest.raises(ValueError, match=text):
        check(*found, lambda predictions: predictions[tf.newaxis])


def test_rollout_that_is_no_distribution_is_named():
    trace, stack, gates = captured(model_of())
    # As if the weights that the rollout starts from had been worked out wrongly.
    layers = dataclasses.replace(stack.layers, query=np.float32([0.25] * 6))
    with pytest.raises(ValueError, match=r"rollout gives sums of \[1\.5.*\], not 1"):
        check(trace, dataclasses.replace(stack, layers=layers), gates)
