"""Weighting of attention maps by gradients or values, and damping of sinks; pure TensorFlow."""

import tensorflow as tf


def gradient_weighted(attention, gradient):
    """Returns the part of an attention map that speaks for a class.

    Args:
        attention: float tensor `[..., queries, keys]`, values >= 0.
        gradient: float tensor of the same shape, the gradient of the class's score with respect
            to `attention`.

    Returns:
        float32 tensor of the same shape, at least 0: `relu(attention * gradient)`.

    References:
        Chefer et al. 2021, "Generic Attention-model Explainability for Interpreting Bi-Modal and
        Encoder-Decoder Transformers", arXiv 2103.15679, equation 5, before the mean over heads.
    """
    attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
    return tf.nn.relu(attention * tf.cast(tf.convert_to_tensor(gradient), tf.float32))


def value_weighted(attention, lengths):
    """Returns how much each key's value weighs in each query's sum.

    Args:
        attention: float tensor `[..., queries, keys]`, values >= 0.
        lengths: float tensor `[..., keys]`, the lengths of the values that the map is multiplied
            by.

    Returns:
        float32 tensor of `attention`'s shape, at least 0: `attention * lengths`.

    References:
        Kobayashi et al. 2020, "Attention is Not Only a Weight: Analyzing Transformers with Vector
        Norms", arXiv 2004.10102, section 3, for each head by itself.
    """
    attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
    return attention * tf.cast(tf.convert_to_tensor(lengths), tf.float32)[..., tf.newaxis, :]


def sink_damping(received, *, limit=2.0):
    """Returns the factors that keep patches from receiving far more attention than others.

    Args:
        received: float tensor `[..., patches]`, the attention that each patch receives, at least 0,
            in any unit.
        limit: float of at least 1; a patch that receives more than `limit` times the median over
            patches is damped to that.

    Returns:
        float32 tensor of the same shape, in [0, 1]: `min(1, limit * median / received)`.

    References:
        Darcet et al. 2023, "Vision Transformers Need Registers", arXiv 2309.16588, describe such
        patches. The rule is our own, found by measurement; see docs/methods.md.
    """
    received = tf.cast(tf.convert_to_tensor(received), tf.float32)
    ordered = tf.sort(received, axis=-1)
    count = tf.shape(received)[-1]
    middle = tf.gather(ordered, [(count - 1) // 2, count // 2], axis=-1)
    allowed = float(limit) * tf.reduce_mean(middle, axis=-1, keepdims=True)
    return tf.where(received > allowed, tf.math.divide_no_nan(allowed, received), 1.0)
