"""Prints the peak memory, in MB, of one kind of pass: `build`, `plain` or `probe`."""

import sys

import models
import tensorflow as tf
from timing import own_peak_megabytes

from keras_attnviz import AttentionModel


def main(kind):
    model = models.vit_b16()
    images = tf.constant(models.photographs() / 127.5 - 1, tf.float32)
    if kind == "plain":
        run = tf.function(lambda batch: model(batch, training=False))
    elif kind == "probe":
        attention_model = AttentionModel(model)

        @tf.function
        def run(batch):
            predictions, attentions = attention_model(batch)
            return predictions, attention_model.heatmap(attentions)

    if kind != "build":
        for _ in range(3):
            run(images)
    print(own_peak_megabytes())


if __name__ == "__main__":
    main(sys.argv[1])
