"""Watch where a Keras Vision Transformer looks, epoch by epoch, in TensorBoard.

Public names are imported on first use: TensorBoard imports this package when it starts, and
must not wait for TensorFlow or Keras.
"""

import importlib

from keras_attnviz._version import __version__

_HOMES = {
    "AttentionAlarm": "callbacks.attention_alarm",
    "AttentionModel": "capture.attention_model",
    "AttentionRollout": "layers.attention_rollout",
    "AttentionRolloutCallback": "callbacks.attention_rollout_callback",
    "BottleneckAttention": "layers.bam",
    "ConvBlockAttention": "layers.cbam",
    "EfficientChannelAttention": "layers.eca",
    "ProbeSet": "data.probes",
    "RolloutModel": "explain.rollout_model",
    "SelectiveKernel": "layers.selective_kernel",
    "SqueezeExcite": "layers.squeeze_excite",
    "TokenLayout": "methods.token_layout",
    "affinity_refined": "methods.affinity",
    "artifact_tokens": "metrics.attention",
    "attention_distance": "metrics.attention",
    "attention_entropy": "metrics.attention",
    "attention_flow": "methods.flow",
    "attention_relevance": "methods.relevance",
    "attention_rollout": "methods.rollout",
    "backbone_stages": "layers.backbone_stages",
    "build_classifier": "networks.classifier",
    "dead_heads": "metrics.heads",
    "deletion_auc": "metrics.faithfulness",
    "draw": "drawing.figure",
    "duplicate_heads": "metrics.heads",
    "entropy_collapse": "metrics.attention",
    "explain_dataset": "explain.explain_dataset",
    "explain_folder": "explain.explain_folder",
    "fine_tune": "finetune",
    "frame_importance": "metrics.attention",
    "fuse_heads": "methods.rollout",
    "gradient_weighted": "methods.weighting",
    "head_divergences": "metrics.heads",
    "insertion_auc": "metrics.faithfulness",
    "jensen_shannon_divergence": "metrics.attention",
    "localization": "metrics.localization",
    "localization_auc": "metrics.localization",
    "localization_mass": "metrics.localization",
    "non_patch_share": "metrics.attention",
    "open_model": "explain.explain_pictures",
    "perturbation_auc": "metrics.faithfulness",
    "pointing_hit": "metrics.localization",
    "randomization_check": "metrics.randomization",
    "rank_correlation": "metrics.rank_correlation",
    "read_log": "log.attention_log",
    "sink_damping": "methods.weighting",
    "sink_share": "metrics.attention",
    "value_weighted": "methods.weighting",
    "with_stage_attention": "layers.stage_attention",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
