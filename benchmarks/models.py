"""The model and the real photographs that are measured."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import skimage.data
from PIL import Image
from tensorflow import keras
from vit_keras import vit

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def vit_b16(image_size=224):
    """Returns a ViT-B/16 with random weights; time and memory don't depend on them."""
    keras.utils.set_random_seed(0)
    return vit.vit_b16(image_size, classes=10, pretrained=False, pretrained_top=False)


def photographs(count=8, image_size=224):
    """Returns photographs out of scikit-image's wheel, uint8 `[count, size, size, 3]`."""
    pictures = []
    for index in range(count):
        picture = getattr(skimage.data, PHOTOGRAPHS[index % len(PHOTOGRAPHS)])()
        mirrored = picture[:, ::-1] if index >= len(PHOTOGRAPHS) else picture
        pictures.append(np.asarray(Image.fromarray(mirrored).resize((image_size, image_size))))
    return np.stack(pictures)
