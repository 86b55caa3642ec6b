"""The table of tested model families; docs/models.md is made from it."""

from zoo.family import BOTH_KERAS_3, KERAS_3, OLDEST_KERAS_3, TF_KERAS_2, Family, Maps

# vit-keras 0.2 imports Keras 3 whatever TF_USE_LEGACY_KERAS says.
_VIT_KERAS = {"origin": "vit-keras", "stacks": (KERAS_3, OLDEST_KERAS_3, TF_KERAS_2)}
_HUB = {"origin": "keras-hub", "stacks": (KERAS_3,)}
_KIMM = {"origin": "kimm", "stacks": (KERAS_3,)}
_HERE = {"origin": "written here"}


def _two_layers(tokens):
    """Two layers of self-attention, each with two heads."""
    return (Maps("self-attention", 2, 2, tokens, tokens),)


# 32 x 24 pixels in patches of 8 x 8: 12 patches.
_GRID = {"grid": (4, 3)}
_PATCHES = _two_layers(12)
_CLASS_TOKEN = {"maps": _two_layers(13), "prefix": 1, **_GRID}
_POOLED = {"maps": _PATCHES, "readout": "all patches", **_GRID}
_DISTILLED = {"maps": _two_layers(14), "prefix": 2, **_GRID}
# 32 x 32 pixels: 16 patches.
_SQUARE = {"maps": _two_layers(17), "grid": (4, 4), "prefix": 1}
_SIGLIP = {
    "maps": (*_two_layers(16), Maps("pooling", 1, 2, 1, 16)),
    "grid": (4, 4),
    "readout": "all patches",
}
# 64 x 64 pixels, of which the first stage has 16 x 16 patches.
_MIT = {
    "maps": (
        Maps("reduced keys", 2, 1, 256, 16),
        Maps("reduced keys", 1, 2, 64, 16),
        Maps("self-attention", 1, 4, 16, 16),
    ),
    "grid": (16, 16),
    "readout": "all patches",
}
# 24 x 48 pixels in patches of 8 x 8.
_WIDE = {"maps": _two_layers(19), "grid": (3, 6), "prefix": 1}

_PACKAGES = (
    Family("ViT", build="vit_keras_models.vit", **_CLASS_TOKEN, **_VIT_KERAS),
    Family(
        "ViT without top inside `Sequential`",
        build="vit_keras_models.transfer_learning",
        image_shape=(32, 24, 3),
        **_CLASS_TOKEN,
        **_VIT_KERAS,
    ),
    Family("`ViTImageClassifier`", build="hub.vit", **_CLASS_TOKEN, **_HUB),
    Family(
        "`ViTImageClassifier` without class token",
        build="hub.vit_without_class_token",
        **_POOLED,
        **_HUB,
    ),
    Family(
        "`ViTImageClassifier` with preprocessor",
        build="hub.vit_with_preprocessor",
        note="`task(x)` skips the preprocessor; give `task.preprocessor(x)`",
        **_CLASS_TOKEN,
        **_HUB,
    ),
    Family(
        "`DeiTImageClassifier`",
        build="hub.deit",
        **_DISTILLED,
        **_HUB,
    ),
    Family(
        "DeiT with two heads",
        build="hub.deit_distilled",
        readout="class and distillation token",
        **_DISTILLED,
        **_HUB,
    ),
    Family(
        "DINOv2",
        build="hub.dinov2",
        note="input: a dictionary",
        **_SQUARE,
        **_HUB,
    ),
    Family(
        "DINOv2 with 4 registers",
        build="hub.dinov2_with_registers",
        maps=_two_layers(21),
        grid=(4, 4),
        prefix=5,
        note="input: a dictionary",
        **_HUB,
    ),
    Family(
        "DINOv3 with 4 registers",
        build="hub.dinov3",
        maps=_two_layers(17),
        prefix=5,
        note="input: a dictionary",
        **_GRID,
        **_HUB,
    ),
    Family(
        "CLIP, vision encoder",
        build="hub.clip_vision",
        readout="all tokens",
        note="input: a dictionary; output: every token",
        **_SQUARE,
        **_HUB,
    ),
    Family(
        "CLIP, both towers",
        build="hub.clip",
        left_out=("text_encoder_block_0", "text_encoder_block_1"),
        options={"layers": ["vision"], "output": "vision_logits"},
        mixes_batch=True,
        **_SQUARE,
        **_HUB,
    ),
    Family(
        "SigLIP, vision encoder",
        build="hub.siglip_vision",
        note="input: a dictionary",
        **_SIGLIP,
        **_HUB,
    ),
    Family(
        "SigLIP, both towers",
        build="hub.siglip",
        left_out=("text_encoder_block_0", "text_encoder_block_1"),
        options={"layers": ["vision"], "output": "vision_logits"},
        mixes_batch=True,
        text_length=16,
        example=True,
        note="give an example as `inputs`: its texts have one length, which it doesn't declare",
        **_SIGLIP,
        **_HUB,
    ),
    Family(
        "`SwinTransformerImageClassifier`",
        build="hub.swin",
        slow=True,
        maps=(
            Maps("windows", 2, 1, 16, 16, 16),
            Maps("windows", 2, 2, 16, 16, 4),
            Maps("self-attention", 1, 4, 16, 16),
        ),
        grid=(16, 16),
        readout="all patches",
        **_HUB,
    ),
    Family(
        "Swin, wide images",
        build="hub.swin_wide",
        slow=True,
        maps=(Maps("windows", 2, 1, 16, 16, 8), Maps("windows", 2, 2, 16, 16, 2)),
        grid=(8, 16),
        readout="all patches",
        **_HUB,
    ),
    Family(
        "Swin, padded windows",
        build="hub.swin_padded",
        slow=True,
        maps=(Maps("windows", 2, 1, 16, 16, 9), Maps("windows", 1, 2, 16, 16, 4)),
        grid=(12, 12),
        readout="all patches",
        note="padded and shifted at once, keras-hub 0.32 drops some patches' attention",
        **_HUB,
    ),
    Family(
        "MiT",
        build="hub.mit",
        slow=True,
        **_MIT,
        **_HUB,
    ),
    Family(
        "`SegFormerImageSegmenter`",
        build="hub.segformer",
        slow=True,
        **_MIT,
        **_HUB,
    ),
    Family(
        "ViTDet",
        build="hub.vit_det",
        maps=(Maps("windows", 1, 2, 9, 9, 4), Maps("self-attention", 1, 2, 16, 16)),
        grid=(4, 4),
        readout="all patches",
        **_HUB,
    ),
    Family(
        "MobileViT",
        build="kimm_models.mobilevit",
        maps=(
            Maps("groups", 2, 4, 64, 64, 4),
            Maps("groups", 4, 4, 16, 16, 4),
            Maps("groups", 3, 4, 4, 4, 4),
        ),
        grid=(16, 16),
        readout="all patches",
        slow=True,
        **_KIMM,
    ),
    Family(
        "MobileViT, feature map resized",
        build="kimm_models.mobilevit_resized",
        maps=(
            Maps("groups", 2, 4, 36, 36, 4),
            Maps("groups", 4, 4, 9, 9, 4),
        ),
        grid=(12, 12),
        readout="all patches",
        left_out=("stages_4", "stages_4", "stages_4"),
        is_partial=True,
        note="resized pixels stand for no single patches",
        slow=True,
        **_KIMM,
    ),
    Family(
        "ViT-Ti/16",
        build="kimm_models.vit",
        maps=(Maps("self-attention", 12, 3, 7, 7),),
        grid=(2, 3),
        prefix=1,
        slow=True,
        **_KIMM,
    ),
)

_ON_KERAS_LAYERS = (
    Family("class token first", build="plain.class_token_first", **_CLASS_TOKEN, **_HERE),
    Family(
        "class token last",
        build="plain.class_token_last",
        **{**_CLASS_TOKEN, "prefix": 0, "suffix": 1},
        **_HERE,
    ),
    Family("global average pooling", build="plain.average_pooling", **_POOLED, **_HERE),
    Family(
        "all tokens flattened",
        build="plain.flattened_tokens",
        readout="all tokens",
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family(
        "4 registers first, patches pooled",
        build="plain.registers_and_pooling",
        maps=_two_layers(16),
        prefix=4,
        readout="all patches",
        **_GRID,
        **_HERE,
    ),
    Family(
        "class token first, 3 registers last",
        build="plain.registers_after_the_patches",
        maps=_two_layers(16),
        prefix=1,
        suffix=3,
        **_GRID,
        **_HERE,
    ),
    Family("attention mask", build="plain.masked", **_CLASS_TOKEN, **_HERE),
    Family(
        "causal mask",
        build="plain.causal",
        maps=_two_layers(13),
        suffix=1,
        **_GRID,
        **_HERE,
    ),
    Family("dropout", build="plain.with_dropout", **_CLASS_TOKEN, **_HERE),
    Family(
        "`GroupQueryAttention`",
        build="plain.grouped_queries",
        maps=(Maps("self-attention", 2, 4, 13, 13),),
        prefix=1,
        stacks=BOTH_KERAS_3,
        **_GRID,
        **_HERE,
    ),
    Family(
        "`attention_axes=(1, 2)`",
        build="plain.feature_map_attention",
        **_POOLED,
        **_HERE,
    ),
    Family(
        "axial attention, `attention_axes=(1,)` and `(2,)`",
        build="plain.axial",
        maps=(Maps("windows", 1, 2, 4, 4, 3), Maps("windows", 1, 2, 3, 3, 4)) * 2,
        readout="all patches",
        **_GRID,
        **_HERE,
    ),
    Family(
        "subclass of `keras.Model`",
        build="plain.subclassed",
        image_shape=(32, 24, 3),
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family(
        "`call` of the model under `tf.function`",
        build="plain.decorated_model",
        image_shape=(32, 24, 3),
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family(
        "`call` of model and blocks under `tf.function`",
        build="plain.decorated_blocks",
        image_shape=(32, 24, 3),
        **_CLASS_TOKEN,
        **_HERE,
    ),
)

_BY_HAND = (
    Family("softmax function", build="handwritten.softmax_function", **_CLASS_TOKEN, **_HERE),
    Family("exponentials by their sum", build="handwritten.exponentials", **_CLASS_TOKEN, **_HERE),
    Family(
        "the same, maximum subtracted",
        build="handwritten.shifted_exponentials",
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family(
        "exponential of a log-softmax",
        build="handwritten.exponential_of_log_softmax",
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family("head axis third, einsum", build="handwritten.heads_third", **_CLASS_TOKEN, **_HERE),
    Family(
        "one head, no head axis",
        build="handwritten.one_head",
        maps=(Maps("self-attention", 2, 1, 13, 13),),
        prefix=1,
        **_GRID,
        **_HERE,
    ),
    Family("patches by reshaping", build="handwritten.reshaped_patches", **_CLASS_TOKEN, **_HERE),
    Family(
        "patches by `tf.image.extract_patches`",
        build="handwritten.extracted_patches",
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family(
        "patches by `keras.ops.image.extract_patches`",
        build="handwritten.keras_operation_patches",
        stacks=BOTH_KERAS_3,
        **_CLASS_TOKEN,
        **_HERE,
    ),
)

_OTHER_SHAPES = (
    Family(
        "CaiT",
        build="cait.cait",
        maps=(Maps("self-attention", 2, 4, 12, 12), Maps("class attention", 2, 4, 1, 13)),
        prefix=1,
        **_GRID,
        **_HERE,
    ),
    Family(
        "PVT",
        build="hierarchical.pvt",
        maps=(Maps("reduced keys", 2, 1, 48, 12), Maps("self-attention", 2, 2, 12, 12)),
        grid=(8, 6),
        readout="all patches",
        **_HERE,
    ),
    Family(
        "PVT, class token in the last stage",
        build="hierarchical.pvt_with_class_token",
        maps=(Maps("reduced keys", 2, 1, 48, 12), Maps("self-attention", 2, 2, 13, 13)),
        grid=(8, 6),
        prefix=1,
        **_HERE,
    ),
    Family(
        "CvT",
        build="hierarchical.cvt",
        maps=(Maps("reduced keys", 2, 2, 48, 12),),
        grid=(8, 6),
        readout="all patches",
        **_HERE,
    ),
    Family(
        "MobileViT block",
        build="hierarchical.mobilevit",
        maps=(Maps("groups", 2, 2, 12, 12, 4),),
        grid=(8, 6),
        readout="all patches",
        **_HERE,
    ),
    Family(
        "hybrid: convolution stem",
        build="hierarchical.hybrid",
        maps=_two_layers(25),
        grid=(4, 6),
        prefix=1,
        **_HERE,
    ),
    Family(
        "pooling by a learned query",
        build="several.learned_query_pooling",
        maps=(*_PATCHES, Maps("pooling", 1, 2, 1, 12)),
        readout="all patches",
        **_GRID,
        **_HERE,
    ),
    Family(
        "the same over 4 registers and the patches",
        build="several.pooling_with_registers",
        maps=(*_two_layers(16), Maps("pooling", 1, 2, 1, 16)),
        prefix=4,
        readout="all tokens",
        **_GRID,
        **_HERE,
    ),
    Family(
        "compact convolutional transformer (CCT)",
        build="hierarchical.compact",
        maps=(*_PATCHES, Maps("pooling", 1, 1, 1, 12)),
        readout="all patches",
        **_GRID,
        **_HERE,
    ),
    Family("segmentation head", build="several.segmentation", **_POOLED, **_HERE),
    Family(
        "channel attention (DaViT)",
        build="several.channel_attention",
        left_out=("channels_0", "channels_1"),
        is_partial=True,
        **_POOLED,
        **_HERE,
    ),
    Family(
        "cross-covariance attention (XCiT)",
        build="several.cross_covariance",
        left_out=("channels_0", "channels_1"),
        is_partial=True,
        **_POOLED,
        **_HERE,
    ),
    Family(
        "the same, as many channels as tokens",
        build="several.as_many_channels_as_tokens",
        left_out=("channels_0", "channels_1"),
        is_partial=True,
        **_POOLED,
        **_HERE,
    ),
    Family(
        "detection decoder (DETR)",
        build="several.detection_decoder",
        left_out=("decoder_0", "cross_0", "decoder_1", "cross_1"),
        is_partial=True,
        **_POOLED,
        **_HERE,
    ),
)

_TOWERS = (
    Family(
        "two image encoders, the coarse one",
        build="several.two_image_towers",
        options={"layers": ["coarse"]},
        **_WIDE,
        **_HERE,
    ),
    Family(
        "two image encoders, the fine one",
        build="several.two_image_towers",
        maps=_two_layers(33),
        grid=(4, 8),
        prefix=1,
        options={"layers": ["fine"]},
        **_HERE,
    ),
    Family(
        "two image inputs, the first",
        build="several.two_images",
        options={"layers": ["first"]},
        **_WIDE,
        **_HERE,
    ),
    Family(
        "two image inputs, the second",
        build="several.two_images",
        options={"layers": ["second"]},
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family(
        "image and text",
        build="several.image_and_text",
        left_out=("text_0", "text_1"),
        options={"layers": ["image"]},
        **_CLASS_TOKEN,
        **_HERE,
    ),
    Family(
        "two outputs",
        build="several.two_outputs",
        options={"output": "classes"},
        **_CLASS_TOKEN,
        **_HERE,
    ),
)

_ERRORS = (
    Family(
        "two image encoders, none chosen",
        build="several.two_image_towers",
        error=r"with `layers=\[0, 2\]` say",
        note="choose one with `layers`",
        **_HERE,
    ),
    Family(
        "no attention",
        build="several.convolutions",
        error="must compute attention",
        note="the layers seen are listed",
        **_HERE,
    ),
    Family(
        "SavedModel",
        build="several.saved_model",
        error="SavedModel",
        note="load a .keras file, or build the model from code and load its weights",
        **_HERE,
    ),
    Family(
        "`TFSMLayer`",
        build="several.tfsm_layer",
        error="SavedModel",
        note="the same",
        stacks=BOTH_KERAS_3,
        **_HERE,
    ),
)


def _divided(keys):
    """Two layers of divided space-time attention."""
    return (Maps("temporal", 1, 2, 4, 4, 6), Maps("spatial", 1, 2, keys, keys, 4)) * 2


# 4 frames of 2 x 3 patches.
_VIDEO = {"grid": (2, 3), "frames": 4}
_TUBELETS = {"grid": (2, 3), "frames": 2}
_JOINT = {"maps": _two_layers(25), "prefix": 1, **_VIDEO}

_VIDEOS = (
    Family(
        "TimeSformer, patches pooled",
        build="video.timesformer",
        maps=_divided(6),
        readout="all patches",
        **_VIDEO,
        **_HERE,
    ),
    Family(
        "TimeSformer",
        build="video.timesformer_class_token",
        maps=_divided(7),
        prefix=1,
        **_VIDEO,
        **_HERE,
    ),
    Family("ViViT, joint space-time attention", build="video.vivit", **_JOINT, **_HERE),
    Family(
        "ViViT, tubelets of 2 frames by a convolution",
        build="video.vivit_tubelets",
        maps=_two_layers(13),
        prefix=1,
        note="2 frames share a heatmap",
        **_TUBELETS,
        **_HERE,
    ),
    Family(
        "ViViT, tubelets that overlap",
        build="video.vivit_overlapping_tubelets",
        maps=_two_layers(12),
        readout="all patches",
        note="2 frames share a heatmap",
        **_TUBELETS,
        **_HERE,
    ),
    Family(
        "ViViT, tubelets of 2 frames by reshaping",
        build="video.vivit_reshaped_tubelets",
        maps=_two_layers(13),
        prefix=1,
        note="2 frames share their patches' values equally",
        **_VIDEO,
        **_HERE,
    ),
    Family(
        "ViViT, patches of a frame, then frames",
        build="video.vivit_factorized",
        maps=(Maps("spatial", 1, 2, 6, 6, 4), Maps("temporal", 1, 2, 5, 5)),
        prefix=1,
        **_VIDEO,
        **_HERE,
    ),
    Family(
        "convolutional network for each frame, attention over frames",
        build="video.convolutions_then_frames",
        maps=(Maps("temporal", 2, 2, 5, 5),),
        prefix=1,
        grid=(1, 1),
        frames=4,
        **_HERE,
    ),
    Family(
        "patches by convolutions that overlap",
        build="video.convolutional_patches",
        maps=_two_layers(24),
        readout="all patches",
        **_VIDEO,
        **_HERE,
    ),
)

SECTIONS = {
    "Models of packages": _PACKAGES,
    "Models on Keras' own attention layers": _ON_KERAS_LAYERS,
    "Attention and patches written by hand": _BY_HAND,
    "Other kinds of attention": _OTHER_SHAPES,
    "Several towers, inputs or outputs": _TOWERS,
    "Videos": _VIDEOS,
    "What ends in an error": _ERRORS,
}

FAMILIES = tuple(family for families in SECTIONS.values() for family in families)
