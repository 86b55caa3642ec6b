import re
import warnings

import numpy as np
import pytest
from tensorflow import keras
from zoo import several
from zoo.blocks import encoder, patches

from keras_attnviz import AttentionModel
from keras_attnviz.capture.layer_selection import choose

pytestmark = pytest.mark.one_stack


def passed_by(attention_model_warnings):
    return [str(w.message) for w in attention_model_warnings if w.category is UserWarning]


def captured(model, **options):
    """Returns the `AttentionModel` and the texts of the warnings it gives."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        attention_model = AttentionModel(model, **options)
    return attention_model, given


def test_attention_that_rollout_passes_by_is_warned_of():
    attention_model, given = captured(several.channel_attention())
    (text,) = passed_by(given)
    assert "it passes by 2 of 4 attention maps on the way to the predictions" in text
    for item in attention_model.left_out:
        assert f"{item.layer}: {item.reason}" in text
    # It points to the line that made the object.
    assert given[0].filename == __file__


def test_layers_chosen_by_the_user_turn_the_warning_off():
    attention_model, given = captured(several.channel_attention(), layers=[0, 1])
    assert len(attention_model.left_out) == 2
    assert not passed_by(given)


def test_three_maps_are_named_and_the_others_counted():
    _, given = captured(_with_channel_attention(5))
    (text,) = passed_by(given)
    assert "it passes by 5 of 6 " in text
    assert len(re.findall("channel_[0-9]", text)) == 3
    assert "; ...)" in text


def test_attention_that_the_predictions_do_not_pass_through_is_not_warned_of():
    model = _with_channel_attention(1)
    tokens = model.get_layer("tokens").output
    first = keras.layers.Dense(3, name="first")(keras.layers.GlobalAveragePooling1D()(tokens))
    both = keras.Model(model.inputs, [first, model.outputs[0]])
    _, given = captured(both, output=1)
    assert passed_by(given)
    attention_model, given = captured(both, output=0)
    assert len(attention_model.maps) == 1
    assert not passed_by(given)


def test_a_tower_of_texts_is_not_warned_of():
    model = several.image_and_text()
    attention_model, given = captured(model, layers=None)
    assert attention_model.left_out
    assert not passed_by(given)


def _siamese():
    """Returns a model that calls the same tower of two layers twice."""
    images = keras.Input((24, 24, 3))
    tokens = keras.layers.GlobalAveragePooling1D()(encoder(patches(images, 16)))
    tower = keras.Model(images, tokens, name="tower")
    return keras.Model(images, tower(images) + tower(-images))


def test_towers_of_equal_paths_are_told_apart_by_indices():
    model = _siamese()
    text = r"Found: maps 0-1: .*_0.* to .*_1.*; maps 2-3: .*_0.* to .*_1.* with `layers=\[0, 1\]`"
    for layers in (None, ["tower"]):
        with pytest.raises(ValueError, match=text):
            AttentionModel(model, layers=layers)
    found = AttentionModel(model, layers=[np.int64(2), -1]).maps
    assert [each.tower for each in found] == [1, 1]


def test_a_tower_of_one_map_is_named_by_its_index():
    images = keras.Input((24, 24, 3))
    tokens = patches(images, 16)
    heads = [keras.layers.MultiHeadAttention(2, 8, name=name) for name in ("left", "right")]
    both = keras.layers.Concatenate(axis=1)([head(tokens, tokens) for head in heads])
    model = keras.Model(images, keras.layers.GlobalAveragePooling1D()(both))
    with pytest.raises(ValueError, match=r"Found: map 0: .*left.*; map 1: .*right.*=\[0\]` say"):
        AttentionModel(model)


BAD_LAYERS = {
    "a number": (1, TypeError, r"layers=1\. Pass \[1\]\."),
    "a number of NumPy": (np.int64(1), TypeError, r"Pass \[(np\.int64\()?1\)?\]\."),
    "a text": ("patches", TypeError, r"Pass \['patches'\]\."),
    "a float": (1.5, TypeError, r"Received: layers=1\.5\.$"),
    "a dict": ({0: "patches"}, TypeError, r"Received: layers=\{0: 'patches'\}\.$"),
    "a list of floats": ([1.5], TypeError, r"Received: layers=1\.5\.$"),
    "a list of bools": ([True], TypeError, r"Received: layers=True\.$"),
    "an empty text": ([""], ValueError, r"Received: layers=''\. Found: one, two$"),
    "an index beyond the last": ([2], ValueError, r"Received: layers=2\. Found: one, two$"),
    "no layers": ([], ValueError, r"`layers` must be None or at least one layer"),
}


@pytest.mark.parametrize("name", BAD_LAYERS)
def test_layers_that_are_none_are_refused(name):
    layers, error, text = BAD_LAYERS[name]
    with pytest.raises(error, match=text):
        choose("ab", ["one", "two"], layers)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (None, "ab"),
        ([np.int64(1)], ["b"]),
        (np.array([1, 0]), ["a", "b"]),
        (range(2), ["a", "b"]),
        ({"wo"}, ["b"]),
        ([-2, "two"], ["a", "b"]),
    ],
)
def test_layers_by_number_and_by_part_of_their_path(layers, expected):
    assert choose("ab", ["one", "two"], layers) == expected


def _with_channel_attention(count):
    """Returns a model of one attention among patches and `count` among channels."""
    keras.utils.set_random_seed(0)
    images = keras.Input((24, 24, 3))
    tokens = keras.layers.Reshape((9, 8))(keras.layers.Conv2D(8, 8, 8)(images))
    attended = keras.layers.MultiHeadAttention(2, 4, name="patches")(tokens, tokens)
    tokens = keras.layers.Add(name="tokens")([tokens, attended])
    for number in range(count):
        turned = keras.layers.Permute((2, 1))(tokens)
        attention = keras.layers.MultiHeadAttention(1, 4, name=f"channel_{number}")
        attended = keras.layers.Permute((2, 1))(attention(turned, turned))
        tokens = keras.layers.Add()([tokens, attended])
    pooled = keras.layers.GlobalAveragePooling1D()(tokens)
    return keras.Model(images, keras.layers.Dense(3)(pooled))
