"""Numbers about attention that can be followed over epochs, as pure TensorFlow graph functions."""

import tensorflow as tf

from keras_attnviz._checks import message


def attention_entropy(attention):
    """Returns the mean entropy of each head's attention rows, as a share of the largest possible.

    Args:
        attention: float tensor `[batch, heads, queries, keys]`, rows (last axis) sum to 1;
            computed in float32 whatever its dtype.

    Returns:
        float32 tensor `[batch, heads]` in [0, 1]: the mean over queries of
        `-sum(a * log(a)) / log(keys)`. 1 is uniform attention, 0 is attention to one token.

    Raises:
        ValueError: `attention` is not of rank 4.

    References:
        Zhai et al. 2023, "Stabilizing Transformer Training by Preventing Attention Entropy
        Collapse", arXiv 2303.06296, section 3. Deviation: divided by `log(keys)`, so that
        image and patch sizes can be compared.
    """
    attention = tf.convert_to_tensor(attention)
    if attention.shape.rank != 4:
        raise ValueError(message("attention", "of rank 4 [batch, heads, queries, keys]", attention))
    attention = tf.cast(attention, tf.float32)
    keys = tf.cast(tf.shape(attention)[-1], tf.float32)
    # xlogy is 0 where attention is 0.
    entropy = -tf.reduce_sum(tf.math.xlogy(attention, attention), axis=-1)
    return tf.reduce_mean(tf.math.divide_no_nan(entropy, tf.math.log(keys)), axis=-1)


def jensen_shannon_divergence(first, second):
    """Returns how far two distributions over the same positions lie apart.

    Args:
        first: float tensor `[..., positions]`, values >= 0; each row is divided by its sum.
        second: float tensor of the same shape.

    Returns:
        float32 tensor `[...]` in [0, 1]: 0 for equal distributions, 1 for distributions that
        share no position (logarithm to base 2).

    References:
        Lin 1991, "Divergence measures based on the Shannon entropy", IEEE Transactions on
        Information Theory 37(1), equation 3.1 with equal weights.
    """
    first, second = _distribution(first), _distribution(second)
    middle = (first + second) / 2.0
    divergence = (_relative_entropy(first, middle) + _relative_entropy(second, middle)) / 2.0
    # Rounding can leave a value just outside.
    return tf.clip_by_value(divergence / tf.math.log(2.0), 0.0, 1.0)


def _distribution(values):
    values = tf.cast(tf.convert_to_tensor(values), tf.float32)
    return tf.math.divide_no_nan(values, tf.reduce_sum(values, axis=-1, keepdims=True))


def _relative_entropy(values, reference):
    """Returns the Kullback-Leibler divergence in nats; terms with a zero value are zero."""
    ratio = tf.math.divide_no_nan(values, reference)
    return tf.reduce_sum(tf.math.xlogy(values, ratio), axis=-1)
