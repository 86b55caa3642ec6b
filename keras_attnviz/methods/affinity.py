"""Attention refined by how much patches attend to one another, as a pure TensorFlow function."""

import tensorflow as tf


def affinity_refined(attention, maps):
    """Returns how much each token attends to tokens that are attended to.

    Args:
        attention: float tensor `[batch, tokens]`, values >= 0: what the read-out attends to.
        maps: sequence of float tensors `[batch, tokens, tokens]`, one per layer: its attention,
            averaged over heads. Rows sum to 1.

    Returns:
        float32 tensor `[batch, tokens]`, values >= 0, with no fixed sum: `P @ attention`, where
        `P` is the mean of the maps.

    References:
        Xu et al. 2022, "Multi-class Token Transformer for Weakly Supervised Semantic
        Segmentation", arXiv 2203.02891, section 3.4: class-to-patch attention of the top layers,
        refined by patch-to-patch attention of all layers.
    """
    attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
    refined = [tf.linalg.matvec(tf.cast(layer, tf.float32), attention) for layer in maps]
    return tf.add_n(refined) / len(refined)
