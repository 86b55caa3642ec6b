"""Compares deletion and insertion with Xplique's.

    python -m benchmarks.quality.xplique FOLDER

FOLDER holds Xplique: `pip install --no-deps --target FOLDER xplique deprecated`. Xplique 2.0
requires TensorFlow below 2.21 and much that its metrics don't need, so only the module of its
metrics is loaded.
"""

import importlib
import pathlib
import sys
import types

import numpy as np
import tensorflow as tf

from keras_attnviz import deletion_auc, insertion_auc

GRID, PATCH, CLASSES = (4, 5), 6, 3


def inputs(count=4):
    """Returns seeded images, heatmaps without ties, and classes."""
    generator = np.random.default_rng(0)
    size = [GRID[0] * PATCH, GRID[1] * PATCH]
    images = generator.random((count, *size, 3)).astype(np.float32)
    cells = [generator.permutation(GRID[0] * GRID[1]) for _ in range(count)]
    heatmaps = np.float32(cells).reshape(count, *GRID)
    return images, heatmaps, generator.integers(0, CLASSES, count)


def network():
    """Returns a small seeded convolutional network that gives probabilities."""
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [
            tf.keras.Input((GRID[0] * PATCH, GRID[1] * PATCH, 3)),
            tf.keras.layers.Conv2D(8, 5, activation="relu"),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(CLASSES, "softmax"),
        ]
    )


def by_xplique(metric, images, heatmaps, classes, model, *, steps):
    """Returns Xplique's value of each image.

    Xplique takes pixels, so patches are enlarged. All pixels of a patch are equal, and Xplique
    orders them its own way. So that both change the same pixels at each step, later pixels of a
    patch get slightly less.
    """
    pixels = np.repeat(np.repeat(heatmaps, PATCH, axis=1), PATCH, axis=2)
    falling = np.arange(pixels[0].size).reshape(pixels[0].shape) / pixels[0].size
    one_hot = np.eye(CLASSES, dtype=np.float32)[classes]
    return [
        metric(
            model, images[i : i + 1], one_hot[i : i + 1], baseline_mode=0.0, steps=steps
        ).evaluate((pixels - 0.5 * falling)[i : i + 1])
        for i in range(len(images))
    ]


def fidelity(folder):
    """Returns Xplique's module of these metrics; skips what its packages import otherwise."""
    sys.path.append(folder)
    for name in ("xplique", "xplique.metrics"):
        package = types.ModuleType(name)
        package.__path__ = [str(pathlib.Path(folder, *name.split(".")))]
        sys.modules[name] = package
    return importlib.import_module("xplique.metrics.fidelity")


def main():
    xplique = fidelity(sys.argv[1])
    images, heatmaps, classes = inputs()
    model, patches = network(), GRID[0] * GRID[1]
    for name, ours, theirs in (
        ("deletion", deletion_auc, xplique.Deletion),
        ("insertion", insertion_auc, xplique.Insertion),
    ):
        for step in (1, 4, 3):
            found = ours(model, images, heatmaps, classes, step=step, baseline=0.0).numpy()
            steps = -(-patches // step)
            reference = by_xplique(theirs, images, heatmaps, classes, model, steps=steps)
            apart = np.abs(found - reference).max()
            print(f"{name}, {step} patches a step: {found.round(5)}, apart by at most {apart:.1e}")


if __name__ == "__main__":
    main()
