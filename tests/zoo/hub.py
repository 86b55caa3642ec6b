"""Small models of keras-hub."""

import keras
import keras_hub
from keras_hub import models

from zoo.blocks import Take

TRANSFORMER = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
# Options of the two encoders in a model of pictures and texts.
VISION = {
    "patch_size": 8,
    "intermediate_dim": 32,
    "image_shape": (32, 32, 3),
    "name": "vision",
    **TRANSFORMER,
}
TEXT = {
    "vocabulary_size": 10,
    "embedding_dim": 16,
    "intermediate_dim": 32,
    "max_sequence_length": 16,
    "name": "text",
    **TRANSFORMER,
}


def vit_backbone(**options):
    return models.ViTBackbone(
        image_shape=(32, 24, 3), patch_size=8, mlp_dim=32, **TRANSFORMER, **options
    )


def vit():
    return models.ViTImageClassifier(vit_backbone(), num_classes=3)


def vit_without_class_token():
    backbone = vit_backbone(use_class_token=False)
    return models.ViTImageClassifier(backbone, num_classes=3, pooling="gap")


def vit_with_preprocessor():
    """A task with a preprocessor, which `task(x)` doesn't apply."""
    converter = models.ViTImageClassifierPreprocessor(
        keras_hub.layers.ViTImageConverter(image_size=(32, 24), scale=1 / 255)
    )
    return models.ViTImageClassifier(vit_backbone(), num_classes=3, preprocessor=converter)


def deit_backbone():
    return models.DeiTBackbone(
        image_shape=(32, 24, 3), patch_size=8, intermediate_dim=32, **TRANSFORMER
    )


def deit():
    return models.DeiTImageClassifier(deit_backbone(), num_classes=3)


def deit_distilled():
    """The mean of two heads, on the class token and on the distillation token."""
    backbone = deit_backbone()
    heads = [keras.layers.Dense(3)(Take(index)(backbone.output)) for index in (0, 1)]
    return keras.Model(backbone.input, keras.layers.Average()(heads))


def on_class_token(backbone):
    return keras.Model(backbone.input, keras.layers.Dense(3)(Take(0)(backbone.output)))


def dinov2(registers=0):
    backbone = models.DINOV2Backbone(
        patch_size=8,
        intermediate_dim=32,
        num_register_tokens=registers,
        image_shape=(32, 32, 3),
        position_embedding_shape=(40, 40, 3),
        **TRANSFORMER,
    )
    return on_class_token(backbone)


def dinov2_with_registers():
    return dinov2(registers=4)


def dinov3():
    backbone = models.DINOV3Backbone(
        patch_size=8,
        intermediate_dim=32,
        num_register_tokens=4,
        image_shape=(32, 24, 3),
        **TRANSFORMER,
    )
    return on_class_token(backbone)


def clip_vision():
    return models.CLIPVisionEncoder(**VISION)


def clip():
    return models.CLIPBackbone(clip_vision(), models.CLIPTextEncoder(**TEXT), projection_dim=8)


def siglip_vision():
    return models.SigLIPVisionEncoder(**VISION)


def siglip():
    return models.SigLIPBackbone(siglip_vision(), models.SigLIPTextEncoder(**TEXT))


def swin_classifier(image_shape, *, depths):
    backbone = models.SwinTransformerBackbone(
        image_shape=image_shape,
        embed_dim=8,
        depths=depths,
        num_heads=(1, 2, 4)[: len(depths)],
        window_size=4,
    )
    return models.SwinTransformerImageClassifier(backbone, num_classes=3)


def swin():
    """Grids of 16 x 16 and 8 x 8 with shifted windows of 4 x 4, then one window."""
    return swin_classifier((64, 64, 3), depths=(2, 2, 1))


def swin_wide():
    """Grids of 8 x 16, then 4 x 8, whose windows are not shifted."""
    return swin_classifier((32, 64, 3), depths=(2, 2))


def swin_padded():
    """Grids of 12 x 12, then 6 x 6, which is padded to 8 x 8 and not shifted.

    If windows are padded and shifted, keras-hub 0.32 rolls the padding into the image.
    """
    return swin_classifier((48, 48, 3), depths=(2, 1))


def mit_backbone():
    return models.MiTBackbone(
        image_shape=(64, 64, 3),
        num_layers=3,
        hidden_dims=[8, 16, 32],
        layerwise_depths=[2, 1, 1],
        layerwise_num_heads=[1, 2, 4],
        layerwise_sr_ratios=[4, 2, 1],
        layerwise_patch_sizes=[7, 3, 3],
        layerwise_strides=[4, 2, 2],
        max_drop_path_rate=0.1,
    )


def mit():
    backbone = mit_backbone()
    features = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return keras.Model(backbone.input, keras.layers.Dense(3)(features))


def segformer():
    backbone = models.SegFormerBackbone(mit_backbone(), projection_filters=8)
    return models.SegFormerImageSegmenter(backbone, num_classes=3)


def vit_det():
    """Windows of 3 x 3 on a padded grid of 4 x 4, and global attention on top."""
    return models.ViTDetBackbone(
        image_shape=(32, 32, 3),
        patch_size=8,
        hidden_size=16,
        num_layers=2,
        global_attention_layer_indices=[1],
        intermediate_dim=32,
        num_heads=2,
        num_output_channels=8,
        window_size=3,
    )
