"""The explanation methods that are compared with the masks, with their options."""

import tensorflow as tf

from keras_attnviz.methods.registry import METHODS, token_values

# Rows of the table: name in the table, method, options.
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
    ("rollout without sinks", "corrected_rollout", {}),
    ("rollout without sinks, last 2 layers", "corrected_rollout", {"start_layer": -2}),
    ("affinity of the last layer's attention", "affinity", {"top_layers": 1}),
    ("affinity (last 2 layers' attention)", "affinity", {}),
)
# A map without a model: objects of this size lie near the middle more often than at the border.
CENTER = "the picture's middle, no model"


def explain_all(attention_model, images):
    """Returns all rows' maps of a batch, from one forward and one backward pass.

    Args:
        attention_model: an `AttentionModel`.
        images: float tensor `[batch, height, width, 3]`.

    Returns:
        `(predictions, maps)`: a tensor `[batch, classes]`, and a dict from name in the table
        to a float32 tensor `[batch, grid_height, grid_width]`.
    """
    evidence = attention_model.evidence(images, methods=tuple(METHODS))
    maps = {
        shown: attention_model.layout.to_grid(
            token_values(method, evidence, attention_model.stack, options)
        )
        for shown, method, options in ROWS
    }
    return evidence.predictions, {**maps, CENTER: _center(maps["rollout"])}


def _center(maps):
    """Returns maps that fall from the middle to the border, of the shape of `maps`."""
    height, width = maps.shape[1:]
    rows, columns = tf.linspace(-1.0, 1.0, height), tf.linspace(-1.0, 1.0, width)
    distances = tf.square(rows)[:, tf.newaxis] + tf.square(columns)
    return tf.broadcast_to(tf.exp(-distances), tf.shape(maps))
