"""Token sides: where the queries or keys of an attention map stand among an image's patches.

The anchors are tried in turn, the nearest first: a measurement shows from which of the anchor's
positions each query or key is computed. The first anchor whose positions all have a query or key
gives the answer.
"""

import dataclasses

import numpy as np

from keras_attnviz.capture.tokens.anchors import Anchor
from keras_attnviz.capture.tokens.geometry import NotLocatedError, TokenSide, patch_grid
from keras_attnviz.capture.tokens.gradient_codes import LeadingAxes, slot_owners, split_axes
from keras_attnviz.methods.token_layout import MAX_PREFIX

# Slots that are mixed on so many feature maps in a row are mixed on the maps below too.
_MOST_MIXED = 2


@dataclasses.dataclass(frozen=True, eq=False)
class LocatedSide:
    """The queries or the keys of an attention map, and where they were found.

    Args:
        side: `TokenSide`.
        axes: the map's `LeadingAxes`.
        anchor: the `Anchor` on which they were found; None for queries that stand for no patches.
    """

    side: TokenSide
    axes: LeadingAxes
    anchor: Anchor | None


@dataclasses.dataclass(frozen=True, eq=False)
class _Finding:
    """The result of the measurement of queries or keys at one anchor.

    Args:
        axes: the map's `LeadingAxes`; None where no gradient arrives.
        grid: `(height, width)` of the anchor's feature map, `(tokens,)`, or `()` where no gradient
            arrives.
        owners: integer array `[positions]`, the number of each position's slot, or -1 where it has
            none; None where slots mix several positions.
    """

    axes: LeadingAxes | None
    grid: tuple
    owners: np.ndarray | None

    @property
    def is_mixed(self):
        """Whether slots are computed from several positions that can't be separated."""
        return self.owners is None

    @property
    def is_reached(self):
        """Whether any slot is computed from the anchor."""
        return self.is_mixed or bool((self.owners >= 0).any())

    @property
    def is_complete(self):
        """Whether each position of a grid has its slot."""
        return len(self.grid) == 2 and not self.is_mixed and bool((self.owners >= 0).all())


def locate_side(gradients, anchors, name, *, axes=None):
    """Returns the `LocatedSide` of a map's queries or keys.

    Args:
        gradients: the map's `ScoreGradients`.
        anchors: iterable of `Anchor`, the nearest first.
        name: `"queries"` or `"keys"`.
        axes: the map's `LeadingAxes`; measured unless given.

    Raises:
        NotLocatedError: they stand for no patches of the image. For a few queries this is no error,
            because they can be class tokens or learned queries.
    """
    slots, findings = gradients.slots(name), []
    for anchor in anchors:
        finding = _found_on(anchor, gradients, name, axes)
        if finding.is_complete:
            side = TokenSide(slots, *patch_grid(finding.grid, finding.owners))
            return LocatedSide(side, finding.axes, anchor)
        findings.append(finding)
        if sum(each.is_mixed for each in findings) == _MOST_MIXED:
            break
    reason = _why_not(findings, name, slots)
    if reason:
        raise NotLocatedError(reason)
    return LocatedSide(TokenSide(slots, None, None), axes, None)


def _found_on(anchor, gradients, name, axes):
    """Returns the `_Finding` of an anchor."""
    arriving = gradients.at(anchor.tensor, name)
    if arriving is None:
        return _Finding(None, (), np.array([], int))
    grid, of_leading, of_slots = arriving.grid, arriving.of_leading, arriving.of_slots
    if anchor.grid is not None:
        # A class token in every group of frames doesn't show the groups of the patches.
        grid = anchor.grid
        of_leading, of_slots = (
            _at_positions(gradient, anchor.positions) for gradient in (of_leading, of_slots)
        )
    axes = axes or split_axes(of_leading, gradients.leading, np.random.default_rng(0))
    return _Finding(axes, grid, _owners(of_slots, axes, gradients.slots(name), gradients.leading))


def _at_positions(gradient, positions):
    return lambda factors: gradient(factors)[positions]


def _owners(of_slots, axes, slots, leading):
    """Returns the slot number of each position, `group * slots + slot`, or None."""
    numbers = axes.group_numbers().reshape(leading)[..., np.newaxis] * slots + np.arange(slots)
    return slot_owners(lambda factors: of_slots(factors[numbers]), axes.groups * slots)


def _why_not(findings, name, slots):
    """Returns why queries or keys stand for no patches; None for few queries, which may do so."""
    if any(finding.is_mixed for finding in findings):
        return f"its {name} stand for no single patches (channels, for example)"
    if name == "keys" and not any(finding.is_reached for finding in findings):
        return (
            f"its {slots} keys stand for no patches of the image, or are computed with weights "
            "that are all zero"
        )
    if name == "keys" or slots > MAX_PREFIX:
        return f"its {slots} {name} stand for no patches of the image"
    return None
