"""The self-check: two images are run through a captured model, to verify what was found."""

import numpy as np
import tensorflow as tf

# Largest deviations that pass: in single precision, and where some layer computes in half.
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 0.03
_HALF = ("float16", "bfloat16")


def check_capture(attention_model, one, own_predictions):
    """Raises unless a captured model returns what it promises, on random images.

    The predictions must be the model's own. Attention rows must sum to 1. The attention and gates
    of an image must not depend on the rest of the batch. Gates must lie in [0, 1]. Rollout must be
    a distribution over tokens.

    Args:
        attention_model: an `AttentionModel`.
        one: flat list of the model's inputs, one random image.
        own_predictions: function from such a list to the model's own predictions.

    Raises:
        ValueError: the check failed; the message gives the reason.
    """
    signature = attention_model.signature
    layers = attention_model.model._flatten_layers()
    is_half = any(getattr(layer, "compute_dtype", None) in _HALF for layer in layers)
    tolerance = _HALF_TOLERANCE if is_half else _TOLERANCE
    other = signature.random(1, seed=1)
    pair = [np.concatenate(values) for values in zip(one, other, strict=True)]
    predictions, alone = attention_model(signature.pack(one))
    of_pair, attentions = attention_model(signature.pack(pair))
    own = own_predictions(one)
    if not _are_close(predictions, own, tolerance):
        # A `call` under `tf.function` that was traced while the model was built keeps the
        # initial weights for that batch size, which is mostly 1. This doesn't affect `fit`.
        predictions, own = of_pair, own_predictions([tf.constant(values) for values in pair])
    _check_predictions(predictions, own, tolerance)
    for found, attention, single in zip(attention_model.maps, attentions, alone, strict=True):
        _check_rows(found.layer, attention, tolerance)
        if not _are_close(attention[:1], single, tolerance):
            raise ValueError(
                _failed(
                    f"the attention of layer {found.layer} for one image depends on the other "
                    "images of the batch, so its rows can't be assigned to images"
                )
            )
    _check_gates(attention_model, signature.pack(one), signature.pack(pair), tolerance)
    if not attention_model.maps:
        return
    rows = attention_model.token_rollout(attentions)
    if not np.allclose(np.sum(rows, axis=-1), 1, atol=_HALF_TOLERANCE):
        sums = np.sum(rows, axis=-1).tolist()
        raise ValueError(_failed(f"rollout gives sums of {sums}, not 1"))


def _check_gates(attention_model, one, pair, tolerance):
    if not attention_model.gates:
        return
    _, alone = attention_model.gate_values(one)
    _, of_pair = attention_model.gate_values(pair)
    for gate, single, values in zip(attention_model.gates, alone, of_pair, strict=True):
        if not _are_close(values[:1], single, tolerance):
            raise ValueError(
                _failed(f"gate {gate.layer} depends for one image on the other images of the batch")
            )
        values = _array(values)
        if not (values.min() >= -tolerance and values.max() <= 1 + tolerance):
            ends = f"{values.min():.3g} to {values.max():.3g}"
            raise ValueError(_failed(f"gate {gate.layer} has values from {ends}, not in [0, 1]"))


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


def _check_rows(layer, attention, tolerance):
    sums = np.sum(_array(attention), axis=-1)
    deviation = float(np.abs(sums - 1).max())
    if not deviation <= tolerance:
        raise ValueError(
            _failed(f"the attention rows of layer {layer} don't sum to 1: off by {deviation:.3g}")
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
