"""The model that gives predictions and heatmaps: predicted, saved, exported, served alone."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.several_inputs import as_dict, model_of
from support.small_models import pooled_model, small_classifier
from tensorflow import keras

from keras_attnviz import AttentionModel, RolloutModel, TokenLayout

pytestmark = pytest.mark.every_stack

layers = keras.layers

# Reads SavedModels as a server does that has TensorFlow alone.
SERVER = """
import pathlib
import sys
import numpy as np
sys.modules["keras_attnviz"] = sys.modules["keras"] = None
import tensorflow as tf
for folder in pathlib.Path(sys.argv[1]).iterdir():
    inputs = np.load(folder / "inputs.npz")
    served = tf.saved_model.load(str(folder / "exported")).signatures["serving_default"]
    found = served(**{name: tf.constant(inputs[name]) for name in inputs})
    np.savez(folder / "outputs.npz", **{name: tensor.numpy() for name, tensor in found.items()})
try:
    import keras_attnviz
except ImportError:
    print("served alone")
"""


@pytest.fixture(scope="module")
def model():
    """The classifier with weights by which its head depends on the tokens."""
    model = pooled_model()
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0, 0.5, array.shape) for array in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).random((5, 16, 24, 3)).astype("float32")


@pytest.fixture(scope="module")
def rollout_model(model):
    return RolloutModel(model)


@pytest.fixture(scope="module")
def rollout(model, images):
    return AttentionModel(model).rollout(images)


def test_predictions_and_rollout_are_those_of_the_model(model, rollout_model, rollout, images):
    found = rollout_model.predict(images, batch_size=2, verbose=0)
    assert list(found) == ["predictions", "rollout"]
    np.testing.assert_allclose(found["predictions"], model.predict(images, verbose=0), atol=1e-6)
    np.testing.assert_allclose(found["rollout"], rollout, atol=1e-7)
    assert found["rollout"].shape == (5, 4, 6)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("attention", {"layer": 0, "head": 1}),
        ("affinity", {"top_layers": 1}),
        ("relevance", {}),
    ],
)
def test_other_methods_stand_under_their_names(model, images, method, options):
    found = RolloutModel(model, method=method, **options)(images)
    expected = AttentionModel(model).explain(images, method, **options)
    assert list(found) == ["predictions", method]
    np.testing.assert_allclose(found[method], expected, rtol=1e-5, atol=1e-7)


def test_weights_are_shared_and_training_is_seen(model, images):
    trained = pooled_model()
    trained.set_weights(model.get_weights())
    rollout_model = RolloutModel(trained)
    before = rollout_model.predict(images, verbose=0)
    trained.fit(images, np.arange(5) % 2, epochs=3, verbose=0)
    after = rollout_model.predict(images, verbose=0)
    assert np.abs(after["rollout"] - before["rollout"]).max() > 1e-5
    np.testing.assert_allclose(after["rollout"], AttentionModel(trained).rollout(images), atol=1e-7)
    assert len(rollout_model.weights) == len(trained.weights)


def test_dropout_stays_off_in_training_mode(rollout_model, images):
    first, second = (rollout_model(images, training=True)["predictions"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_it_is_saved_and_loaded_without_a_warning(tmp_path, images):
    # The models of vit-keras have Lambda layers.
    model = small_classifier(image_size=(16, 24), layers=2)
    layout = TokenLayout(1, (4, 6))
    rollout_model = RolloutModel(model, layers=[1], layout=layout, head_fusion="max", name="both")
    expected = rollout_model.predict(images, verbose=0)
    rollout_model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    assert isinstance(loaded, RolloutModel)
    assert loaded.name == "both"
    found = loaded.predict(images, verbose=0)
    np.testing.assert_array_equal(found["rollout"], expected["rollout"])
    np.testing.assert_array_equal(found["predictions"], expected["predictions"])
    assert loaded.attention_model.layout == layout
    assert getattr(loaded.model, "optimizer", None) is None
    loaded.save(tmp_path / "again.keras")


def test_attention_is_found_with_the_weights_that_a_file_holds(
    tmp_path, rollout_model, rollout, images
):
    # Before these are loaded the head is dead, and no read-out could be found.
    with pytest.raises(ValueError, match="depends on no token"):
        RolloutModel(pooled_model())
    rollout_model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = loaded.predict(images, verbose=0)["rollout"]
    np.testing.assert_allclose(found, rollout, atol=1e-7)


def test_it_stands_in_a_functional_model(rollout_model, rollout, images):
    inputs = keras.Input((16, 24, 3))
    outputs = rollout_model(inputs)
    assert tuple(outputs["rollout"].shape) == (None, 4, 6)
    found = keras.Model(inputs, outputs).predict(images, verbose=0)
    np.testing.assert_allclose(found["rollout"], rollout, atol=1e-7)


def test_exports_are_served_without_this_package_and_without_keras(
    tmp_path, model, rollout_model, images
):
    table = np.random.default_rng(5).normal(size=(3, 5)).astype("float32")
    image = np.random.default_rng(6).random((3, 24, 24, 3)).astype("float32")
    cases = {
        "rollout": (rollout_model, images, {"images": images}),
        "relevance": (RolloutModel(model, method="relevance"), images, {"images": images}),
        "several": (
            RolloutModel(model_of(as_dict)),
            as_dict(image, table),
            {"image": image, "table": table},
        ),
    }
    for name, (each, _, named) in cases.items():
        each.export(str(tmp_path / name / "exported"))
        np.savez(tmp_path / name / "inputs.npz", **named)
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stdout == "served alone\n", finished.stderr
    for name, (each, inputs, _) in cases.items():
        expected = each.predict(inputs, verbose=0)
        with np.load(tmp_path / name / "outputs.npz") as outputs:
            assert set(outputs) == set(expected)
            for key, values in expected.items():
                np.testing.assert_allclose(outputs[key], values, rtol=1e-5, atol=1e-7)


def test_inputs_are_not_cast_under_mixed_precision(model, images):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        half = pooled_model()
        half.set_weights(model.get_weights())
        found = RolloutModel(half).predict(images, verbose=0)
        assert found["predictions"].dtype == half.predict(images, verbose=0).dtype
        seen = []
        outer = RolloutModel(half)
        outer.call = lambda inputs, **_: seen.append(inputs.dtype) or inputs
        outer(tf.constant(images))
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert found["rollout"].dtype == np.float32
    assert seen == [tf.float32]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"method": "flow"}, ValueError, "`method` must be one of 'rollout', 'attention'"),
        ({"head_fusion": "sum"}, ValueError, "`head_fusion` must be one of"),
        ({"no_such": 1}, TypeError, "no_such"),
        ({"classes": 1}, TypeError, "classes"),
        ({"layers": [7]}, ValueError, "`layers` must be"),
    ],
)
def test_wrong_arguments_are_told_at_once(model, options, error, text):
    with pytest.raises(error, match=text):
        RolloutModel(model, **options)
