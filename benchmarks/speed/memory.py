"""Prints memory in MB, before something is run and at its highest meanwhile, and its seconds.

`python -m benchmarks.speed.memory KIND`: `plain` or `probe` is a pass through ViT-B/16; `predict`
or `callback`, with the side of the images, layers, heads and width, is a `predict` of 8 images, or
all that a fit's callback does before the first step.
"""

import sys
import time

import numpy as np
import tensorflow as tf
from tensorflow import keras
from vit_keras import vit

from benchmarks.common import models
from benchmarks.common.timing import peak_megabytes
from benchmarks.speed import epochs
from keras_attnviz import AttentionModel


def passes(kind):
    """Returns a function that runs a plain pass, or one with rollout, five times."""
    model = models.vit_b16()
    images = tf.constant(models.photographs() / 127.5 - 1, tf.float32)
    if kind == "plain":
        run = tf.function(lambda batch: model(batch, training=False))
    else:
        attention_model = AttentionModel(model)

        @tf.function
        def run(batch):
            predictions, attentions = attention_model(batch)
            heatmaps = attention_model.heatmap(attentions)
            return tf.concat([predictions, tf.reshape(heatmaps, [len(batch), -1])], axis=1)

    return lambda: [run(images).numpy() for _ in range(5)]


def large_images(kind, size, layers, heads, width):
    """Returns a function that runs `predict`, or the callback, on 8 large images."""
    backbone = vit.build_model(
        image_size=size,
        patch_size=16,
        num_layers=layers,
        hidden_size=width,
        num_heads=heads,
        mlp_dim=4 * width,
        name="vit",
        classes=3,
        dropout=0.0,
        activation="linear",
        include_top=False,
    )
    model = keras.Sequential([backbone, keras.layers.Dense(3, "softmax")])
    model.build((None, size, size, 3))
    images = np.float32(models.photographs(image_size=size) / 127.5 - 1)

    def begin():
        with epochs.begun(model, images):
            pass

    return begin if kind == "callback" else lambda: model.predict(images, verbose=0)


def main(kind, *sizes):
    run = large_images(kind, *map(int, sizes)) if sizes else passes(kind)
    began = time.perf_counter()
    print(*peak_megabytes(run), time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
