"""A fit of 1,000 epochs with 64 probes: memory, time and log size over the epochs.

    python -m benchmarks.speed.soak [--epochs 1000] [--log-dir FOLDER]

Prints a line every 50 epochs, compares the figures with their limits at the end, and writes the
lines as JSON. The log takes 7 GB of disk; it is removed at the end, unless you give a folder.
"""

import argparse
import datetime
import json
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
import skimage
from tensorflow import keras
from vit_keras import vit

from benchmarks.common.paths import results_file
from keras_attnviz import AttentionRolloutCallback, ProbeSet

EVERY = 50


def faces():
    """Returns 64 photographs of scikit-image, 32 faces and 32 others, and their labels."""
    path = pathlib.Path(skimage.__file__).parent / "data" / "lfw_subset.npy"
    photographs = np.load(path).astype("float32")[:, :24, :24, np.newaxis]
    chosen = np.concatenate([photographs[:32], photographs[100:132]])
    return np.repeat(chosen, 3, axis=-1), np.repeat([0, 1], 32)


def small_classifier():
    """Returns a compiled vit-keras model of three layers."""
    keras.utils.set_random_seed(0)
    backbone = vit.build_model(
        image_size=24,
        patch_size=4,
        num_layers=3,
        hidden_size=32,
        num_heads=4,
        mlp_dim=64,
        name="small",
        classes=2,
        include_top=False,
    )
    model = keras.Sequential([backbone, keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    return model


def resident_mb():
    """Returns this process's resident memory in MB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watched(AttentionRolloutCallback):
    """The callback under test; it also records its time, memory and log size."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.seconds, self.rows = [], []

    def on_epoch_end(self, epoch, logs=None):
        """Logs the epoch."""
        begun = time.process_time()
        super().on_epoch_end(epoch, logs)
        self.seconds.append(time.process_time() - begun)
        if (epoch + 1) % EVERY == 0:
            self._note(epoch + 1)

    def _note(self, epoch):
        files = [path for path in pathlib.Path(self.log_dir).rglob("*") if path.is_file()]
        row = {
            "epoch": epoch,
            "resident_mb": resident_mb(),
            "epoch_end_s": float(np.median(self.seconds[-EVERY:])),
            "log_mb": sum(path.stat().st_size for path in files) / 1e6,
            "traces": self._monitor._traced.fixed_pass.traces,
        }
        self.rows.append(row)
        print(
            f"epoch {epoch:5d}: {row['resident_mb']:7.1f} MB resident, an epoch's end "
            f"{row['epoch_end_s']:.3f} s of processor time, log {row['log_mb']:6.0f} MB",
            flush=True,
        )


def verdicts(rows):
    """Returns a list of (text, value, limit, whether the limit is held)."""
    first, last = rows[0], rows[-1]
    growth = max(row["resident_mb"] for row in rows) - first["resident_mb"]
    sizes = np.diff([row["log_mb"] for row in rows])
    spread = float(np.ptp(sizes) / np.mean(sizes))
    slower = last["epoch_end_s"] / first["epoch_end_s"]
    return [
        ("memory after the first 50 epochs grows by (MB)", growth, 20, growth < 20),
        # Pictures compress better or worse as the heatmaps change.
        ("log: spread of what 50 epochs add, of their mean", spread, 0.05, spread < 0.05),
        ("epoch's end, last 50 epochs / first 50", slower, 1.25, slower < 1.25),
        ("functions traced", last["traces"], 1, last["traces"] == 1),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--log-dir", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        images, labels = faces()
        callback = Watched(ProbeSet(images, labels=labels), arguments.log_dir or scratch)
        small_classifier().fit(
            images,
            labels,
            batch_size=len(images),
            epochs=arguments.epochs,
            verbose=0,
            callbacks=[callback],
        )
    found = verdicts(callback.rows)
    for text, value, limit, is_held in found:
        print(f"{text:<52} {value:8.3f} {limit:>6g}  {'held' if is_held else 'MISSED'}")
    now = datetime.datetime.now().astimezone()
    results = results_file(now, "-soak")
    results.write_text(json.dumps({"time": now.isoformat(), "rows": callback.rows}, indent=1))
    print(f"written to {results}")
    return not all(is_held for *_, is_held in found)


if __name__ == "__main__":
    sys.exit(main())
