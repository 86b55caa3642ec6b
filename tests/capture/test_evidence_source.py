import re

import numpy as np
import pytest
import tensorflow as tf
from support.small_models import small_vit
from support.watched_model import images, watched_model
from tensorflow import keras
from zoo.blocks import Take, classifier, encoder, patches

from keras_attnviz import AttentionModel
from keras_attnviz.methods.evidence import GRADIENTS, VALUES

layers = keras.layers


def taped_gradients(model, attentions, classes, *, sign=1):
    """Returns the gradients of the logits with respect to each map, by a gradient tape."""
    logits_of = keras.Model(model.input, model.layers[-2].output)
    kernel, bias = model.layers[-1].get_weights()
    with tf.GradientTape() as tape:
        # Eagerly, so that the layers' maps are tensors of the tape.
        tokens = logits_of(tf.constant(images()))
        logits = tokens @ kernel + bias
        logits = tf.concat([-logits, logits], axis=1) if logits.shape[1] == 1 else logits
        if classes is None:
            classes = tf.argmax(logits, axis=1)
        score = tf.reduce_sum(tf.gather(logits, classes, batch_dims=1))
        maps = [attention.map for attention in attentions]
    return tape.gradient(score, maps)


def found_gradients(model, classes):
    return (
        AttentionModel(model).evidence(images(), methods=["relevance"], classes=classes).gradients
    )


@pytest.mark.parametrize("classes", [None, [2, 0, 1], 1])
@pytest.mark.parametrize("activation", ["softmax", None, "sigmoid"])
def test_gradients_are_those_of_a_tape(classes, activation):
    model, attentions = watched_model(activation=activation)
    found = found_gradients(model, classes)
    asked = [1] * 3 if classes == 1 else classes
    for gradient, expected in zip(found, taped_gradients(model, attentions, asked), strict=True):
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("classes", [None, [0, 1, 1]])
def test_one_output_speaks_for_class_1_and_against_class_0(classes):
    model, attentions = watched_model(classes=1, activation="sigmoid")
    found = found_gradients(model, classes)
    for gradient, expected in zip(found, taped_gradients(model, attentions, classes), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)


def test_minus_one_stands_for_the_predicted_class():
    model, _ = watched_model()
    predicted = np.argmax(model(images()), axis=1)
    some = np.where([True, False, True], -1, 2)
    expected = found_gradients(model, np.where(some < 0, predicted, some))
    for gradient, other in zip(found_gradients(model, some), expected, strict=True):
        np.testing.assert_array_equal(gradient, other)


def test_values_are_the_maps_times_lengths_of_values():
    model, attentions = watched_model()
    evidence = AttentionModel(model).evidence(images(), methods=["value_rollout"])
    assert evidence.gradients is None
    tokens = keras.Model(model.input, attentions[0].input)(images())
    values = attentions[0].mixed(tokens).numpy()[..., 16:].reshape(3, -1, 2, 4)
    lengths = np.linalg.norm(values, axis=-1).transpose(0, 2, 1)[:, :, np.newaxis]
    expected = evidence.attentions[0].numpy() * lengths
    np.testing.assert_allclose(evidence.values[0], expected, rtol=1e-4)


def test_one_function_serves_all_methods_and_later_weights_are_seen():
    model, _ = watched_model()
    attention_model = AttentionModel(model)
    methods = ["rollout", "relevance", "value_rollout"]
    before = attention_model.evidence(images(), methods=methods)
    np.testing.assert_allclose(before.predictions, model(images()), rtol=1e-5)
    for weights in model.weights:
        weights.assign(tf.random.stateless_normal(weights.shape, [1, 2]))
    after = attention_model.evidence(images(), methods=methods)
    np.testing.assert_allclose(after.predictions, model(images()), rtol=1e-3, atol=1e-5)
    for name in ("attentions", "gradients", "values"):
        alone = {"attentions": "rollout", "gradients": "relevance", "values": "value_rollout"}[name]
        expected = getattr(attention_model.evidence(images(), methods=[alone]), name)
        for one, other, old in zip(
            getattr(after, name), expected, getattr(before, name), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
            assert np.abs(one - old).max() > 1e-4
    assert (GRADIENTS, VALUES) == ("gradients", "values")


def test_evidence_within_a_function_of_open_batch_size():
    model, _ = watched_model()
    attention_model = AttentionModel(model)

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 24, 3])])
    def of(batch):
        return attention_model.evidence(batch, methods=["relevance"]).gradients

    expected = attention_model.evidence(images(), methods=["relevance"]).gradients
    for one, other in zip(of(images()), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("classes", "kind", "text"),
    [
        (3, ValueError, "`classes` must be None, a class or classes [3], integers in [-1, 3). Rec"),
        ([0, 1, -2], ValueError, "Received: classes=[0, 1, -2]"),
        ([0, 1], ValueError, "`classes` must be None, a class or classes [3]"),
        (1.5, TypeError, "`classes` must be None, a class or classes [3]"),
        ("red", TypeError, "Received: classes='red'"),
    ],
)
def test_classes_that_the_model_hasnt_are_refused(classes, kind, text):
    model, _ = watched_model()
    with pytest.raises(kind, match=re.escape(text)):
        AttentionModel(model).explain(images(), "relevance", classes=classes)


@pytest.mark.one_stack
def test_a_model_without_classes_is_refused():
    features = small_vit()  # [batch, tokens' width] is no map of classes, but passes for one.
    assert (
        AttentionModel(features).explain(np.zeros((1, 24, 24, 3), "f"), "relevance").shape[0] == 1
    )
    keras.utils.set_random_seed(4)
    inputs = keras.Input((16, 24, 3))
    pixels = layers.Dense(3, "softmax")(encoder(patches(inputs, 8)))
    attention_model = AttentionModel(keras.Model(inputs, pixels))
    text = (
        r"need a model that gives class scores \[batch, classes\]. Received: predictions of shape"
    )
    with pytest.raises(ValueError, match=text):
        attention_model.explain(images(), "legrad")
    assert attention_model.explain(images(), "value_rollout").shape == (3, 2, 3)


@tf.custom_gradient
def without_gradient(tensor):
    return tensor, lambda _: None


class Opaque(layers.Layer):
    """Has no gradient."""

    def call(self, tokens):
        return without_gradient(tokens)


def test_a_model_without_gradients_is_refused():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((16, 24, 3))
    tokens = Opaque()(encoder(patches(inputs, 8)))
    from keras_attnviz import TokenLayout

    layout = TokenLayout(0, (2, 3), readout=range(6))
    model = classifier(inputs, Take(0)(tokens))
    attention_model = AttentionModel(model, layout=layout, self_check=False)
    text = "has a gradient of the class's score. Received, where that can't be found: .*attention_0"
    with pytest.raises(ValueError, match=text):
        attention_model.explain(images(), "relevance")
