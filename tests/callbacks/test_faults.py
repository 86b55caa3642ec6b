"""What goes wrong in trainings, for real: none is ended by the callback, nothing logged is lost."""

import os
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.event_files import scalars_of
from support.paths import TESTS
from support.small_models import small_classifier
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorflow import keras

from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log

pytestmark = pytest.mark.one_stack
DRIFT = "attention/drift_from_baseline"


@pytest.fixture(scope="module")
def data():
    images = np.random.default_rng(0).random((32, 16, 16, 3)).astype("float32")
    return images, np.arange(32) % 2


def small_model():
    return small_classifier(image_size=16, patch_size=8, layers=1)


def attention(data, log_dir, **options):
    return AttentionRolloutCallback(ProbeSet(data[0][:3]), log_dir, self_check=False, **options)


def fit(data, callbacks, *, model=None, epochs=4, **options):
    """Returns the history of a fit and its warnings of attention."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = (model or small_model()).fit(
            *data, epochs=epochs, verbose=0, callbacks=callbacks, **options
        )
    return history.history, [str(w.message) for w in caught if "attention" in str(w.message)]


def at_begin_of(epoch, action):
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda number, _: action() if number == epoch else None
    )


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own of 8 MB, and a function that mounts it anew with options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if os.getuid() or not mount("size=8m"):
        pytest.skip("Only root can mount a file system.")
    yield folder, mount
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_full_for_a_while(data, small_disk):
    disk, _ = small_disk
    filler = disk / "filler"

    def fill():
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                pass

    begin = [at_begin_of(1, fill), at_begin_of(3, filler.unlink)]
    history, told = fit(data, [*begin, attention(data, disk / "logs")], epochs=5)
    assert len(history["loss"]) == 5
    assert np.isfinite(history["attention_entropy"]).all()
    assert "The attention at step 1 could not be logged" in told[0]
    assert told[-1].endswith("is incomplete; missing steps: 1, 2.")
    log = read_log(disk / "logs")
    for steps in (log.steps.tolist(), sorted(scalars_of(disk / "logs" / "attention")[DRIFT])):
        # The last page of the open file may have room for the first entries of step 1.
        assert [step for step in steps if step != 1] == [-1, 0, 3, 4]
    for step in log.steps:
        assert all(np.isfinite(log.heads(step, probe)[0]).all() for probe in range(3))


def test_pictures_that_can_not_be_drawn(data, tmp_path, monkeypatch):
    save = Image.Image.save

    def out_of_memory(*arguments, **options):
        raise MemoryError("no memory for a picture")

    begin = [
        at_begin_of(1, lambda: monkeypatch.setattr(Image.Image, "save", out_of_memory)),
        at_begin_of(2, lambda: monkeypatch.setattr(Image.Image, "save", save)),
    ]
    history, told = fit(data, [*begin, attention(data, tmp_path)])
    assert len(history["loss"]) == 4
    assert "The attention at step 1 could not be logged: MemoryError" in told[0]
    assert told[-1].endswith("missing steps: 1.")
    assert read_log(tmp_path).steps.tolist() == [-1, 0, 2, 3]


def test_a_disk_that_becomes_read_only(data, small_disk):
    disk, mount = small_disk
    logs = disk / "logs"
    # Files that are open for writing keep a disk from becoming so: it is mounted anew above them.
    hide = at_begin_of(2, lambda: mount("size=8m,ro"))
    history, told = fit(data, [hide, attention(data, logs)])
    assert len(history["loss"]) == 4
    assert "The attention at step 2 could not be logged" in told[0]
    assert told[-1].endswith("missing steps: 2, 3.")
    subprocess.run(["umount", disk], check=True)
    # The file that was open may have taken step 2 before it was missed.
    assert read_log(logs).steps.tolist()[:3] == [-1, 0, 1]


class Refusing(keras.layers.Layer):
    """Fails on images whose first value is above a limit."""

    def build(self, shape):
        self.limit = self.add_weight(name="limit", shape=(), initializer="ones", trainable=False)

    def call(self, images):
        check = tf.debugging.assert_less_equal(
            images[:, 0, 0, 0], tf.convert_to_tensor(self.limit), message="too bright"
        )
        with tf.control_dependencies([check]):
            return tf.identity(images)


def test_a_probe_that_makes_the_model_fail(data, tmp_path):
    images = data[0].copy()
    images[:, 0, 0, 0] = 0.0
    probes = images[:3].copy()
    probes[1, 0, 0, 0] = 0.5
    refusing = Refusing()
    model = keras.Sequential([keras.Input((16, 16, 3)), refusing, small_model()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = AttentionRolloutCallback(ProbeSet(probes), tmp_path)
    # The images of the training are darker than the probe.
    turn = [at_begin_of(1, lambda: refusing.limit.assign(0.2))]
    turn.append(at_begin_of(3, lambda: refusing.limit.assign(1.0)))
    history, told = fit((images, data[1]), [*turn, callback], model=model)
    assert len(history["loss"]) == 4
    assert "too bright" in told[0]
    assert told[-1].endswith("missing steps: 1, 2.")
    assert read_log(tmp_path).steps.tolist() == [-1, 0, 3]
    entropies = history["attention_entropy"]
    assert np.isfinite(entropies).tolist() == [True, False, False, True]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_training_that_an_error_ends(data, tmp_path, error):
    def fail():
        raise error("stop")

    model = small_model()
    callback = attention(data, tmp_path)
    with pytest.raises(error, match="stop"):
        fit(data, [callback, at_begin_of(2, fail)], model=model)
    # What was logged can be read, though nothing was closed.
    assert read_log(tmp_path).steps.tolist() == [-1, 0, 1]
    # The same callback, or another one, goes on.
    fit(data, [callback], model=model, epochs=3, initial_epoch=2)
    _, told = fit(data, [attention(data, tmp_path)], model=model, epochs=4, initial_epoch=3)
    assert told == []
    log = read_log(tmp_path)
    assert log.steps.tolist() == [-1, 0, 1, 2, 3]
    assert np.isfinite(log.series("drift")[1:]).all()


HOLDING = """
import sys
sys.path.insert(0, {tests!r})
from keras_attnviz.log.event_writer import AttentionWriter
writer = AttentionWriter({logs!r}, first_step=0)
print("holding", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_the_log_of_a_running_one(data, tmp_path):
    code = HOLDING.format(tests=str(TESTS), logs=str(tmp_path))
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "holding\n"
        model = small_model()
        before = [np.array(weights) for weights in model.get_weights()]
        with pytest.raises(ValueError, match="no other training is writing at the same time"):
            fit(data, [attention(data, tmp_path)], model=model)
        for pair in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(*pair)
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.communicate()
    # A process that is gone holds nothing.
    fit(data, [attention(data, tmp_path)], model=model, epochs=1)
    assert read_log(tmp_path).steps.tolist() == [-1, 0]


def test_a_clock_that_goes_backwards(data, tmp_path, monkeypatch):
    model, now = small_model(), time.time
    fit(data, [attention(data, tmp_path)], model=model, epochs=2)
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    fit(data, [attention(data, tmp_path)], model=model, epochs=4, initial_epoch=2)
    assert read_log(tmp_path).steps.tolist() == [-1, 0, 1, 2, 3]
    multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 0})
    multiplexer.AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    events = multiplexer.GetAccumulator("attention").Tensors(DRIFT)
    assert [event.step for event in events] == [-1, 0, 1, 2, 3]


def test_what_changes_between_two_fits_is_told_in_one_line(data, tmp_path, capsys):
    backbone = small_classifier(image_size=16, patch_size=8, layers=1).layers[0]
    backbone.trainable = False

    def with_head(units):
        model = keras.Sequential(
            [backbone, keras.layers.Flatten(), keras.layers.Dense(units, "softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    model, callback = with_head(2), attention(data, tmp_path)
    fit(data, [callback], model=model, epochs=1)
    assert "attention layers" not in capsys.readouterr().out
    backbone.trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy")
    fit(data, [callback], model=model, epochs=2, initial_epoch=1)
    assert (
        "1 attention layers, 1 of them trained, outputs [2]; before: 1 attention layers, 0 of "
        "them trained, outputs [2]."
    ) in capsys.readouterr().out
    fit(data, [callback], model=with_head(3), epochs=3, initial_epoch=2)
    assert "outputs [3]; before: " in capsys.readouterr().out
    assert read_log(tmp_path).steps.tolist() == [-1, 0, 1, 2]


@pytest.mark.skipif(not hasattr(keras.callbacks, "SwapEMAWeights"), reason="Keras has it since 3.5")
def test_weights_that_are_swapped_for_their_averages(data, tmp_path):
    model = small_model()
    model.compile(
        keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "sparse_categorical_crossentropy"
    )
    callback = attention(data, tmp_path)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    seen = []

    class Looking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(callback._monitor.attention_model.rollout(data[0][:3]).numpy() * 5)

    _, told = fit(data, [swap, callback, Looking()], model=model, epochs=2)
    assert told == []
    for found, expected in zip(read_log(tmp_path).heatmaps()[1:], seen, strict=True):
        assert (np.abs(found - expected) < expected.max() / 200).all()


class Sleeping(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        time.sleep(0.05)


def test_a_time_budget_thins_the_log_and_says_so(data, tmp_path, capsys):
    callback = attention(data, tmp_path, max_overhead=0.2)
    history, _ = fit(data, [callback, Sleeping()], epochs=30)
    steps = read_log(tmp_path).steps.tolist()
    assert steps[:2] == [-1, 0]
    assert steps[-1] == 29
    assert len(steps) < 28
    out = capsys.readouterr().out
    assert re.search(r"Attention is not logged after epoch \d+, and some others", out)
    assert f"Attention was not logged after {31 - len(steps)} epochs" in out
    # What isn't measured repeats the last.
    assert np.isfinite(history["attention_entropy"]).all()
    assert len(history["attention_entropy"]) == 30
