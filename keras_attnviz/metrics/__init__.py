"""Metrics: attention maps and heatmaps to numbers; pure TensorFlow."""

from keras_attnviz.metrics.attention import (
    artifact_tokens,
    attention_distance,
    attention_entropy,
    entropy_collapse,
    frame_importance,
    jensen_shannon_divergence,
    non_patch_share,
    sink_share,
)
from keras_attnviz.metrics.faithfulness import deletion_auc, insertion_auc, perturbation_auc
from keras_attnviz.metrics.heads import dead_heads, duplicate_heads, head_divergences
from keras_attnviz.metrics.localization import (
    localization,
    localization_auc,
    localization_mass,
    pointing_hit,
)
from keras_attnviz.metrics.perturbation import blurred
from keras_attnviz.metrics.randomization import RandomizationResult, randomization_check
from keras_attnviz.metrics.rank_correlation import rank_correlation

__all__ = [
    "RandomizationResult",
    "artifact_tokens",
    "attention_distance",
    "attention_entropy",
    "blurred",
    "dead_heads",
    "deletion_auc",
    "duplicate_heads",
    "entropy_collapse",
    "frame_importance",
    "head_divergences",
    "insertion_auc",
    "jensen_shannon_divergence",
    "localization",
    "localization_auc",
    "localization_mass",
    "non_patch_share",
    "perturbation_auc",
    "pointing_hit",
    "randomization_check",
    "rank_correlation",
    "sink_share",
]
