"""A stack of layers over the same tokens: their placements, read-out and layout."""

import dataclasses

from keras_attnviz.methods.token_layout import TokenLayout


@dataclasses.dataclass(frozen=True)
class Stack:
    """The attention maps of a model that are taken, one stack of layers over the same tokens.

    Args:
        places: tuple of `Place`, bottom first.
        placements: list of `Placement`, one a map.
        maps: tuple of `AttentionMap`, what is told about each.
        left_out: tuple of `LeftOut`, the softmaxes that were seen and not taken.
        layout: the `TokenLayout`; None where there are no maps.
        query: list of weights that rollout starts from, `[tokens]`, or `[queries]` of a pooling
            layer at the top; their sum is 1.
        frames: number of frames of a video, which stand below one another on the layout's grid;
            None for images.
    """

    places: tuple = ()
    placements: tuple = ()
    maps: tuple = ()
    left_out: tuple = ()
    layout: TokenLayout | None = None
    query: tuple = ()
    frames: int | None = None
