"""The self-check: two images are run through a captured model, to verify what was found."""

import numpy as np
import tensorflow as tf

# Largest deviations that pass: in single precision, and where some layer computes in half.
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 0.03
_HALF = ("float16", "bfloat16")


def check_capture(trace, stack, gates, own_predictions):
    """Raises unless a captured model returns what it promises, on random images.

    The predictions must be the model's own. Attention rows must sum to 1. The attention and gates
    of an image must not depend on the rest of the batch. Gates must lie in [0, 1]. Rollout must be
    a distribution over tokens.

    Args:
        trace: the `ObservedTrace` of one image.
        stack: the `CapturedStack`.
        gates: the `GateSource`.
        own_predictions: function from a flat list of inputs to the model's own predictions.

    Raises:
        ValueError: the check failed; the message gives the reason.
    """
    layers = trace.model._flatten_layers()
    is_half = any(getattr(layer, "compute_dtype", None) in _HALF for layer in layers)
    tolerance = _HALF_TOLERANCE if is_half else _TOLERANCE
    other = trace.signature.random(1, seed=1)
    pair = [tf.constant(np.concatenate(values)) for values in zip(trace.one, other, strict=True)]
    alone, of_pair = trace.seen, trace.observe(pair)
    predictions, own = alone.predictions, own_predictions(trace.one)
    if not _are_close(predictions, own, tolerance):
        # A `call` under `tf.function` that was traced while the model was built keeps the
        # initial weights for that batch size, which is mostly 1. This doesn't affect `fit`.
        predictions, own = of_pair.predictions, own_predictions(pair)
    _check_predictions(predictions, own, tolerance)
    for found, geometry in zip(stack.maps, stack.geometries, strict=True):
        _check_map(found, *(seen.maps[geometry.index] for seen in (alone, of_pair)), tolerance)
    for gate, index in zip(gates.gates, gates.indices, strict=True):
        _check_gate(gate, *(seen.gates[index] for seen in (alone, of_pair)), tolerance)
    if stack.layers is not None:
        _check_rollout(stack.layers)


def _check_map(found, alone, of_pair, tolerance):
    # The sum over the axes of the keys is the one that is near 1.
    deviation = min(of_pair.deviations)
    if not deviation <= tolerance:
        raise ValueError(
            _failed(
                f"the attention rows of layer {found.layer} don't sum to 1: off by {deviation:.3g}"
            )
        )
    if not _are_close(of_pair.sample[: len(alone.sample)], alone.sample, tolerance):
        raise ValueError(
            _failed(
                f"the attention of layer {found.layer} for one image depends on the other "
                "images of the batch, so its rows can't be assigned to images"
            )
        )


def _check_gate(gate, alone, of_pair, tolerance):
    if not _are_close(of_pair.sample[: len(alone.sample)], alone.sample, tolerance):
        raise ValueError(
            _failed(f"gate {gate.layer} depends for one image on the other images of the batch")
        )
    low, high = of_pair.ends
    if not (low >= -tolerance and high <= 1 + tolerance):
        ends = f"{low:.3g} to {high:.3g}"
        raise ValueError(_failed(f"gate {gate.layer} has values from {ends}, not in [0, 1]"))


def _check_rollout(stack):
    """Raises unless rollout of maps with rows that sum to 1, as all have, is a distribution."""
    shared = {id(placement): _uniform(placement) for placement in set(stack.placements)}
    uniform = [shared[id(placement)] for placement in stack.placements]
    sums = np.sum(stack.rollout(uniform), axis=-1)
    if not np.allclose(sums, 1, atol=_HALF_TOLERANCE):
        raise ValueError(_failed(f"rollout gives sums of {sums.tolist()}, not 1"))


def _uniform(placement):
    """Returns a map of one image and one head in which each query attends to all keys alike."""
    groups = [placement.groups] if placement.groups > 1 else []
    return tf.fill([1, *groups, 1, placement.queries, placement.keys], 1 / placement.keys)


def _check_predictions(traced, own, tolerance):
    if traced.shape != own.shape:
        raise ValueError(
            _failed(
                f"the traced model's predictions have the shape {tuple(traced.shape)}, the model's "
                f"own {tuple(own.shape)}"
            )
        )
    if not _are_close(traced, own, tolerance):
        difference = float(np.abs(_array(traced) - _array(own)).max())
        raise ValueError(
            _failed(
                "the traced model's predictions differ from the model's own by up to "
                f"{difference:.3g}; it may draw random numbers in inference mode"
            )
        )


def _are_close(found, expected, tolerance):
    found, expected = _array(found), _array(expected)
    scale = max(1e-6, float(np.abs(expected).max(initial=0)))
    return found.shape == expected.shape and np.allclose(
        found, expected, rtol=0, atol=tolerance * scale, equal_nan=True
    )


def _array(values):
    return tf.cast(values, tf.float32).numpy()


def _failed(reason):
    return (
        f"The check of what was found in the model failed: {reason}. Choose other attention maps "
        "with `layers`, or pass `self_check=False` if you know better."
    )
