import re
import warnings

from tensorflow import keras
from zoo import several

from keras_attnviz import AttentionModel


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
