"""The model and the real photographs that the benchmarks use."""

from tensorflow import keras
from vit_keras import vit

from benchmarks.common.photographs import photographs

__all__ = ["photographs", "vit_b16"]


def vit_b16(image_size=224):
    """Returns a ViT-B/16 with random weights; time and memory don't depend on them."""
    keras.utils.set_random_seed(0)
    return vit.vit_b16(image_size, classes=10, pretrained=False, pretrained_top=False)
