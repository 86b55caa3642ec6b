"""Metrics of attention that can be followed over epochs, as pure TensorFlow graph functions."""

import tensorflow as tf

from keras_attnviz._checks import message

# Patches that receive more than this many times uniform attention count as sinks.
_SINK = 10.0
# A layer has collapsed if its entropy is below the first number, and below the second number times
# its entropy before training.
_COLLAPSED, _OF_BASELINE = 0.1, 0.5


def attention_entropy(attention):
    """Returns the mean entropy of each head's attention rows, as a share of the maximum.

    Args:
        attention: float tensor `[batch, heads, queries, keys]`, rows (last axis) sum to 1.
            Any dtype; the computation is in float32.

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
    shares = tf.math.divide_no_nan(row_entropies(attention), tf.math.log(keys))
    return tf.reduce_mean(shares, axis=-1)


def row_entropies(attention):
    """Returns the entropy of each row of attention maps, in nats.

    Args:
        attention: float tensor `[..., keys]`, rows sum to 1.

    Returns:
        float tensor `[...]` of the same dtype in [0, log(keys)]: `-sum(a * log(a))`.
    """
    # xlogy is 0 where attention is 0.
    return -tf.reduce_sum(tf.math.xlogy(attention, attention), axis=-1)


def entropy_collapse(entropy, *, baseline=None):
    """Returns whether a layer's attention has collapsed onto few tokens.

    Args:
        entropy: float tensor `[...]` in [0, 1], the entropy of layers; see `attention_entropy`.
        baseline: float tensor of the same shape, their entropy before training; None if it isn't
            known.

    Returns:
        float32 tensor `[...]`: 1 where the entropy is below 0.1 and below half of the baseline,
        else 0. At 0.1, a query attends to about T^0.1 of T tokens (1.7 of 197). The baseline
        excludes layers that were as sharp before training. NaN where the entropy is NaN.

    References:
        Zhai et al. 2023, arXiv 2303.06296, section 3, describe the collapse. The rule is our own.
    """
    entropy = tf.cast(tf.convert_to_tensor(entropy), tf.float32)
    is_collapsed = entropy < _COLLAPSED
    if baseline is not None:
        baseline = tf.cast(tf.convert_to_tensor(baseline), tf.float32)
        is_collapsed &= entropy < _OF_BASELINE * baseline
    flags = tf.cast(is_collapsed, tf.float32)
    return tf.where(tf.math.is_nan(entropy), entropy, flags)


def non_patch_share(attention, is_patch):
    """Returns the share of attention on tokens that are not patches: class token, registers.

    Args:
        attention: float tensor `[..., queries, keys]`, rows sum to 1.
        is_patch: bool tensor `[keys]`.

    Returns:
        float32 tensor `[...]` in [0, 1], the mean over queries. 0 in a model without such tokens.

    References:
        Dosovitskiy et al. 2020, arXiv 2010.11929, equation 1, for the class token; Darcet et al.
        2023, arXiv 2309.16588, for registers, which draw attention away from patches.
    """
    attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
    others = tf.cast(tf.logical_not(is_patch), tf.float32)
    share = tf.reduce_mean(tf.reduce_sum(attention * others, axis=-1), axis=-1)
    return tf.clip_by_value(share, 0.0, 1.0)


def attention_distance(attention, distances):
    """Returns how far each head's queries look, on average.

    Args:
        attention: float tensor `[..., queries, keys]`, values >= 0.
        distances: float tensor that broadcasts to `attention`, the distance from each query to each
            key, for example in pixels; NaN where the query or the key is not a patch. Only
            attention to patches counts, divided by its sum for each query.

    Returns:
        float32 tensor `[...]` in the unit of `distances`, at least 0: the mean over queries. NaN
        if no query is a patch.

    References:
        Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", arXiv 2010.11929, figure 7 and
        appendix D.7.
    """
    return distance_between(attention, *pairs_of(distances))


def pairs_of(distances):
    """Returns what `distance_between` needs of distances, for several maps with the same ones.

    Args:
        distances: see `attention_distance`.

    Returns:
        `(distances, is_query, is_key)`, float32 tensors: the distances with 0 in place of NaN, and
        1 for queries and keys that are patches, 0 for others.
    """
    distances = tf.cast(tf.convert_to_tensor(distances), tf.float32)
    is_pair = tf.math.is_finite(distances)
    is_query = tf.cast(tf.reduce_any(is_pair, axis=-1), tf.float32)
    is_key = tf.cast(tf.reduce_any(is_pair, axis=-2), tf.float32)
    return tf.where(is_pair, distances, 0.0), is_query, is_key


def distance_between(attention, distances, is_query, is_key):
    """Returns `attention_distance` from what `pairs_of` returns."""
    attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
    far = tf.reduce_sum(attention * distances, axis=-1)
    mean = tf.math.divide_no_nan(far, _sums_over(attention, is_key))
    return tf.reduce_sum(mean * is_query, axis=-1) / tf.reduce_sum(is_query, axis=-1)


def sink_share(received):
    """Returns the share of attention that goes to sinks: patches that receive far too much.

    Args:
        received: float tensor `[..., patches]`, the attention that each patch receives, in times
            uniform attention.

    Returns:
        float32 tensor `[...]` in [0, 1]: the attention to patches that receive more than ten times
        uniform attention, as a share of the attention to all patches.

    References:
        Darcet et al. 2023, "Vision Transformers Need Registers", arXiv 2309.16588, describe such
        patches; the limit of ten is our own.
    """
    received = tf.cast(tf.convert_to_tensor(received), tf.float32)
    on_sinks = tf.reduce_sum(tf.where(received > _SINK, received, 0.0), axis=-1)
    return tf.math.divide_no_nan(on_sinks, tf.reduce_sum(received, axis=-1))


def artifact_tokens(received):
    """Returns the number of sinks: patches that receive far too much attention.

    Args:
        received: float tensor `[..., patches]`, the attention that each patch receives, in times
            uniform attention.

    Returns:
        float32 tensor `[...]`, at least 0: the number of patches that receive more than ten times
        uniform attention, as in `sink_share`. NaN where a value is NaN.

    References:
        See `sink_share`.
    """
    received = tf.cast(tf.convert_to_tensor(received), tf.float32)
    flags = tf.cast(received > _SINK, tf.float32)
    return tf.reduce_sum(tf.where(tf.math.is_nan(received), received, flags), axis=-1)


def jensen_shannon_divergence(first, second):
    """Returns how far apart two distributions over the same positions are.

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
    # Rounding can put a value just outside the range.
    return tf.clip_by_value(divergence / tf.math.log(2.0), 0.0, 1.0)


def frame_importance(heatmaps):
    """Returns the share of a video's heatmap that lies in each of its frames.

    Args:
        heatmaps: float tensor `[..., frames, grid_height, grid_width]`, at least 0, as
            `AttentionModel.rollout` returns for videos.

    Returns:
        float32 tensor `[..., frames]` in [0, 1] with sum 1; zeros for a heatmap of zeros.

    Raises:
        ValueError: `heatmaps` has a rank below 3.

    Example:
        >>> frame_importance([[[[1.0, 2.0]], [[1.0, 0.0]]]])  # 0.75 and 0.25
    """
    heatmaps = tf.cast(tf.convert_to_tensor(heatmaps), tf.float32)
    if heatmaps.shape.rank is not None and heatmaps.shape.rank < 3:
        must = "a tensor [..., frames, grid_height, grid_width]"
        raise ValueError(message("heatmaps", must, heatmaps))
    sums = tf.reduce_sum(heatmaps, axis=[-2, -1])
    return tf.math.divide_no_nan(sums, tf.reduce_sum(sums, axis=-1, keepdims=True))


def _distribution(values):
    values = tf.cast(tf.convert_to_tensor(values), tf.float32)
    return tf.math.divide_no_nan(values, tf.reduce_sum(values, axis=-1, keepdims=True))


def _relative_entropy(values, reference):
    """Returns the Kullback-Leibler divergence in nats; terms with a zero value are zero."""
    ratio = tf.math.divide_no_nan(values, reference)
    return tf.reduce_sum(tf.math.xlogy(values, ratio), axis=-1)


def _sums_over(attention, is_key):
    """Returns the sums of rows `[..., queries, keys]` over the keys that count, `[..., queries]`.

    `is_key` is `[..., keys]`, 1 or 0. If it is the same for all maps, a matrix product is a third
    faster than the weighted sum.
    """
    if is_key.shape.num_elements() != is_key.shape[-1] or is_key.shape[-1] is None:
        return tf.reduce_sum(attention * is_key[..., tf.newaxis, :], axis=-1)
    rows = tf.reshape(attention, [-1, is_key.shape[-1]])
    sums = tf.matmul(rows, tf.reshape(is_key, [-1, 1]))
    return tf.reshape(sums, tf.shape(attention)[:-1])
