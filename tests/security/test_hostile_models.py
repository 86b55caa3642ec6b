"""Model files that would run code: without `trust` none of it runs, whatever Keras would do."""

import json
import pickle
import sys
import zipfile

import numpy as np
import pytest
from support.small_models import KERAS_3
from tensorflow import keras
from zoo.small_vits import SMALL

from keras_attnviz.networks.classifier import build_classifier, load_classifier, save_classifier
from keras_attnviz.networks.keras_file import code_in

pytestmark = pytest.mark.every_stack

MODULE = "module_of_a_hostile_file"
IMAGES = np.zeros((1, 32, 32, 3), "float32")


class Pickled:
    """What imports the hostile module when it is unpickled."""

    def __reduce__(self):
        return __import__, (MODULE,)


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """The path of a file that is made by code of the hostile files."""
    path = tmp_path / "ran"
    source = f"import pathlib\npathlib.Path({str(path)!r}).touch()\n"
    source += "def run(x=None, *args, **options):\n    return x\n"
    source += "class Run:\n    from_config = run\n    _deserialize = run\n"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{MODULE}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield path
    sys.modules.pop(MODULE, None)


def dense_file(path, change=lambda config: None, **members):
    """Saves a dense layer, changes the file's description of it, and adds members to the file."""
    whole = path.with_name("whole.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "relu")]).save(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config)
            target.writestr(name, data)
        for name, data in members.items():
            target.writestr(name, data)
    return path


def with_activation(activation):
    def change(config):
        config["config"]["layers"][-1]["config"]["activation"] = activation

    return change


def with_layer(name, *, module="keras.layers", **options):
    def change(config):
        described = {"module": module, "class_name": name, "registered_name": None}
        described["config"] = {"name": "hostile", **options}
        config["config"]["layers"].append({"build_config": {"input_shape": [None, 2]}, **described})

    return change


def function(name, module):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def described(**parts):
    return {"config": {}, "registered_name": None, **parts}


HOSTILE = described(module=MODULE, class_name="Run")
LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wAAAAA=", "code": "4wAAAAA="}}
CHANGES = {
    "function of a module": with_activation(function("run", MODULE)),
    "function of the system": with_activation(function("system", "os")),
    "builtin function": with_activation(function("exec", "builtins")),
    "function that downloads": with_activation(function("get_file", "keras.utils")),
    "class of a module": with_layer("Run", module=MODULE),
    "class within a setting": with_activation(HOSTILE),
    "function as a class": with_activation(described(module="keras.utils", class_name="get_file")),
    "type": with_activation(HOSTILE | {"class_name": "__typespec__", "spec_name": "Run"}),
    "lambda": with_activation(LAMBDA),
    "class that is no text": with_activation(HOSTILE | {"class_name": ["Run"]}),
    "Lambda layer": with_layer("Lambda", function=function("relu", "builtins")),
    "SavedModel": with_layer("TFSMLayer", filepath="/tmp/x"),
    "PyTorch": with_layer("TorchModuleWrapper", module=pickle.dumps(Pickled()).hex()),
    "file of words": with_layer("StringLookup", vocabulary="/etc/hostname"),
    "TensorFlow that writes": with_layer("TFOpLambda", function="io.write_file"),
    "TensorFlow that runs Python": with_layer("TFOpLambda", function="py_function"),
    "any method": with_layer("ClassMethod", cls_symbol="io.gfile.GFile", method_name="write"),
    "compilation": lambda config: config.update(compile_config={"optimizer": HOSTILE}),
    "building": lambda config: config["config"]["layers"][-1].update(build_config={"a": HOSTILE}),
    "list of lists": lambda config: config["config"].update(extra=[[[{"a": HOSTILE}]]]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_names_code_is_refused(tmp_path, mark, name):
    path = dense_file(tmp_path / "hostile.keras", CHANGES[name])
    with pytest.raises(ValueError, match=r"`model` must be a \.keras file without code.*It holds"):
        load_classifier(path, name="model")
    assert not mark.exists()
    assert MODULE not in sys.modules


def pickled_arrays(path):
    np.savez(path, a=np.array([Pickled()], dtype=object))
    return path.read_bytes()


def test_pickled_weights_are_refused(tmp_path, mark):
    members = {"model.weights.npz": pickled_arrays(tmp_path / "weights.npz")}
    path = dense_file(tmp_path / "hostile.keras", **members)
    with pytest.raises(ValueError, match=r"It holds weights as model\.weights\.npz, which some"):
        load_classifier(path)
    assert not mark.exists()
    with np.load(tmp_path / "weights.npz", allow_pickle=True) as arrays:
        arrays["a"]
    assert mark.exists()  # the file is as hostile as it is meant to be


def lambda_file(path, mark):
    name = str(mark)
    layer = keras.layers.Lambda(lambda x: (open(name, "w").close(), x)[1], output_shape=(4,))
    keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(2)]).save(path)
    mark.unlink(missing_ok=True)
    return path


def test_a_lambda_runs_with_trust_alone_and_a_warning_says_so(tmp_path, mark):
    path = lambda_file(tmp_path / "lambda.keras", mark)
    with pytest.raises(ValueError, match=r"It holds a Lambda layer .* trust=True \(--trust\)"):
        load_classifier(path)
    assert not mark.exists()
    with pytest.warns(UserWarning, match=r"lambda\.keras' runs the code in it"):
        load_classifier(path, trust=True)[0](np.zeros((1, 4)))
    assert mark.exists()


def test_unsafe_loading_that_was_allowed_elsewhere_is_not_allowed_here(tmp_path, mark):
    if not KERAS_3:
        pytest.skip("Keras 2 has no such switch in public")
    import keras as keras_itself
    from keras.src.backend.common import global_state

    path = lambda_file(tmp_path / "lambda.keras", mark)
    keras_itself.config.enable_unsafe_deserialization()
    try:
        with pytest.raises(ValueError, match="It holds a Lambda layer"):
            load_classifier(path)
    finally:
        global_state.set_global_attribute("safe_mode_saving", None)
    assert not mark.exists()


@pytest.mark.vit_keras
def test_of_a_file_of_this_package_nothing_but_sizes_and_weights_is_read(tmp_path, mark):
    """Such a file has Lambda layers of vit-keras in its description, which nobody reads."""
    model = build_classifier(SMALL, classes=2, image_size=32, weights="none")
    save_classifier(model, tmp_path / "ours.keras", architecture=SMALL, class_names=["a", "b"])
    hostile = tmp_path / "hostile.keras"
    with (
        zipfile.ZipFile(tmp_path / "ours.keras") as source,
        zipfile.ZipFile(hostile, "w") as target,
    ):
        assert b"Lambda" in source.read("config.json")
        for name in source.namelist():
            data = json.dumps(HOSTILE) if name == "config.json" else source.read(name)
            target.writestr(name, data)
        target.writestr("model.weights.npz", pickled_arrays(tmp_path / "weights.npz"))
    for path in (tmp_path / "ours.keras", hostile):
        loaded, class_names = load_classifier(path)
        np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
        assert class_names == ("a", "b")
    assert not mark.exists()


@pytest.mark.parametrize("config", ["", "no json", "[" * 100_000, "[]", "null", "\ud800"])
def test_a_damaged_description_is_an_error_about_the_file(tmp_path, config):
    path = dense_file(tmp_path / "whole2.keras")
    with zipfile.ZipFile(tmp_path / "damaged.keras", "w") as target:
        target.writestr("config.json", config.encode("utf-8", "surrogatepass"))
        with zipfile.ZipFile(path) as source:
            for name in ("metadata.json", "model.weights.h5"):
                target.writestr(name, source.read(name))
    with pytest.raises(ValueError, match=r"a \.keras file that Keras can load.*damaged\.keras"):
        load_classifier(tmp_path / "damaged.keras")


def test_a_description_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 2**27)
    with pytest.raises(ValueError, match=r"config\.json has 134217728 bytes, where"):
        load_classifier(tmp_path / "bomb.keras")


@keras.utils.register_keras_serializable(package="tests of hostile models")
class Doubling(keras.layers.Layer):
    """A layer that this process itself has registered."""

    def call(self, x):
        return x * 2


def vision_transformer():
    """A transformer of Keras' own layers and of what else a file may hold without code."""
    layers = keras.layers
    images = keras.Input((8, 8, 3))
    tokens = layers.Conv2D(8, 4, 4, kernel_regularizer=keras.regularizers.L2(1e-4))(images)
    tokens = layers.Reshape((4, 8))(layers.Rescaling(1 / 255)(tokens))
    attended = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    tokens = layers.LayerNormalization()(tokens + attended)
    tokens = layers.Dense(8, activation="gelu", kernel_initializer="he_normal")(tokens)
    tokens = Doubling()(layers.Dropout(0.1)(tokens))
    answers = layers.Dense(2, "softmax")(layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model(images, keras.Sequential([keras.Input((2,)), layers.Dense(2)])(answers))
    model.compile(keras.optimizers.AdamW(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    return model


def test_a_transformer_without_code_needs_no_trust(tmp_path):
    model = vision_transformer()
    model.save(tmp_path / "vit.keras")
    loaded, _ = load_classifier(tmp_path / "vit.keras")
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3))
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.one_stack
def test_transformers_of_keras_hub_need_no_trust(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )
    backbone.save(tmp_path / "hub.keras")
    assert code_in(tmp_path / "hub.keras") is None
