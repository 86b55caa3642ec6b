"""Value norms: the lengths of the values that an attention map is multiplied with."""

import tensorflow as tf

from keras_attnviz.capture.attention_sites import is_weight
from keras_attnviz.capture.graph.operation_types import (
    MATRIX_PRODUCTS,
    PRODUCTS,
    REARRANGEMENTS,
    RESHAPES,
    SCALINGS,
    SHAPES,
)

_MAX_STEPS = 9


def value_norms(site, names):
    """Returns the Euclidean norms of the values that an attention map is multiplied with.

    Where a projection follows the product, each head's values are first multiplied with that
    head's part of the projection's weights.

    Args:
        site: `AttentionSite`.
        names: the names of the model's own operations.

    Returns:
        symbolic float32 tensor, values >= 0, that broadcasts to `site.weights`: the axes of queries
        have size 1. None where the values are not found.

    References:
        Kobayashi et al. 2020, arXiv 2004.10102, section 3.1, equation 4.
    """
    product = site.output.op
    if product.type in MATRIX_PRODUCTS:
        return _of_matrix_product(site, product, names)
    if product.type == "Einsum" and _is_untouched(site, SCALINGS):
        return _of_einsum(site, product, names)
    return None


def _of_matrix_product(site, product, names):
    attributes = product.node_def.attr
    if product.inputs[0].name != site.factor.name or attributes["adj_x"].b:
        return None
    if not _is_untouched(site, SCALINGS | RESHAPES):
        return None
    values = product.inputs[1]
    if attributes["adj_y"].b:
        values = tf.linalg.matrix_transpose(values)
    if not values.shape[-2:-1].is_compatible_with(site.weights.shape[-1:]):
        return None  # Several axes of keys were flattened.
    norms = _norms(values, _projection(site.output, values, names))
    shape = tf.shape(site.factor)
    norms = tf.broadcast_to(norms, tf.concat([shape[:-2], [1], shape[-1:]], axis=0))
    shape = tf.shape(site.weights)
    return tf.reshape(norms, tf.concat([shape[:-2], [1], shape[-1:]], axis=0))


def _of_einsum(site, product, names):
    """Returns the norms where the product is an Einsum of the map and the values."""
    equation = product.node_def.attr["equation"].s.decode()
    operands, output = equation.split("->")
    if "." in equation:
        return None
    labels = operands.split(",")
    at = 0 if product.inputs[0].name == site.factor.name else 1
    of_map, of_values = labels[at], labels[1 - at]
    keys = [label for label in of_map if label not in output]
    features = [label for label in of_values if label not in of_map]
    leading = [label for label in of_map if label in of_values and label not in keys]
    values = product.inputs[1 - at]
    # `[*leading, keys, features]`, as in a matrix product.
    order = [of_values.index(label) for label in (*leading, *keys, *features)]
    if len(features) != 1 or len(order) != len(of_values):
        return None
    values = tf.transpose(values, order)
    shape, count = tf.shape(values), len(leading)
    sizes = values.shape[count:-1]
    flat_keys = sizes.num_elements() if sizes.is_fully_defined() else -1
    flat = tf.reshape(values, tf.concat([shape[:count], [flat_keys], shape[-1:]], axis=0))
    norms = _norms(flat, _projection(site.output, flat, names))
    kept = [shape[leading.index(x)] if x in leading else 1 for x in of_map if x not in keys]
    norms = tf.reshape(norms, [*kept, *tf.unstack(shape[count:-1], len(keys))])
    # The keys' axes go back to where they stand in the map.
    there = [label for label in of_map if label not in keys] + keys
    return tf.transpose(norms, [there.index(label) for label in of_map])


def _norms(values, projection):
    """Returns the norms, `[..., heads, 1, keys]`, of values `[..., heads, keys, features]`."""
    values = tf.cast(values, tf.float32)
    if projection is None:
        squares = tf.reduce_sum(tf.square(values), axis=-1)
    else:
        squares = _projected_squares(values, projection)
    return tf.sqrt(tf.maximum(squares, 0.0))[..., tf.newaxis, :]


def _projected_squares(values, projection):
    """Returns the squared norms of values `[..., heads, keys, features]` after a projection."""
    if values.shape.rank == 3:
        return _projected_squares(values[:, tf.newaxis], projection)[:, 0]
    # One matrix product for each head, with the heads in front and no other batch axis. On CPU,
    # TensorFlow 2.15 to 2.21 with oneDNN write beyond the end of a product's result where one of
    # several batch axes has size 1 and another is broadcast.
    last = values.shape.rank - 1
    heads_first = [last - 2, *range(last - 2), last - 1, last]
    moved = tf.transpose(values, heads_first)
    flat = tf.reshape(moved, [projection.shape[0], -1, projection.shape[1]])
    gram = tf.matmul(projection, projection, transpose_b=True)
    squares = tf.reduce_sum(tf.matmul(flat, gram) * flat, axis=-1)
    squares = tf.reshape(squares, tf.shape(moved)[:-1])
    return tf.transpose(squares, [*range(1, last - 1), 0, last - 1])


def _projection(output, values, names):
    """Returns the weights that each head's output is multiplied with next, or None.

    Args:
        output: symbolic, the product of weights and values.
        values: symbolic, `[..., heads, keys, features]`.
        names: see `value_norms`.

    Returns:
        symbolic float32 tensor `[heads, features, channels]`.
    """
    heads = values.shape[-3] if values.shape.rank > 3 else 1
    features = values.shape[-1]
    weights = _next_weights(output, names)
    if weights is None or None in (heads, features) or not weights.shape.is_fully_defined():
        return None
    sizes = weights.shape.as_list()
    if sizes[:-1] not in ([heads * features], [heads, features]):
        return None
    return tf.reshape(tf.cast(weights, tf.float32), [heads, features, sizes[-1]])


def _next_weights(tensor, names):
    """Returns the weights that a tensor is multiplied with next, perhaps reshaped, or None."""
    for _ in range(_MAX_STEPS):
        users = [user for user in tensor.consumers() if user.name in names]
        users = [user for user in users if user.type not in SHAPES]
        if len(users) != 1:
            return None
        (user,) = users
        if user.type in PRODUCTS:
            weights = [operand for operand in user.inputs if is_weight(operand)]
            return weights[0] if len(weights) == 1 else None
        if user.type not in REARRANGEMENTS:
            return None
        tensor = user.outputs[0]
    return None


def _is_untouched(site, passed):
    """Returns whether all entries of a map are still in their places when it is multiplied."""
    tensor = site.factor
    for _ in range(_MAX_STEPS + 1):
        if tensor.name == site.weights.name:
            return True
        if tensor.op.type not in passed:
            return False
        below = [each for each in tensor.op.inputs if each.shape.rank]
        tensor = max(below, key=lambda each: each.shape.rank)
    return False
