"""Attention maps weighted by gradients or by values, as pure TensorFlow graph functions."""

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
        Encoder-Decoder Transformers", arXiv 2103.15679, equation 5, before the mean of the heads.
    """
    attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
    return tf.nn.relu(attention * tf.cast(tf.convert_to_tensor(gradient), tf.float32))


def value_weighted(attention, lengths):
    """Returns how much each key's value weighs in each query's sum.

    Args:
        attention: float tensor `[..., queries, keys]`, values >= 0.
        lengths: float tensor `[..., keys]`, the lengths of the values that the map is multiplied
            with.

    Returns:
        float32 tensor of `attention`'s shape, at least 0: `attention * lengths`.

    References:
        Kobayashi et al. 2020, "Attention is Not Only a Weight: Analyzing Transformers with Vector
        Norms", arXiv 2004.10102, section 3, of each head by itself.
    """
    attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
    return attention * tf.cast(tf.convert_to_tensor(lengths), tf.float32)[..., tf.newaxis, :]
