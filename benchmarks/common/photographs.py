"""The real photographs that the benchmarks use; imports no deep learning framework."""

import numpy as np
import skimage.data
from PIL import Image

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def photographs(count=8, image_size=224):
    """Returns photographs from scikit-image's wheel, uint8 `[count, size, size, 3]`."""
    pictures = []
    for index in range(count):
        picture = getattr(skimage.data, PHOTOGRAPHS[index % len(PHOTOGRAPHS)])()
        mirrored = picture[:, ::-1] if index >= len(PHOTOGRAPHS) else picture
        pictures.append(np.asarray(Image.fromarray(mirrored).resize((image_size, image_size))))
    return np.stack(pictures)
