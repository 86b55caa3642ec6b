"""The callback in a fit that has begun; the caller ends each epoch."""

import contextlib
import itertools
import tempfile

from keras_attnviz import AttentionRolloutCallback, ProbeSet


@contextlib.contextmanager
def begun(model, images, **options):
    """Yields a function that runs the next epoch's `on_epoch_end`; `options` are the callback's."""
    with tempfile.TemporaryDirectory() as log_dir:
        callback = AttentionRolloutCallback(ProbeSet(images), log_dir, **options)
        callback.set_params({"epochs": 1000, "verbose": 0})
        callback.set_model(model)
        model.stop_training = False  # as `fit` does
        callback.on_train_begin()
        callback.on_epoch_begin(0)
        epochs = itertools.count()
        yield lambda: callback.on_epoch_end(next(epochs), {})
        callback.on_train_end()
