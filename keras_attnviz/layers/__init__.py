"""Keras layers: attention rollout, and attention for convolutional networks."""

from keras_attnviz.layers.attention_rollout import AttentionRollout
from keras_attnviz.layers.backbone_stages import Stage, backbone_stages
from keras_attnviz.layers.bam import BottleneckAttention
from keras_attnviz.layers.cbam import ConvBlockAttention
from keras_attnviz.layers.eca import EfficientChannelAttention
from keras_attnviz.layers.selective_kernel import SelectiveKernel
from keras_attnviz.layers.squeeze_excite import SqueezeExcite
from keras_attnviz.layers.stage_attention import with_stage_attention

__all__ = [
    "AttentionRollout",
    "BottleneckAttention",
    "ConvBlockAttention",
    "EfficientChannelAttention",
    "SelectiveKernel",
    "SqueezeExcite",
    "Stage",
    "backbone_stages",
    "with_stage_attention",
]
