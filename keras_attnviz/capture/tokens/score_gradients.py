"""Gradients of an attention map's scores through its queries alone, or its keys alone."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.paths import gradients_or_none, masks_between
from keras_attnviz.capture.tokens.position_gradients import (
    PositionGradients,
    gradients_at,
    input_shapes,
)

# A gradient weaker than this share of the strongest counts as none.
_NEGLIGIBLE = 1e-6
# How far a quotient of gradients may be from a number; half precision needs this much.
_TOLERANCE = 0.03


@dataclasses.dataclass(frozen=True, eq=False)
class Operand:
    """One factor of the product that gave an attention map's scores: its queries or its keys.

    Args:
        tensor: the factor, symbolic.
        fed: placeholder of the shape of the map for one image, for the gradient that flows into the
            scores and on through this factor alone.
        gradient: the gradient at the factor, symbolic, of its shape; None where there is none.
    """

    tensor: object
    fed: object
    gradient: object


@dataclasses.dataclass(frozen=True, eq=False)
class SideGradients:
    """Gradients of an attention map's scores through its queries, or its keys, at a feature map.

    Args:
        operand: the `Operand` that holds the queries or keys.
        grid: `(height, width)` of the feature map's positions, or `(tokens,)`.
        scores: float32 array `[*leading, *queries, *keys]`, the random gradients that flow into
            the scores.
        slots: the shape in which factors of the queries or keys are broadcast over `[*queries,
            *keys]`.
        arriving: function from an array of the shape of `scores` to the gradients that arrive at
            the feature map, float64 `[positions, channels]`.
    """

    operand: Operand
    grid: tuple
    scores: np.ndarray
    slots: tuple
    arriving: Callable

    def of_leading(self, factor):
        """Returns the gradients `[positions, channels]` for a factor `[*leading]` on `scores`."""
        ones = [1] * (self.scores.ndim - factor.ndim)
        return self.arriving(self.scores * factor.reshape(*factor.shape, *ones))

    def of_slots(self, factor):
        """Returns the gradients `[positions, channels]` for a factor `[*leading, slots]`."""
        return self.arriving(self.scores * factor.reshape(*factor.shape[:-1], *self.slots))

    def scores_of(self, slot):
        """Returns `scores` with all entries 0 except those of a single query or key."""
        is_slot = np.arange(math.prod(self.slots)) == slot
        return self.scores * is_slot.reshape(self.slots)


class ScoreGradients:
    """Gradients of an attention map's scores through its queries or its keys alone.

    Args:
        trace: an `ObservedTrace`.
        site: one of its `AttentionSite`s.
        shape: the map's shape for one image, `[merged with batch, ..., *queries, *keys]`.
        order: the map's axes in that order.
        key_axes: number of key axes, as many as there are query axes.
        inputs: flat list of the model's inputs, one image.

    Attributes:
        leading: the sizes of the map's leading axes.
        has_gradients: whether there are gradients through queries and keys.
    """

    def __init__(self, trace, site, shape, *, order, key_axes, inputs):
        self._trace, self._inputs, self._site = trace, inputs, site
        self.leading = shape[: -2 * key_axes]
        self._queries, self._keys = shape[-2 * key_axes : -key_axes], shape[-key_axes:]
        self._scores = np.random.default_rng(0).normal(size=shape).astype("float32")
        with trace.as_default():
            self._operands = _operands(site, shape, order)
        names = {operand.tensor.name for operand in self._operands}
        self.has_gradients = len(names) == 2 and all(
            operand.gradient is not None for operand in self._operands
        )
        # Results for each feature map, by its name.
        self._arriving, self._sides = {}, {}

    def slots(self, side):
        """Returns the number of queries or keys of a group."""
        return math.prod(self._queries if side == "queries" else self._keys)

    def at(self, feature_map, side):
        """Returns the `SideGradients` at a feature map's positions, or None.

        None where no gradient arrives, or where the feature map doesn't show the image.

        Args:
            feature_map: see `PositionGradients`.
            side: `"queries"` or `"keys"`.
        """
        if feature_map.name not in self._sides:
            self._sides[feature_map.name] = self._both_sides(feature_map)
        return self._sides[feature_map.name].get(side)

    def _both_sides(self, feature_map):
        """Returns `{side: SideGradients}`, empty where the gradients don't show the sides."""
        gradients = self._position_gradients(feature_map)
        numbers = {} if gradients is None else self._numbers_by_side(gradients)
        return {
            side: SideGradients(
                operand=self._operands[number],
                grid=gradients.grid,
                scores=self._scores,
                slots=self._slot_axes(side),
                arriving=lambda scores, number=number: gradients(*_alone(scores, number)),
            )
            for side, number in numbers.items()
        }

    def _slot_axes(self, side):
        """Returns the shape of one side's slots among the query and key axes."""
        ones = (1,) * len(self._queries)
        return (*self._queries, *ones) if side == "queries" else (*ones, *self._keys)

    def _position_gradients(self, feature_map):
        """Returns the `PositionGradients` at a feature map, or None, see `at`."""
        arriving = self._symbolic(feature_map)
        if arriving is None or not self._is_of_image(feature_map):
            return None
        # Random queries and keys, because a token that is initialized with zeros has no gradients.
        randomized = [t for t in self._site.operands if t.name != feature_map.name]
        return PositionGradients(
            self._trace,
            feature_map,
            arriving,
            [operand.fed for operand in self._operands],
            self._inputs,
            randomized=randomized,
            others=[operand.gradient for operand in self._operands],
        )

    def _symbolic(self, feature_map):
        """Returns the gradient that arrives at a feature map, symbolic, or None."""
        if feature_map.name not in self._arriving:
            # All at once, because each call of `tf.gradients` goes through the whole graph.
            together = self._trace.feature_maps(self._site)
            if feature_map.name not in {tensor.name for tensor in together}:
                together = [feature_map]
            tensors = [operand.tensor for operand in self._operands]
            cotangents = [operand.gradient for operand in self._operands]
            found = gradients_at(self._trace, tensors, cotangents, together)
            names = [tensor.name for tensor in together]
            self._arriving.update(zip(names, found, strict=True))
        return self._arriving[feature_map.name]

    def _is_of_image(self, feature_map):
        """Returns whether a feature map shows the whole image, or frames of a video."""
        shape = self._trace.shape_of(feature_map)
        if shape is None:
            return feature_map.name in input_shapes(self._trace, self._inputs)
        videos = self._trace.signature.videos.values() if feature_map.shape.rank == 4 else ()
        return shape[0] in [1, *(video.frames for video in videos)]

    def _numbers_by_side(self, gradients):
        """Returns which operand holds which side, `{side: number}`, empty where it isn't known.

        If each row of scores is multiplied by 1 or 2, then so are the gradients of the queries.
        Gradients of the keys are mixtures, also under a mask.
        """
        side = "queries" if self.slots("queries") > 1 else "keys"
        factors = 1.0 + np.random.default_rng(1).permutation(self.slots(side)) % 2
        coded = self._scores * factors.reshape(self._slot_axes(side))
        bases = gradients.others(self._scores, self._scores)
        pairs = list(zip(gradients.others(coded, coded), bases, strict=True))
        if not all(np.isfinite(values).all() for pair in pairs for values in pair):
            return {}
        shares = [_share_multiplied(found, base) for found, base in pairs]
        if shares[0] == shares[1]:
            return {}
        number = int(shares[1] > shares[0])
        return {side: number, {"queries": "keys", "keys": "queries"}[side]: 1 - number}


def _operands(site, shape, order):
    """Returns the `Operand`s of a site's scores, in the default graph."""
    fed = [tf.compat.v1.placeholder(tf.float32, shape) for _ in site.operands]
    scores = tf.transpose(site.scores, order)
    # Keys may be computed from the queries, or the other way round.
    constant = {"stop_gradients": list(site.operands)}
    cotangents = [tf.cast(each, scores.dtype) for each in fed]
    gradients = [
        _past_masks(scores, cotangent, operand, site.scores, constant)
        for operand, cotangent in zip(site.operands, cotangents, strict=True)
    ]
    return [Operand(*members) for members in zip(site.operands, fed, gradients, strict=True)]


def _alone(scores, number):
    """Returns the gradients into the scores for two operands: `scores` for one, 0 for the other."""
    alone = [np.zeros(scores.shape), np.zeros(scores.shape)]
    alone[number] = scores
    return alone


def _past_masks(outputs, cotangent, operand, scores, options):
    """Returns the gradient at an operand as if no scores were masked, or None.

    With masks, a query that sees no key, or a key that no query sees, would have no gradient.
    """
    for masked, unmasked in reversed(masks_between(operand, scores)):
        (cotangent,) = gradients_or_none(outputs, [masked], grad_ys=cotangent, **options)
        outputs = unmasked
        if cotangent is None:
            return None
    return gradients_or_none(outputs, [operand], grad_ys=cotangent, **options)[0]


def _share_multiplied(gradient, base):
    """Returns the share of a gradient's entries that are equal to its base's, or double."""
    is_there = np.abs(base) > _NEGLIGIBLE * np.abs(base).max()
    quotient = gradient[is_there] / base[is_there]
    nearest = np.clip(np.round(quotient), 1, 2)
    return np.mean(np.abs(quotient - nearest) < _TOLERANCE) if is_there.any() else 0.0
