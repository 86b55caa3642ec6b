"""Class folders to a fine-tuned Vision Transformer, with its attention logged."""

import dataclasses
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from tensorflow import keras

from keras_attnviz._checks import check_count, message
from keras_attnviz.callbacks.attention_rollout_callback import AttentionRolloutCallback
from keras_attnviz.data.class_folders import ClassFolders, check_intact
from keras_attnviz.data.probes import ProbeSet
from keras_attnviz.networks.classifier import build_classifier, check_classifier, save_classifier

MODEL_FILE = "model.keras"
INTERRUPTED_FILE = "interrupted.keras"
HISTORY_FILE = "history.csv"
VALIDATION_NAMES = ("validation", "val", "valid")
_LEFT = (MODEL_FILE, INTERRUPTED_FILE, HISTORY_FILE)
_SPLIT_NAMES = {"train", "test", *VALIDATION_NAMES}


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """What `fine_tune` leaves.

    Attributes:
        model: the fine-tuned Keras model, of RGB in [0, 255] to probabilities.
        class_names: tuple of texts, in the order of the model's outputs.
        history: dict from the name of a logged value to its list, one entry an epoch.
        log_dir: path of the log directory, for TensorBoard.
        model_path: path of the saved model; read it with `load_classifier`.
        validation_accuracy: of the last epoch.
        majority_share: the accuracy on the same pictures of always answering the commonest class.
    """

    model: keras.Model
    class_names: tuple
    history: dict
    log_dir: str
    model_path: str
    validation_accuracy: float
    majority_share: float


def fine_tune(
    data,
    *,
    architecture="vit_b16",
    image_size=224,
    epochs=5,
    trainable_blocks=2,
    weights=None,
    log_dir=None,
    probes_per_class=2,
    batch_size=16,
    learning_rate=2e-4,
    validation_share=0.2,
    skip_corrupt=False,
    seed=0,
    callbacks=(),
    attention_options=None,
    cache_dir=None,
):
    """Fine-tunes a pretrained Vision Transformer on class folders and logs its attention.

    Everything that can be wrong with the arguments and the pictures is raised before the first
    training step. Sets the random seed of Keras, NumPy and Python.

    An interruption (Ctrl-C) ends the training, but not before the model is saved as it is after
    the last finished training step, as `interrupted.keras`.

    Args:
        data: path of a directory that holds one folder of JPEG or PNG pictures for every class,
            or folders `train` and `validation` (or `val`, `valid`) of such class folders.
        architecture: as in `build_classifier`.
        image_size: integer or pair (height, width), multiples of the patch size; pictures are
            resized to it without keeping their aspect ratio.
        epochs: number of passes over the training pictures.
        trainable_blocks: as in `build_classifier`.
        weights: as in `build_vit`.
        log_dir: directory for the logs, the history and the model; it must not hold an earlier
            training. `logs/<date>-<time>` unless given.
        probes_per_class: validation pictures of every class whose attention is logged.
        batch_size: pictures a training step.
        learning_rate: of AdamW.
        validation_share: share of every class held out, unless `data` has its own validation
            folder.
        skip_corrupt: whether to go on without pictures that can't be decoded.
        seed: integer; of the split, the shuffling, the head's weights and dropout.
        callbacks: further Keras callbacks; they see the attention values in their `logs`.
        attention_options: dict of further arguments of `AttentionRolloutCallback`.
        cache_dir: folder of the ViT-S/14's files; see `vit_s14`.

    Returns:
        A `FineTuned`. In the log directory stand `model.keras`, `history.csv` and the runs
        `train`, `validation` and `attention` for TensorBoard.

    Raises:
        KeyboardInterrupt: interrupted, after the model has been saved.
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, a directory without class folders, corrupt pictures
            (which it names), too few pictures of a class, or a log directory that can't be
            written.
        OSError: the pretrained weights can't be downloaded.
    """
    check_classifier(architecture, image_size, trainable_blocks, weights)
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    check_count("probes_per_class", probes_per_class)
    _check_learning_rate(learning_rate)
    train, validation = read_data(
        data,
        image_size=image_size,
        validation_share=validation_share,
        skip_corrupt=skip_corrupt,
        seed=seed,
    )
    probes = _probes(validation, probes_per_class, image_size)
    log_dir = _prepared(log_dir)
    keras.utils.set_random_seed(seed)
    model = build_classifier(
        architecture,
        classes=len(train.class_names),
        image_size=image_size,
        trainable_blocks=trainable_blocks,
        weights=weights,
        cache_dir=cache_dir,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    _say_plan(model, train, validation)
    reading = {"image_size": image_size, "batch_size": batch_size}
    described = {"architecture": architecture, "class_names": train.class_names}
    try:
        history = model.fit(
            train.dataset(**reading, shuffle_seed=seed),
            validation_data=validation.dataset(**reading),
            epochs=epochs,
            shuffle=False,  # the dataset does it; Keras warns that it doesn't
            callbacks=[*_writers(log_dir, probes, attention_options or {}), *callbacks],
        ).history
    except KeyboardInterrupt:
        _save_interrupted(model, log_dir, described)
        raise
    model_path = os.path.join(log_dir, MODEL_FILE)
    save_classifier(model, model_path, **described)
    tuned = FineTuned(
        model=model,
        class_names=train.class_names,
        history=history,
        log_dir=log_dir,
        model_path=model_path,
        validation_accuracy=float(history["val_accuracy"][-1]),
        majority_share=validation.majority_share,
    )
    _say_result(tuned, validation)
    return tuned


def read_data(data, *, image_size, validation_share=0.2, skip_corrupt=False, seed=0):
    """Returns the training and the validation pictures of a data directory.

    Args:
        data: path; see `fine_tune`.
        image_size: integer or pair (height, width), to which pictures are decoded in the check.
        validation_share: share of every class held out where there is no validation folder.
        skip_corrupt: whether to leave out pictures that can't be decoded.
        seed: integer, of that split.

    Returns:
        `(train, validation)`, two `ClassFolders` with the same class names.

    Raises:
        ValueError: no class folders, fewer than two, other ones in the validation folder, or
            corrupt pictures, which it names.
    """
    root = Path(data)
    names = {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
    held_out = [name for name in VALIDATION_NAMES if name in names]
    # `train` beside other folders may be a class, of vehicles say.
    is_split = "train" in names and (held_out or names <= _SPLIT_NAMES)
    train = ClassFolders.scan(root / "train" if is_split else root, name="data")
    if len(train.class_names) < 2:
        must = "a directory of at least two class folders"
        remedy = f"It holds only: {train.class_names[0]}."
        raise ValueError(message("data", must, str(data), remedy))
    if not (is_split and held_out):
        # Before the split, so that both parts get their share of what is left.
        intact = check_intact(train, image_size, skip_corrupt=skip_corrupt, name="data")
        return intact.split(validation_share, seed, name="data")
    validation = ClassFolders.scan(root / held_out[0], name="data")
    if validation.class_names != train.class_names:
        odd = sorted(set(train.class_names) ^ set(validation.class_names))
        must = "a directory with the same class folders for training and validation"
        remedy = f"Only in one of train and {held_out[0]}: {', '.join(odd)}."
        raise ValueError(message("data", must, str(data), remedy))
    return tuple(
        check_intact(part, image_size, skip_corrupt=skip_corrupt, name="data")
        for part in (train, validation)
    )


def _writers(log_dir, probes, attention_options):
    """Returns the callbacks that write into the log directory."""
    attention_options = {"per_layer_logs": False, **attention_options}
    attention = AttentionRolloutCallback(probes, log_dir, **attention_options)
    return [
        keras.callbacks.TensorBoard(log_dir, write_graph=False),
        # Before the history's writer, which so gets the attention values too.
        attention,
        keras.callbacks.LambdaCallback(
            on_train_begin=lambda logs: print(attention.plan_line(), flush=True)
        ),
        keras.callbacks.CSVLogger(os.path.join(log_dir, HISTORY_FILE)),
    ]


def _probes(validation, per_class, image_size):
    fewest = min(validation.counts, key=validation.counts.get)
    if per_class > validation.counts[fewest]:
        must = f"at most {validation.counts[fewest]}, the validation pictures of {fewest!r}"
        raise ValueError(message("probes_per_class", must, per_class))
    return ProbeSet.from_folders(validation.evenly(per_class), image_size=image_size)


def _prepared(log_dir):
    """Makes the log directory and returns its path, after a test that it can be written."""
    path = Path(log_dir or Path("logs") / time.strftime("%Y%m%d-%H%M%S"))
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        must = "a directory that can be written"
        raise ValueError(message("log_dir", must, str(path), f"{error}.")) from error
    earlier = {name for name in _LEFT if (path / name).exists()}
    if earlier:
        must = "a directory without an earlier training"
        remedy = f"It holds {_told(earlier)}. Name another one, or remove it."
        raise ValueError(message("log_dir", must, str(path), remedy))
    return str(path)


def _told(earlier):
    """Returns what kind of training has left these files, a text."""
    kind = "one that ended before its model was saved"
    if MODEL_FILE in earlier:
        kind = "a finished one"
    elif INTERRUPTED_FILE in earlier:
        kind = "an interrupted one"
    return f"{kind}: {', '.join(name for name in _LEFT if name in earlier)}"


def _save_interrupted(model, log_dir, described):
    path = os.path.join(log_dir, INTERRUPTED_FILE)
    save_classifier(model, path, **described)
    steps = int(model.optimizer.iterations)
    print(f"\nInterrupted. The model after {steps} training steps: {path}", flush=True)


def _check_learning_rate(learning_rate):
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, (int, float)):
        raise TypeError(message("learning_rate", "a number above 0", learning_rate))
    if not 0 < learning_rate < float("inf"):
        raise ValueError(message("learning_rate", "above 0", learning_rate))


def _say_plan(model, train, validation):
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    counts = ", ".join(f"{name}: {count}" for name, count in train.counts.items())
    print(f"Training on {len(train)} pictures ({counts}), validating on {len(validation)}.")
    print(f"Training {trained:,} of {model.count_params():,} weights.", flush=True)


def _say_result(tuned, validation):
    commonest = max(validation.counts, key=validation.counts.get)
    print(
        f"Validation accuracy: {tuned.validation_accuracy:.3f} "
        f"(always answering {commonest!r}: {tuned.majority_share:.3f})"
    )
    print(f"Model: {tuned.model_path}")
    print(f"Logs: {tuned.log_dir}   (keras-attnviz board {tuned.log_dir})", flush=True)
