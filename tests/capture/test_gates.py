"""Gates that are found in models, and their values, held against functional sub-models."""

import numpy as np
import pytest
import tensorflow as tf
from support.small_models import small_classifier
from tensorflow import keras
from zoo import gated
from zoo.blocks import LearnedTokens, Take, Tokens, classifier, encoder

from keras_attnviz import (
    AttentionModel,
    BottleneckAttention,
    ConvBlockAttention,
    EfficientChannelAttention,
    RolloutModel,
    SelectiveKernel,
    SqueezeExcite,
)

pytestmark = pytest.mark.every_stack

layers = keras.layers


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).random((3, 24, 24, 3)).astype("float32")


@pytest.fixture(scope="module")
def all_kinds():
    return gated.all_kinds()


def found(model):
    return [
        (gate.layer, gate.kind, gate.channels, gate.grid) for gate in AttentionModel(model).gates
    ]


def test_each_kind_is_found(all_kinds):
    assert found(all_kinds) == [
        ("gated/squeeze", "channel", 8, (12, 12)),
        ("gated/where", "spatial", 8, (12, 12)),
        ("gated/bottleneck", "channel and spatial", 12, (6, 6)),
        ("gated/select", "branch", 2, (6, 6)),
    ]


def test_values_are_those_of_functional_sub_models(all_kinds, images):
    predictions, values = AttentionModel(all_kinds).gate_values(images)
    np.testing.assert_allclose(predictions, all_kinds(images), atol=1e-6)
    squeeze, where, bottleneck, select = (
        all_kinds.get_layer(name) for name in ("squeeze", "where", "bottleneck", "select")
    )
    sub_model = keras.Model(
        all_kinds.input, [squeeze.input[1], where.input[0], bottleneck.input[1], *select.input]
    )
    channels, positions, plus_one, *branches = sub_model(images)
    np.testing.assert_allclose(values[0], channels[:, 0, 0], atol=1e-6)
    np.testing.assert_allclose(values[1], positions[..., 0], atol=1e-6)
    # The sigmoid, without the 1 that is added to it.
    np.testing.assert_allclose(values[2], plus_one - 1, atol=1e-6)
    pooled = np.mean(branches[0] + branches[1], axis=(1, 2), dtype="float64")
    logits = select.logits(pooled).numpy().reshape(3, 2, -1)
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(values[3], weights.mean(axis=2), atol=1e-5)
    np.testing.assert_allclose(np.sum(values[3], axis=1), 1, atol=1e-6)
    assert all(each.dtype == tf.float32 for each in values)
    assert np.ptp(values[1], axis=(1, 2)).min() > 1e-3


def test_hard_sigmoids_are_gates_too(images):
    model = gated.channels_only()
    assert [gate.kind for gate in AttentionModel(model).gates] == ["channel"] * 2
    _, values = AttentionModel(model).gate_values(images)
    gate = keras.Model(model.input, model.get_layer("second").input[1])(images)
    np.testing.assert_allclose(values[1], gate[:, 0, 0], atol=1e-6)


@pytest.mark.parametrize("activation", ["swish", "sigmoid", "relu6", "hard_swish"])
def test_activations_are_no_gates(activation):
    if activation == "hard_swish":
        activation = layers.Lambda(lambda x: x * tf.nn.relu6(x + 3) / 6)
    images, features = gated.stem(activation=activation)
    other = layers.Conv2D(8, 3, padding="same", activation="relu6")(features)
    product = layers.Multiply(name="product")([other, gated.channel(features, "gate")])
    expected = ["gated/gate"]
    assert [layer for layer, *_ in found(gated.head(images, product))] == expected


def test_updates_of_weights_are_seen(images):
    model = gated.channels_only()
    attention_model = AttentionModel(model)
    before = attention_model.gate_values(images)[1][0]
    kernel = next(layer for layer in model.layers if layer.name.startswith("conv2d"))
    kernel.set_weights([3 * weights for weights in kernel.get_weights()])
    assert np.abs(attention_model.gate_values(images)[1][0] - before).max() > 1e-3


def test_gates_are_named_apart():
    images, features = gated.stem()

    class Both(layers.Layer):
        def build(self, shape):
            self.channels = layers.Dense(shape[-1], activation="sigmoid")
            self.positions = layers.Conv2D(1, 3, padding="same", activation="sigmoid")
            self.channels.build((None, 1, 1, shape[-1]))
            self.positions.build(shape)
            self.built = True

        def call(self, x):
            x = x * self.channels(tf.reduce_mean(x, axis=[1, 2], keepdims=True))
            return x * self.positions(x)

    names = [layer for layer, *_ in found(gated.head(images, Both(name="both")(features)))]
    assert names == ["gated/both/channel", "gated/both/spatial"]


def test_frozen_gates_are_told():
    model = gated.channels_only()
    for layer in model.layers[:-4]:
        layer.trainable = False
    assert [gate.trainable for gate in AttentionModel(model).gates] == [False, True]


@pytest.mark.parametrize(
    ("name", "gates"),
    [("MobileNetV3Small", 9), ("EfficientNetB0", 16), ("EfficientNetV2B0", 16)],
)
def test_gates_of_keras_applications(name, gates):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
    kinds = [gate.kind for gate in AttentionModel(model, self_check=False).gates]
    assert kinds == ["channel"] * gates


def test_there_are_none_in_a_resnet():
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=3)
    with pytest.raises(ValueError, match=r"a gate, a sigmoid .* Received: model 'resnet50', in wh"):
        AttentionModel(model)


def test_transformers_have_none():
    assert AttentionModel(small_classifier()).gates == ()


def test_what_needs_maps_says_so(images):
    attention_model = AttentionModel(gated.channels_only())
    assert attention_model.maps == ()
    assert attention_model.layout is None
    for call in (attention_model.rollout, attention_model.explain):
        with pytest.raises(
            ValueError, match=r"need attention maps. Received: model 'gated', which"
        ):
            call(images)
    with pytest.raises(ValueError, match="has only gates"):
        RolloutModel(gated.channels_only())


def test_the_summary_lists_gates_with_their_kind(all_kinds):
    lines = []
    AttentionModel(all_kinds).summary(print_fn=lines.append)
    assert lines == [
        "   gate              kind                 channels  grid",
        "0  gated/squeeze     channel                     8  12x12",
        "1  gated/where       spatial                     8  12x12",
        "2  gated/bottleneck  channel and spatial        12  6x6",
        "3  gated/select      branch                      2  6x6",
    ]


def test_models_with_tokens_and_gates_have_both(images):
    """A gated stem before a transformer, as in hybrids."""
    inputs, features = gated.stem(channels=12)
    features = gated.spatial(features, "where")
    features = gated.channel(features, "squeeze")
    tokens = Tokens()(layers.Conv2D(24, 2, strides=2)(features))
    model = classifier(inputs, Take(0)(encoder(LearnedTokens()(tokens))))
    attention_model = AttentionModel(model)
    assert len(attention_model.maps) == 2
    assert [gate.kind for gate in attention_model.gates] == ["spatial", "channel"]
    both = attention_model.evidence(images, methods=["relevance"], gates=True)
    alone = attention_model.gate_values(images)[1]
    for pair in zip(both.gates, alone, strict=True):
        np.testing.assert_allclose(*pair, atol=1e-6)
    assert len(both.gradients) == 2


@pytest.mark.parametrize(
    ("layer", "kinds"),
    [
        (SqueezeExcite(4), ["channel"]),
        (EfficientChannelAttention(), ["channel"]),
        (ConvBlockAttention(4), ["channel", "spatial"]),
        (BottleneckAttention(4), ["channel and spatial"]),
        (SelectiveKernel(groups=4), ["branch"]),
        (BottleneckAttention(4, data_format="channels_first"), ["channel and spatial"]),
        (ConvBlockAttention(4, data_format="channels_first"), ["channel", "spatial"]),
    ],
)
def test_gates_of_our_layers_are_found(layer, kinds, images):
    inputs, features = gated.stem()
    axes = (3, 1, 2) if layer.data_format == "channels_first" else (1, 2, 3)
    gated_features = layer(layers.Permute(axes)(features))
    back = (2, 3, 1) if layer.data_format == "channels_first" else (1, 2, 3)
    model = gated.head(inputs, layers.Permute(back)(gated_features))
    attention_model = AttentionModel(model)
    try:
        found = attention_model.gate_values(images)[1]
    except tf.errors.UnimplementedError as error:
        # TensorFlow 2.15 without oneDNN fuses them with what follows, and then can't run them.
        if "grouped convolutions" not in str(error):
            raise
        pytest.skip("TensorFlow doesn't run this graph's grouped convolutions on this processor.")
    assert [gate.kind for gate in attention_model.gates] == kinds
    assert {gate.grid for gate in attention_model.gates} == {(12, 12)}
    for gate, values in zip(attention_model.gates, found, strict=True):
        shapes = {"spatial": (3, 12, 12), "channel": (3, 8), "branch": (3, 2)}
        assert values.shape == shapes.get(gate.kind, (3, 12, 12, 8))
