"""Attention rollout, as pure TensorFlow graph functions."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_choice, check_ratio, is_integer, message

FUSIONS = ("mean", "max", "min")


def attention_rollout(
    attentions, *, head_fusion="mean", discard_ratio=0.0, residual=0.5, start_layer=0, query=None
):
    """Returns how much each input token contributes to each token of the top layer.

    In each layer, the heads are fused (`fuse_heads`), rows are normalized to sum 1, the residual
    connection is added as `residual * I + (1 - residual) * fused`, and rows are normalized again.
    The result is multiplied from the left onto the product of the layers below.

    Args:
        attentions: sequence, bottom layer first, of float tensors
            `[batch, heads, tokens, tokens]` whose rows (last axis, keys) sum to 1. All
            layers have the same batch and number of tokens; the number of heads may differ. Any
            dtype; the computation is in float32.
        head_fusion: `"mean"`, `"max"` or `"min"` over heads.
        discard_ratio: float in [0, 1); the share of each image's own fused map that is set to
            zero, lowest values first. A row left without any attention keeps only its residual.
        residual: float in [0, 1); the weight of the residual connection.
        start_layer: integer; layers below it are ignored. Negative numbers count from the
            top: -1 is the last layer alone.
        query: None for all rows; a token index for that token's row; or weights `[tokens]` over
            query tokens, finite, at least 0 and not all zero, for the weighted mean of their rows.
            One row costs O(layers * tokens^2), all rows cost O(layers * tokens^3).

    Returns:
        float32 tensor `[batch, tokens, tokens]`, rows sum to 1. With `query`,
        `[batch, tokens]`; each image's row sums to 1. With `residual=0`, a row that discarding has
        emptied is zero.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: there are no layers, layers are not square or differ in tokens or batch size,
            or an argument is out of range. Values of tensors are not checked.

    Example:
        >>> identity = tf.eye(2)[tf.newaxis, tf.newaxis]
        >>> attention_rollout([identity, identity]).numpy().tolist()
        [[[1.0, 0.0], [0.0, 1.0]]]

    References:
        Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers", arXiv 2005.00928,
        section 3, equation 1 (there `residual` is 0.5 and heads are averaged).
        Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", arXiv 2010.11929, appendix D.7.
        J. Gildenblat, "vit-explain", for the fusion by maximum or minimum and for discarding.
        Deviations from vit-explain: discarding treats each image of the batch by itself and
        spares no token (vit-explain uses the first image's indices for all, and keeps the class
        token's attention to itself); rows, not columns, are normalized.
    """
    layers = checked_layers(attentions, start_layer)
    check_choice("head_fusion", head_fusion, FUSIONS)
    check_ratio("discard_ratio", discard_ratio)
    check_ratio("residual", residual)
    transitions = (
        _transition(layer, head_fusion, discard_ratio, residual) for layer in reversed(layers)
    )
    if query is None:
        product = next(transitions)
        for transition in transitions:
            product = tf.matmul(product, transition)
        return product
    check_query(query, layers[0].shape[-1])
    row = query_row(query, tf.shape(layers[0])[-1])
    for transition in transitions:
        row = tf.matmul(row, transition)
    return tf.squeeze(row, axis=1)


def fuse_heads(attention, *, head_fusion="mean", discard_ratio=0.0):
    """Returns one attention map per image: heads fused, lowest values discarded, rows normalized.

    Args:
        attention: float tensor `[batch, heads, queries, keys]`, values >= 0.
        head_fusion: `"mean"`, `"max"` or `"min"` over heads.
        discard_ratio: float in [0, 1); in each image's fused map, the
            `floor(discard_ratio * queries * keys)` lowest values are set to zero. Of equal
            values, the last in row order goes first.

    Returns:
        float32 tensor `[batch, queries, keys]`; rows sum to 1, or to 0 if nothing is left.

    Raises:
        TypeError: `discard_ratio` is not a number.
        ValueError: `head_fusion` is unknown, `discard_ratio` is outside [0, 1), or the rank is
            not 4.

    References:
        See `attention_rollout`.
    """
    check_choice("head_fusion", head_fusion, FUSIONS)
    check_ratio("discard_ratio", discard_ratio)
    attention = tf.convert_to_tensor(attention)
    if attention.shape.rank != 4:
        raise ValueError(message("attention", "of rank 4 [batch, heads, queries, keys]", attention))
    reduce = {"mean": tf.reduce_mean, "max": tf.reduce_max, "min": tf.reduce_min}[head_fusion]
    fused = reduce(tf.cast(attention, tf.float32), axis=1)
    if discard_ratio > 0:
        fused = _without_lowest(fused, discard_ratio)
    return _rows_normalized(fused)


def _transition(attention, head_fusion, discard_ratio, residual):
    """Returns one layer's row-stochastic matrix `[batch, tokens, tokens]`, residual included."""
    fused = fuse_heads(attention, head_fusion=head_fusion, discard_ratio=discard_ratio)
    identity = tf.eye(tf.shape(fused)[-1], dtype=tf.float32)
    residual = float(residual)
    return _rows_normalized(residual * identity + (1.0 - residual) * fused)


def _rows_normalized(matrix):
    """Returns `matrix` with each row divided by its sum; a zero row stays zero."""
    return tf.math.divide_no_nan(matrix, tf.reduce_sum(matrix, axis=-1, keepdims=True))


def _without_lowest(fused, ratio):
    """Returns `fused` with the share `ratio` of each image's values, the lowest, set to zero."""
    shape = tf.shape(fused)
    flat = tf.reshape(fused, [shape[0], -1])
    size = tf.shape(flat)[1]
    discarded = tf.cast(tf.floor(float(ratio) * tf.cast(size, tf.float64)), tf.int32)
    order = tf.argsort(flat, axis=-1, direction="DESCENDING", stable=True)
    rank = tf.argsort(order, axis=-1, stable=True)
    return tf.reshape(tf.where(rank < size - discarded, flat, 0.0), shape)


def query_row(query, tokens):
    """Returns weights over query tokens, float32 `[1, 1, tokens]`, that sum to 1."""
    query = tf.convert_to_tensor(query)
    if query.shape.rank == 0:
        row = tf.one_hot(query, tokens)
    else:
        row = _rows_normalized(tf.cast(query, tf.float32))
    return row[tf.newaxis, tf.newaxis]


def check_query(query, tokens):
    """Raises unless `query` fits `tokens`, the number of tokens, or None if it is not static."""
    if query is None or tf.is_tensor(query):
        return
    values = np.asarray(query)
    if values.dtype.kind not in "iuf" or (values.ndim == 0 and values.dtype.kind == "f"):
        must = "None, a token index or float weights [tokens]"
        raise TypeError(message("query", must, query))
    if values.ndim == 0:
        if values < 0 or (tokens is not None and values >= tokens):
            raise ValueError(message("query", f"a token index in [0, {tokens})", query))
    elif values.ndim != 1 or (tokens is not None and len(values) != tokens):
        raise ValueError(message("query", f"weights of shape [{tokens}]", query))
    elif not (np.isfinite(values).all() and values.any() and (values >= 0).all()):
        raise ValueError(message("query", "weights of at least 0, finite and not all zero", query))


def checked_layers(attentions, start_layer):
    """Returns the attention tensors from `start_layer` up; raises if they don't fit together."""
    if not isinstance(attentions, (list, tuple)):
        must = "a list or tuple of tensors [batch, heads, tokens, tokens], bottom layer first"
        raise TypeError(message("attentions", must, attentions))
    layers = [tf.convert_to_tensor(attention) for attention in attentions]
    if not layers:
        raise ValueError(message("attentions", "at least one layer", attentions))
    check_start_layer(start_layer, len(layers))
    shapes = [tuple(layer.shape) if layer.shape.rank is not None else None for layer in layers]
    square = all(shape and len(shape) == 4 and _same(shape[-2:]) for shape in shapes)
    if not square or not _same([shape[-1] for shape in shapes]):
        raise ValueError(
            "`attentions` must be square, [batch, heads, tokens, tokens], with the same number "
            f"of tokens in every layer. Received shapes: {shapes}. Pass only the layers that "
            "belong to one stack of tokens."
        )
    if not _same([shape[0] for shape in shapes]):
        raise ValueError(
            "`attentions` must have the same batch size in every layer. Received shapes: "
            f"{shapes}. Pass the attention maps of the same images."
        )
    return layers[start_layer:]


def check_start_layer(start_layer, layers, *, name="start_layer"):
    """Raises unless `start_layer` is an index into `layers` layers, negative from the top."""
    must = f"an integer in [{-layers}, {layers}), as there are {layers} layers"
    if not is_integer(start_layer):
        raise TypeError(message(name, must, start_layer))
    if not -layers <= start_layer < layers:
        raise ValueError(message(name, must, start_layer))


def _same(sizes):
    """Returns whether all known sizes are equal."""
    return len({size for size in sizes if size is not None}) <= 1


def placed_rollout(attentions, placements, *, query, residual=0.5, start_layer=0, **options):
    """Returns attention rollout for weighted query tokens, through maps of any placement.

    From the top layer down, weights `[tokens]` over a layer's output become weights over its input.
    Each token keeps the share `residual` of its weight, and the rest goes to the tokens that it
    attends to. If all layers have the same tokens in the same order, this is `attention_rollout`
    with `query`.

    Args:
        attentions: list, bottom layer first, of float tensors `[batch, heads, queries, keys]` or
            `[batch, groups, heads, queries, keys]` whose rows sum to 1.
        placements: list of `Placement`, one per layer, over the same tokens. Only the last may be a
            pooling layer.
        query: weights `[tokens]`, or `[queries]` if the top layer is a pooling layer; sum 1.
            Several rows of weights, `[rows, tokens]`, give as many rollouts.
        residual: float in [0, 1); the weight of the residual connection.
        start_layer: integer; layers below it are ignored. Negative numbers count from the top.
        **options: `head_fusion` and `discard_ratio`, as in `fuse_heads`.

    Returns:
        float32 tensor `[batch, tokens]`, or `[batch, rows, tokens]`; rows sum to 1.

    References:
        See `attention_rollout`. Windows, merged tokens and pooled keys are our own extension; see
        docs/models.md.
    """
    check_ratio("residual", residual)
    check_start_layer(start_layer, len(attentions))
    residual = float(residual)
    query = tf.constant(query, tf.float32)
    rows = tf.reshape(query, [1, -1, query.shape[-1]])
    rows = tf.repeat(rows, tf.shape(attentions[0])[0], axis=0)
    chosen = list(zip(attentions, placements, strict=True))[start_layer:]
    for attention, placement in reversed(chosen):
        rows = placement.rows_through(rows, attention, residual=residual, **options)
    return rows if query.shape.rank == 2 else tf.squeeze(rows, axis=1)
