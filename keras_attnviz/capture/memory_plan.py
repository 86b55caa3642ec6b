"""Memory plan: how many images run at once, so that their attention maps fit into memory."""

import dataclasses
import math

from keras_attnviz.methods.evidence import GRADIENTS, LAYER_GRADIENTS, VALUES
from keras_attnviz.methods.registry import needs_of
from keras_attnviz.model_io.free_memory import free_memory

# The share of the free memory that is taken unless there is a limit; training needs the rest.
_SHARE = 0.25
# How many arrays of the size of a layer's map are alive at once: its scores, the map, what is
# computed of it, and a copy in a product. Of the maps with fused heads, one and a part of another.
_OF_LAYER, _OF_FUSED = 5, 1.5
# With gradients, each layer's map, its gradient and their product stay.
_WITH_GRADIENTS = 3
_NUMBER = 4  # bytes
_OF_GRADIENTS = frozenset({GRADIENTS, LAYER_GRADIENTS})


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """How many images run at once.

    Args:
        images: the number of images.
        asked: the number that was asked for.
        bytes_each: the estimated bytes that an image takes.
        limit: the bytes that may be taken.
        bytes_of_gradients: the part of `bytes_each` that methods with gradients need.
    """

    images: int
    asked: int
    bytes_each: float
    limit: float
    bytes_of_gradients: float = 0

    def line(self, what):
        """Returns a line that says what was chosen, None where it is what was asked for."""
        if self.images == self.asked:
            return None
        gradients = (
            f" ({_amount(self.bytes_of_gradients)} of it for methods with gradients)"
            if self.bytes_of_gradients
            else ""
        )
        limit = (
            f"and {_amount(self.limit)} may be taken"
            if self.bytes_each <= self.limit
            else f"more than the {_amount(self.limit)} that may be taken"
        )
        return (
            f"Running {self.images} of {self.asked} {what} at a time: the attention of each takes "
            f"about {_amount(self.bytes_each)}{gradients}, {limit}."
        )


def planned(stack, methods, *, images, memory_limit=None):
    """Returns the `MemoryPlan` of a stack of attention layers.

    Args:
        stack: a `LayerStack`; None without attention maps.
        methods: names of the methods, see `AttentionModel.explain`.
        images: the most images at once.
        memory_limit: the most bytes that their attention may take; a quarter of the free memory
            unless given.

    Raises:
        ValueError: not even one image fits into the free memory.
    """
    if stack is None:
        return MemoryPlan(images, images, 0, math.inf)
    maps = [
        (heads, placement.groups * placement.queries * placement.keys)
        for heads, placement in zip(stack.heads, stack.placements, strict=True)
    ]
    each = bytes_of_image(maps, methods)
    without = [method for method in methods if not needs_of([method]) & _OF_GRADIENTS]
    gradients = each - bytes_of_image(maps, without)
    free = free_memory()
    check_fits(each, free=free)
    limit = free * _SHARE if memory_limit is None else memory_limit
    at_once = max(1, min(images, int(min(limit / each, images))))
    return MemoryPlan(at_once, images, each, limit, gradients)


def bytes_of_image(maps, methods=()):
    """Returns the estimated bytes that the attention of one image takes.

    Args:
        maps: list of `(heads, entries)`, one for each layer: the number of heads, and of pairs of
            queries and keys in all groups.
        methods: names of the methods.
    """
    needs = needs_of(methods)
    sizes = [heads * entries * _NUMBER for heads, entries in maps]
    fused = sum(entries * _NUMBER for _, entries in maps)
    found = _OF_LAYER * max(sizes) + _OF_FUSED * fused
    if needs & _OF_GRADIENTS:
        found += _WITH_GRADIENTS * sum(sizes)
    if VALUES in needs:
        found += sum(sizes)
    return found


def check_largest(entries):
    """Raises a `ValueError` if the largest of an image's maps takes more memory than is free.

    Args:
        entries: list of the number of entries of each map, empty without maps.
    """
    if entries:
        check_fits(bytes_of_image([(1, max(entries))]))


def check_fits(needed, *, free=None):
    """Raises a `ValueError` if more bytes are needed than are free."""
    free = free_memory() if free is None else free
    if needed > free:
        raise ValueError(
            "The attention maps of one image must fit into memory. Received: a model whose maps "
            f"take about {_amount(needed)} for one image, where {_amount(free)} are free. "
            "Choose some of the layers with `layers`, methods without gradients, or smaller images."
        )


def _amount(count):
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.2g} MB"
