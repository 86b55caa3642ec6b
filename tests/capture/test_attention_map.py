import pytest
from support.small_models import small_vit
from tensorflow import keras

from keras_attnviz import AttentionModel, TokenLayout
from keras_attnviz.capture.attention_map import AttentionMap, summary_lines
from keras_attnviz.capture.tokens.geometry import LeftOut

pytestmark = pytest.mark.one_stack

WINDOWS = AttentionMap(
    layer="swin/stage_0/block_0/attn",
    tower=0,
    kind="windows",
    groups=16,
    heads=3,
    queries=49,
    keys=49,
    grid=(28, 28),
    prefix=0,
    suffix=0,
)
GLOBAL = AttentionMap(
    layer="swin/last",
    tower=1,
    kind="self-attention",
    groups=1,
    heads=12,
    queries=197,
    keys=197,
    grid=None,
    prefix=1,
    suffix=2,
)


LAYER = "swin/stage_0/block_0/attn"
HEADER = (
    "   layer                      tower  kind            groups  heads  queries  keys  grid   "
)


def test_table_of_maps():
    lines = summary_lines([WINDOWS, GLOBAL], (), TokenLayout(1, (28, 14)))
    assert lines == [
        HEADER + "prefix  read-out",
        f"0  {LAYER}      0  windows             16      3       49    49  28x28       0",
        "1  swin/last                      1  self-attention       1     12      197   197  given  "
        "1+2     class token",
        "",
        "TokenLayout(prefix=1, grid=(28, 14), readout=(0,))",
    ]


def test_what_was_left_out_is_listed_with_its_shape_and_reason():
    left_out = (
        LeftOut("xca/softmax", (1, 4, 32, 32), "its keys stand for no single patches", 0),
        LeftOut("a", (1, 8, 5, 7), "its rows don't sum to 1", 1),
    )
    lines = summary_lines([WINDOWS], left_out, TokenLayout(0, (28, 28), range(784)))
    assert lines[1].endswith("28x28       0  all patches")
    assert lines[2:] == [
        "",
        "TokenLayout(prefix=0, grid=(28, 28), readout=range(0, 784))",
        "",
        "seen and left out (shape for one image):",
        "xca/softmax  1x4x32x32  its keys stand for no single patches",
        "a            1x8x5x7    its rows don't sum to 1",
    ]


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
