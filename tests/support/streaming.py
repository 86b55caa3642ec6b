"""A small trained model, and runs of `explain_dataset` on noise."""

import numpy as np

from keras_attnviz import explain_dataset
from support.small_models import pooled_model


def noise(index):
    return np.random.default_rng(index).random((16, 24, 3)).astype("float32")


def trained_model():
    model = pooled_model()
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0, 0.5, array.shape) for array in model.get_weights()])
    return model


def run(model, dataset, out, *, batch_size=4, shard_size=8, **options):
    return explain_dataset(
        model, dataset, out, batch_size=batch_size, shard_size=shard_size, **options
    )
