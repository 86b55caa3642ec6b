"""How the heads of a layer differ: diversity, dead and duplicate heads; pure TensorFlow."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.metrics.attention import row_entropies

# Heads above this entropy are uniform; heads above this non-patch share look at no patch.
_UNIFORM, _ELSEWHERE = 0.99, 0.95
# Heads whose divergence is below this, in bits, are the same.
_SAME = 0.01


def head_divergences(attention):
    """Returns how far apart each pair of a layer's heads is; the mean is the layer's diversity.

    Args:
        attention: float tensor `[batch, heads, queries, keys]`, rows (last axis) sum to 1, with a
            known number of heads. Any dtype; the computation is in float32.

    Returns:
        float32 tensor `[batch, heads * (heads - 1) / 2]` in [0, 1]: the Jensen-Shannon divergence
        in bits between the rows of two heads, averaged over queries. 0 for equal heads, 1 for heads
        that share no key. The pairs are in the order (0, 1), (0, 2), ..., (1, 2), ...

    Raises:
        ValueError: `attention` is not of rank 4, or its number of heads is unknown.

    References:
        Clark et al. 2019, "What Does BERT Look At?", arXiv 1906.04341, section 6, compares heads
        this way. Deviations: the mean over queries in place of the sum, and bits.
    """
    attention = tf.convert_to_tensor(attention)
    if attention.shape.rank != 4 or attention.shape[1] is None:
        must = "of rank 4 [batch, heads, queries, keys] with a known number of heads"
        raise ValueError(message("attention", must, attention))
    attention = tf.cast(attention, tf.float32)
    first, second = np.triu_indices(attention.shape[1], 1)
    entropy = row_entropies(attention)
    middle = (tf.gather(attention, first, axis=1) + tf.gather(attention, second, axis=1)) / 2.0
    apart = (tf.gather(entropy, first, axis=1) + tf.gather(entropy, second, axis=1)) / 2.0
    divergence = tf.reduce_mean(row_entropies(middle) - apart, axis=-1) / np.log(2.0)
    # Rounding can put a value just outside the range.
    return tf.clip_by_value(divergence, 0.0, 1.0)


def dead_heads(entropy, non_patch):
    """Returns how many heads of a layer carry no information about the image.

    Args:
        entropy: float tensor `[..., heads]` in [0, 1]; see `attention_entropy`.
        non_patch: float tensor of the same shape in [0, 1]; see `non_patch_share`.

    Returns:
        float32 tensor `[...]`: the number of heads that are uniform over all keys (entropy above
        0.99), or whose attention lies on class token and registers (more than 0.95 of it). In an
        untrained network, all heads may be dead. NaN where a value is NaN.

    References:
        Clark et al. 2019, arXiv 1906.04341, section 3.2, and Vig and Belinkov 2019, "Analyzing
        the Structure of Attention in a Transformer Language Model", arXiv 1906.04284, on heads
        that attend to a token without content when they have nothing to do. The limits are our
        own.
    """
    entropy = tf.cast(tf.convert_to_tensor(entropy), tf.float32)
    non_patch = tf.cast(tf.convert_to_tensor(non_patch), tf.float32)
    flags = tf.cast((entropy > _UNIFORM) | (non_patch > _ELSEWHERE), tf.float32)
    known = entropy + non_patch
    return tf.reduce_sum(tf.where(tf.math.is_nan(known), known, flags), axis=-1)


def duplicate_heads(divergences):
    """Returns how many heads of a layer duplicate another one.

    Args:
        divergences: float tensor `[..., pairs]` in the order of `head_divergences`, with a known
            number of pairs.

    Returns:
        float32 tensor `[...]`, below the number of heads: how many heads have a divergence below
        0.01 from an earlier head. Three equal heads give 2. NaN where a value is NaN.

    References:
        Michel et al. 2019, "Are Sixteen Heads Really Better than One?", arXiv 1905.10650, find
        that most heads of a layer can be removed. The limit is our own.
    """
    divergences = tf.cast(tf.convert_to_tensor(divergences), tf.float32)
    heads = (1 + round((1 + 8 * divergences.shape[-1]) ** 0.5)) // 2
    of_head = np.eye(heads, dtype=np.float32)[np.triu_indices(heads, 1)[1]]
    is_same = tf.cast(divergences < _SAME, tf.float32)
    counts = tf.tensordot(is_same, tf.constant(of_head), 1)
    duplicates = tf.reduce_sum(tf.cast(counts > 0, tf.float32), axis=-1)
    is_known = tf.logical_not(tf.reduce_any(tf.math.is_nan(divergences), axis=-1))
    return tf.where(is_known, duplicates, float("nan"))
