"""Measures PyTorch's ViT-B/16 and ours, each against its own forward pass; writes both as JSON.

    python -m benchmarks.speed.run_peers PYTHON

PYTHON is the interpreter that has torch and transformers.
"""

import json
import statistics
import subprocess
import sys

import numpy as np
import tensorflow as tf

from benchmarks.common import models
from benchmarks.common.figures import publish, row
from benchmarks.common.paths import ROOT
from benchmarks.common.timing import interleaved, median_ratio
from benchmarks.speed.frozen import ROUNDS, freeze_below, probe_pass

# How many of the 12 blocks are trained.
TRAINED = {"all": None, "2 of 12 blocks": 2, "head": 0}


def theirs(python):
    """Returns rows about Hugging Face's ViT in PyTorch, and versions."""
    command = [python, "-m", "benchmarks.speed.peers"]
    finished = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(finished.stdout.splitlines()[-1])
    texts = {
        "maps": "PyTorch: predictions + attention maps / forward pass",
        "rollout": "PyTorch: predictions + rollout / forward pass",
    }
    rows = [row(text, found["ratios"][name]) for name, text in texts.items()]
    rows.append(row("PyTorch: forward pass, 8 images (s)", found["forward (s)"]))
    return rows, {name: found[name] for name in ("torch", "transformers")}


def ours():
    """Returns rows about our predictions and rollout, by what is trained."""
    images = np.float32(models.photographs() / 127.5 - 1)
    batch, passes = tf.constant(images), {}
    for name, blocks in TRAINED.items():
        model = models.vit_b16()
        freeze_below(model, blocks)
        passes[name] = probe_pass(model, images)
    # The last model's; the models of the passes differ only in what is trained.
    forward = tf.function(lambda batch: model(batch, training=False))
    functions = {"forward": lambda: forward(batch).numpy()}
    for name, of_probes in passes.items():
        functions[name] = lambda run=of_probes: [each.numpy() for each in run()[0].values()]
    seconds = interleaved(functions, rounds=ROUNDS, warmups=2)
    rows = [
        row(
            f"Keras: predictions + rollout / forward pass, {name} trained",
            median_ratio(seconds, name, "forward"),
        )
        for name in passes
    ]
    rows += [
        row(f"Keras: kept between epochs, {name} trained (MB)", of_probes.kept / 1e6)
        for name, of_probes in passes.items()
        if of_probes.share < 1
    ]
    rows.append(row("Keras: forward pass, 8 images (s)", statistics.median(seconds["forward"])))
    return rows


def main(python):
    (their_rows, their_versions), our_rows = theirs(python), ours()
    publish([*their_rows, *our_rows], suffix="-peers", **their_versions)


if __name__ == "__main__":
    main(sys.argv[1])
