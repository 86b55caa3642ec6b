"""Gradient codes: which row or column of an attention map belongs to which patch.

An attention map doesn't show the order of its tokens. They may be patches row by row, the pixels of
shifted windows, or patches pooled over a neighborhood. So the order is measured. With the attention
of all layers below held constant, a query (or key) vector is computed from one position of the
feature map alone, whatever reshaping and normalization lies in between. Therefore, if the gradient
that flows into slot s is multiplied by a number c_s, the gradient that arrives at the slot's
position p is multiplied by the same number, in every channel. The quotient of the gradients with
and without the factor names the slot. Where a position has several slots, as with channel
attention, the gradients are not proportional, and the slots can't be named.
"""

import dataclasses
import math

import numpy as np

# A gradient weaker than this share of the strongest counts as none.
_NEGLIGIBLE = 1e-6
# How far two gradients may be from proportional. Half precision needs this much.
_TOLERANCE = 0.03
# The same for slots, in shares of the usual strength, because half precision gives weak positions
# the errors of strong ones. That the quotients are slot numbers is a further test.
_OF_USUAL = 0.05
# Slots are coded by digits, so that half precision tells them apart.
_BASE = 8
# So many random codes show whether tokens have kept their places. Of two tokens that are exchanged,
# one in 8^2 is missed.
_CODES = 2


@dataclasses.dataclass(frozen=True)
class LeadingAxes:
    """The leading axes of an attention map of one image, split into groups and heads.

    Args:
        sizes: the leading axes' sizes, the first one split in two: groups, then heads.
        is_group: for each of these, whether it counts groups of tokens (windows); else heads.
    """

    sizes: tuple
    is_group: tuple

    @property
    def groups(self):
        """Number of groups of tokens."""
        return math.prod(s for s, group in zip(self.sizes, self.is_group, strict=True) if group)

    @property
    def heads(self):
        """Number of heads."""
        return math.prod(s for s, group in zip(self.sizes, self.is_group, strict=True) if not group)

    def group_numbers(self):
        """Returns the number of the group of each member of the leading axes, `[*sizes]`."""
        shape = [s if group else 1 for s, group in zip(self.sizes, self.is_group, strict=True)]
        return np.broadcast_to(np.arange(self.groups).reshape(shape), self.sizes)


def plain_axes(leading):
    """Returns the `LeadingAxes` of sizes `(merged with batch, *others)` that all count heads."""
    return LeadingAxes((1, *leading), (True, *[False] * len(leading)))


def split_axes(gradient, leading, random):
    """Returns the `LeadingAxes` of an attention map: which axes count groups, and which heads.

    All heads of a group read the same positions; another group reads other positions.

    Args:
        gradient: function from a cotangent of shape `[*leading]`, by which the incoming
            gradient is multiplied, to the gradient at each position, `[positions, channels]`.
        leading: sizes of the leading axes of one image's map.
        random: `numpy.random.Generator`.
    """
    base = gradient(np.ones(leading))

    def is_local(code):
        return _quotient(gradient(code), base) is not None

    sizes, is_group = [], []
    for axis, size in enumerate(leading):
        shape = [size if other == axis else 1 for other in range(len(leading))]

        def code(heads, size=size, shape=shape):
            numbers = 1 + random.permutation(size // heads) / size
            return np.broadcast_to(np.repeat(numbers, heads).reshape(shape), leading)

        # Only the first axis can be a merger: of the batch, groups and heads, in that order.
        candidates = [h for h in range(1, size) if size % h == 0] if axis == 0 else [1]
        heads = next((h for h in candidates if size > 1 and is_local(code(h))), size)
        if axis == 0:
            sizes += [size // heads, heads]
            is_group += [True, False]
        else:
            sizes.append(size)
            is_group.append(heads == 1)
    return LeadingAxes(tuple(sizes), tuple(is_group))


def slot_owners(gradient, slots):
    """Returns the slot that is computed from each position alone.

    Args:
        gradient: function from a cotangent of shape `[slots]` to the gradient at each position,
            `[positions, channels]`.
        slots: number of slots.

    Returns:
        integer array `[positions]`, -1 where no slot is computed from a position. None where slots
        depend on several positions that can't be separated.
    """
    base = gradient(np.ones(slots))
    if not np.isfinite(base).all():
        return None
    owners = np.zeros(len(base), int)
    numbers = np.arange(slots)
    power = 1
    while power < slots:
        digits = numbers // power % _BASE
        quotient = _quotient(gradient(1 + digits / _BASE), base, of_usual=_OF_USUAL)
        if quotient is None:
            return None
        found = (quotient - 1) * _BASE
        if np.abs(found - np.round(found))[_has_gradient(base)].max(initial=0) > 0.25:
            return None
        owners += np.round(found).astype(int) * power
        power *= _BASE
    owners[~_has_gradient(base)] = -1
    return owners if owners.max(initial=-1) < slots else None


def are_in_place(gradient, slots):
    """Returns whether slot `n` is computed from position `n` alone, for all positions.

    Args:
        gradient: see `slot_owners`.
        slots: number of slots.
    """
    base = gradient(np.ones(slots))
    if len(base) != slots or not np.isfinite(base).all() or not _has_gradient(base).all():
        return False
    random = np.random.default_rng(5)
    for _ in range(_CODES):
        # Few different factors, so that half precision tells them apart.
        factors = 1 + random.permutation(slots) % _BASE / _BASE
        quotient = _quotient(gradient(factors), base, of_usual=_OF_USUAL)
        if quotient is None or np.abs(quotient - factors).max() > 0.25 / _BASE:
            return False
    return True


def _has_gradient(base):
    strength = np.linalg.norm(base, axis=-1)
    return strength > _NEGLIGIBLE * strength.max(initial=0)


def _quotient(gradient, base, *, of_usual=0.0):
    """Returns the factor on `base` at each position, or None where they are not proportional.

    Errors up to the share `of_usual` of the usual strength count as rounding.
    """
    squares = np.sum(base * base, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.where(_has_gradient(base), np.sum(gradient * base, axis=-1) / squares, 1)
    rest = np.linalg.norm(gradient - quotient[:, np.newaxis] * base, axis=-1)
    strength = np.linalg.norm(gradient, axis=-1)
    usual = np.sqrt(np.mean(strength * strength))
    is_multiple = rest <= np.maximum(_TOLERANCE * strength, of_usual * usual)
    is_multiple |= ~_has_gradient(base)
    return quotient if is_multiple.all() and np.isfinite(quotient).all() else None
