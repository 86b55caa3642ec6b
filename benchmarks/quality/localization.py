"""Measures which explanation method finds the object; prints tables and writes them as JSON.

Photographs of objects are pasted on other photographs, a pretrained ViT is fine-tuned to tell the
kinds of objects apart, and each method's maps are compared with the masks, before training and
after each epoch.
"""

import argparse
import datetime
import json

import numpy as np
import tensorflow as tf

from benchmarks.common.paths import results_file
from benchmarks.common.timing import interleaved, median_ratio
from benchmarks.quality.agreement import agreement, coverage
from benchmarks.quality.composites import background_photographs, make_composites, split_cutouts
from benchmarks.quality.cutouts import find_cutouts
from benchmarks.quality.fine_tuned import fine_tuned
from benchmarks.quality.methods import ROWS, explain_all
from benchmarks.quality.tables import FIGURES, by_epoch, by_method
from keras_attnviz import AttentionModel, deletion_auc, insertion_auc
from keras_attnviz.model_io.outputs import probabilities

SIZE = 112
PER_CLASS = {"train": 100, "tune": 40, "report": 40}
SEED = 0
EPOCHS = 3
SEEDS = (0, 1, 2)
BATCH = 20
# Deletion and insertion run each picture through the network 18 times for every method, so they
# are measured after the last epoch, on every fourth picture, in steps of an eighth of the patches.
FAITHFUL_EVERY, FAITHFUL_STEP = 4, 8


def composites():
    """Returns the `Composites` of each split; the same at every call."""
    backgrounds = background_photographs()
    return {
        name: make_composites(
            cutouts, backgrounds, per_class=PER_CLASS[name], size=SIZE, seed=SEED + number
        )
        for number, (name, cutouts) in enumerate(split_cutouts(find_cutouts(), SEED).items())
    }


def measured(split, train, tune, *, seeds, epochs):
    """Returns a list of dicts, one for each seed, epoch and method.

    Args:
        split: `Composites` that the maps are measured on.
        train: `Composites` that the model is trained on.
        tune: `Composites` whose accuracy is printed in training.
        seeds: sequence of integers.
        epochs: number of epochs.

    Returns:
        list of dicts with `seed`, `epoch`, `method`, `accuracy`, and `auc`, `hit`, `mass` and
        `lift` as lists, one value a picture; after the last epoch also `deletion` and
        `insertion`, one value for every fourth picture.
    """
    covered = found = None
    for seed in seeds:
        attention_model = None
        for epoch, model in fine_tuned(train, tune, seed=seed, epochs=epochs):
            attention_model = attention_model or AttentionModel(model)
            if covered is None:
                covered, found = coverage(split.masks, attention_model.layout.grid), []
            predictions, maps = _explained(attention_model, split.images)
            accuracy = float(np.mean(predictions.argmax(axis=1) == split.labels))
            print(f"seed {seed}, epoch {epoch}: accuracy {accuracy:.3f}", flush=True)
            for method, values in maps.items():
                figures = agreement(values, covered)
                if epoch == epochs:
                    chosen = slice(None, None, FAITHFUL_EVERY)
                    figures |= _faithfulness(
                        attention_model,
                        split.images[chosen],
                        values[chosen],
                        predictions[chosen].argmax(axis=1),
                    )
                label = {"seed": seed, "epoch": epoch, "method": method, "accuracy": accuracy}
                found.append({**label, **{k: v.tolist() for k, v in figures.items()}})
    return found


def _faithfulness(attention_model, images, maps, classes):
    """Returns deletion and insertion of the probabilities of `classes`, a dict of arrays."""

    @tf.function(reduce_retracing=True)
    def predict(batch):
        outputs, _ = attention_model(batch)
        return probabilities(outputs, activation=attention_model.activation)

    measures = {"deletion": deletion_auc, "insertion": insertion_auc}
    given = predict, tf.constant(images, tf.float32), maps, classes
    return {name: measure(*given, step=FAITHFUL_STEP).numpy() for name, measure in measures.items()}


def _explained(attention_model, images):
    """Returns predictions and all methods' maps of all images, as arrays."""
    run = tf.function(lambda batch: explain_all(attention_model, batch), reduce_retracing=True)
    batches = [
        tf.nest.map_structure(np.asarray, run(tf.constant(images[i : i + BATCH], tf.float32)))
        for i in range(0, len(images), BATCH)
    ]
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)


def costs(model, images):
    """Returns each method's time on 8 pictures over that of the forward pass alone."""
    images = tf.constant(images[:8], tf.float32)
    attention_model = AttentionModel(model)
    forward = tf.function(lambda batch: model(batch, training=False))
    functions = {"forward": lambda: forward(images).numpy()}
    for shown, method, options in ROWS:
        run = tf.function(
            lambda batch, method=method, options=options: attention_model.explain(
                batch, method, **options
            )
        )
        functions[shown] = lambda run=run: run(images).numpy()
    seconds = interleaved(functions, rounds=7)
    return {shown: median_ratio(seconds, shown, "forward") for shown, _, _ in ROWS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=("tune", "report"), default="report")
    arguments = parser.parse_args()
    splits = composites()
    split = splits[arguments.split]
    print(f"{len(split.images)} pictures of {len(set(split.names))} objects in the split")
    found = measured(split, splits["train"], splits["tune"], seeds=SEEDS, epochs=EPOCHS)
    now = datetime.datetime.now().astimezone()
    results = results_file(now, "-localization")
    written = {"split": arguments.split, "names": split.names, "rows": found}
    results.write_text(json.dumps(written))
    print(by_epoch(found), flush=True)
    *_, (_, model) = fine_tuned(splits["train"], splits["tune"], seed=SEEDS[0], epochs=EPOCHS)
    ratios = costs(model, split.images)
    results.write_text(json.dumps({**written, "costs": ratios}))
    names = dict.fromkeys(FIGURES, split.names)
    names |= dict.fromkeys(("deletion", "insertion"), split.names[::FAITHFUL_EVERY])
    print(f"\n{by_method(found, ratios, names)}\n\nwritten to {results}")


if __name__ == "__main__":
    main()
