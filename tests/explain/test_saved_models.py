"""Saved models from before the modules moved: their files name modules that are gone."""

import importlib.util
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from support.small_models import pooled_model
from tensorflow import keras

import keras_attnviz

pytestmark = pytest.mark.every_stack

# What old files say of a class: its module, and the name that it is registered by.
OLD = {
    "AttentionRollout": ("keras_attnviz.layers", "keras_attnviz>AttentionRollout"),
    "BottleneckAttention": (
        "keras_attnviz.bottleneck_attention",
        "keras_attnviz>BottleneckAttention",
    ),
    "ConvBlockAttention": ("keras_attnviz.block_attention", "keras_attnviz>ConvBlockAttention"),
    "EfficientChannelAttention": (
        "keras_attnviz.channel_attention",
        "keras_attnviz>EfficientChannelAttention",
    ),
    "RolloutModel": ("keras_attnviz.rollout_model", "keras_attnviz>RolloutModel"),
    "SelectiveKernel": ("keras_attnviz.selective_kernel", "keras_attnviz>SelectiveKernel"),
    "SqueezeExcite": ("keras_attnviz.channel_attention", "keras_attnviz>SqueezeExcite"),
}
# What the documentation says to import before such a file is read.
FRESH = f"""
import sys
import numpy as np
from tensorflow import keras
from keras_attnviz import {", ".join(OLD)}
model = keras.models.load_model(sys.argv[1])
found = model.predict(np.load(sys.argv[2]), verbose=0)
np.savez(sys.argv[3], **found if isinstance(found, dict) else dict(found=found))
"""


def gated_model():
    """Returns a network with every layer of ours, the rollout of made-up attention included."""
    keras.utils.set_random_seed(3)
    images = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(32, 3, padding="same")(images)
    for name in sorted(set(OLD) - {"AttentionRollout", "RolloutModel"}):
        features = getattr(keras_attnviz, name)(name=name.lower())(features)
    tokens = keras.layers.Reshape((16, 128))(features)
    attention = keras.layers.MultiHeadAttention(2, 8)
    _, scores = attention(tokens, tokens, return_attention_scores=True)
    heatmap = keras_attnviz.AttentionRollout((4, 4), prefix=0, name="heatmap")([scores])
    return keras.Model(images, heatmap)


def rollout_model():
    model = pooled_model()
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0, 0.5, array.shape) for array in model.get_weights()])
    return keras_attnviz.RolloutModel(model)


def set_old_modules(config, seen):
    """Puts old modules into a file's configuration; adds the names of our classes to `seen`."""
    if isinstance(config, list):
        for item in config:
            set_old_modules(item, seen)
    elif isinstance(config, dict):
        name = config.get("class_name")
        if name in OLD:
            config["module"], config["registered_name"] = OLD[name]
            seen.add(name)
        for item in config.values():
            set_old_modules(item, seen)


def save_old_file(model, path):
    """Saves a model in a file like an old one; returns the names of our classes in it."""
    model.save(path.with_suffix(".new.keras"))
    seen = set()
    with zipfile.ZipFile(path.with_suffix(".new.keras")) as new, zipfile.ZipFile(path, "w") as old:
        for entry in new.namelist():
            data = new.read(entry)
            if entry == "config.json":
                config = json.loads(data)
                set_old_modules(config, seen)
                data = json.dumps(config).encode()
            old.writestr(entry, data)
    return seen


def test_the_old_modules_are_gone():
    """Otherwise the files below would be read by way of them."""
    for name, (module, _) in OLD.items():
        if name != "AttentionRollout":  # keras_attnviz.layers is a package now
            assert importlib.util.find_spec(module) is None


@pytest.mark.parametrize(
    ("make", "classes", "shape"),
    [
        (gated_model, set(OLD) - {"RolloutModel"}, (2, 8, 8, 3)),
        (rollout_model, {"RolloutModel"}, (2, 16, 24, 3)),
    ],
)
def test_an_old_file_is_read_in_a_new_process(tmp_path, make, classes, shape):
    model, images = make(), np.random.default_rng(2).random(shape).astype("float32")
    paths = [tmp_path / name for name in ("model.keras", "images.npy", "found.npz")]
    assert save_old_file(model, paths[0]) == classes
    np.save(paths[1], images)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    expected = model.predict(images, verbose=0)
    expected = expected if isinstance(expected, dict) else {"found": expected}
    with np.load(paths[2]) as found:
        assert sorted(found) == sorted(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
