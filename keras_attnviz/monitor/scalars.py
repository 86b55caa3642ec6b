"""Scalars of a snapshot: names and values."""

import numpy as np

from keras_attnviz.metrics.attention import jensen_shannon_divergence
from keras_attnviz.metrics.rank_correlation import rank_correlation
from keras_attnviz.monitor.gate_measures import gate_scalars
from keras_attnviz.monitor.health import health_scalars, localization_scalars

_FRAME = "frame_share/"


def snapshot_scalars(snapshot, *, baseline, last):
    """Returns a snapshot's scalars, a dict from name to float.

    Args:
        snapshot: `Snapshot`.
        baseline: the `Snapshot` before training, or None: then `drift_from_baseline` is left out.
        last: the `Snapshot` logged before, or None where this one is the first.
    """
    scalars = {}
    if len(snapshot.entropy):
        scalars |= _of_layers(snapshot, baseline)
    if snapshot.heat:
        scalars["drift_from_last"] = _drift(snapshot, last or snapshot)
        scalars |= _agreements(snapshot.heat)
        if baseline is not None:
            scalars["drift_from_baseline"] = _drift(snapshot, baseline)
    if snapshot.gates:
        reference = None if baseline is None else baseline.measures
        scalars |= gate_scalars(snapshot.measures, snapshot.gates, baseline=reference)
    if snapshot.frame_share:
        shares = next(iter(snapshot.frame_share.values())).mean(axis=0)
        scalars |= dict(zip(frame_names(len(shares)), map(float, shares), strict=True))
    for number, (method, values) in enumerate(snapshot.localization.items()):
        scalars |= localization_scalars(values, snapshot.is_right, method=number and method)
    return scalars


def overall(names):
    """Returns those of the names that don't belong to a single layer or frame."""
    return [name for name in names if "/layer_" not in name and not name.startswith(_FRAME)]


def entropy_name(layer):
    """Returns the name of the scalar of a layer's entropy."""
    return f"entropy/layer_{layer}"


def frame_names(frames):
    """Returns the names of the scalars of so many frames' shares, a list."""
    return [f"{_FRAME}{frame}" for frame in range(frames)]


def _of_layers(snapshot, baseline):
    """Returns the scalars of entropy and health, a dict."""
    values = [float(value) for value in snapshot.entropy]
    return {
        "entropy": float(snapshot.entropy.mean()),
        **{entropy_name(layer): value for layer, value in enumerate(values)},
        **health_scalars(
            snapshot.health,
            entropy=snapshot.entropy,
            baseline=None if baseline is None else baseline.entropy,
        ),
    }


def _agreements(heat):
    """Returns the rank correlation of each method's heatmaps with the first one's."""
    (_, first), *others = (
        (name, maps.reshape(len(maps), -1).astype(np.float32)) for name, maps in heat.items()
    )
    return {
        f"agreement/{name}": float(np.mean(rank_correlation(first, maps))) for name, maps in others
    }


def _drift(snapshot, reference):
    """Returns the divergence of the rollouts, mean over probes, in [0, 1]."""
    maps = [item.relative.reshape(len(item.relative), -1) for item in (snapshot, reference)]
    return float(np.mean(jensen_shannon_divergence(*maps)))
