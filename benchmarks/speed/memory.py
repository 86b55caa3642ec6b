"""Prints the memory of this process in MB, before a pass and at its highest during the pass.

`python -m benchmarks.speed.memory KIND`: KIND is the kind of pass, `plain` or `probe`.
"""

import sys

import tensorflow as tf

from benchmarks.common import models
from benchmarks.common.timing import peak_megabytes
from keras_attnviz import AttentionModel


def main(kind):
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

    print(*peak_megabytes(lambda: [run(images).numpy() for _ in range(5)]))


if __name__ == "__main__":
    main(sys.argv[1])
