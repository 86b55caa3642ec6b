"""Relevance from attention maps and their gradients, as pure TensorFlow graph functions."""

import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.methods.rollout import check_query, checked_layers, query_row
from keras_attnviz.methods.weighting import gradient_weighted


def attention_relevance(attentions, gradients, *, start_layer=0, query=None):
    """Returns how relevant each input token is to each token of the top layer, for one class.

    `R` starts as the identity, and each layer adds what it mixes: `R = R + A R`, where `A` is the
    mean over heads of `relu(attention * gradient)`, see `gradient_weighted`.

    Args:
        attentions: sequence, bottom layer first, of float tensors
            `[batch, heads, tokens, tokens]` whose rows (last axis, keys) sum to 1. All
            layers have the same batch and number of tokens; the number of heads may differ. Any
            dtype; the computation is in float32.
        gradients: sequence of float tensors of the same shapes, the gradients of the class's
            score (a logit, not a probability) with respect to each map.
        start_layer: integer; layers below it are ignored. Negative numbers count from the top.
        query: as in `attention_rollout`.

    Returns:
        float32 tensor `[batch, tokens, tokens]`, or with `query` `[batch, tokens]`, at least 0. It
        has no fixed sum.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the gradients' shapes aren't those of the maps, or as in `attention_rollout`.

    Example:
        >>> attention = tf.constant([[[[0.5, 0.5], [0.0, 1.0]]]])
        >>> gradient = tf.constant([[[[1.0, -1.0], [0.0, 2.0]]]])
        >>> attention_relevance([attention], [gradient]).numpy().tolist()
        [[[1.5, 0.0], [0.0, 3.0]]]

    References:
        Chefer et al. 2021, arXiv 2103.15679, equations 5 and 6. Deviation: no normalization by
        equation 8, which is for models with two modalities.
    """
    layers = checked_layers(attentions, start_layer)
    _check_same_shapes(attentions, gradients)
    weighted = [
        tf.reduce_mean(gradient_weighted(*pair), axis=1)
        for pair in zip(layers, list(gradients)[start_layer:], strict=True)
    ]
    if query is None:
        relevance = tf.eye(tf.shape(layers[0])[-1], batch_shape=tf.shape(layers[0])[:1])
        for layer in weighted:
            relevance = relevance + tf.matmul(layer, relevance)
        return relevance
    check_query(query, layers[0].shape[-1])
    row = query_row(query, tf.shape(layers[0])[-1])
    for layer in reversed(weighted):
        row = row + tf.matmul(row, layer)
    return tf.squeeze(row, axis=1)


def placed_relevance(attentions, gradients, placements, *, query, start_layer=0):
    """Returns `attention_relevance` for weighted query tokens, through maps of any placement.

    Args:
        attentions: list, bottom layer first, of float tensors `[batch, heads, queries, keys]` or
            `[batch, groups, heads, queries, keys]`.
        gradients: list of tensors of the same shapes.
        placements: list of `Placement`, one per layer, over the same tokens. Only the last may be a
            pooling layer.
        query: weights `[tokens]`, or `[queries]` if the top layer is a pooling layer; sum 1.
        start_layer: integer; layers below it are ignored. Negative numbers count from the top.

    Returns:
        float32 tensor `[batch, tokens]`, at least 0.
    """
    weighted = list(map(gradient_weighted, attentions, gradients))[start_layer:]
    rows = tf.constant(query, tf.float32)[tf.newaxis, tf.newaxis]
    rows = tf.repeat(rows, tf.shape(attentions[0])[0], axis=0)
    for placement, weights in zip(
        reversed(placements[start_layer:]), reversed(weighted), strict=True
    ):
        rows = placement.relevance_through(rows, weights)
    return tf.squeeze(rows, axis=1)


def placed_legrad(gradients, placements, *, start_layer=0):
    """Returns how sensitive a class's score is to the attention to each token, by LeGrad.

    The positive part of each map's gradient is averaged over heads and queries, then over layers.

    Args:
        gradients: list, bottom layer first, of float tensors `[batch, heads, queries, keys]` or
            `[batch, groups, heads, queries, keys]`: the gradient of the class's score at each layer
            with respect to the layer's map; see `Evidence.layer_gradients`.
        placements: list of `Placement`, one per layer, over the same tokens.
        start_layer: integer; layers below it are ignored. Negative numbers count from the top.

    Returns:
        float32 tensor `[batch, tokens]`, at least 0.

    References:
        Bousselham et al. 2024, "LeGrad: An Explainability Method for Vision Transformers via
        Feature Formation Sensitivity", arXiv 2404.03214, section 3. Deviation: if the
        head doesn't fit the layers' tokens, `Evidence` has the gradients of the model's own score.
    """
    pairs = list(zip(gradients, placements, strict=True))[start_layer:]
    received = [placement.received(tf.nn.relu(gradient)) for gradient, placement in pairs]
    return tf.add_n(received) / len(received)


def _check_same_shapes(attentions, gradients):
    shapes = [
        [tuple(tf.convert_to_tensor(tensor).shape) for tensor in tensors]
        for tensors in (attentions, gradients)
    ]
    if len(shapes[0]) != len(shapes[1]) or any(map(_differ, *shapes)):
        raise ValueError(
            message("gradients", f"of the shapes of `attentions`, {shapes[0]}", shapes[1])
        )


def _differ(first, second):
    return not tf.TensorShape(first).is_compatible_with(second)
