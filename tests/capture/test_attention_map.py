import pytest
from support.small_models import small_vit
from tensorflow import keras

from keras_attnviz import AttentionModel

pytestmark = pytest.mark.one_stack


def trainable(model):
    return [found.trainable for found in AttentionModel(model).maps]


def test_maps_that_no_trained_weight_reaches_are_not_trainable():
    model = small_vit(layers=3)
    assert trainable(model) == [True, True, True]
    model.trainable = False
    assert trainable(model) == [False, False, False]
    model.trainable = True
    for layer in model.layers:
        layer.trainable = layer.name.endswith("block_1")
    assert trainable(model) == [False, True, True]


def test_a_trained_patch_embedding_changes_all_maps():
    model = small_vit(layers=3)
    for layer in model.layers:
        layer.trainable = isinstance(layer, keras.layers.Conv2D)
    assert trainable(model) == [True, True, True]
