"""Measures the pass over the probes of a partly frozen model, in times the forward pass."""

import numpy as np
import tensorflow as tf

from benchmarks.common import models
from benchmarks.common.timing import interleaved, median_ratio
from benchmarks.speed import epochs
from keras_attnviz import AttentionModel
from keras_attnviz.methods.registry import token_values

SIZE, ROUNDS = 224, 15


def freeze_below(model, blocks):
    """Freezes all but the last `blocks` of a vit-keras model, its norm and head; None: nothing."""
    encoders = [layer.name for layer in model.layers if "encoderblock" in layer.name]
    trained = {"Transformer_encoder_norm", "head"}
    trained |= set(encoders if blocks is None else encoders[len(encoders) - blocks :])
    for layer in model.layers:
        layer.trainable = blocks is None or layer.name in trained


def probe_pass(model, images):
    """Returns a `FixedPass` of predictions and rollout, as the callback runs it."""
    attention_model = AttentionModel(model)

    def measured(evidence):
        heat = token_values("rollout", evidence, attention_model.stack, {})
        return {"predictions": evidence.predictions, "heat": heat}

    classes = np.full(len(images), -1, np.int32)
    return attention_model.fixed_pass(measured, [([images], classes)], methods=["rollout"])


def measure():
    """Returns a dict of figures for each choice of what is trainable.

    They are ratios to the forward pass, unless their name says otherwise.
    """
    images = np.float32(models.photographs(image_size=SIZE) / 127.5 - 1)
    found = {}
    for name, blocks in {"2 of 12 blocks": 2, "head": 0, "all": None}.items():
        model = models.vit_b16(SIZE)
        freeze_below(model, blocks)
        found[name] = _of_model(model, images)
    return found


def _of_model(model, images):
    forward = tf.function(lambda batch: model(batch, training=False))
    batch = tf.constant(images)
    of_probes = probe_pass(model, images)
    of_probes()
    with epochs.begun(model, images) as end_epoch:
        functions = {
            "forward": lambda: forward(batch).numpy(),
            "probe pass": lambda: [each.numpy() for each in of_probes()[0].values()],
            "on_epoch_end": end_epoch,
        }
        if of_probes.share < 1:
            functions["fingerprint"] = of_probes.fingerprint
        seconds = interleaved(functions, rounds=ROUNDS)
    ratios = {n: median_ratio(seconds, n, "forward") for n in functions if n != "forward"}
    rest = np.subtract(seconds["on_epoch_end"], seconds["probe pass"])
    return {
        **ratios,
        "on_epoch_end less the pass (s)": float(np.median(rest)),
        "forward (s)": float(np.median(seconds["forward"])),
        "share of operations": of_probes.share,
        "kept (MB)": of_probes.kept / 1e6,
    }


if __name__ == "__main__":
    for trainable, ratios in measure().items():
        for what, ratio in ratios.items():
            print(f"{trainable:<16} {what:<20} {ratio:8.3f}")
