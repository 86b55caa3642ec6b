"""Real pictures for the tests: photographs and faces from scikit-image's wheel."""

import io
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

DATA = Path(skimage.__file__).parent / "data"


def photograph(name, size=None):
    """Returns one of scikit-image's photographs as an RGB `PIL.Image`; size is (width, height)."""
    picture = Image.open(DATA / name).convert("RGB")
    return picture if size is None else picture.resize(size)


def encoded(picture, form, **options):
    """Returns the bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def write_faces(directory, *, per_class=100, size=32):
    """Writes the labeled faces as class folders, `face` and `other`; returns the directory."""
    pictures = np.round(np.load(DATA / "lfw_subset.npy") * 255).astype("uint8")
    # The first hundred are faces; the others are parts of the same photographs without a face.
    for name, members in (("face", pictures[:per_class]), ("other", pictures[100:][:per_class])):
        folder = Path(directory) / name
        folder.mkdir(parents=True)
        for index, pixels in enumerate(members):
            picture = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
            picture.save(folder / f"{index:03d}.png")
    return Path(directory)
