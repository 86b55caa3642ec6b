"""Health of a training: sinks, artifact tokens, diversity of heads, and localization."""

import numpy as np
import tensorflow as tf

from keras_attnviz.metrics.attention import artifact_tokens, non_patch_share, sink_share
from keras_attnviz.metrics.heads import dead_heads, duplicate_heads, head_divergences
from keras_attnviz.metrics.localization import localizations

# Number of rows in which heads are compared. All pairs in all rows would take as long as the model.
_ROWS = 8


def health_measures(placement, attention, received, layout):
    """Returns a layer's measures of health of each image, a dict of float32 tensors.

    Args:
        placement: the layer's `Placement`.
        attention: its attention map.
        received: what `Measures.received` returns for it.
        layout: the `TokenLayout`.

    Returns:
        `sinks` and `artifacts` `[batch, 1]`, the `sink_share` and the `artifact_tokens` of what
        patches receive from patches, mean over heads; `non_patch` `[batch, heads]`, the
        `non_patch_share` of the patches' attention; `divergences` `[batch, pairs]`, the
        `head_divergences` of 8 rows evenly spaced over the layer's queries.
    """
    patches = slice(layout.prefix, layout.prefix + layout.patches)
    is_patch = np.zeros(layout.tokens, bool)
    is_patch[patches] = True
    by_patch = tf.reduce_mean(received[..., patches], axis=1) * layout.tokens
    return {
        "sinks": sink_share(by_patch)[:, tf.newaxis],
        "artifacts": artifact_tokens(by_patch)[:, tf.newaxis],
        "non_patch": non_patch_share(received[:, :, tf.newaxis], is_patch),
        "divergences": head_divergences(_chosen_rows(attention, placement)),
    }


def layer_health(measures, heads):
    """Returns the health of each layer, mean over images: a dict of float32 `[layers]`.

    Args:
        measures: dict of arrays: what `health_measures` returns for all layers, one after the
            other, and `entropy` `[images, heads of all layers]`.
        heads: the number of heads of each layer.
    """
    pairs = [count * (count - 1) // 2 for count in heads]
    split = {
        name: np.split(measures[name].mean(axis=0), np.cumsum(counts)[:-1])
        for name, counts in (("entropy", heads), ("non_patch", heads), ("divergences", pairs))
    }
    dead = _by_layer(dead_heads, split["entropy"], split["non_patch"])
    return {
        "sink_share": measures["sinks"].mean(axis=0),
        "artifact_tokens": measures["artifacts"].mean(axis=0),
        "non_patch_share": np.float32([values.mean() for values in split["non_patch"]]),
        "head_diversity": np.float32([mean_of_numbers(values) for values in split["divergences"]]),
        "dead_heads": dead,
        "duplicate_heads": _by_layer(duplicate_heads, split["divergences"]),
    }


def localization_measures(relative, masks):
    """Returns the `LOCALIZATIONS` of heatmaps, a dict from name to float32 array `[probes]`.

    Args:
        relative: float array `[probes, grid_height, grid_width]`.
        masks: float array `[probes, cells]` in [0, 1], or None, which makes the dict empty.
    """
    if masks is None:
        return {}
    found = localizations(relative.reshape(len(relative), -1), masks)
    return {name: values.numpy() for name, values in found.items()}


def mean_of_numbers(values):
    """Returns the mean of the values that aren't NaN; NaN if there are none."""
    values = np.asarray(values)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _chosen_rows(attention, placement):
    """Returns evenly spaced rows of a layer's queries, `[batch, heads, rows, keys]`."""
    slots = np.arange(placement.groups * placement.queries)
    if not placement.is_pooling:
        slots = np.unique(placement.query_slots[placement.query_slots >= 0])
    places = np.unique(np.linspace(0, len(slots) - 1, _ROWS).round().astype(int))
    if attention.shape.rank == 4:
        return tf.gather(attention, slots[places], axis=2)
    chosen = [divmod(int(slot), placement.queries) for slot in slots[places]]
    return tf.stack([attention[:, group, :, query] for group, query in chosen], axis=2)


def _by_layer(function, *of_layers):
    """Returns a function's value for each layer, float32 `[layers]`.

    `of_layers` are lists of one array per layer. Layers of equal size are computed together.
    """
    sizes = np.array([len(each) for each in of_layers[0]])
    values = np.empty(len(sizes), np.float32)
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        values[chosen] = function(*(np.stack([each[n] for n in chosen]) for each in of_layers))
    return values
