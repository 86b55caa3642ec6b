"""Gradients of an attention map's scores through its queries alone, or its keys alone."""

import dataclasses
import math
import typing
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
# How many numbers of each query and each key the gradients are made of.
_RANK = 64
# Which of the two operands gradients pass through.
_ALONE = {0: (1, 0), 1: (0, 1)}


@dataclasses.dataclass(frozen=True, eq=False)
class Operand:
    """One factor of the product that gave an attention map's scores: its queries or its keys.

    Args:
        tensor: the factor, symbolic.
        gradient: the gradient at the factor, symbolic, of its shape; None where there is none.
    """

    tensor: object
    gradient: object


class Flow(typing.NamedTuple):
    """Random gradients that flow into the scores of an attention map, as a product of two factors.

    The gradient of a score is the scalar product of its query's and its key's `_RANK` numbers. Such
    factors take little memory, where a gradient for each score takes as much as a map.

    Args:
        queries: float32 array `[*leading, *queries, rank]`.
        keys: float32 array `[*leading, *keys, rank]`.
    """

    queries: np.ndarray
    keys: np.ndarray

    def times(self, side, factor):
        """Returns the flow with one side multiplied by a factor that broadcasts over it."""
        return self._replace(**{side: np.float32(getattr(self, side) * factor[..., np.newaxis])})


@dataclasses.dataclass(frozen=True, eq=False)
class SideGradients:
    """Gradients of an attention map's scores through its queries, or its keys, at a feature map.

    Args:
        side: `"queries"` or `"keys"`.
        axes: the sizes of their axes.
        operand: the `Operand` that holds them.
        grid: `(height, width)` of the feature map's positions, or `(tokens,)`.
        flow: the `Flow` into the scores.
        fed: placeholders for a flow.
        arriving: function from a `Flow` to the gradients that arrive at the feature map, float64
            `[positions, channels]`.
    """

    side: str
    axes: tuple
    operand: Operand
    grid: tuple
    flow: Flow
    fed: list
    arriving: Callable

    def of_leading(self, factor):
        """Returns the gradients `[positions, channels]` for a factor `[*leading]` on the flow."""
        ones = [1] * (self.flow.queries.ndim - 1 - factor.ndim)
        return self.arriving(self.flow.times("queries", factor.reshape(*factor.shape, *ones)))

    def of_slots(self, factor):
        """Returns the gradients `[positions, channels]` for a factor `[*leading, slots]`."""
        return self.arriving(self.flow.times(self.side, self._on_axes(factor)))

    def flow_of(self, slot):
        """Returns the flow with all of it 0 except that of a single query or key."""
        is_slot = np.arange(math.prod(self.axes)) == slot
        return self.flow.times(self.side, self._on_axes(is_slot))

    def _on_axes(self, factor):
        return factor.reshape(*factor.shape[:-1], *self.axes)


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
        self._sizes = {"queries": self._queries, "keys": self._keys}
        random = np.random.default_rng(0)
        self._flow = Flow(
            *(
                np.float32(random.normal(size=(*self.leading, *sizes, _RANK)) / _RANK**0.25)
                for sizes in self._sizes.values()
            )
        )
        with trace.as_default():
            self._fed = [tf.compat.v1.placeholder(tf.float32, each.shape) for each in self._flow]
            self._open = [tf.compat.v1.placeholder(tf.float32, []) for _ in site.operands]
            self._operands = _operands(site, _scores_of(*self._fed, shape), order)
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
                side=side,
                axes=self._sizes[side],
                operand=self._operands[number],
                grid=gradients.grid,
                flow=self._flow,
                fed=self._fed,
                arriving=lambda flow, number=number: gradients(*flow, *_ALONE[number]),
            )
            for side, number in numbers.items()
        }

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
            [*self._fed, *self._open],
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
            with self._trace.as_default():
                pairs = zip(self._operands, self._open, strict=True)
                cotangents = [
                    each.gradient * tf.cast(way, each.gradient.dtype) for each, way in pairs
                ]
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
        coded = self._flow.times(side, factors.reshape(self._sizes[side]))
        bases = gradients.others(*self._flow, 1, 1)
        pairs = list(zip(gradients.others(*coded, 1, 1), bases, strict=True))
        if not all(np.isfinite(values).all() for pair in pairs for values in pair):
            return {}
        shares = [_share_multiplied(found, base) for found, base in pairs]
        if shares[0] == shares[1]:
            return {}
        number = int(shares[1] > shares[0])
        return {side: number, {"queries": "keys", "keys": "queries"}[side]: 1 - number}


def _scores_of(queries, keys, shape):
    """Returns the gradients that flow into the scores, symbolic, of a map's shape."""
    leading = queries.shape[: 2 * (queries.shape.rank - 1) - len(shape)]
    flat = [tf.reshape(each, [*leading, -1, _RANK]) for each in (queries, keys)]
    return tf.reshape(tf.matmul(*flat, transpose_b=True), shape)


def _operands(site, flowing, order):
    """Returns the `Operand`s of a site's scores, in the default graph."""
    scores = tf.transpose(site.scores, order)
    # Keys may be computed from the queries, or the other way round.
    constant = {"stop_gradients": list(site.operands)}
    cotangent = tf.cast(flowing, scores.dtype)
    return [
        Operand(operand, _past_masks(scores, cotangent, operand, site.scores, constant))
        for operand in site.operands
    ]


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
