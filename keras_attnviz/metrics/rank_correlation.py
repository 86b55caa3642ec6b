"""Ranks, and the rank correlation of two heatmaps; pure TensorFlow graph functions."""

import tensorflow as tf

from keras_attnviz._checks import message


def average_ranks(values):
    """Returns the rank of each value, counted from 1; equal values get their mean rank.

    Args:
        values: float tensor `[..., positions]`, without NaN; compared in float32.

    Returns:
        float32 tensor of the same shape, in [1, positions].
    """
    values = tf.cast(tf.convert_to_tensor(values), tf.float32)
    ordered = tf.sort(values, axis=-1)
    below = tf.searchsorted(ordered, values, side="left")
    not_above = tf.searchsorted(ordered, values, side="right")
    return tf.cast(below + not_above + 1, tf.float32) / 2.0


def rank_correlation(first, second):
    """Returns how far two heatmaps agree on the order of the patches.

    Args:
        first: float tensor `[..., patches]`, for example one method's heatmap.
        second: float tensor of the same shape, for example another method's.

    Returns:
        float32 tensor `[...]` in [-1, 1], Spearman's rank correlation: 1 if both put the
        patches in the same order, -1 if in the opposite order. Equal values get their mean rank.
        NaN if one of the maps is constant or holds a value that is not finite.

    Raises:
        ValueError: the maps have different numbers of patches.

    References:
        Spearman 1904, "The Proof and Measurement of Association between Two Things", American
        Journal of Psychology 15(1). Used for heatmaps by Adebayo et al. 2018, "Sanity Checks for
        Saliency Maps", arXiv 1810.03292, section 3.
    """
    first = tf.cast(tf.convert_to_tensor(first), tf.float32)
    second = tf.cast(tf.convert_to_tensor(second), tf.float32)
    if not first.shape[-1:].is_compatible_with(second.shape[-1:]):
        must = f"of as many patches as `first`, {first.shape[-1]}"
        raise ValueError(message("second", must, second))
    ranks = [_centered(average_ranks(values)) for values in (first, second)]
    norms = [tf.norm(each, axis=-1) for each in ranks]
    cosine = tf.reduce_sum(ranks[0] * ranks[1], axis=-1) / (norms[0] * norms[1])
    is_finite = tf.math.is_finite(first) & tf.math.is_finite(second)
    is_known = tf.reduce_all(is_finite, axis=-1)
    return tf.where(is_known, tf.clip_by_value(cosine, -1.0, 1.0), float("nan"))


def _centered(values):
    return values - tf.reduce_mean(values, axis=-1, keepdims=True)
