"""Measures what a fit waits for before its first step, in times a first `predict` of the probes.

`python -m benchmarks.speed.startup [NAME ...]`: the names of some of `MODELS`, all unless given.
Times are of the processor, summed over cores. Each `predict` and each fit has a model of its own,
and `predict` runs once before anything is measured, because the first use of TensorFlow takes
longer than any other.
"""

import sys
import time

import numpy as np
from tensorflow import keras
from vit_keras import vit

from benchmarks.common import models
from benchmarks.speed import epochs
from keras_attnviz import AttentionModel

PROBES = 8


def transfer_learning(backbone, *, size, is_frozen=False):
    """Returns the common `Sequential` of a backbone and a head, and the side of its images."""
    backbone.trainable = not is_frozen
    model = keras.Sequential([backbone, keras.layers.Dense(10, "softmax")])
    model.build((None, size, size, 3))
    return model, size


def _vit(size, patch, **options):
    return vit.build_model(
        image_size=size,
        patch_size=patch,
        name="vit",
        classes=10,
        dropout=0.0,
        activation="linear",
        include_top=False,
        **options,
    )


MODELS = {
    "ViT-B/16, frozen backbone": lambda: transfer_learning(
        vit.vit_b16(224, include_top=False, pretrained=False, pretrained_top=False),
        size=224,
        is_frozen=True,
    ),
    "ViT-L/16, all trained": lambda: transfer_learning(
        vit.vit_l16(224, include_top=False, pretrained=False, pretrained_top=False), size=224
    ),
    "ViT-S/14 of 11 layers at 168 px": lambda: transfer_learning(
        _vit(168, 14, num_layers=11, hidden_size=384, num_heads=6, mlp_dim=1536), size=168
    ),
    "3 tiny layers": lambda: transfer_learning(
        _vit(32, 8, num_layers=3, hidden_size=32, num_heads=2, mlp_dim=64), size=32
    ),
}


def measure(names=tuple(MODELS)):
    """Returns a dict from the names of models to dicts of figures.

    They are processor seconds of a first and a second `predict`, of `AttentionModel`, and of what a
    fit waits for before its first step, and ratios of these to the first `predict`.
    """
    return {name: _of_model(MODELS[name]) for name in names}


def _of_model(build):
    model, size = build()
    images = np.float32(models.photographs(PROBES, size) / 127.5 - 1)
    model.predict(images, verbose=0)
    model, _ = build()
    first = _seconds(lambda: model.predict(images, verbose=0))
    second = _seconds(lambda: model.predict(images, verbose=0))
    model, _ = build()
    alone = _seconds(lambda: AttentionModel(model))
    model, _ = build()

    def begin():
        with epochs.begun(model, images):
            times.append(time.process_time())

    times = [time.process_time()]
    begin()
    waited = times[1] - times[0]
    return {
        "first predict (s)": first,
        "second predict (s)": second,
        "AttentionModel (s)": alone,
        "before the first step (s)": waited,
        "AttentionModel / first predict": alone / first,
        "before the first step / first predict": waited / first,
    }


def _seconds(function):
    began = time.process_time()
    function()
    return time.process_time() - began


if __name__ == "__main__":
    for model_name, figures in measure(sys.argv[1:] or tuple(MODELS)).items():
        for what, value in figures.items():
            print(f"{model_name:<34} {what:<40} {value:8.2f}")
