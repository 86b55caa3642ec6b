"""Attention layers put into convolutional networks that are already trained."""

import numpy as np
import pytest
from support import feature_oracles as oracles
from tensorflow import keras
from zoo.small_convnets import ENDS, filled, photographs, residual_net

from keras_attnviz import (
    BottleneckAttention,
    ConvBlockAttention,
    EfficientChannelAttention,
    SqueezeExcite,
    backbone_stages,
    with_stage_attention,
)

layers = keras.layers


def identity(stage):
    return layers.Activation("linear", name=f"gate_{stage}")


def outputs_of(model, name, images):
    """Returns what a layer of a model answers."""
    return keras.Model(model.input, model.get_layer(name).output)(images, training=False)


@pytest.mark.parametrize("classes", [None, 7])
@pytest.mark.parametrize("side", [32, None])
def test_layers_that_change_nothing_leave_outputs_and_weights(classes, side):
    backbone, images = residual_net(classes=classes, side=side or 32), photographs()
    model = with_stage_attention(backbone, identity)
    np.testing.assert_array_equal(model(images, training=False), backbone(images, training=False))
    for one, two in zip(backbone.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    names = [layer.name for layer in backbone.layers]
    assert [layer.name for layer in model.layers if not layer.name.startswith("gate_")] == names
    assert [name for layer in model.layers if (name := layer.name).startswith("gate_")] == [
        f"gate_{number}" for number, _, _ in ENDS
    ]


@pytest.mark.parametrize(("number", "end", "shape"), ENDS)
def test_what_follows_reads_the_layers_answer(number, end, shape):
    backbone, images = residual_net(classes=7), photographs()
    model = with_stage_attention(
        backbone, lambda stage: layers.Rescaling(-2.0, name=f"gate_{stage}"), stages=[number]
    )
    features = outputs_of(backbone, end, images)
    np.testing.assert_array_equal(outputs_of(model, end, images), features)
    np.testing.assert_array_equal(outputs_of(model, f"gate_{number}", images), -2 * features)
    # The rest of the backbone, given the answer.
    rest = keras.Model(backbone.get_layer(end).output, backbone.outputs[0])
    np.testing.assert_allclose(
        model(images, training=False), rest(-2 * features, training=False), rtol=1e-6
    )
    assert len(model.layers) == len(backbone.layers) + 1


def test_the_backbone_is_left_as_it_is():
    backbone, images = residual_net(), photographs()
    before = [len(layer._inbound_nodes) for layer in backbone.layers]
    weights = backbone.get_weights()
    model = with_stage_attention(backbone, lambda stage: SqueezeExcite(2))
    assert [len(layer._inbound_nodes) for layer in backbone.layers] == before
    assert not set(map(id, backbone.layers)) & set(map(id, model.layers))
    model.compile("sgd", "mse")
    model.fit(images, np.zeros((2, *model.outputs[0].shape[1:])), verbose=0)
    for one, two in zip(weights, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_of_a_frozen_backbone_only_the_new_layers_learn():
    backbone, images = residual_net(), photographs()
    backbone.trainable = False
    model = with_stage_attention(
        backbone, lambda stage: BottleneckAttention(2, name=f"gate_{stage}")
    )
    names = {layer.name for layer in model.layers if layer.trainable_weights}
    assert names == {"gate_1", "gate_2", "gate_3"}
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.compile("sgd", "mse")
    model.fit(images, np.zeros((2, *model.outputs[0].shape[1:])), verbose=0)
    for layer in model.layers:
        pairs = list(zip(before[layer.name], layer.get_weights(), strict=True))
        changed = any(np.abs(one - two).max() > 0 for one, two in pairs)
        assert changed == layer.name.startswith("gate_"), layer.name


def test_what_normalization_has_learned_is_kept():
    # Keras 3 computes with a copy of these weights, see `give_weights`.
    backbone, images = residual_net(), photographs()
    model = with_stage_attention(backbone, identity)
    standard = outputs_of(model, "standardize", images)
    assert np.abs(standard - images).max() > 1
    np.testing.assert_array_equal(standard, outputs_of(backbone, "standardize", images))


def test_structure_nesting_sharing_and_arguments_are_kept():
    # A dict of inputs, a model as a layer, one layer called twice, a call with `training=False`.
    inputs = {
        name: keras.Input(shape, name=name)
        for name, shape in (("images", (16, 16, 3)), ("scale", (1, 1, 1)))
    }
    stem = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Normalization(), layers.Conv2D(4, 3, padding="same")],
        name="stem",
    )
    features = stem(inputs["images"]) * inputs["scale"]
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    features = shared(shared(features))
    features = layers.BatchNormalization(name="norm")(features, training=False)
    down = layers.Conv2D(4, 3, 2, "same", name="down")(features)
    outputs = {"half": down, "whole": features}
    backbone = filled(keras.Model(inputs, outputs))
    stem.layers[0].adapt(np.random.default_rng(0).uniform(3, 5, (2, 16, 16, 3)))
    values = {"images": photographs(side=16), "scale": np.full((2, 1, 1, 1), 3, "float32")}
    plain = with_stage_attention(backbone, identity)
    assert [stage.layer for stage in backbone_stages(backbone)] == ["norm", "down"]
    doubled = with_stage_attention(
        backbone, lambda stage: layers.Rescaling(2.0, name=f"gate_{stage}"), stages=[2]
    )
    for training in (False, True):
        expected = backbone(values, training=training)
        answer = plain(values, training=training)
        assert set(answer) == {"half", "whole"}
        for name, array in expected.items():
            np.testing.assert_array_equal(answer[name], array)
        answer = doubled(values, training=training)
        np.testing.assert_array_equal(answer["half"], 2 * expected["half"])
        np.testing.assert_array_equal(answer["whole"], expected["whole"])


def test_functions_in_layers_are_kept():
    images = keras.Input((32, 32, 3))
    scaled = layers.Lambda(lambda values, by: values * by, arguments={"by": 3.0})(images)
    backbone = keras.Model(images, layers.Conv2D(4, 3, 2, "same")(scaled))
    model = with_stage_attention(backbone, identity)
    values = photographs()
    np.testing.assert_array_equal(model(values), backbone(values))


def test_a_sequential_backbone():
    convolutions = [layers.Conv2D(4, 3, 2, "same", name=f"conv_{index}") for index in range(2)]
    backbone = keras.Sequential([keras.Input((32, 32, 3)), *convolutions])
    model = with_stage_attention(backbone, identity)
    images = photographs()
    np.testing.assert_array_equal(model(images), backbone(images))


@pytest.mark.parametrize(
    "layer", [SqueezeExcite, EfficientChannelAttention, BottleneckAttention, ConvBlockAttention]
)
def test_a_network_with_them_is_saved_and_loaded(layer, tmp_path):
    model = with_stage_attention(residual_net(), lambda stage: layer(name=f"gate_{stage}"))
    images = photographs()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    assert isinstance(loaded.get_layer("gate_2"), layer)


def test_a_resnet50_with_bottleneck_attention_grows_as_in_the_paper():
    backbone = keras.applications.ResNet50(weights=None, include_top=False)
    model = with_stage_attention(backbone, lambda stage: BottleneckAttention(), stages=[2, 3, 4])
    added = sum(oracles.count(BottleneckAttention(), channels) for channels in (256, 512, 1024))
    assert model.count_params() - backbone.count_params() == added
    assert model.name == f"{backbone.name}_attention"


class TestWrongArguments:
    @pytest.mark.parametrize("layer", [None, SqueezeExcite()])
    def test_no_function(self, layer):
        text = "`layer` must be a function from a stage's number to a new layer. Received: layer="
        with pytest.raises(TypeError, match=text + ".*Pass `lambda stage: SqueezeExcite"):
            with_stage_attention(residual_net(), layer)

    def test_a_function_that_gives_no_layer(self):
        text = "`layer` must be a function that returns a new Keras layer for stage 1. Received: "
        with pytest.raises(TypeError, match=text + "layer=None"):
            with_stage_attention(residual_net(), lambda stage: None)

    def test_one_layer_for_two_stages(self):
        layer = SqueezeExcite()
        text = "returns a new Keras layer for stage 2. .*Create the layer inside the function"
        with pytest.raises(ValueError, match=text):
            with_stage_attention(residual_net(), lambda stage: layer)

    def test_a_layer_that_changes_the_shape(self):
        text = (
            r"`layer` must be a function that gives layers which keep the shape \(None, 16, 16, 4\)"
            r".* pool gives \(None, 8, 8, 4\)"
        )
        with pytest.raises(ValueError, match=text):
            with_stage_attention(residual_net(), lambda stage: layers.MaxPooling2D(name="pool"))

    @pytest.mark.parametrize(
        ("stages", "error"),
        [
            ([0], ValueError),
            ([4], ValueError),
            ([], ValueError),
            ([2, 2], ValueError),
            ([1.0], ValueError),
            (2, TypeError),
        ],
    )
    def test_stages(self, stages, error):
        text = (
            r"`stages` must be one or more different numbers of the stages 1 \(stem_relu\), "
            r"2 \(block_out\), 3 \(down_out\). Received: stages="
        )
        with pytest.raises(error, match=text):
            with_stage_attention(residual_net(), identity, stages=stages)

    def test_no_model(self):
        with pytest.raises(TypeError, match="`backbone` must be a functional Keras model"):
            with_stage_attention(keras.applications.ResNet50, identity)


BACKBONES = {
    "ConvNeXtTiny": 4,
    "DenseNet121": 5,
    "EfficientNetB0": 5,
    "EfficientNetV2B0": 5,
    "InceptionV3": 5,
    "MobileNet": 5,
    "MobileNetV2": 5,
    "MobileNetV3Small": 5,
    "ResNet50V2": 5,
    "VGG16": 5,
    "Xception": 5,
}


@pytest.mark.one_stack
@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_of_keras_applications(name):
    build = getattr(keras.applications, name)
    backbone = build(weights=None, include_top=False, input_shape=(None, None, 3))
    for layer in backbone.layers:
        if isinstance(layer, layers.Normalization) and layer.weights:
            layer.adapt(photographs())
        if isinstance(layer, layers.BatchNormalization):
            layer.beta.assign(np.full(layer.beta.shape, 0.1))
    model = with_stage_attention(backbone, identity)
    gates = [layer.name for layer in model.layers if layer.name.startswith("gate_")]
    assert sorted(gates) == [f"gate_{number + 1}" for number in range(BACKBONES[name])]
    images = photographs(1, side=96)
    expected = backbone(images, training=False)
    assert np.std(expected) > 0
    np.testing.assert_array_equal(model(images, training=False), expected)
    for one, two in zip(backbone.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    keras.backend.clear_session()
