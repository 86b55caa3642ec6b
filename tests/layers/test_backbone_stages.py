"""Stages of convolutional networks, found in their graphs."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from zoo.small_convnets import ENDS, residual_net

from keras_attnviz import backbone_stages

layers = keras.layers


@pytest.mark.parametrize("classes", [None, 7])
def test_stages_end_before_the_resolution_is_halved(classes):
    # Neither at a padding, nor inside of a block, nor where there is only pooling, nor at the top.
    assert backbone_stages(residual_net(classes=classes)) == ENDS


def test_without_a_size_of_images_the_stages_are_the_same():
    unknown = [(number, layer, (None, None, shape[-1])) for number, layer, shape in ENDS]
    assert backbone_stages(residual_net(side=None)) == unknown


def test_channels_first():
    images = keras.Input((3, 16, 24))
    options = {"data_format": "channels_first", "padding": "same"}
    features = layers.Conv2D(4, 3, name="first", **options)(images)
    features = layers.Conv2D(6, 3, strides=2, name="second", **options)(features)
    model = keras.Model(images, features)
    assert backbone_stages(model, data_format="channels_first") == [
        (1, "first", (16, 24, 4)),
        (2, "second", (8, 12, 6)),
    ]


def test_a_sequential_model_and_odd_sides():
    convolutions = [layers.Conv2D(2, 3, 2, "same", name=f"conv_{index}") for index in range(4)]
    model = keras.Sequential([keras.Input((21, 9, 3)), *convolutions])
    shapes = [(11, 5, 2), (6, 3, 2), (3, 2, 2), (2, 1, 2)]
    assert [stage.shape for stage in backbone_stages(model)] == shapes


def test_unpadded_convolutions_stay_in_a_stage():
    images = keras.Input((30, 30, 3))
    features = images
    for index, strides in enumerate([1, 1, 2, 1, 1, 2]):
        features = layers.Conv2D(2, 3, strides, name=f"conv_{index}")(features)
    found = backbone_stages(keras.Model(images, features))
    assert [(stage.layer, stage.shape[0]) for stage in found] == [
        ("conv_1", 26),
        ("conv_4", 8),
        ("conv_5", 3),
    ]


def test_a_branch_of_the_block_that_halves_is_no_end():
    # As in a ResNet50V2: activation and convolution beside a shortcut.
    images = keras.Input((16, 16, 3))
    features = layers.Conv2D(4, 3, padding="same", name="first")(images)
    branch = layers.ReLU(name="in_branch")(features)
    branch = layers.Conv2D(4, 3, 2, "same", name="halves")(branch)
    features = layers.Add(name="second")([layers.MaxPooling2D()(features), branch])
    found = backbone_stages(keras.Model(images, features))
    assert [stage.layer for stage in found] == ["first", "second"]


def test_of_several_outputs_the_furthest_is_meant():
    model = residual_net()
    half = keras.Model(model.inputs, [model.get_layer("stem_relu").output, *model.outputs])
    assert backbone_stages(half) == ENDS
    beside = layers.Dense(2)(layers.GlobalAveragePooling2D()(model.get_layer("stem_relu").output))
    for outputs in ([*model.outputs, beside], [beside, *model.outputs]):
        assert backbone_stages(keras.Model(model.inputs, outputs)) == ENDS


def test_a_resnet50_as_in_the_docstring():
    found = backbone_stages(keras.applications.ResNet50(weights=None))
    assert [tuple(stage) for stage in found] == [
        (1, "conv1_relu", (112, 112, 64)),
        (2, "conv2_block3_out", (56, 56, 256)),
        (3, "conv3_block4_out", (28, 28, 512)),
        (4, "conv4_block6_out", (14, 14, 1024)),
        (5, "conv5_block3_out", (7, 7, 2048)),
    ]


def test_the_network_is_left_as_it_is():
    model = residual_net(side=None)
    before = [len(layer._inbound_nodes) for layer in model.layers]
    weights = model.get_weights()
    backbone_stages(model)
    assert [len(layer._inbound_nodes) for layer in model.layers] == before
    for one, two in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


class Subclassed(keras.Model):
    def call(self, images):
        return images


class TestWrongArguments:
    must = "`backbone` must be a functional Keras model, such as those of `keras.applications`. "

    def test_no_model(self):
        with pytest.raises(TypeError, match=self.must + "Received: backbone='ResNet50'"):
            backbone_stages("ResNet50")

    def test_no_graph(self):
        with pytest.raises(ValueError, match=self.must + ".*Subclassed.*called on `keras.Input`"):
            backbone_stages(Subclassed())

    def test_no_feature_maps(self):
        inputs = keras.Input((4,))
        model = keras.Model(inputs, layers.Dense(2)(inputs), name="dense")
        text = "`backbone` must be a convolutional network .* with feature maps. Received: "
        with pytest.raises(ValueError, match=text + ".*Pass the network itself where it is a"):
            backbone_stages(model)

    def test_an_unknown_data_format(self):
        with pytest.raises(ValueError, match="`data_format` must be one of 'channels_last', 'cha"):
            backbone_stages(residual_net(), data_format="NCHW")


def test_images_of_other_dtypes():
    images = keras.Input((None, None, 3), dtype="uint8")
    features = layers.Conv2D(4, 3, 2, "same", name="conv")(layers.Rescaling(1 / 255)(images))
    assert images.dtype in ("uint8", tf.uint8)
    assert backbone_stages(keras.Model(images, features)) == [(1, "conv", (None, None, 4))]
