"""Image classifiers on Vision Transformers: built, saved with their class names, and loaded."""

import contextlib
import json
import os
import warnings
import zipfile
import zlib

from tensorflow import keras

from keras_attnviz._checks import check_count, message
from keras_attnviz.networks.keras_file import code_in
from keras_attnviz.networks.pretrained import (
    BLOCK_PREFIXES,
    SIZE_NAMES,
    Architecture,
    build_vit,
    check_vit_keras,
    check_weights,
    find_architecture,
)
from keras_attnviz.networks.vit_s14 import check_image_size

MEMBER = "keras_attnviz.json"
_DAMAGES = (
    AttributeError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
ALL_BLOCKS = "all"


def build_classifier(
    architecture, *, classes, image_size, trainable_blocks=2, weights=None, cache_dir=None
):
    """Builds an image classifier on a pretrained Vision Transformer.

    Args:
        architecture: "vit_b16", "vit_b32", "vit_l16", "vit_l32", "vit_s14" or an `Architecture`.
        classes: number of classes, at least 2.
        image_size: integer or pair (height, width), multiples of the patch size.
        trainable_blocks: how many of the last blocks are trained, together with the norm after
            them and the head; 0 trains the head alone, "all" the whole network.
        weights: as in `build_vit`.
        cache_dir: folder of the ViT-S/14's files; see `vit_s14`.

    Returns:
        A `keras.Sequential`, not compiled, from float `[batch, height, width, 3]`, RGB in
        [0, 255], to float32 probabilities `[batch, classes]`.

    Raises:
        ValueError: an argument is out of range, or a weight file doesn't fit.
        OSError: the pretrained weights can't be downloaded. For "vit_s14", `ImportError` and
            `RuntimeError`; see `vit_s14`.
    """
    architecture = find_architecture(architecture)
    check_classifier(architecture, image_size, trainable_blocks, weights)
    check_count("classes", classes, 2)
    vit = build_vit(architecture, image_size=image_size, weights=weights, cache_dir=cache_dir)
    _set_trainable(vit, trainable_blocks)
    return _with_head(vit, classes)


def check_classifier(architecture, image_size, trainable_blocks, weights):
    """Raises the errors of `build_classifier` that don't need the network to be built."""
    check_vit_keras()
    architecture = find_architecture(architecture)
    check_image_size(image_size, architecture.patch_size)
    check_weights(weights, architecture)
    if trainable_blocks != ALL_BLOCKS:
        check_count("trainable_blocks", trainable_blocks, 0)
        if trainable_blocks > architecture.num_layers:
            must = f'at most the number of blocks, {architecture.num_layers}, or "{ALL_BLOCKS}"'
            raise ValueError(message("trainable_blocks", must, trainable_blocks))


def save_classifier(model, path, *, architecture, class_names):
    """Saves a classifier of `build_classifier` and its class names as one `.keras` file.

    The optimizer is not saved. `keras.models.load_model(path, safe_mode=False)` reads the file like
    any other; Keras ignores the member `keras_attnviz.json`, which holds the class names and how to
    build the network.

    Args:
        model: the classifier.
        path: path of the file, ending in `.keras`.
        architecture: the architecture that the classifier was built with.
        class_names: sequence of strings, in the order of the outputs.
    """
    sizes = {name: getattr(find_architecture(architecture), name) for name in SIZE_NAMES}
    vit = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    pre_logits = [layer for layer in vit.layers if layer.name == "pre_logits"]
    sizes["representation_size"] = pre_logits[0].units if pre_logits else None
    description = {
        "class_names": list(class_names),
        "image_size": list(model.input_shape[1:3]),
        "input_range": [0, 255],
        "dtype_policy": vit.dtype_policy.name,
        "vit": sizes,
    }
    # Without the optimizer: Keras can load its state only if all layers inside the blocks are
    # trainable, as they are again after loading.
    layers = [keras.Input(model.input_shape[1:]), *model.layers]
    keras.Sequential(layers, name=model.name).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MEMBER, json.dumps(description, ensure_ascii=False, indent=2))


def load_classifier(path, *, trust=False, name="path"):
    """Loads a classifier and its class names.

    Reading a file of `save_classifier` runs no code in it: the network is built from scratch, and
    only the weights come from the file. Keras reads other `.keras` files. Files that
    hold code (such as the Lambda layers of vit-keras's models) or name functions or classes from
    outside Keras are refused, unless `trust` is true; then a warning says that their code runs.

    Args:
        path: path of a `.keras` file.
        trust: whether the file comes from a source that may run code on this machine.
        name: the name of the user's argument, for errors.

    Returns:
        `(model, class_names)`: the model, not compiled, and a tuple of strings, or None if the file
        has no class names. A model of `save_classifier` takes RGB in [0, 255] and computes under
        the dtype policy that it was saved with, for example "mixed_float16".

    Raises:
        FileNotFoundError: the file doesn't exist.
        ValueError: the file isn't a `.keras` file, is damaged, or holds code and `trust` is false.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(message(name, "an existing .keras file", path))
    if not path.endswith(".keras") or not zipfile.is_zipfile(path):
        raise ValueError(message(name, "a file saved by Keras as .keras", path))
    with zipfile.ZipFile(path) as archive:
        is_ours = MEMBER in archive.namelist()
    if not is_ours:
        return _foreign_model(path, trust, name), None
    try:
        return _own_model(path)
    # Damage can cause any of these: invalid JSON, a missing key, sizes that are not numbers or
    # don't fit the weights, a broken archive.
    except _DAMAGES as error:
        remedy = f"It is damaged: {error!r}. Use another copy, or fine-tune again."
        must = "an intact .keras file where this package has saved it"
        raise ValueError(message(name, must, path, remedy)) from error


def _own_model(path):
    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read(MEMBER))
    architecture = Architecture(**description["vit"])
    class_names = tuple(description["class_names"])
    with _dtype_policy(description.get("dtype_policy", "float32")):
        model = _with_head(architecture.build(description["image_size"]), len(class_names))
    model.load_weights(path)
    return model, class_names


@contextlib.contextmanager
def _dtype_policy(name):
    """Sets the global dtype policy while layers are built; vit-keras takes no policy argument."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _foreign_model(path, trust, name):
    if trust:
        warnings.warn(f"Loading {path!r} runs the code in it, if there is any.", stacklevel=3)
    try:
        code = None if trust else code_in(path)
        if code is None:
            return keras.models.load_model(path, compile=False, safe_mode=not trust)
    except (AttributeError, IndexError, *_DAMAGES, RecursionError) as error:
        # Keras wraps the refusal of a Lambda layer in other errors, with its text.
        if trust or not any(word in str(error) for word in ("unsafe", "arbitrary code")):
            raise ValueError(
                message(name, "a .keras file that Keras can load", path, f"Keras said: {error}")
            ) from error
        code = "code that Keras refuses"
    raise ValueError(
        message(
            name,
            "a .keras file without code, unless you trust it",
            path,
            f"It holds {code} (vit-keras's models have Lambda layers), and loading may run the "
            "code in it. If you made the file or trust its source: trust=True (--trust).",
        )
    )


def _with_head(vit, classes):
    return keras.Sequential(
        [
            keras.Input(vit.input_shape[1:]),
            keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling"),
            vit,
            # In float32 even if the policy is half precision.
            keras.layers.Dense(classes, activation="softmax", dtype="float32", name="classes"),
        ],
        name="classifier",
    )


def _set_trainable(vit, trainable_blocks):
    if trainable_blocks == ALL_BLOCKS:
        return
    is_block = [layer.name.startswith(BLOCK_PREFIXES) for layer in vit.layers]
    frozen_blocks = sum(is_block) - trainable_blocks
    for index, layer in enumerate(vit.layers):
        layer.trainable = sum(is_block[: index + 1]) > frozen_blocks
