"""Photographs of objects on photographs of something else, with masks of the objects."""

import dataclasses
import importlib.util
import random
from pathlib import Path

import numpy as np
from PIL import Image

# Photographs in the wheels of scikit-image (see its `skimage/data/README.txt` for authors; all may
# be used freely) and scikit-learn (china and flower: CC BY, see `sklearn/datasets/images`).
BACKGROUNDS = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)
# The object's area as a share of the picture, drawn evenly; less where it is too long for that.
AREA = (0.12, 0.24)
SHARES = {"train": 0.5, "tune": 0.2, "report": 0.3}


@dataclasses.dataclass(frozen=True)
class Composites:
    """Pictures of one split.

    Args:
        images: uint8 array `[count, size, size, 3]`.
        masks: float32 array `[count, size, size]` in [0, 1], how much of a pixel the object covers.
        labels: integer array `[count]`, into the sorted class names.
        names: tuple of the cut-outs' names, one a picture.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    names: tuple


def split_cutouts(cutouts, seed):
    """Returns a dict from each name in `SHARES` to its cut-outs, the same share of every class."""
    parts = {name: [] for name in SHARES}
    bounds = np.cumsum(list(SHARES.values()))
    for label in sorted({cutout.label for cutout in cutouts}):
        mine = sorted((each for each in cutouts if each.label == label), key=lambda c: c.name)
        random.Random(f"{seed} {label}").shuffle(mine)
        ends = [round(bound * len(mine)) for bound in bounds]
        for name, start, end in zip(SHARES, [0, *ends], ends, strict=False):
            parts[name] += mine[start:end]
    return parts


def make_composites(cutouts, backgrounds, *, per_class, size, seed):
    """Pastes cut-outs on backgrounds, at random places and sizes.

    Args:
        cutouts: list of `Cutout`; those of a class take turns.
        backgrounds: list of uint8 arrays `[height, width, 3]`.
        per_class: number of pictures of each class.
        size: height and width of the pictures.
        seed: integer.

    Returns:
        `Composites`.
    """
    rng = np.random.default_rng(seed)
    classes = sorted({cutout.label for cutout in cutouts})
    made = []
    for number, label in enumerate(classes):
        mine = [cutout for cutout in cutouts if cutout.label == label]
        rounds = -(-per_class // len(mine))
        order = np.concatenate([rng.permutation(len(mine)) for _ in range(rounds)])[:per_class]
        for index in order:
            background = random_crop(backgrounds[rng.integers(len(backgrounds))], size, rng)
            image, mask = pasted(background, mine[index].rgba, rng.uniform(*AREA), rng)
            made.append((image, mask, number, mine[index].name))
    images, masks, labels, names = zip(*made, strict=True)
    return Composites(np.stack(images), np.stack(masks), np.array(labels), names)


def random_crop(photograph, size, rng):
    """Returns a square of a photograph, anywhere and at least `size` wide, resized to `size`."""
    height, width = photograph.shape[:2]
    side = rng.integers(min(size, height, width), min(height, width), endpoint=True)
    top, left = (
        rng.integers(height - side, endpoint=True),
        rng.integers(width - side, endpoint=True),
    )
    crop = mirrored(photograph[top : top + side, left : left + side], rng)
    return np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BICUBIC))


def pasted(background, rgba, area, rng):
    """Pastes a cut-out at a random place.

    Args:
        background: uint8 array `[size, size, 3]`.
        rgba: uint8 array `[height, width, 4]`, as in `Cutout`.
        area: the share of the picture that the cut-out is to cover.
        rng: NumPy's random generator.

    Returns:
        `(image, mask)`: uint8 `[size, size, 3]` and float32 `[size, size]` in [0, 1].
    """
    size = len(background)
    scale = (area * size**2 / (rgba[..., 3] / 255).sum()) ** 0.5
    scale = min(scale, size / max(rgba.shape[:2]))
    height, width = (max(round(side * scale), 1) for side in rgba.shape[:2])
    picture = Image.fromarray(mirrored(rgba, rng)).resize((width, height), Image.Resampling.BICUBIC)
    stamp = np.asarray(picture, np.float32)
    top, left = (
        rng.integers(size - height, endpoint=True),
        rng.integers(size - width, endpoint=True),
    )
    mask = np.zeros((size, size), np.float32)
    mask[top : top + height, left : left + width] = stamp[..., 3] / 255
    colors = np.zeros((size, size, 3), np.float32)
    colors[top : top + height, left : left + width] = stamp[..., :3]
    image = mask[..., np.newaxis] * colors + (1 - mask[..., np.newaxis]) * background
    return np.rint(image).astype(np.uint8), mask


def mirrored(picture, rng):
    """Returns a picture, mirrored left to right in half of the cases."""
    return np.ascontiguousarray(picture[:, ::-1] if rng.random() < 0.5 else picture)


def background_photographs():
    """Returns the background photographs, a list of uint8 arrays `[height, width, 3]`.

    Raises:
        ImportError: scikit-image or scikit-learn is not installed.
    """
    photographs = []
    for package, path in BACKGROUNDS:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ImportError(
                "The background photographs come from scikit-image and scikit-learn. "
                "Install them with: pip install 'keras-attnviz[bench]'"
            )
        file = Path(spec.submodule_search_locations[0]) / path
        photographs.append(np.asarray(Image.open(file).convert("RGB")))
    return photographs
