"""Gradients of an attention map's scores through its queries or its keys alone."""

import math

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.paths import gradients_or_none, masks_between
from keras_attnviz.capture.tokens.position_gradients import (
    PositionGradients,
    gradients_at,
    image_names,
)

# A gradient weaker than this share of the strongest counts as none.
_NEGLIGIBLE = 1e-6
# How far a quotient of gradients may be from a number; half precision needs this much.
_TOLERANCE = 0.03


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
        fed: two placeholders, the cotangents of the scores, one for each operand.
    """

    def __init__(self, trace, site, shape, *, order, key_axes, inputs):
        self.trace, self.inputs, self._site = trace, inputs, site
        self.leading = shape[: -2 * key_axes]
        self._shape = shape
        self._sizes = {"queries": shape[-2 * key_axes : -key_axes], "keys": shape[-key_axes:]}
        self._cotangent = np.random.default_rng(0).normal(size=shape).astype("float32")
        self._found, self._arriving, self._sides = {}, {}, None
        # All at once, because each call for gradients goes through the whole graph.
        self._feature_maps = trace.feature_maps(site)
        self._frames = [video.frames for video in trace.signature.videos.values()]
        with trace.as_default():
            self.fed = [tf.compat.v1.placeholder(tf.float32, shape) for _ in site.operands]
            scores = tf.transpose(site.scores, order)
            # Keys may be computed from the queries, or the other way round.
            constant = {"stop_gradients": list(site.operands)}
            cotangents = [tf.cast(fed, scores.dtype) for fed in self.fed]
            self._at_operands = [
                _past_masks(scores, cotangent, operand, site.scores, constant)
                for operand, cotangent in zip(site.operands, cotangents, strict=True)
            ]
        names = {operand.name for operand in site.operands}
        self.has_gradients = len(names) == 2 and None not in self._at_operands

    def at(self, feature_map, side):
        """Returns functions to the gradients at a feature map's positions, or None.

        Args:
            feature_map: see `PositionGradients`.
            side: `"queries"` or `"keys"`.

        Returns:
            `grid, of_leading, of_slots`: the positions' `(height, width)` or `(tokens,)`; a
            function from a factor `[*leading]` of the gradients that flow into the scores to those
            that arrive at the feature map, `[positions, channels]`; and one from a factor
            `[*leading, slots]`. None where no gradient arrives, or where the feature map is not
            one of the image.
        """
        if feature_map.name not in self._found:
            self._found[feature_map.name] = self._gradients(feature_map)
        gradients, sides = self._found[feature_map.name]
        if gradients is None:
            return None
        index = sides.index(side)

        def of_scores(factor):
            factors = [np.zeros(self._shape)] * 2
            factors[index] = self._cotangent * factor
            return gradients(*factors)

        of_scores(1)

        def of_leading(factor):
            ones = [1] * (len(self._shape) - len(self.leading))
            return of_scores(factor.reshape(*self.leading, *ones))

        def of_slots(factor):
            return of_scores(factor.reshape(*self.leading, *self._axes_of(side)))

        return gradients.grid, of_leading, of_slots

    def through(self, side):
        """Returns the queries or the keys, and the scores' gradient there, symbolic.

        Is known after `at` has found gradients, as is `cotangents_of_key`.
        """
        index = self._sides.index(side)
        return self._site.operands[index], self._at_operands[index]

    def cotangents_of_key(self, slot):
        """Returns what `fed` takes for the gradients through all queries and one key."""
        is_slot = np.arange(math.prod(self._sizes["keys"])) == slot
        factors = {"queries": 1, "keys": is_slot.reshape(self._axes_of("keys"))}
        return [tf.constant(self._cotangent * factors[side], tf.float32) for side in self._sides]

    def _axes_of(self, side):
        """Returns the shape of one side's slots among the query and key axes."""
        own, ones = self._sizes[side], [1] * len(self._sizes[side])
        return [*own, *ones] if side == "queries" else [*ones, *own]

    def _gradients(self, feature_map):
        """Returns the `PositionGradients`, and which operand holds which side; or None, None."""
        if feature_map.name not in self._arriving:
            together = [feature_map, *self._feature_maps]
            if feature_map.name not in {tensor.name for tensor in self._feature_maps}:
                together = [feature_map]
            operands = list(self._site.operands)
            found = gradients_at(self.trace, operands, self._at_operands, together)
            names = [tensor.name for tensor in together]
            self._arriving.update(zip(names, found, strict=True))
        arriving = self._arriving[feature_map.name]
        names = image_names(self.trace)
        shape = self.trace.shape_of(feature_map) or [int(feature_map.name in names)]
        frames = self._frames if feature_map.shape.rank == 4 else []
        if arriving is None or shape[0] not in [1, *frames]:
            return None, None
        # Random queries and keys, because a token that is initialized with zeros has no gradients.
        operands = [t for t in self._site.operands if t.name != feature_map.name]
        gradients = PositionGradients(
            self.trace,
            feature_map,
            arriving,
            self.fed,
            self.inputs,
            randomized=operands,
            others=self._at_operands,
        )
        sides = self._by_side(gradients)
        self._sides = self._sides or sides
        return (gradients, sides) if sides else (None, None)

    def _by_side(self, gradients):
        """Returns which operand holds the queries and which the keys, or None.

        Where the rows of scores are multiplied by 1 or 2 each, so are the gradients of the queries;
        those of the keys are mixtures, also under a mask.
        """
        side = "queries" if np.prod(self._sizes["queries"]) > 1 else "keys"
        factors = 1.0 + np.random.default_rng(1).permutation(np.prod(self._sizes[side])) % 2
        coded = self._cotangent * factors.reshape(self._axes_of(side))
        bases = gradients.others(self._cotangent, self._cotangent)
        pairs = list(zip(gradients.others(coded, coded), bases, strict=True))
        if not all(np.isfinite(values).all() for pair in pairs for values in pair):
            return None
        shares = [_share_multiplied(found, base) for found, base in pairs]
        if shares[0] == shares[1]:
            return None
        other = "keys" if side == "queries" else "queries"
        return (side, other) if shares[0] > shares[1] else (other, side)


def _past_masks(outputs, cotangent, operand, scores, options):
    """Returns the gradient at an operand as if no scores were masked, or None.

    Otherwise a query that may see no key, or a key that no query sees, would have no gradient.
    """
    for masked, unmasked in reversed(masks_between(operand, scores)):
        (cotangent,) = gradients_or_none(outputs, [masked], grad_ys=cotangent, **options)
        outputs = unmasked
        if cotangent is None:
            return None
    return gradients_or_none(outputs, [operand], grad_ys=cotangent, **options)[0]


def _share_multiplied(gradient, base):
    """Returns the share of the entries of a gradient that are its base's, or double."""
    is_there = np.abs(base) > _NEGLIGIBLE * np.abs(base).max()
    quotient = gradient[is_there] / base[is_there]
    nearest = np.clip(np.round(quotient), 1, 2)
    return np.mean(np.abs(quotient - nearest) < _TOLERANCE) if is_there.any() else 0.0
