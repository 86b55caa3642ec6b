"""The read-out: which queries of the top attention map the model's predictions depend on."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.capture.graph.logits import before_activation
from keras_attnviz.capture.tokens.geometry import by_group
from keras_attnviz.methods.token_layout import advice

# A gradient weaker than this share of the strongest counts as none.
_NEGLIGIBLE = 1e-6
# The random images by which a read-out that depends on the image is known.
_OTHER_IMAGES = (1, 2, 3)


def find_readout(trace, chosen, placements, inputs, *, layout, is_given, check):
    """Returns the token layout, and the weights of the top map's rows that rollout starts from.

    Args:
        trace: an `ObservedTrace`.
        chosen: sequence of `MapGeometry`, bottom first.
        placements: the `Placement` of each.
        inputs: flat list of the model's inputs, one random image.
        layout: the `TokenLayout` that the placements refer to. A read-out that it doesn't name is
            measured.
        is_given: whether the user gave the layout, so that it holds where nothing can be measured.
        check: whether a given read-out is compared with what the output depends on.

    Returns:
        `(layout, weights)`: a `TokenLayout`, and a list of weights `[tokens]`, or `[queries]` for a
        pooling layer. The weights sum to 1.

    Raises:
        ValueError: no read-out is given and the output depends on no token; or the output doesn't
            depend on the given read-out.
    """
    top = placements[-1]
    own = [index for index, placement in enumerate(placements) if not placement.is_pooling]
    rows = rows_read(trace, chosen[-1], inputs)
    if own:
        read = rows_read(trace, chosen[own[-1]], inputs) if top.is_pooling else rows
        slots = placements[own[-1]].query_slots
        found = placements[own[-1]].tokens_with((slots >= 0) & read[np.maximum(slots, 0)])
    else:
        found = top.tokens_with(top.key_slots >= 0)
    if not layout.readout_is_given:
        if len(found):
            layout = layout.with_readout(found)
        elif not is_given:
            raise ValueError(_no_readout(layout, chosen))
    elif check and own and len(found):
        _check_given(layout, slots, read, found, trace, chosen[own[-1]])
    if not top.is_pooling:
        return layout, layout.query_weights()
    rows = rows if rows.any() else np.ones(top.queries, bool)
    return layout, (rows / rows.sum()).tolist()


def _check_given(layout, slots, read, found, trace, geometry):
    """Raises if the output doesn't depend on a token that the layout's read-out names."""
    wrong = [token for token in layout.readout if slots[token] >= 0 and not read[slots[token]]]
    if not wrong:
        return
    for seed in _OTHER_IMAGES:
        other = [tf.constant(values) for values in trace.signature.random(1, seed=seed)]
        if (rows_read(trace, geometry, other) != read).any():
            return  # Each image has another read-out, as where the head takes the largest patch.
    measured = layout.with_readout(found)
    must = f"one whose read-out the model's output depends on, as on {measured.readout_text()}"
    listed = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
    remedy = (
        f"The output doesn't depend on token {listed}. Leave out `readout`, so that it is "
        "measured, or pass `self_check=False` if you know better."
    )
    raise ValueError(message("layout", must, layout, remedy))


def _no_readout(layout, chosen):
    behind = layout.prefix + layout.patches
    candidates = [layout.with_readout(range(layout.prefix, behind))]
    if len(layout.further_tokens()):
        class_token = 0 if layout.prefix else layout.tokens - 1
        candidates.insert(0, layout.with_readout((class_token,)))
    return (
        "The token layout can't be inferred: the model's output depends on no token of the last "
        "attention map, weights of zeros aside, so it is not known which tokens the head reads. "
        f"{_likely_reason(chosen)} {advice(candidates)}"
    )


def _likely_reason(chosen):
    has_own = any(
        not geometry.keys.has_extras(geometry.axes.groups)
        and len(geometry.keys.free(geometry.axes.groups))
        for geometry in chosen
    )
    if has_own:
        return (
            "Tokens that each group has for itself beside its patches, a class token of each "
            "frame's own say, are not followed."
        )
    return "The output of that map may be multiplied by a constant zero."


def rows_read(trace, geometry, inputs):
    """Returns which rows of an attention map the predictions depend on.

    These are the rows at which a gradient of the predictions, before their activation, arrives.
    Where there is no gradient, as with layers that are computed again in the backward pass, rows
    are changed to see whether the output changes: each further token alone, the patches together.
    The weights of a fresh head or of a gate are often all zeros. This would hide what the output
    depends on after the first step, so random numbers stand in for them.

    Args:
        trace: an `ObservedTrace`.
        geometry: `MapGeometry` of the map.
        inputs: flat list of the model's inputs, one image; random, so that patches differ.

    Returns:
        bool array `[groups * queries]`.
    """
    found = trace.row_gradient(geometry.index)
    if found.strength is None:
        return _rows_that_matter(trace, geometry, inputs, found)
    run = trace.part([*found.frontier, *found.stand_ins], found.strength)
    strength = run(*trace.values_of(found.frontier, inputs), *found.random())
    strength = strength.numpy().astype(float).transpose(geometry.order)
    strength = by_group(strength, geometry.axes, geometry.queries.slots).max(axis=(1, 3)).ravel()
    # Anything weaker is the rounding of a normalization.
    return strength > _NEGLIGIBLE * strength.max()


def _rows_that_matter(trace, geometry, inputs, gradient):
    """Returns the rows whose change changes the output; patches are changed together."""
    site = trace.sites[geometry.index]
    queries = geometry.queries
    matters = np.zeros(geometry.axes.groups * queries.slots, bool)
    if site.weights.shape.rank != 4 or geometry.axes.groups > 1:
        return matters
    weights = trace.experiment([site.weights])(*inputs)[0].numpy()
    logits = before_activation(trace.predictions)
    values = gradient.random()
    changed = trace.experiment([logits], feeds=[*gradient.stand_ins, site.weights])
    usual = changed(*inputs, *values, tf.constant(weights))[0].numpy().astype(float)
    patches = np.array([], int) if queries.owners is None else np.unique(queries.owners)
    for rows in [patches, *np.setdiff1d(np.arange(queries.slots), patches).reshape(-1, 1)]:
        other = weights.copy()
        other[:, :, rows] = np.eye(weights.shape[-1], dtype=weights.dtype)[-1]
        moved = changed(*inputs, *values, tf.constant(other))[0].numpy().astype(float)
        matters[rows] = not np.allclose(moved, usual, rtol=0, atol=1e-6 * np.abs(usual).max())
    return matters
