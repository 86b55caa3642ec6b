"""Killed fit: runs a fit in a separate process that is killed and restarted until it ends.

    python -m support.killed_fit LOG_DIR BACKUP_DIR ORDER KILLS

ORDER is `backup-first` or `backup-last`: the place of Keras' BackupAndRestore in the list. KILLS is
a JSON list with one entry per start. `[moment, epoch]` kills at a moment of `Killing`.
`["bytes", count]` kills as soon as the event files have grown by this many bytes, mostly in the
middle of an entry. After the last entry, the fit runs to its end.
"""

import json
import os
import pathlib
import signal
import sys
import time

import numpy as np
from tensorflow import keras

from keras_attnviz import AttentionRolloutCallback, ProbeSet
from support.small_models import small_classifier

EPOCHS = 5


class Killing(keras.callbacks.Callback):
    """Kills its process at a moment of an epoch."""

    def __init__(self, moment, at):
        super().__init__()
        self.moment, self.at = moment, at

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self._kill("begin", epoch)
        self._kill("term", epoch, signal.SIGTERM)

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self._kill("batch", self.epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._kill("end", epoch)

    def _kill(self, moment, epoch, number=signal.SIGKILL):
        if (moment, epoch) == (self.moment, self.at):
            os.kill(os.getpid(), number)


def fit(log_dir, backup_dir, order, killing):
    images = np.random.default_rng(0).random((64, 16, 16, 3)).astype("float32")
    labels = (images[:, :8].mean(axis=(1, 2, 3)) > images[:, 8:].mean(axis=(1, 2, 3))).astype(int)
    model = small_classifier(image_size=16, patch_size=8, layers=1)
    # Randomness, and what a backup keeps of an optimizer's state, aren't tested here.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    attention = AttentionRolloutCallback(ProbeSet(images[:3]), log_dir, self_check=False)
    backup = keras.callbacks.BackupAndRestore(str(backup_dir))
    both = [backup, attention] if order == "backup-first" else [attention, backup]
    # At the end of an epoch, the process is killed between the two callbacks.
    callbacks = [both[0], Killing(*killing), both[1]]
    model.fit(images, labels, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=callbacks)


def size_of(log_dir):
    return sum(path.stat().st_size for path in pathlib.Path(log_dir).rglob("*tfevents*"))


def main(log_dir, backup_dir, order, kills):
    # TensorFlow is imported once, and runs only in the children.
    for kill in [*json.loads(kills), ["", 0]]:
        begun = size_of(log_dir)
        child = os.fork()
        if child == 0:
            fit(log_dir, backup_dir, order, kill)
            sys.stdout.flush()
            os._exit(0)
        while kill[0] == "bytes":
            if size_of(log_dir) - begun >= kill[1]:
                os.kill(child, signal.SIGKILL)
                break
            time.sleep(0.0005)
        _, status = os.waitpid(child, 0)
        ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        print(ended, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
