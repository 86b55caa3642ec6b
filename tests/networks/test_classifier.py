"""Classifiers: what is trained, what they predict, and their files."""

import contextlib
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from vit_keras import vit
from zoo.small_vits import SMALL, write_weights

from keras_attnviz.networks.classifier import (
    MEMBER,
    build_classifier,
    load_classifier,
    save_classifier,
)
from keras_attnviz.networks.pretrained import build_vit

pytestmark = [pytest.mark.every_stack, pytest.mark.vit_keras]

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 40, 3)).astype("float32")
NAMES = ("Äpfel", "pears, green")


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "small.npz", pre_logits=True)


def classifier(weights="none", **options):
    return build_classifier(SMALL, classes=2, image_size=(32, 40), weights=weights, **options)


def test_the_classifier_takes_pixels_and_gives_probabilities(weight_file):
    model = classifier(weight_file)
    probabilities = model(PIXELS).numpy()
    assert probabilities.shape == (3, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    features = build_vit(SMALL, image_size=(32, 40), weights=weight_file)(
        vit.preprocess_inputs(PIXELS.copy())
    )
    head = model.get_layer("classes")
    expected = tf.nn.softmax(features @ head.kernel + head.bias)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("trainable_blocks", "expected"),
    [
        (0, ["classes"]),
        (1, ["encoderblock_1", "encoder_norm", "pre_logits", "classes"]),
        (2, ["encoderblock_0", "encoderblock_1", "encoder_norm", "pre_logits", "classes"]),
        (
            "all",
            [
                *("embedding", "class_token", "posembed_input", "encoderblock_0"),
                *("encoderblock_1", "encoder_norm", "pre_logits", "classes"),
            ],
        ),
    ],
)
def test_only_the_upper_part_is_trained(weight_file, trainable_blocks, expected):
    model = classifier(weight_file, trainable_blocks=trainable_blocks)
    layers = [*model.layers[1].layers, model.layers[-1]]
    before = {layer.name: layer.get_weights() for layer in layers}
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    model.fit(PIXELS, np.array([0, 1, 0]), verbose=0)
    changed = {
        layer.name[len("Transformer_") :] if layer.name.startswith("Transformer") else layer.name
        for layer in layers
        if not all(map(np.array_equal, layer.get_weights(), before[layer.name]))
    }
    assert changed == set(expected)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"trainable_blocks": 3}, ValueError, r"at most the number of blocks, 2, or \"all\"\. Rec"),
        ({"trainable_blocks": -1}, ValueError, r"`trainable_blocks` must be at least 0"),
        ({"trainable_blocks": "two"}, TypeError, r"`trainable_blocks` must be an integer"),
        ({"classes": 1}, ValueError, r"`classes` must be at least 2\. Received: classes=1"),
        ({"classes": "cats"}, TypeError, r"`classes` must be an integer"),
        ({"image_size": 30}, ValueError, r"divisible by the patch size 8"),
        ({"weights": "imagenet21k"}, ValueError, r"'none' or the path of an \.npz file"),
        ({"architecture": "vit_b8"}, ValueError, r"one of 'vit_b16', 'vit_b32'"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, error, match):
    given = {"architecture": SMALL, "classes": 2, "image_size": 32, "weights": "none"}
    with pytest.raises(error, match=match):
        build_classifier(**(given | arguments))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, weight_file):
    """A classifier after a training step, and its file."""
    model = classifier(weight_file, trainable_blocks=1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(PIXELS, np.array([0, 1, 0]), verbose=0)
    path = tmp_path_factory.mktemp("saved models") / "modèle.keras"
    save_classifier(model, path, architecture=SMALL, class_names=NAMES)
    return model, path


@pytest.mark.parametrize("as_given", [str, lambda path: path], ids=["text", "path"])
def test_a_saved_classifier_predicts_the_same_and_knows_its_classes(saved, as_given):
    model, path = saved
    loaded, class_names = load_classifier(as_given(path))
    np.testing.assert_array_equal(loaded(PIXELS), model(PIXELS))
    assert class_names == NAMES


def test_loading_runs_no_code_of_the_file(saved, tmp_path):
    # A file whose own description of the model is garbage loads all the same: it isn't read.
    _, path = saved
    changed = with_member(path, tmp_path / "changed.keras", "config.json", "{}")
    np.testing.assert_array_equal(load_classifier(changed)[0](PIXELS), saved[0](PIXELS))


def with_member(source_path, target_path, member, contents):
    """Copies a .keras file with other contents of one member; returns the copy's path."""
    with zipfile.ZipFile(source_path) as source, zipfile.ZipFile(target_path, "w") as target:
        for name in source.namelist():
            target.writestr(name, contents if name == member else source.read(name))
    return target_path


# Keras says that before it raises.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ("no json", "JSONDecodeError"),
        (b"\xff", "UnicodeDecodeError"),
        ("[1]", "TypeError"),
        ({"vit": {"patch_size": 8}}, "TypeError.*missing"),
        ({"vit": None}, "TypeError"),
        ({"class_names": ["one"]}, "ValueError"),
        ({"image_size": [64, 64]}, "ValueError"),
        ({"image_size": "large"}, ""),
        ({"dtype_policy": "float7"}, "float7"),
    ],
    ids=str,
)
def test_a_damaged_description_is_an_error_about_the_file(saved, tmp_path, changes, match):
    if isinstance(changes, dict):
        with zipfile.ZipFile(saved[1]) as archive:
            changes = json.dumps(json.loads(archive.read(MEMBER)) | changes)
    path = with_member(saved[1], tmp_path / "damaged.keras", MEMBER, changes)
    policy = keras.mixed_precision.global_policy().name
    wording = rf"(?s)`model` must be an intact .*damaged\.keras'\. It is damaged: .*{match}"
    with pytest.raises(ValueError, match=wording):
        load_classifier(path, name="model")
    assert keras.mixed_precision.global_policy().name == policy


def test_damaged_weights_are_an_error_about_the_file(saved, tmp_path):
    path = with_member(saved[1], tmp_path / "damaged.keras", "model.weights.h5", b"no weights")
    with pytest.raises(ValueError, match=r"`path` must be an intact .*damaged\.keras'"):
        load_classifier(path)


def test_keras_itself_loads_the_file(saved):
    model, path = saved
    loaded = keras.models.load_model(path, safe_mode=False)
    np.testing.assert_array_equal(loaded(PIXELS), model(PIXELS))
    loaded.compile("sgd", "sparse_categorical_crossentropy")
    loaded.fit(PIXELS, np.array([0, 1, 0]), verbose=0)


def test_the_file_says_what_pixels_the_model_takes(saved):
    with zipfile.ZipFile(saved[1]) as archive:
        description = json.loads(archive.read(MEMBER))
    assert description["class_names"] == list(NAMES)
    assert description["image_size"] == [32, 40]
    assert description["input_range"] == [0, 255]


def test_a_classifier_of_another_source_needs_trust_where_it_holds_code(saved, tmp_path):
    model, _ = saved
    model.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match=r"without code, unless you trust it.*trust=True \(--tr"):
        load_classifier(tmp_path / "plain.keras")
    with pytest.warns(UserWarning, match=r"plain\.keras' runs the code in it"):
        loaded, class_names = load_classifier(tmp_path / "plain.keras", trust=True)
    np.testing.assert_array_equal(loaded(PIXELS), model(PIXELS))
    assert class_names is None


def test_a_classifier_of_another_source_without_code_needs_no_trust(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "dense.keras")
    loaded, class_names = load_classifier(tmp_path / "dense.keras")
    np.testing.assert_array_equal(loaded(np.ones((1, 4))), model(np.ones((1, 4))))
    assert class_names is None


def test_files_that_are_no_classifiers_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"an existing \.keras file.*gone\.keras"):
        load_classifier(tmp_path / "gone.keras")
    (tmp_path / "text.keras").write_text("no model", encoding="utf-8")
    with pytest.raises(ValueError, match=r"saved by Keras as \.keras.*text\.keras"):
        load_classifier(tmp_path / "text.keras")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(ValueError, match=r"a \.keras file that Keras can load.*other\.keras"):
        load_classifier(tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(ValueError, match=r"saved by Keras as \.keras.*other\.npz"):
        load_classifier(tmp_path / "other.npz")


@contextlib.contextmanager
def dtype_policy(name):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def test_half_precision_keeps_the_probabilities_in_float32():
    with dtype_policy("mixed_bfloat16"):
        model = classifier()
        assert model(PIXELS).dtype == "float32"
        assert model.layers[1].compute_dtype == "bfloat16"


@pytest.mark.parametrize("saved_under", ["mixed_float16", "float32"])
def test_a_classifier_is_loaded_under_the_policy_it_was_saved_with(
    weight_file, tmp_path, saved_under
):
    with dtype_policy(saved_under):
        model = classifier(weight_file)
        expected = model(PIXELS).numpy()
        save_classifier(model, tmp_path / "m.keras", architecture=SMALL, class_names=NAMES)
    for policy in ("float32", "mixed_float16"):
        with dtype_policy(policy):
            loaded, _ = load_classifier(tmp_path / "m.keras")
            np.testing.assert_array_equal(loaded(PIXELS), expected)
            assert keras.mixed_precision.global_policy().name == policy
