"""Where the rows and columns of each attention map stand among the patches of the images."""

import contextlib
import dataclasses
import math

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.positions import spatial_axes
from keras_attnviz.capture.tokens.anchors import Anchors
from keras_attnviz.capture.tokens.class_tokens import asking_keys
from keras_attnviz.capture.tokens.geometry import (
    LeftOut,
    Place,
    Side,
    kind_of,
    patch_grid,
    plain_place,
)
from keras_attnviz.capture.tokens.gradient_codes import slot_owners, split_axes
from keras_attnviz.capture.tokens.repeated_blocks import alike, followers
from keras_attnviz.capture.tokens.score_gradients import ScoreGradients
from keras_attnviz.methods.token_layout import MAX_PREFIX

_ROW_SUM_TOLERANCE = 0.02
# What is mixed on so many feature maps in a row is mixed on those below too.
_MOST_MIXED = 2


class _NotPlacedError(Exception):
    """Says why an attention map can't be placed."""


def place_all(trace, inputs, *, tokens=None, measure=True):
    """Returns the attention maps that stand for patches of an image, and the others.

    Args:
        trace: a `Trace`.
        inputs: flat list of the model's inputs, one image; random, so that patches differ.
        tokens: number of tokens where the layout is given: square maps of that size may stay
            unplaced, `grid` None.
        measure: whether maps of that size are placed all the same, where that is possible.

    Returns:
        `(places, left_out)`, tuples of `Place` and `LeftOut`, in the graph's order.
    """
    placer = _Placer(trace, inputs)
    places, left_out = [], []
    shapes = trace.observe(inputs)
    for index, site in enumerate(trace.sites):
        shape, deviations = shapes[index]
        try:
            key_axes = _key_axes(trace, site, deviations)
            place = placer.followed(index)
            if place is None and tokens and _is_plain(shape, tokens):
                place = placer.given(index, shape, key_axes, measure=measure)
            if place is None:
                place = placer.placed(index, shape, key_axes)
                placer.follow(place, [shape for shape, _ in shapes])
            places.append(place)
        except _NotPlacedError as reason:
            left_out.append(LeftOut(site.layer, shape, str(reason), index))
    read = [p for p in places if p.kind == "pooling" and _is_read(trace, p, places)]
    left_out += [_left_out(trace, p, shapes, "another attention map reads it") for p in read]
    return tuple(p for p in places if p not in read), tuple(left_out)


def _is_read(trace, place, places):
    return any(place.index in trace.sites_below(other.index) for other in places)


def _left_out(trace, place, shapes, reason):
    shape, _ = shapes[place.index]
    return LeftOut(trace.sites[place.index].layer, shape, reason, place.index)


def _key_axes(trace, site, deviations):
    """Returns the number of key axes, or raises for what is no attention over image tokens."""
    if not trace.images_of(site):
        raise _NotPlacedError("it is not computed from the images")
    sums = [deviation <= _ROW_SUM_TOLERANCE for deviation in deviations]
    if True not in sums:
        raise _NotPlacedError("its rows don't sum to 1")
    return sums.index(True) + 1


def _is_plain(shape, tokens=None):
    """Tells whether a map is `[1, heads, tokens, tokens]`."""
    return len(shape) == 4 and shape[0] == 1 and shape[2] == shape[3] == (tokens or shape[3])


class _Placer:
    """Places one attention map after the other, each on an anchor above the one before."""

    def __init__(self, trace, inputs):
        self._trace, self._inputs = trace, inputs
        self._anchors, self._followed = Anchors(trace, inputs), {}

    def followed(self, index):
        """Returns the place of a map that was found to have the tokens of one below, or None."""
        return self._followed.get(index)

    def follow(self, place, shapes):
        """Looks for maps above that are alike, and that have these tokens.

        Only where one group holds all tokens; windows may be shifted from block to block.

        Args:
            place: `Place` of the map below.
            shapes: the shapes of all maps for one image.
        """
        trace, anchor = self._trace, self._anchors.of(place.index)
        if place.axes.groups > 1 or place.queries.grid is None or anchor is None:
            return
        candidates = alike(trace, place.index, shapes)
        if candidates:
            found = followers(trace, place, candidates, anchor=anchor.tensor, inputs=self._inputs)
            self._followed.update(
                {index: dataclasses.replace(place, index=index) for index in found}
            )

    def given(self, index, shape, key_axes, *, measure):
        """Returns the place of a map whose tokens' layout is given."""
        if measure:
            with contextlib.suppress(_NotPlacedError):
                return self.placed(index, shape, key_axes)
        return plain_place(index, shape, 0, None)

    def placed(self, index, shape, key_axes):
        """Returns the place of a map, whose heads may stand before or after the queries."""
        order = tuple(range(len(shape)))
        try:
            return self._placed(index, shape, key_axes, order)
        except _NotPlacedError:
            if len(shape) != 4 or key_axes != 1 or shape[1] != shape[3]:
                raise
            with contextlib.suppress(_NotPlacedError):
                return self._placed(index, shape, key_axes, (0, 2, 1, 3))
            raise

    def _placed(self, index, shape, key_axes, order):
        trace, site = self._trace, self._trace.sites[index]
        shape = tuple(shape[axis] for axis in order)
        gradients = ScoreGradients(
            trace, site, shape, order=order, key_axes=key_axes, inputs=self._inputs
        )
        if not gradients.has_gradients:
            return _by_size(trace, index, shape, self._inputs)
        anchors = self._anchors.candidates(index)
        slots = math.prod(shape[-key_axes:])
        keys, axes, of_keys = _side(gradients, anchors, "keys", slots)
        slots = math.prod(shape[-2 * key_axes : -key_axes])
        queries, _, anchor = _side(gradients, anchors, "queries", slots, axes)
        if anchor is not None and anchor.images != of_keys.images:
            raise _NotPlacedError("its queries are patches of one image, its keys of another")
        if anchor is not None:
            self._anchors.keep(index, anchor)
        sides = [gradients.at(of_keys.tensor, side) for side in ("queries", "keys")]
        asking = self._asking(sides, axes, queries, keys)
        kind = kind_of(axes, queries, keys, asking=asking)
        if kind == "pooling" and queries.slots > 1:
            raise _NotPlacedError(
                f"its {queries.slots} queries stand for no patches (a decoder's, for example)"
            )
        return Place(index, axes, queries, keys, kind, order)

    def _asking(self, gradients, axes, queries, keys):
        """Returns the keys whose tokens ask where the queries stand for no patches, or raises."""
        further = keys.free(axes.groups)
        if queries.grid is not None or axes.groups > 1 or not len(further):
            return []
        asking = asking_keys(self._trace, self._inputs, *gradients, further)
        if asking and asking != list(further[: queries.slots]):
            raise _NotPlacedError("its queries are not the first of the tokens beside the patches")
        return asking


def _side(gradients, anchors, side, slots, axes=None):
    """Returns the `Side`, the map's `Axes`, and the anchor that the side was found on."""
    mixed, is_reached = 0, False
    for anchor in anchors:
        arriving = gradients.at(anchor.tensor, side)
        if arriving is None:
            continue
        grid, of_leading, of_slots = arriving.grid, arriving.of_leading, arriving.of_slots
        if anchor.grid is not None:
            # A class token that stands in every group of frames is no hint to the patches' groups.
            grid = anchor.grid
            of_leading, of_slots = (
                _at_positions(gradient, anchor.positions) for gradient in (of_leading, of_slots)
            )
        here = axes or split_axes(of_leading, gradients.leading, np.random.default_rng(0))
        owners = _owners(of_slots, here, slots, gradients.leading)
        is_reached |= owners is None or (owners >= 0).any()
        if owners is None:
            mixed += 1
            if mixed == _MOST_MIXED:
                break
            continue
        if len(grid) == 2 and (owners >= 0).all():
            return Side(slots, *patch_grid(grid, owners)), here, anchor
    if mixed:
        raise _NotPlacedError(f"its {side} stand for no single patches (channels, for example)")
    if side == "keys" and not is_reached:
        raise _NotPlacedError(
            f"its {slots} keys stand for no patches of the image, or are computed with weights "
            "that are all zero"
        )
    if side == "keys" or slots > MAX_PREFIX:
        raise _NotPlacedError(f"its {slots} {side} stand for no patches of the image")
    return Side(slots, None, None), axes, None


def _at_positions(gradient, positions):
    return lambda factors: gradient(factors)[positions]


def _owners(of_slots, axes, slots, leading):
    """Returns for each position the number of its slot, `group * slots + slot`, or None."""
    numbers = axes.group_numbers().reshape(leading)[..., np.newaxis] * slots + np.arange(slots)
    return slot_owners(lambda factors: of_slots(factors[numbers]), axes.groups * slots)


def _by_size(trace, index, shape, inputs):
    """Returns the place of a map without gradients where it has as many tokens as a feature map.

    Of more tokens it can't be known which are the patches.
    """
    if not _is_plain(shape):
        raise _NotPlacedError("it has no gradients that would tell where its tokens stand")
    site = trace.sites[index]
    with trace.as_default():
        sizes = [tf.gather(tf.shape(f), spatial_axes(f)) for f in trace.feature_maps(site)]
    sizes = [list(map(int, size)) for size in trace.experiment(sizes)(*inputs)] if sizes else []
    grids = [(math.prod(size[:-1]), size[-1]) for size in sizes]
    fitting = [grid for grid in grids if grid[0] * grid[1] == shape[-1]]
    if not fitting:
        raise _NotPlacedError(
            f"no product of queries and keys was found that would tell which of its {shape[-1]} "
            f"tokens stand for patches (feature maps: {list(dict.fromkeys(grids)) or 'none'}); "
            "`layout` can tell it"
        )
    return plain_place(index, shape, 0, fitting[-1])
