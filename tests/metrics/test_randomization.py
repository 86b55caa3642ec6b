import numpy as np
import pytest
from support.small_models import small_classifier
from tensorflow import keras

from keras_attnviz import AttentionModel, randomization_check


@pytest.fixture(scope="module")
def images(faces):
    return faces[0][:3]


def dense():
    """Two inputs to two outputs and a sum, with known weights."""
    model = keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(4, name="bottom"),
            keras.layers.Dense(2, name="top", use_bias=False),
        ]
    )
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def same_weights(model, before):
    return all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def test_stages_go_from_the_top_down_and_stay_shuffled():
    model, states = dense(), []
    before = model.get_weights()

    def explain(images):
        states.append(model.get_weights())
        return np.arange(4.0).reshape(1, 2, 2)

    result = randomization_check(model, explain, np.zeros((1, 2, 2, 1)))
    assert result.layers == ("top", "bottom")
    changed = [[not np.array_equal(a, b) for a, b in zip(s, before, strict=True)] for s in states]
    # Kernel and bias of the bottom layer, kernel of the top one.
    assert changed == [[False, False, False], [False, False, True], [True, True, True]]
    for state in states:
        for after, weight in zip(state, before, strict=True):
            np.testing.assert_array_equal(np.sort(after, axis=None), np.sort(weight, axis=None))
    assert same_weights(model, before)


def test_a_method_that_ignores_the_weights_is_not_trusted(images):
    model = small_classifier()
    before = model.get_weights()
    result = randomization_check(model, lambda images: images[..., 0], images)
    np.testing.assert_array_equal(result.correlations, 1)
    assert result.correlations.shape == (len(result.layers), 3)
    assert result.is_sensitive is False
    assert result.text().startswith("The maps can't be trusted: 1.00 agreement")
    assert same_weights(model, before)
    # The head first, the nested backbone's layers after it.
    assert result.layers[0] == model.layers[-1].name
    assert result.layers[-1] not in {layer.name for layer in model.layers}


def test_a_method_of_the_weights_is_trusted():
    model = dense()

    def explain(images):
        # The weights of the bottom layer for each pixel, as a map.
        return model.get_weights()[0][:, :1].reshape(1, 2, 2)

    result = randomization_check(model, explain, np.zeros((1, 2, 2, 1)), seed=3)
    assert result.correlations[0] == 1
    assert result.correlations[1] < 0.5
    assert result.is_sensitive
    assert result.text().startswith("The maps depend on the weights: ")


def test_rollout_of_a_vision_transformer(images):
    model = small_classifier()
    attention_model = AttentionModel(model)
    before = attention_model.rollout(images).numpy()
    result = randomization_check(model, attention_model.rollout, images)
    # The head's weights change nothing in the attention.
    np.testing.assert_array_equal(result.correlations[0], 1)
    assert (result.correlations[-1] < 0.99).all()
    np.testing.assert_array_equal(attention_model.rollout(images), before)
    again = randomization_check(model, attention_model.rollout, images)
    np.testing.assert_array_equal(again.correlations, result.correlations)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_weights_come_back_whatever_is_raised(calls):
    model, made = dense(), []
    before = model.get_weights()

    def explain(images):
        made.append(images)
        if len(made) == calls:
            raise KeyboardInterrupt
        return np.ones((1, 2, 2))

    with pytest.raises(KeyboardInterrupt):
        randomization_check(model, explain, np.zeros((1, 2, 2, 1)))
    assert same_weights(model, before)


def test_broken_and_constant_maps():
    model, made = dense(), []

    def explain(images):
        made.append(images)
        maps = np.stack([np.arange(4.0).reshape(2, 2), np.ones((2, 2))])
        return maps if len(made) < 3 else maps * np.nan

    result = randomization_check(model, explain, np.zeros((2, 2, 2, 1)))
    np.testing.assert_array_equal(result.correlations, [[1, 1], [0, 0]])


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model"):
        randomization_check(len, len, [])
    empty = keras.Sequential([keras.Input((2,)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"`model` must be built, with floating-point weights"):
        randomization_check(empty, len, [])
    with pytest.raises(
        ValueError, match=r"`explain` must be a function that returns heatmaps \[images"
    ):
        randomization_check(dense(), lambda images: np.ones((2, 2)), [])
