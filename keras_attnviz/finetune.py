"""Fine-tunes a Vision Transformer on class folders and logs its attention."""

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
    """The result of `fine_tune`.

    Attributes:
        model: the fine-tuned Keras model, from RGB in [0, 255] to probabilities.
        class_names: tuple of strings, in the order of the model's outputs.
        history: dict from the name of each logged value to a list with one entry per epoch.
        log_dir: path of the log directory, for TensorBoard.
        model_path: path of the saved model; read it with `load_classifier`.
        validation_accuracy: the validation accuracy after the last epoch.
        majority_share: the accuracy on the same pictures if the answer were always the commonest
            class.
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

    Any problem with the arguments or the pictures raises an error before the first training step.
    The function sets the random seeds of Keras, NumPy and Python.

    An interruption (Ctrl-C) ends the training. Before that, the model is saved as
    `interrupted.keras`, in its state after the last finished training step.

    Args:
        data: path of a directory that holds one folder of JPEG or PNG pictures for each class,
            or folders `train` and `validation` (or `val`, `valid`) of such class folders.
        architecture: as in `build_classifier`.
        image_size: integer or pair (height, width), multiples of the patch size; pictures are
            resized to it without keeping their aspect ratio.
        epochs: number of passes over the training pictures.
        trainable_blocks: as in `build_classifier`.
        weights: as in `build_vit`.
        log_dir: directory for the logs, the history and the model; it must not hold an earlier
            training. The default is `logs/<date>-<time>`.
        probes_per_class: number of validation pictures per class whose attention is logged.
        batch_size: pictures per training step.
        learning_rate: learning rate of AdamW.
        validation_share: share of each class that is held out, unless `data` has its own
            validation folder.
        skip_corrupt: whether to continue without pictures that can't be decoded.
        seed: integer; seeds the split, the shuffling, the head's weights and dropout.
        callbacks: further Keras callbacks; they see the attention values in their `logs`.
        attention_options: dict of further arguments of `AttentionRolloutCallback`.
        cache_dir: folder of the ViT-S/14's files; see `vit_s14`.

    Returns:
        A `FineTuned`. The log directory then holds `model.keras`, `history.csv` and the runs
        `train`, `validation` and `attention` for TensorBoard.

    Raises:
        KeyboardInterrupt: the training was interrupted; the model has been saved.
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range, `data` has no class folders, pictures are corrupt
            (the error lists them), a class has too few pictures, or the log directory can't be
            written or holds an earlier training.
        OSError: the pretrained weights can't be downloaded. For "vit_s14", `ImportError` and
            `RuntimeError`; see `vit_s14`.
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
            shuffle=False,  # the dataset shuffles; Keras would warn that it ignores True
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
        image_size: integer or pair (height, width), the size at which the check decodes pictures.
        validation_share: share of each class that is held out if there is no validation folder.
        skip_corrupt: whether to leave out pictures that can't be decoded.
        seed: integer; seeds that split.

    Returns:
        `(train, validation)`, two `ClassFolders` with the same class names.

    Raises:
        ValueError: `data` has fewer than two class folders, the validation folder has different
            ones, or pictures are corrupt (the error lists them).
    """
    root = Path(data)
    names = {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
    held_out = [name for name in VALIDATION_NAMES if name in names]
    # `train` beside other folders may be a class, for example of vehicles.
    is_split = "train" in names and (held_out or names <= _SPLIT_NAMES)
    train = ClassFolders.scan(root / "train" if is_split else root, name="data")
    if len(train.class_names) < 2:
        must = "a directory of at least two class folders"
        remedy = f"It holds only: {train.class_names[0]}."
        raise ValueError(message("data", must, str(data), remedy))
    if not (is_split and held_out):
        # Check before the split, so that both parts get their share of what is left.
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
        # Precedes CSVLogger, so that the history contains the attention values too.
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
    """Creates the log directory, checks that it can be written, and returns its path."""
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
    """Returns text that says what kind of training left these files."""
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
