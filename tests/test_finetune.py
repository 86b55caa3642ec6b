"""Class folders to a fine-tuned network: a real training, and everything that stops one early."""

import csv
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from support.pictures import write_faces
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow import keras
from zoo.small_vits import SMALL, weight_arrays, write_weights

from keras_attnviz.data.images import read_image
from keras_attnviz.finetune import fine_tune, read_data
from keras_attnviz.networks.classifier import load_classifier

pytestmark = [pytest.mark.every_stack, pytest.mark.vit_keras]
# Keras' CSVLogger stays open where a training fails.
csv_stays_open = pytest.mark.filterwarnings(
    r"ignore:Exception ignored.*history\.csv:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("faces"), per_class=8)


def copied(source, target, *splits):
    """Copies class folders into `target`, or into several folders within; returns `target`."""
    for split in splits or [""]:
        shutil.copytree(source, target / split, dirs_exist_ok=True)
    return target


SETTINGS = {"architecture": SMALL, "image_size": 32, "epochs": 1, "trainable_blocks": 1}


def tags(log_dir, run, kind):
    accumulator = EventAccumulator(f"{log_dir}/{run}")
    accumulator.Reload()
    return accumulator.Tags()[kind]


@pytest.mark.slow
def test_fine_tuning_learns_faces_and_leaves_a_model_a_history_and_logs(tmp_path, capsys):
    data = write_faces(tmp_path / "data", per_class=100)
    tuned = fine_tune(
        data,
        **(SETTINGS | {"epochs": 6, "trainable_blocks": "all"}),
        learning_rate=2e-3,
        validation_share=0.3,
        log_dir=tmp_path / "logs",
    )
    assert tuned.majority_share == 0.5
    assert tuned.validation_accuracy > 0.75
    said = capsys.readouterr().out
    assert "Training on 140 pictures (face: 70, other: 70), validating on 60." in said
    assert re.search(r"Probes: 0 of \d+ attention layers are frozen; 100% of the operations", said)
    assert f"accuracy: {tuned.validation_accuracy:.3f} (always answering 'face': 0.500)" in said

    with open(tmp_path / "logs" / "history.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    for name, values in tuned.history.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-6)
    assert {"loss", "val_accuracy", "attention_entropy"} <= set(tuned.history)

    assert "epoch_accuracy" in tags(tuned.log_dir, "train", "tensors")
    assert "epoch_accuracy" in tags(tuned.log_dir, "validation", "tensors")
    probes = [tag for tag in tags(tuned.log_dir, "attention", "tensors") if "other-" in tag]
    assert len(probes) == 2

    loaded, class_names = load_classifier(tuned.model_path)
    assert class_names == tuned.class_names == ("face", "other")
    _, validation = read_data(data, image_size=32, validation_share=0.3, seed=0)
    pictures = np.stack([read_image(path, 32) for path in validation.paths])
    answers = loaded.predict(pictures, verbose=0)
    np.testing.assert_allclose(answers, tuned.model.predict(pictures, verbose=0), atol=1e-6)
    accuracy = (answers.argmax(1) == validation.labels).mean()
    assert accuracy == pytest.approx(tuned.validation_accuracy)


@pytest.mark.one_stack
def test_a_weight_file_a_validation_folder_and_further_callbacks(faces, tmp_path):
    data = copied(faces, tmp_path / "data", "train", "val")
    (data / "train" / "face" / "bad.jpg").write_text("no picture", encoding="utf-8")
    seen = []
    tuned = fine_tune(
        data,
        **(SETTINGS | {"trainable_blocks": 0, "image_size": (16, 32)}),
        weights=write_weights(tmp_path / "small.npz", classes=7),
        log_dir=tmp_path / "new" / "logs",
        skip_corrupt=True,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(logs))],
        attention_options={"start_layer": 1, "per_layer_logs": True},
    )
    assert tuned.model.input_shape == (None, 16, 32, 3)
    assert "attention_entropy_layer_1" in tuned.history
    assert seen[0]["attention_entropy"] == tuned.history["attention_entropy"][0]
    loaded, _ = load_classifier(tuned.model_path)
    frozen = tuned.model.get_layer("vit").get_layer("class_token").cls
    np.testing.assert_array_equal(frozen, weight_arrays(SMALL, classes=7)["cls"])
    trained = {weight.shape for weight in tuned.model.trainable_weights}
    assert trained == {(32, 2), (2,)}
    assert loaded.input_shape == (None, 16, 32, 3)


@pytest.mark.one_stack
def test_the_same_seed_gives_the_same_training(faces, tmp_path):
    first, second = (
        fine_tune(faces, **SETTINGS, log_dir=tmp_path / name, probes_per_class=1, seed=3).history
        for name in "ab"
    )
    assert first == second


class HasBegunError(Exception):
    """Raised by `NeverTrained`."""


class NeverTrained(keras.callbacks.Callback):
    """Fails the test where training begins."""

    def on_train_batch_begin(self, batch, logs=None):
        raise HasBegunError("a training step has begun")


def refused(data, error, match, **options):
    """Asserts that `fine_tune` raises before the first training step."""
    with pytest.raises(error, match=match):
        fine_tune(data, **(SETTINGS | {"callbacks": [NeverTrained()]} | options))


@csv_stays_open
def test_a_training_step_would_be_noticed(faces, tmp_path):
    refused(faces, HasBegunError, "has begun", log_dir=tmp_path, probes_per_class=1)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"architecture": "vit_x16"}, ValueError, r"`architecture` must be one of 'vit_b16'"),
        ({"image_size": 50}, ValueError, r"divisible by the patch size 8\. .*Use 48, for"),
        ({"epochs": 0}, ValueError, r"`epochs` must be at least 1\. Received: epochs=0"),
        ({"epochs": 2.5}, TypeError, r"`epochs` must be an integer of at least 1"),
        ({"trainable_blocks": 3}, ValueError, r"`trainable_blocks` must be at most the number of"),
        ({"trainable_blocks": -2}, ValueError, r"`trainable_blocks` must be at least 0"),
        ({"weights": "no.npz"}, ValueError, r"`weights` must be 'none' or the path of an \.npz"),
        ({"batch_size": 0}, ValueError, r"`batch_size` must be at least 1"),
        ({"probes_per_class": 0}, ValueError, r"`probes_per_class` must be at least 1"),
        ({"probes_per_class": 3}, ValueError, r"at most 2, the validation pictures of 'face'"),
        ({"learning_rate": 0}, ValueError, r"`learning_rate` must be above 0"),
        ({"learning_rate": "fast"}, TypeError, r"`learning_rate` must be a number above 0"),
        ({"validation_share": 1.5}, ValueError, r"`validation_share` must be in \[0, 1\)"),
        ({"attention_options": {"residual": 2}}, ValueError, r"`residual` must be in \[0, 1\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_out_of_range_are_refused(faces, tmp_path, options, error, match):
    refused(faces, error, match, **({"log_dir": tmp_path / "logs"} | options))


def test_corrupt_pictures_are_named(faces, tmp_path):
    data = copied(faces, tmp_path / "data")
    shutil.copy(data / "other" / "001.png", data / "face" / "fine.png")
    (data / "face" / "half.png").write_bytes((data / "face" / "001.png").read_bytes()[:200])
    match = r"`data` must be .*intact JPEG.*can't be read: \S*face/half\.png\. .*--skip-corrupt"
    refused(data, ValueError, match, log_dir=tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_corrupt_pictures_are_left_out_before_the_split(faces, tmp_path):
    data = copied(faces, tmp_path / "data")
    for index in range(3):
        (data / "face" / f"{index:03d}.png").write_bytes(b"")
    train, validation = read_data(data, image_size=32, validation_share=0.4, skip_corrupt=True)
    assert train.counts == {"face": 3, "other": 5}
    assert validation.counts == {"face": 2, "other": 3}


def test_a_log_directory_that_cannot_be_written_is_refused(faces, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for log_dir in (tmp_path / "file", tmp_path / "file" / "below", "/proc", "/proc/none"):
        match = rf"`log_dir` must be a directory that can be written.*{log_dir}"
        refused(faces, ValueError, match, log_dir=log_dir, probes_per_class=1)


class InterruptedAtStep(keras.callbacks.Callback):
    """Does what Ctrl-C does, at the begin of the given step of the second epoch."""

    def __init__(self, step):
        super().__init__()
        self.step = step
        self.epoch = self.weights = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, self.step):
            self.weights = self.model.get_weights()
            signal.raise_signal(signal.SIGINT)


@pytest.mark.one_stack
@csv_stays_open
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_training_leaves_the_model_of_the_last_step(faces, tmp_path, capsys):
    interrupted = InterruptedAtStep(2)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(
            faces,
            **(SETTINGS | {"epochs": 3}),
            batch_size=4,
            log_dir=tmp_path,
            probes_per_class=1,
            callbacks=[interrupted],
        )
    path = tmp_path / "interrupted.keras"
    said = capsys.readouterr().out
    assert said.endswith(f"\nInterrupted. The model after 5 training steps: {path}\n")
    assert not (tmp_path / "model.keras").exists()
    model, class_names = load_classifier(path)
    assert class_names == ("face", "other")
    for weight, expected in zip(model.get_weights(), interrupted.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert len((tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()) == 2
    match = r"It holds an interrupted one: interrupted\.keras, history\.csv\. Name another one"
    refused(faces, ValueError, match, log_dir=tmp_path, probes_per_class=1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.keras", "a finished one"),
        ("interrupted.keras", "an interrupted one"),
        ("history.csv", "one that ended before its model was saved"),
    ],
)
def test_a_log_directory_with_an_earlier_training_is_refused(faces, tmp_path, name, kind):
    (tmp_path / name).write_text("earlier", encoding="utf-8")
    match = rf"without an earlier training.*It holds {kind}: {name}\. Name another one"
    refused(faces, ValueError, match, log_dir=tmp_path, probes_per_class=1)
    assert (tmp_path / name).read_text(encoding="utf-8") == "earlier"


def relative(folders, root):
    return {str(Path(path).relative_to(root).parent) for path in folders.paths}


@pytest.mark.parametrize("name", ["validation", "val", "valid"])
def test_read_data_takes_a_validation_folder(faces, tmp_path, name):
    data = copied(faces, tmp_path / "data", "train", name, "test")
    train, validation = read_data(data, image_size=32, validation_share=0.5)
    assert relative(train, data) == {"train/face", "train/other"}
    assert relative(validation, data) == {f"{name}/face", f"{name}/other"}
    assert len(train) == len(validation) == 16


def test_read_data_splits_a_training_folder_without_a_validation_folder(faces, tmp_path):
    data = copied(faces, tmp_path / "data", "train", "test")
    train, validation = read_data(data, image_size=32, validation_share=0.25)
    assert relative(train, data) == relative(validation, data) == {"train/face", "train/other"}
    assert (len(train), len(validation)) == (12, 4)


def test_read_data_takes_a_class_called_train(faces, tmp_path):
    for name in ("bus", "train"):
        shutil.copytree(faces / "face", tmp_path / name)
    train, _ = read_data(tmp_path, image_size=32, validation_share=0.25)
    assert train.class_names == ("bus", "train")


def test_read_data_refuses_folders_that_do_not_match(faces, tmp_path):
    data = copied(faces, tmp_path / "data", "train", "validation")
    (data / "validation" / "other").rename(data / "validation" / "others")
    with pytest.raises(ValueError, match=r"same class folders.*one of train and validation: other"):
        read_data(data, image_size=32, validation_share=0.2)


def test_read_data_refuses_a_single_class(faces, tmp_path):
    shutil.copytree(faces / "face", tmp_path / "face")
    with pytest.raises(ValueError, match=r"`data` must be .* at least two class folders.*: face\."):
        read_data(tmp_path, image_size=32, validation_share=0.2)


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_read_data_refuses_a_folder_without_class_folders(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"`data` must be .*{folder}'"):
        read_data(tmp_path / folder, image_size=32, validation_share=0.2)
