import numpy as np
import pytest
import tensorflow as tf
from support.small_models import small_vit
from support.watched_model import Watched, images, watched_model
from tensorflow import keras
from zoo.blocks import Take, classifier, encoder, patches

from keras_attnviz import AttentionModel

pytestmark = pytest.mark.every_stack

layers = keras.layers


class Block(layers.Layer):
    """A pre-norm block around an attention that keeps its last map."""

    def __init__(self):
        super().__init__()
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.attention = Watched()
        self.mlp = [layers.Dense(20, "gelu"), layers.Dense(8)]

    def call(self, tokens):
        # `Watched` adds what it reads to what it is given.
        normed = self.norms[0](tokens)
        tokens = tokens + self.attention(normed) - normed
        mixed = self.mlp[1](self.mlp[0](self.norms[1](tokens)))
        return tokens + mixed


def block_model(classes=3):
    """Returns a model that reads its first token, its blocks, and its head as a function."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((16, 24, 3))
    tokens = patches(inputs, 8)
    blocks = [Block() for _ in range(3)]
    for block in blocks:
        tokens = block(tokens)
    head = [layers.LayerNormalization(), Take(0), layers.Dense(5, "tanh"), layers.Dense(classes)]
    outputs = tokens
    for layer in head:
        outputs = layer(outputs)
    return keras.Model(inputs, layers.Softmax()(outputs)), blocks, head


def taped(model, blocks, head, classes):
    """Returns the gradient of each block's own score with respect to its map, by a tape."""
    embedded = keras.Model(model.input, blocks[0].input)
    with tf.GradientTape(persistent=True) as tape:
        tokens, all_logits = embedded(tf.constant(images())), []
        for block in blocks:
            logits = tokens = block(tokens)
            for layer in head:
                logits = layer(logits)
            all_logits.append(logits)
        if classes is None:
            classes = tf.argmax(all_logits[-1], axis=1)
        scores = [tf.gather(logits, classes, batch_dims=1) for logits in all_logits]
        maps = [block.attention.map for block in blocks]
    return [tape.gradient(*pair) for pair in zip(scores, maps, strict=True)]


def found(model, classes=None, **options):
    attention_model = AttentionModel(model, **options)
    return attention_model.evidence(images(), methods=["legrad"], classes=classes).layer_gradients


@pytest.mark.parametrize("classes", [None, [2, 0, 1]])
def test_each_layers_own_score_is_asked(classes):
    model, blocks, head = block_model()
    expected = taped(model, blocks, head, classes)
    for gradient, own in zip(found(model, classes), expected, strict=True):
        np.testing.assert_allclose(gradient, own, rtol=1e-4, atol=1e-6)
    # The model's own score has other gradients below, the same at the top.
    evidence = AttentionModel(model).evidence(images(), methods=["relevance"], classes=classes)
    np.testing.assert_allclose(evidence.gradients[-1], expected[-1], rtol=1e-4, atol=1e-7)
    assert np.abs(evidence.gradients[0] - expected[0]).max() > 0.1 * np.abs(expected[0]).max()


@pytest.mark.one_stack
@pytest.mark.parametrize("chosen", [[0, 1], [1], [0, 2], [2]])
def test_some_layers(chosen):
    model, blocks, head = block_model()
    expected = taped(model, blocks, head, None)
    gradients = found(model, layers=chosen)
    assert len(gradients) == len(chosen)
    for gradient, layer in zip(gradients, chosen, strict=True):
        np.testing.assert_allclose(gradient, expected[layer], rtol=1e-4, atol=1e-7)


@pytest.mark.one_stack
def test_both_kinds_of_gradients_come_together():
    model, _, _ = block_model()
    attention_model = AttentionModel(model)
    both = attention_model.evidence(images(), methods=["relevance", "legrad"])
    alone = attention_model.evidence(images(), methods=["relevance"])
    for pair in zip(both.gradients, alone.gradients, strict=True):
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-7)
    for pair in zip(both.layer_gradients, found(model), strict=True):
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-7)


@pytest.mark.one_stack
def test_a_single_output_asks_for_class_1_or_against_it():
    model, _ = watched_model(classes=1, activation="sigmoid")
    for one, other in zip(found(model, 1), found(model, 0), strict=True):
        np.testing.assert_allclose(one, -other, rtol=1e-5, atol=1e-8)
        assert np.abs(one).max() > 0


@pytest.mark.one_stack
def test_new_weights_of_the_head_are_seen():
    model, _, head = block_model()
    attention_model = AttentionModel(model)

    def gradients():
        return attention_model.evidence(images(), methods=["legrad"], classes=1).layer_gradients

    before = gradients()
    kernel, bias = head[-1].get_weights()
    head[-1].set_weights([-2 * kernel, bias])
    for pair in zip(before, gradients(), strict=True):
        np.testing.assert_allclose(pair[1], -2 * pair[0], rtol=1e-4, atol=1e-7)


@pytest.mark.one_stack
def test_models_whose_layers_do_not_fit_the_head_are_asked_for_their_own_score():
    inputs = keras.Input((16, 24, 3))
    tokens = encoder(patches(inputs, 8), depth=1)
    tokens = encoder(layers.Dense(24)(tokens), depth=1, prefix="upper")
    model = classifier(inputs, layers.GlobalAveragePooling1D()(tokens))
    evidence = AttentionModel(model).evidence(images(), methods=["legrad", "relevance"])
    for own, of_model in zip(evidence.layer_gradients, evidence.gradients, strict=True):
        np.testing.assert_array_equal(own, of_model)


def test_vit_keras():
    model = small_vit(include_top=True, image_size=16, layers=2)
    pictures = np.random.default_rng(2).random((2, 16, 16, 3), "float32")
    attention_model = AttentionModel(model)
    own = attention_model.evidence(pictures, methods=["legrad"]).layer_gradients
    of_model = attention_model.evidence(pictures, methods=["relevance"]).gradients
    np.testing.assert_allclose(own[1], of_model[1], rtol=1e-4, atol=1e-7)
    # The head reads the class token alone, so only its row is asked below too.
    assert np.abs(own[0][:, :, 0]).max() > 0
    np.testing.assert_array_equal(own[0][:, :, 1:], 0)
    assert np.abs(of_model[0][:, :, 1:]).max() > 0
