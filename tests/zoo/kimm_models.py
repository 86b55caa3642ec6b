"""Small models of kimm."""

import kimm

PLAIN = {"include_preprocessing": False, "weights": None, "classes": 3}


def mobilevit():
    """The smallest configuration at 128 pixels: feature maps of 16 x 16, 8 x 8 and 4 x 4."""
    return kimm.models.MobileViTXXS(input_shape=(128, 128, 3), **PLAIN)


def mobilevit_resized():
    """The same at 96 pixels: the last feature map, 3 x 3, is resized to 4 x 4 for attention."""
    return kimm.models.MobileViTXXS(input_shape=(96, 96, 3), **PLAIN)


def vit():
    return kimm.models.VisionTransformerTiny16(input_shape=(32, 48, 3), **PLAIN)
