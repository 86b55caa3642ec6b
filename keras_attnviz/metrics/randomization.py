"""A check whether an explanation depends on what a model has learned: it shuffles the weights."""

import dataclasses

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import message
from keras_attnviz.metrics.rank_correlation import rank_correlation

# A method is sensitive if its maps agree less than this with the maps of a random network.
_SENSITIVE = 0.5


@dataclasses.dataclass(frozen=True)
class RandomizationResult:
    """The result of `randomization_check`.

    Args:
        layers: tuple of layer names, top first: the layer that each stage shuffled in addition.
        correlations: float32 array `[stages, images]` in [-1, 1]: the rank correlation of each
            map with the intact model's map.
        is_sensitive: whether the maps of the wholly random model agree less than 0.5 with the
            intact model's maps, averaged over images.
    """

    layers: tuple
    correlations: np.ndarray
    is_sensitive: bool

    def text(self):
        """Returns one line that states the result."""
        agreement = f"{self.correlations[-1].mean():.2f}"
        if self.is_sensitive:
            return f"The maps depend on the weights: {agreement} agreement with a random network."
        return (
            f"The maps can't be trusted: {agreement} agreement with those of a random network, so "
            "they show little of what the model has learned."
        )


def randomization_check(model, explain, images, *, seed=0):
    """Returns how far a model's heatmaps agree with those of the same model with random weights.

    From the top layer down, the check shuffles the weights of one layer after another, and leaves
    them shuffled for the next stages (cascading). At the end, the model gets its own weights back,
    even if an error is raised.

    Args:
        model: a built Keras model.
        explain: function from `images` to heatmaps `[images, grid_height, grid_width]`, for videos
            `[images, frames, grid_height, grid_width]`. It uses the model's weights at the time of
            the call, as `AttentionModel(model).rollout` does.
        images: a few inputs of `explain`.
        seed: integer; equal seeds shuffle alike.

    Returns:
        A `RandomizationResult`. A stage is a layer of `model.layers` that has floating-point
        weights; nested models count as their layers. A map that is constant or not finite agrees
        only with an equal map.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: the model has no such weights, or the heatmaps have another rank.

    References:
        Adebayo et al. 2018, "Sanity Checks for Saliency Maps", arXiv 1810.03292, the cascading
        randomization, with Spearman's rank correlation. Deviation: the values of each weight are
        shuffled rather than drawn again, so that they keep the trained model's magnitudes. The
        limit of 0.5 is our own.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(message("model", "a Keras model", model))
    stages = _stages(model)
    if not stages:
        raise ValueError(message("model", "built, with floating-point weights", model))
    before = _maps(explain, images)
    generator, correlations = np.random.default_rng(seed), []
    saved = [(weight, weight.numpy()) for _, weights in stages for weight in weights]
    try:
        for _, weights in stages:
            for weight in weights:
                weight.assign(_shuffled(weight.numpy(), generator))
            correlations.append(_agreement(before, _maps(explain, images)))
    finally:
        for weight, values in saved:
            weight.assign(values)
    correlations = np.stack(correlations)
    return RandomizationResult(
        layers=tuple(name for name, _ in stages),
        correlations=correlations,
        is_sensitive=bool(correlations[-1].mean() < _SENSITIVE),
    )


def _stages(model):
    """Returns pairs of a layer's name and weights, top layer first; each weight occurs once."""
    seen, stages = set(), []
    for layer in _leaves(model):
        weights = [w for w in layer.weights if id(w) not in seen and _is_floating(w)]
        seen.update(map(id, weights))
        if weights:
            stages.append((layer.name, weights))
    return stages[::-1]


def _leaves(layer):
    """Yields the layers of a model, bottom first; nested models are replaced by their layers."""
    for inner in layer.layers:
        if isinstance(inner, keras.Model):
            yield from _leaves(inner)
        else:
            yield inner


def _is_floating(weight):
    return tf.as_dtype(weight.dtype).is_floating


def _shuffled(values, generator):
    return generator.permutation(values.ravel()).reshape(values.shape)


def _maps(explain, images):
    maps = np.asarray(explain(images), np.float32)
    if maps.ndim not in (3, 4):
        must = "a function that returns heatmaps [images, grid_height, grid_width]"
        raise ValueError(message("explain", must, maps))
    return maps.reshape(len(maps), -1)


def _agreement(before, after):
    """Returns the rank correlation of each map, `[images]`; 1 for equal maps, 0 for broken ones."""
    correlation = np.nan_to_num(rank_correlation(before, after).numpy(), nan=0.0)
    return np.where((before == after).all(axis=1), np.float32(1), correlation)
