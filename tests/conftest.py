"""Fixtures and hooks that all tests share: small real photographs, marks, Ctrl-C."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gc
import pathlib
import signal
import sys

import numpy as np
import pytest
import skimage
from support.small_models import HAS_VIT_KERAS, KERAS_3

from keras_attnviz import ProbeSet

# Fixtures of Chromium: `chromium`, `page`.
pytest_plugins = ["support.browser"]

# Graphs are many small objects; looking for garbage among them as often as usual takes a tenth of
# the time.
gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items):
    """Skips what is marked for another Keras than the one that the tests run on."""
    reasons = {
        "keras3": None if KERAS_3 else "about Keras 3 alone",
        "vit_keras": None if HAS_VIT_KERAS else "vit-keras has no models of this Keras",
    }
    for item in items:
        for mark, reason in reasons.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def faces():
    """Photographs of scikit-image's `lfw_subset`: faces (label 0) and not faces (label 1).

    Returns `(images, labels)`: float32 [192, 24, 24, 3] in [0, 1], int [192]. That is whole batches
    of 32, so that a training step is traced once.
    """
    path = pathlib.Path(skimage.__file__).parent / "data" / "lfw_subset.npy"
    photographs = np.load(path).astype(np.float32)[:, :24, :24, np.newaxis]
    chosen = np.concatenate([photographs[:96], photographs[100:196]])
    return np.repeat(chosen, 3, axis=-1), np.repeat([0, 1], 96)


@pytest.fixture(scope="session")
def masked_probes(faces):
    """Two faces and two others, with labels and with a mask of the picture's middle."""
    images, labels = faces
    chosen = [0, 7, 100, 107]
    masks = np.zeros((4, 24, 24))
    masks[:, 6:18, 6:18] = 1
    return ProbeSet(images[chosen], labels=labels[chosen], masks=masks)


@pytest.fixture
def interruptible():
    """Ctrl-C raises, also where the tests run in the background and a shell has it ignored.

    A process that the test starts inherits it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_terminal_summary(terminalreporter):
    """Says how many inputs the fuzz tests have tried, in one process."""
    fuzzing = sys.modules.get("support.fuzzing")
    if fuzzing is not None and fuzzing.TRIED:
        for name, count in sorted(fuzzing.TRIED.items()):
            terminalreporter.write_line(f"{count:9,} inputs: {name}")
        terminalreporter.write_line(f"{sum(fuzzing.TRIED.values()):9,} inputs in all")
