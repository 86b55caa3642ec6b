"""The explanation methods that are held against the masks, with their options."""

import tensorflow as tf

from keras_attnviz.methods import METHODS, explained

# Rows of the table: what is shown, method, options.
ROWS = (
    ("rollout", "rollout", {}),
    ("rollout, last 4 layers", "rollout", {"start_layer": -4}),
    ("rollout, last 2 layers", "rollout", {"start_layer": -2}),
    ("attention of the last layer", "attention", {}),
    ("value-weighted rollout", "value_rollout", {}),
    ("value-weighted rollout, last 2 layers", "value_rollout", {"start_layer": -2}),
    ("gradient-weighted rollout", "gradient_rollout", {}),
    ("gradient-weighted rollout, last 2 layers", "gradient_rollout", {"start_layer": -2}),
    ("relevance", "relevance", {}),
    ("LeGrad", "legrad", {}),
    ("affinity", "affinity", {}),
)
# What needs no model: objects of this size lie near the middle more often than at the border.
CENTER = "the picture's middle, no model"


def explain_all(attention_model, images):
    """Returns all rows' maps of a batch, from one forward and one backward pass.

    Args:
        attention_model: an `AttentionModel`.
        images: float tensor `[batch, height, width, 3]`.

    Returns:
        `(predictions, maps)`: a tensor `[batch, classes]`, and a dict from what is shown to a
        float32 tensor `[batch, grid_height, grid_width]`.
    """
    evidence = attention_model.evidence(images, methods=tuple(METHODS))
    maps = {
        shown: attention_model.layout.to_grid(
            _affinity(evidence, attention_model)
            if method == "affinity"
            else explained(method, evidence, attention_model, options)
        )
        for shown, method, options in ROWS
    }
    return evidence.predictions, {**maps, CENTER: _center(maps["rollout"])}


def explain_one(attention_model, images, method, options):
    """Returns one method's maps, for timing."""
    if method == "affinity":
        evidence = attention_model.evidence(images, methods=("rollout",))
        return attention_model.layout.to_grid(_affinity(evidence, attention_model))
    return attention_model.explain(images, method, **options)


def _affinity(evidence, attention_model, *, layers=2):
    """Returns the read-out's attention in the top layers, refined by attention among patches.

    A patch counts as far as it attends, in the mean over all layers and heads, to the patches that
    the class token attends to in the last `layers` layers.

    References:
        Xu et al. 2022, "Multi-class Token Transformer for Weakly Supervised Semantic
        Segmentation", arXiv 2203.02891, section 3.3. Deviation: one class token for all classes.
    """
    maps = attention_model.token_maps(evidence.attentions)
    query = tf.constant(attention_model.query, tf.float32)
    read = tf.einsum("q,bqk->bk", query, tf.add_n(maps[-layers:]) / layers)
    is_patch = tf.constant(attention_model.layout.patch_weights()) > 0
    read = read * tf.cast(is_patch, tf.float32)
    return tf.linalg.matvec(tf.add_n(maps) / len(maps), read)


def _center(maps):
    """Returns maps that fall from the middle to the border, of the shape of `maps`."""
    height, width = maps.shape[1:]
    rows, columns = tf.linspace(-1.0, 1.0, height), tf.linspace(-1.0, 1.0, width)
    distances = tf.square(rows)[:, tf.newaxis] + tf.square(columns)
    return tf.broadcast_to(tf.exp(-distances), tf.shape(maps))
