"""Attention maps located on the image: which patch each row (query) and column (key) is.

Maps are taken from the bottom of the graph to the top, each in these steps:

1. `repeated_blocks` finds out whether the map has the same tokens as a map below. If so, no further
   step is needed.
2. `anchors` lists tensors whose positions are known: the residual stream above the map before,
   feature maps, the image.
3. `score_gradients` gives the gradients of the map's scores at an anchor's positions, through its
   queries or its keys alone, and `gradient_codes` reads from them which position is which query or
   key. `token_sides` does so for one anchor after the other, until one fits.
4. `class_tokens` finds out whether queries that are no patches are class tokens.

Each map becomes a `MapGeometry`, see `geometry`. After that, `token_slots` brings the maps of a
stack to the same tokens, and `readout` finds the queries that the head reads.
"""

import contextlib
import dataclasses
import math

import tensorflow as tf

from keras_attnviz.capture.graph.positions import spatial_axes
from keras_attnviz.capture.tokens.anchors import Anchors
from keras_attnviz.capture.tokens.class_tokens import querying_keys
from keras_attnviz.capture.tokens.geometry import (
    LeftOut,
    MapGeometry,
    NotLocatedError,
    kind_of,
    plain_geometry,
)
from keras_attnviz.capture.tokens.repeated_blocks import alike, followers
from keras_attnviz.capture.tokens.score_gradients import ScoreGradients
from keras_attnviz.capture.tokens.token_sides import locate_side

_ROW_SUM_TOLERANCE = 0.02


def locate_maps(trace, inputs, *, tokens=None, measure=True):
    """Returns the attention maps whose tokens are patches of an image, and the other softmaxes.

    Args:
        trace: an `ObservedTrace`.
        inputs: flat list of the model's inputs, one image; random, so that patches differ.
        tokens: number of tokens where the layout is given. Patches of square maps of that size may
            be unknown; then `grid` is None.
        measure: whether the patches of such maps are still measured where possible.

    Returns:
        `(geometries, left_out)`, tuples of `MapGeometry` and `LeftOut`, in the graph's order.
    """
    locator = _Locator(trace, inputs)
    geometries, left_out = [], []
    shapes = [seen.shape for seen in trace.maps]
    for index, site in enumerate(trace.sites):
        shape = shapes[index]
        try:
            key_axes = _key_axes(trace, site, trace.maps[index].deviations)
            geometry = locator.followed(index)
            if geometry is None and tokens and _is_plain(shape, tokens):
                geometry = locator.given(index, shape, key_axes, measure=measure)
            if geometry is None:
                geometry = locator.located(index, shape, key_axes)
                locator.follow(geometry, shapes)
            geometries.append(geometry)
        except NotLocatedError as reason:
            left_out.append(LeftOut(site.layer, shape, str(reason), index))
    read = [
        geometry
        for geometry in geometries
        if geometry.kind == "pooling" and _is_read(trace, geometry, geometries)
    ]
    reason = "another attention map reads it"
    left_out += [_left_out(trace, geometry, shapes, reason) for geometry in read]
    return tuple(each for each in geometries if each not in read), tuple(left_out)


def _is_read(trace, geometry, geometries):
    """Returns whether another attention map is computed from a map."""
    return any(geometry.index in trace.sites_below(other.index) for other in geometries)


def _left_out(trace, geometry, shapes, reason):
    return LeftOut(
        trace.sites[geometry.index].layer, shapes[geometry.index], reason, geometry.index
    )


def _key_axes(trace, site, deviations):
    """Returns the number of key axes; raises if the map is no attention over image tokens."""
    if not trace.images_of(site):
        raise NotLocatedError("it is not computed from the images")
    sums = [deviation <= _ROW_SUM_TOLERANCE for deviation in deviations]
    if True not in sums:
        raise NotLocatedError("its rows don't sum to 1")
    return sums.index(True) + 1


def _is_plain(shape, tokens=None):
    """Returns whether a map has the shape `[1, heads, tokens, tokens]`."""
    return len(shape) == 4 and shape[0] == 1 and shape[2] == shape[3] == (tokens or shape[3])


class _Locator:
    """Locates one attention map after the other, each on an anchor above the one before.

    Args:
        trace: an `ObservedTrace`.
        inputs: flat list of the model's inputs, one image.
    """

    def __init__(self, trace, inputs):
        self._trace, self._inputs = trace, inputs
        self._anchors, self._followed = Anchors(trace, inputs), {}

    def followed(self, index):
        """Returns the geometry of a map that `follow` found to have known tokens, or None."""
        return self._followed.get(index)

    def follow(self, geometry, shapes):
        """Finds the maps above that have the same tokens as a map, for `followed`.

        It only looks where one group holds all tokens, because windows may be shifted from block
        to block.

        Args:
            geometry: `MapGeometry` of the map below.
            shapes: the shapes of all maps for one image.
        """
        trace, anchor = self._trace, self._anchors.of(geometry.index)
        if geometry.axes.groups > 1 or geometry.queries.grid is None or anchor is None:
            return
        candidates = alike(trace, geometry.index, shapes)
        if candidates:
            found = followers(
                trace, geometry, candidates, anchor=anchor.tensor, inputs=self._inputs
            )
            self._followed.update(
                {index: dataclasses.replace(geometry, index=index) for index in found}
            )

    def given(self, index, shape, key_axes, *, measure):
        """Returns the geometry of a map whose token layout is given; measured if `measure`."""
        if measure:
            with contextlib.suppress(NotLocatedError):
                return self.located(index, shape, key_axes)
        return plain_geometry(index, shape, 0, None)

    def located(self, index, shape, key_axes):
        """Returns the geometry of a map whose heads may stand before or after the queries."""
        order = tuple(range(len(shape)))
        try:
            return self._located(index, shape, key_axes, order)
        except NotLocatedError:
            if len(shape) != 4 or key_axes != 1 or shape[1] != shape[3]:
                raise
            with contextlib.suppress(NotLocatedError):
                return self._located(index, shape, key_axes, (0, 2, 1, 3))
            raise

    def _located(self, index, shape, key_axes, order):
        """Returns the geometry of a map with its axes in a given order, or raises."""
        trace, site = self._trace, self._trace.sites[index]
        shape = tuple(shape[axis] for axis in order)
        gradients = ScoreGradients(
            trace, site, shape, order=order, key_axes=key_axes, inputs=self._inputs
        )
        if not gradients.has_gradients:
            return _by_size(trace, index, shape, self._inputs)
        anchors = self._anchors.candidates(index)
        keys = locate_side(gradients, anchors, "keys")
        queries = locate_side(gradients, anchors, "queries", axes=keys.axes)
        if queries.anchor is not None:
            if queries.anchor.images != keys.anchor.images:
                raise NotLocatedError("its queries are patches of one image, its keys of another")
            self._anchors.keep(index, queries.anchor)
        kind = self._kind(gradients, queries, keys)
        return MapGeometry(index, keys.axes, queries.side, keys.side, kind, order)

    def _kind(self, gradients, queries, keys):
        """Returns the kind of a map, see `kind_of`; raises for queries of a decoder."""
        querying = []
        further = keys.side.free(keys.axes.groups)
        if queries.anchor is None and keys.axes.groups == 1 and len(further):
            sides = [gradients.at(keys.anchor.tensor, name) for name in ("queries", "keys")]
            querying = querying_keys(self._trace, self._inputs, *sides, further)
        slots = queries.side.slots
        if querying and querying != list(further[:slots]):
            raise NotLocatedError("its queries are not the first of the tokens beside the patches")
        kind = kind_of(keys.axes, queries.side, keys.side, querying=querying)
        if kind == "pooling" and slots > 1:
            raise NotLocatedError(
                f"its {slots} queries stand for no patches (a decoder's, for example)"
            )
        return kind


def _by_size(trace, index, shape, inputs):
    """Returns the geometry of a map without gradients that has as many tokens as a feature map.

    If it has more tokens, it can't be known which ones are the patches.
    """
    if not _is_plain(shape):
        raise NotLocatedError("it has no gradients that show where its tokens stand")
    site = trace.sites[index]
    with trace.as_default():
        sizes = [tf.gather(tf.shape(f), spatial_axes(f)) for f in trace.feature_maps(site)]
    sizes = [list(map(int, size)) for size in trace.experiment(sizes)(*inputs)] if sizes else []
    grids = [(math.prod(size[:-1]), size[-1]) for size in sizes]
    fitting = [grid for grid in grids if grid[0] * grid[1] == shape[-1]]
    if not fitting:
        raise NotLocatedError(
            f"no product of queries and keys was found that would tell which of its {shape[-1]} "
            f"tokens stand for patches (feature maps: {list(dict.fromkeys(grids)) or 'none'}); "
            "`layout` can tell it"
        )
    return plain_geometry(index, shape, 0, fitting[-1])
