"""How much attention lies on the object that a mask marks; pure TensorFlow graph functions."""

import tensorflow as tf

from keras_attnviz.metrics.rank_correlation import average_ranks

# A cell belongs to the object if the object covers at least this share of it.
_COVERED = 0.5


def localization_mass(heat, mask):
    """Returns the share of the attention that lies on an object.

    Args:
        heat: float tensor `[..., cells]`, values >= 0.
        mask: float tensor that broadcasts to it, the share of each cell that the object covers.

    Returns:
        float32 tensor `[...]` in [0, 1]. A half-covered cell counts by half. NaN if there is no
        attention.
    """
    heat, mask = _floats(heat, mask)
    return tf.reduce_sum(heat * mask, axis=-1) / tf.reduce_sum(heat, axis=-1)


def localization(heat, mask):
    """Returns how much more attention lies on an object than uniform attention would put there.

    Args:
        heat: float tensor `[..., cells]`, values >= 0.
        mask: float tensor that broadcasts to it, the share of each cell that the object covers.

    Returns:
        float32 tensor `[...]`, at least 0: the share of the attention that lies on the object,
        divided by the object's share of the area. Uniform attention gives 1. NaN if the mask is
        empty.
    """
    heat, mask = _floats(heat, mask)
    inside = tf.reduce_sum(heat * mask, axis=-1)
    share = tf.math.divide_no_nan(inside, tf.reduce_sum(heat, axis=-1))
    return share / tf.reduce_mean(mask, axis=-1)


def localization_auc(heat, mask):
    """Returns how well the heatmap distinguishes the object's cells from the others.

    Args:
        heat: float tensor `[..., cells]`.
        mask: float tensor that broadcasts to it, the share of each cell that the object covers;
            a cell belongs to the object where it is at least 0.5.

    Returns:
        float32 tensor `[...]` in [0, 1], the area under the ROC curve: how often a cell on the
        object has a higher value than a cell off it, where equal values count by half. 1 if the
        object's cells have the highest values, 0.5 for a constant map. NaN if no cell or all cells
        belong to the object, or a value is not finite.

    References:
        Hanley and McNeil 1982, "The Meaning and Use of the Area under a Receiver Operating
        Characteristic (ROC) Curve", Radiology 143(1): the area
        follows from the rank sum of Mann and Whitney.
    """
    heat, mask = _floats(heat, mask)
    is_inside = tf.cast(mask >= _COVERED, tf.float32)
    inside = tf.reduce_sum(is_inside, axis=-1)
    outside = tf.reduce_sum(1.0 - is_inside, axis=-1)
    mean_rank = tf.reduce_sum(average_ranks(heat) * is_inside, axis=-1) / inside
    return _where_finite(heat, (mean_rank - (inside + 1.0) / 2.0) / outside)


def pointing_hit(heat, mask):
    """Returns whether the heatmap's highest value lies on the object.

    Args:
        heat: float tensor `[..., cells]`.
        mask: float tensor that broadcasts to it, the share of each cell that the object covers;
            a cell belongs to the object where it is at least 0.5.

    Returns:
        float32 tensor `[...]` in [0, 1]: 1 for a hit, 0 for a miss. If several cells have the
        highest value, the share of them on the object. NaN if no cell belongs to the object, or a
        value is not finite.

    References:
        Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop", arXiv 1608.00507,
        section 4.1, the pointing game. Deviations: no margin of 15 pixels around the object, and
        cells in place of pixels.
    """
    heat, mask = _floats(heat, mask)
    is_inside = tf.cast(mask >= _COVERED, tf.float32)
    is_highest = tf.cast(heat == tf.reduce_max(heat, axis=-1, keepdims=True), tf.float32)
    hits = tf.reduce_sum(is_highest * is_inside, axis=-1)
    hit = tf.math.divide_no_nan(hits, tf.reduce_sum(is_highest, axis=-1))
    has_object = tf.reduce_any(is_inside > 0, axis=-1)
    return tf.where(has_object, _where_finite(heat, hit), float("nan"))


def localizations(heat, mask):
    """Returns all metrics of `LOCALIZATIONS`, a dict from name to float32 tensor `[...]`."""
    return {name: measure(heat, mask) for name, measure in LOCALIZATIONS.items()}


def _floats(heat, mask):
    """Returns both as float32 tensors, the mask in the shape of the heatmaps."""
    heat = tf.cast(tf.convert_to_tensor(heat), tf.float32)
    mask = tf.cast(tf.convert_to_tensor(mask), tf.float32)
    return heat, tf.broadcast_to(mask, tf.shape(heat))


def _where_finite(heat, values):
    is_finite = tf.reduce_all(tf.math.is_finite(heat), axis=-1)
    return tf.where(is_finite, values, float("nan"))


LOCALIZATIONS = {
    "mass": localization_mass,
    "auc": localization_auc,
    "hit": pointing_hit,
    "lift": localization,
}
