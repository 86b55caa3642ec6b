"""A model's stack of attention layers: its maps, the tokens that they share, and the read-out.

`find_stack` shows the whole way. It locates the maps of the graph on the image, chooses one stack
of them, brings its maps to the same tokens, and measures which tokens the head reads.
"""

import dataclasses

import numpy as np

from keras_attnviz._checks import message
from keras_attnviz.capture.attention_map import describe
from keras_attnviz.capture.layer_selection import check_one_stack, choose, warn_of_gaps
from keras_attnviz.capture.tokens.class_tokens import with_shared_tokens
from keras_attnviz.capture.tokens.locate import locate_maps
from keras_attnviz.capture.tokens.readout import find_readout
from keras_attnviz.capture.tokens.token_slots import placement_of, shared_layout
from keras_attnviz.methods.layer_stack import LayerStack
from keras_attnviz.methods.token_layout import advice, candidate_layouts


@dataclasses.dataclass(frozen=True)
class CapturedStack:
    """The attention maps that are taken from a model, and those that are not.

    Args:
        layers: the `LayerStack`; None where the model has only gates.
        geometries: tuple of `MapGeometry`, one for each layer, bottom first.
        maps: tuple of `AttentionMap`, the description of each layer's map.
        left_out: tuple of `LeftOut`, the softmaxes that were seen and not taken.
    """

    layers: LayerStack | None = None
    geometries: tuple = ()
    maps: tuple = ()
    left_out: tuple = ()


def find_stack(trace, *, layers, layout, self_check, has_gates=False):
    """Returns the `CapturedStack` of a model.

    Args:
        trace: an `ObservedTrace`, of one random image.
        layers: see `AttentionModel`.
        layout: `TokenLayout` or None, see `AttentionModel`.
        self_check: bool, see `AttentionModel`.
        has_gates: whether the model has gates, and so may have no maps.

    Raises:
        ValueError: there is no attention; no map can be located; there are two towers and no
            `layers`; or the token layout can't be inferred or doesn't fit.
    """
    if not trace.sites:
        if has_gates:
            return CapturedStack()
        raise trace.nothing_found()
    inputs = trace.one
    tokens = layout and layout.tokens
    geometries, left_out = locate_maps(trace, inputs, tokens=tokens, measure=self_check)
    geometries = with_shared_tokens(trace, inputs, geometries)
    if not geometries and has_gates:
        return CapturedStack(left_out=left_out)
    if not geometries:
        raise ValueError(_none_located(left_out))
    chosen = choose(
        geometries, [trace.sites[geometry.index].layer for geometry in geometries], layers
    )
    towers = stacks(geometries, trace.sites_below)
    frames = trace.frames_of(trace.sites[chosen[-1].index])
    maps = describe(chosen, towers, trace, frames=frames)
    check_one_stack(chosen, geometries, towers, trace)
    if layers is None:
        warn_of_gaps(chosen, left_out, trace, stacklevel=3)
    is_given = layout is not None
    layout = _layout(chosen, layout, self_check=self_check)
    _check_frames(layout, frames, is_given=is_given)
    placements = _shared([placement_of(geometry, layout) for geometry in chosen])
    layout, query = find_readout(
        trace, chosen, placements, inputs, layout=layout, is_given=is_given, check=self_check
    )
    heads = tuple(found.heads for found in maps)
    found = LayerStack(layout, tuple(placements), heads, np.float32(query), frames)
    return CapturedStack(found, tuple(chosen), maps, left_out)


def _layout(chosen, given, *, self_check):
    """Returns the `TokenLayout` of the chosen maps: the given one if it fits, or else raises."""
    found = shared_layout(chosen)
    if given is None:
        return found
    is_same = found is None or found == given.with_readout(None)
    if not is_same and (self_check or found.tokens != given.tokens):
        raise ValueError(
            message(
                "layout",
                f"one of prefix={found.prefix}, grid={found.grid}, suffix={found.suffix}, as the "
                "model's attention maps have",
                given,
            )
        )
    return given


def _shared(placements):
    """Returns the placements, with one object for all that are equal, so that graphs are shared."""
    found = {}
    for placement in placements:
        found.setdefault(placement.key(), placement)
    return [found[placement.key()] for placement in placements]


def _check_frames(layout, frames, *, is_given):
    """Raises unless a video's frames stand below one another on the grid."""
    if frames is None or layout.grid[0] % frames == 0:
        return
    if is_given:
        must = f"of a grid whose height is that of {frames} frames, which stand below one another"
        raise ValueError(message("layout", must, layout))
    raise ValueError(
        "`model` must have attention over patches that lie in one of a video's frames each. "
        f"Received: {frames} frames, and attention maps on a grid of {layout.grid[0]} x "
        f"{layout.grid[1]} in all. Choose other attention maps with `layers`."
    )


def _none_located(left_out):
    listed = "; ".join(f"{item.layer} {item.shape}: {item.reason}" for item in left_out)
    sizes = [item.shape[-1] for item in left_out if len(item.shape) == 4]
    remedy = advice(candidate_layouts(sizes[-1])) if sizes else ""
    return (
        "The token layout can't be inferred: `model` must have an attention map whose rows and "
        f"columns stand for patches of the images. Received, with one image: {listed}. {remedy}"
    ).rstrip()


def stacks(geometries, sites_below):
    """Returns the maps in stacks of layers; each map is computed from all below it in its stack.

    Args:
        geometries: list of `MapGeometry`, in the graph's order.
        sites_below: function from a site's index to the indices of the sites it is computed from.

    Returns:
        list of lists of `MapGeometry`: two towers are two stacks, and maps that read both are a
        third.
    """
    located = {geometry.index for geometry in geometries}
    found = []
    for geometry in geometries:
        below = set(sites_below(geometry.index)) & located
        stack = next((members for members, known in found if members and known == below), None)
        if stack is None or not below:
            found.append(([geometry], below | {geometry.index}))
        else:
            known = next(known for members, known in found if members is stack)
            stack.append(geometry)
            known.add(geometry.index)
    return [members for members, _ in found]
