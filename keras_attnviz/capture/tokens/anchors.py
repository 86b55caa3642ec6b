"""Anchors: tensors whose positions on the image are known, close below an attention map.

The tokens of the lowest map are found on a feature map, or on the image. Above each located map,
the next tensor that every path goes through (the residual stream) becomes the anchor for the maps
above. So no path is longer than a block.
"""

import dataclasses
import math

import numpy as np

from keras_attnviz.capture.graph.operations import Dependence
from keras_attnviz.capture.graph.paths import tensors_between
from keras_attnviz.capture.graph.positions import as_floats, position_axes
from keras_attnviz.capture.tokens.gradient_codes import slot_owners
from keras_attnviz.capture.tokens.position_gradients import token_gradients


@dataclasses.dataclass(frozen=True)
class Anchor:
    """A tensor whose positions are known.

    Args:
        tensor: symbolic, `[batch, height, width, channels]` or `[batch, tokens, channels]`.
        images: which of the model's image inputs the feature map is computed from.
        grid: `(height, width)` of the feature map on which positions are counted, or None where
            the tensor is that feature map.
        positions: integer array `[height * width]`, or None; for each position of that feature map
            the number of the tensor's position.
    """

    tensor: object
    images: frozenset
    grid: tuple | None = None
    positions: np.ndarray | None = None


class Anchors:
    """The anchors on which the tokens of each map are found.

    Args:
        trace: an `ObservedTrace`.
        inputs: flat list of the model's inputs, one image.
    """

    def __init__(self, trace, inputs):
        self._trace, self._inputs = trace, inputs
        self._of_maps = {}
        self._reads = Dependence(trace.predictions.graph.get_operations(), trace.inputs)

    def keep(self, index, anchor):
        """Keeps the anchor that the queries of map `index` were found on."""
        self._of_maps[index] = anchor

    def of(self, index):
        """Returns the anchor that was kept for map `index`, or None."""
        return self._of_maps.get(index)

    def candidates(self, index):
        """Returns an iterable of the `Anchor`s for a map's tokens, the nearest first."""
        return _Remembered(self._candidates(index))

    def _candidates(self, index):
        """Yields the `Anchor`s for a map's tokens, the nearest first."""
        trace, site = self._trace, self._trace.sites[index]
        below = max(trace.sites_below(index) & set(self._of_maps), default=None)
        if below is not None:
            relay = self._relay(site, below)
            yield relay or self._of_maps[below]
        images = [trace.inputs[number] for number in sorted(trace.images_of(site))]
        floats = [tensor for image in images for tensor in as_floats(image)]
        for tensor in [*reversed(trace.feature_maps(site)), *floats]:
            yield Anchor(tensor, frozenset(self._reads.of(tensor) & set(trace.signature.images)))

    def _relay(self, site, below):
        """Returns an anchor on the residual stream between map `below` and `site`, or None."""
        anchor = self._of_maps[below]
        between = tensors_between(anchor.tensor, site.scores)
        for tensor in between[1:]:
            if below not in self._trace.sites_of(tensor):
                continue
            found = token_gradients(self._trace, anchor.tensor, tensor, self._inputs)
            if found is None:
                continue
            grid, gradient = found
            shape = self._trace.shape_of(tensor)
            count = math.prod(shape[axis] for axis in position_axes(tensor))
            owners = slot_owners(gradient, count)
            if owners is None:
                return None
            if (owners[anchor.positions] >= 0).all() if anchor.grid else (owners >= 0).all():
                return _onto(anchor, grid, owners, tensor)
        return None


def _onto(anchor, grid, owners, tensor):
    """Returns the anchor of a tensor whose positions are known on another anchor."""
    if anchor.grid is None:
        return Anchor(tensor, anchor.images, grid, owners)
    return Anchor(tensor, anchor.images, anchor.grid, owners[anchor.positions])


class _Remembered:
    """An iterable that can be repeated, and takes each item from its source only once."""

    def __init__(self, source):
        self._source, self._known = iter(source), []

    def __iter__(self):
        yield from self._known
        for item in self._source:
            self._known.append(item)
            yield item
