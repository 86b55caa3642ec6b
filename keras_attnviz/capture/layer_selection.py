"""Layer selection: the attention maps to take, one stack of layers, each reading the one below."""

import itertools
import warnings

import numpy as np

from keras_attnviz._checks import is_integer, message

# The most maps that a warning names.
_MOST_LISTED = 3


def choose(geometries, paths, layers=None):
    """Returns the maps that `layers` names, in their order.

    Args:
        geometries: sequence of `MapGeometry`.
        paths: the layer path of each.
        layers: sequence of indices into `geometries` and of parts of layer paths; all of them
            unless given.

    Raises:
        TypeError: `layers` is no sequence, or holds something else.
        ValueError: a layer doesn't exist, or `layers` is empty.
    """
    if layers is None:
        return geometries
    must = "a list of indices of attention maps or of parts of their layer paths"
    if isinstance(layers, (str, dict)) or not np.iterable(layers):
        is_one = isinstance(layers, str) or is_integer(layers)
        remedy = f"Pass [{layers!r}]." if is_one else ""
        raise TypeError(message("layers", must, layers, remedy))
    indices = set()
    for layer in layers:
        if not isinstance(layer, str) and not is_integer(layer):
            raise TypeError(message("layers", must, layer))
        matches = _matches(layer, paths)
        if not matches:
            must = "indices of attention maps or parts of their layer paths"
            raise ValueError(message("layers", must, layer, f"Found: {', '.join(paths)}"))
        indices.update(matches)
    if not indices:
        raise ValueError(message("layers", "None or at least one layer", layers))
    return [geometries[index] for index in sorted(indices)]


def check_one_stack(chosen, geometries, towers, trace):
    """Raises a `ValueError` unless each chosen map is computed from the chosen one below.

    Args:
        chosen: sequence of `MapGeometry`, bottom first.
        geometries: sequence of all `MapGeometry` of the model.
        towers: lists of `MapGeometry`, all stacks of layers of the model.
        trace: the model's `Trace`.
    """
    for below, above in itertools.pairwise(chosen):
        if below.index not in trace.sites_below(above.index):
            listed = "; ".join(_tower_text(trace, tower, geometries) for tower in towers)
            indices = [geometries.index(geometry) for geometry in towers[0]]
            raise ValueError(
                "The attention maps must belong to one stack of layers, each reading the one "
                f"below. Received: {trace.sites[above.index].layer} doesn't read "
                f"{trace.sites[below.index].layer}; they may be two towers, or two calls of one. "
                f"Found: {listed}. Choose the maps of one of them, with `layers={indices}` say."
            )


def warn_of_gaps(chosen, left_out, trace, *, stacklevel):
    """Warns where attention below, between or above the chosen maps was left out.

    Args:
        chosen: sequence of `MapGeometry`.
        left_out: sequence of `LeftOut`.
        trace: the model's `Trace`.
        stacklevel: as in `warnings.warn`, of the function that calls this one.
    """
    passed = trace.sites_of(trace.predictions)
    gaps = [
        item
        for item in left_out
        if item.index in passed and any(_are_connected(item, each, trace) for each in chosen)
    ]
    if gaps:
        listed = "; ".join(f"{gap.layer}: {gap.reason}" for gap in gaps[:_MOST_LISTED])
        more = "; ..." if len(gaps) > _MOST_LISTED else ""
        warnings.warn(
            f"Rollout shows part of the model's attention: it passes by {len(gaps)} of "
            f"{len(gaps) + len(chosen)} attention maps on the way to the predictions "
            f"({listed}{more}). `AttentionModel.summary()` lists them all; naming the maps to take "
            "with `layers` turns this warning off.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def _matches(layer, paths):
    if isinstance(layer, str):
        return [] if not layer else [index for index, path in enumerate(paths) if layer in path]
    return [layer % len(paths)] if -len(paths) <= layer < len(paths) else []


def _tower_text(trace, tower, geometries):
    indices = [geometries.index(geometry) for geometry in tower]
    first, last = (trace.sites[geometry.index].layer for geometry in (tower[0], tower[-1]))
    if len(tower) == 1:
        return f"map {indices[0]}: {first}"
    is_run = indices == list(range(indices[0], indices[-1] + 1))
    numbers = f"{indices[0]}-{indices[-1]}" if is_run else ", ".join(map(str, indices))
    return f"maps {numbers}: {first}" + (f" to {last}" if last != first else "")


def _are_connected(item, geometry, trace):
    return item.index in trace.sites_below(geometry.index) or (
        geometry.index in trace.sites_below(item.index)
    )
