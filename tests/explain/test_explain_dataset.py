"""Whole data sets: what is written, what is written again, and what that costs in memory."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.paths import TESTS
from support.streaming import noise, run, trained_model

from keras_attnviz import AttentionModel

parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")

COUNT = 21
# Begins a run on noise in a process of its own: number of images, folder, and seconds an image.
RUN = """
import sys
import time
sys.path.insert(0, {tests!r})
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
devices = [tf.config.LogicalDeviceConfiguration()] * {devices}
tf.config.set_logical_device_configuration(cpu, devices)
from support.streaming import noise, run, trained_model

def images():
    for index in range({count}):
        time.sleep({seconds})
        yield noise(index)

spec = tf.TensorSpec([16, 24, 3])
dataset = tf.data.Dataset.from_generator(images, output_signature=spec).batch(8)
{before}
print(run(trained_model(), dataset, sys.argv[1], print_fn=say).images, flush=True)
"""
SAY = "say = lambda line: print(line, flush=True)"
SAY_MEMORY = """
def say(line):
    with open("/proc/self/statm", encoding="ascii") as file:
        print(int(file.read().split()[1]) * 4096 / 2**20, flush=True)
"""


def started(folder, *, count, seconds=0.0, devices=1, before=SAY):
    """Starts a run in a process of its own."""
    code = RUN.format(
        tests=str(TESTS),
        count=count,
        seconds=seconds,
        devices=devices,
        before=before,
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows_in(path):
    return parquet.read_table(path).to_pylist()


def heatmaps_of(rows):
    return np.array([row["heatmap"] for row in rows]).reshape(
        -1, rows[0]["grid_height"], rows[0]["grid_width"]
    )


@pytest.fixture(scope="module")
def model():
    return trained_model()


@pytest.fixture(scope="module")
def attention_model(model):
    return AttentionModel(model)


@pytest.fixture(scope="module")
def images():
    return np.stack([noise(index) for index in range(COUNT)])


@pytest.fixture
def dataset(images):
    return tf.data.Dataset.from_tensor_slices(images).batch(5)


@pytest.mark.parametrize("method", ["rollout", "affinity", "relevance"])
def test_rows_hold_predictions_and_heatmaps(tmp_path, attention_model, dataset, images, method):
    written = run(attention_model, dataset, tmp_path, method=method, class_names=["cat", "dog"])
    assert (written.images, written.skipped) == (COUNT, 0)
    assert [os.path.basename(path) for path in written.paths] == [
        f"part-0000{index}.parquet" for index in range(3)
    ]
    assert [len(rows_in(path)) for path in written.paths] == [8, 8, 5]
    rows = rows_in(tmp_path)
    assert [row["index"] for row in rows] == list(range(COUNT))
    expected = attention_model.explain(images, method)
    np.testing.assert_allclose(heatmaps_of(rows), expected, rtol=1e-5, atol=1e-7)
    probabilities = attention_model.model.predict(images, verbose=0)
    assert [row["predicted"] for row in rows] == probabilities.argmax(axis=1).tolist()
    found = [row["confidence"] for row in rows]
    np.testing.assert_allclose(found, probabilities.max(axis=1), atol=1e-6)
    assert {row["class_name"] for row in rows} <= {"cat", "dog"}
    assert rows[0]["class_name"] == ["cat", "dog"][rows[0]["predicted"]]
    assert {row["name"] for row in rows} == {row["label"] for row in rows} == {None}


@pytest.mark.one_stack
def test_names_labels_masks_and_errors(tmp_path, attention_model, images):
    masks = np.zeros((COUNT, 16, 24), "float32")
    masks[:, :8, :12] = 1  # the upper left quarter: 2 x 3 of 4 x 6 patches
    further = {
        "name": [f"ä{index}" for index in range(COUNT)],
        "label": np.arange(COUNT) % 2,
        "mask": masks,
        "error": ["", "broken", *[""] * (COUNT - 2)],
    }
    said = []
    dataset = tf.data.Dataset.from_tensor_slices((images, further)).batch(3)
    written = run(attention_model, dataset, tmp_path, print_fn=said.append)
    assert (written.images, written.skipped) == (COUNT - 1, 1)
    assert said[0] == "Skipped: ä1: broken"
    assert said[1].endswith("part-00000.parquet, 8 images")
    rows = rows_in(tmp_path)
    assert [(row["name"], row["label"]) for row in rows[:3]] == [("ä0", 0), ("ä1", 1), ("ä2", 0)]
    broken = rows.pop(1)
    assert {name for name, value in broken.items() if value is not None} == {
        "index",
        "name",
        "label",
        "error",
    }
    heat = np.delete(attention_model.rollout(images).numpy(), 1, axis=0)
    share = heat[:, :2, :3].sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
    np.testing.assert_allclose([row["localization_mass"] for row in rows], share, rtol=1e-5)
    np.testing.assert_allclose([row["localization_lift"] for row in rows], 4 * share, rtol=1e-5)
    hits = [divmod(int(each.argmax()), 6) for each in heat]
    hits = [float(row < 2 and column < 3) for row, column in hits]
    assert [row["localization_hit"] for row in rows] == hits


@pytest.mark.one_stack
def test_one_file_is_joined_in_either_format(tmp_path, attention_model, dataset):
    for suffix in ("parquet", "tfrecord"):
        written = run(attention_model, dataset, tmp_path / f"heat.{suffix}")
        assert written.paths == (str(tmp_path / f"heat.{suffix}"),)
    assert sorted(os.listdir(tmp_path)) == ["heat.parquet", "heat.tfrecord"]
    rows = rows_in(tmp_path / "heat.parquet")
    spec = {
        "index": tf.io.FixedLenFeature([], tf.int64),
        "predicted": tf.io.FixedLenFeature([], tf.int64),
        "heatmap": tf.io.FixedLenFeature([24], tf.float32),
    }
    records = tf.data.TFRecordDataset(str(tmp_path / "heat.tfrecord"))
    found = [tf.io.parse_single_example(record, spec) for record in records]
    assert len(found) == len(rows) == COUNT
    for record, row in zip(found, rows, strict=True):
        assert (int(record["index"]), int(record["predicted"])) == (row["index"], row["predicted"])
        np.testing.assert_array_equal(record["heatmap"], row["heatmap"])
    with pytest.raises(ValueError, match=r"`out` must be a new file"):
        run(attention_model, dataset, tmp_path / "heat.parquet")


@pytest.mark.one_stack
def test_shards_that_are_there_are_not_written_again(tmp_path, attention_model, dataset):
    full = run(attention_model, dataset, tmp_path / "full")
    run(attention_model, dataset, tmp_path / "out")
    before = rows_in(tmp_path / "out")
    os.remove(tmp_path / "out" / "_SUCCESS")
    os.remove(tmp_path / "out" / "part-00001.parquet")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part*")}
    said = []
    written = run(attention_model, dataset, tmp_path / "out", print_fn=said.append)
    assert (written.images, len(said)) == (8, 1)
    assert "part-00001.parquet" in said[0]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert rows_in(tmp_path / "out") == before
    again = run(attention_model, dataset.map(failing), tmp_path / "full")
    assert (again.paths, again.images) == (full.paths, 0)


def failing(images):
    """A data set that can't be read: what is complete isn't read again."""
    return tf.debugging.check_numerics(images / 0.0, "read again")


@pytest.mark.one_stack
def test_another_model_or_another_option_is_refused(tmp_path, model, dataset):
    run(model, dataset, tmp_path)
    with pytest.raises(ValueError, match=r"These differ: options was \{\}, is \{'residual': 0.2\}"):
        run(model, dataset, tmp_path, residual=0.2)
    with pytest.raises(ValueError, match=r"These differ: maps was \[0, 1\], is \[1\]"):
        run(AttentionModel(model, layers=[1]), dataset, tmp_path)
    other = trained_model()
    other.set_weights([array * 1.001 for array in other.get_weights()])
    with pytest.raises(ValueError, match=r"These differ: weights was '[0-9a-f]{16}', is"):
        run(other, dataset, tmp_path)
    notes = parquet.read_schema(tmp_path / "part-00000.parquet").metadata[b"keras_attnviz"]
    assert json.loads(notes)["method"] == "rollout"


@pytest.mark.one_stack
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"shard_size": 6}, ValueError, "`shard_size` must be a multiple of `batch_size`, 4"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"method": "grad_cam"}, ValueError, "`method` must be one of 'rollout'"),
        ({"format": "csv"}, ValueError, "`format` must be one of 'parquet', 'tfrecord'"),
        ({"residual": 1.0}, ValueError, r"`residual` must be in \[0, 1\)"),
        ({"no_such": 1}, TypeError, "no_such"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_written(
    tmp_path, attention_model, dataset, options, error, text
):
    with pytest.raises(error, match=text):
        run(attention_model, dataset, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.one_stack
def test_data_that_does_not_fit_is_told(tmp_path, attention_model, images):
    with pytest.raises(TypeError, match=r"`dataset` must be a tf\.data\.Dataset of batches"):
        run(attention_model, images, tmp_path)
    sliced = tf.data.Dataset.from_tensor_slices
    with pytest.raises(ValueError, match="`dataset` must hold at least one image"):
        run(attention_model, sliced(images).batch(4).take(0), tmp_path / "none")
    with pytest.raises(ValueError, match=r"dict of name, label, mask, error\). Received.*'boxes'"):
        run(attention_model, sliced((images, {"boxes": images})).batch(4), tmp_path / "boxes")
    with pytest.raises(ValueError, match="whose labels are class indices or one-hot"):
        run(attention_model, sliced((images, images[:, 0, 0, 0])).batch(4), tmp_path / "label")
    with pytest.raises(ValueError, match=r"`dataset` must be of shape \(None, 16, 24, 3\)"):
        run(attention_model, sliced(images[:, :8]).batch(4), tmp_path / "small")


@pytest.mark.slow
@pytest.mark.one_stack
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_killed_run_goes_on_with_two_devices_and_its_memory_does_not_grow(
    tmp_path, attention_model
):
    process = started(tmp_path / "out", count=2400, seconds=0.02)
    lines = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert "part-00001.parquet" in lines[1], said
    done = sorted((tmp_path / "out").glob("part*"))
    assert 2 <= len(done) < 100
    times = {path: path.stat().st_mtime_ns for path in done}
    process = started(tmp_path / "out", count=2400, devices=2, before=SAY_MEMORY)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    *memory, images = map(float, printed.split())
    assert images == 2400 - 8 * len(done)
    assert len(memory) == 300 - len(done)
    assert max(memory[100:]) - memory[20] < 10, memory[::20]
    assert {path: path.stat().st_mtime_ns for path in done} == times
    rows = rows_in(tmp_path / "out")
    assert [row["index"] for row in rows] == list(range(2400))
    around = slice(8 * len(done) - 8, 8 * len(done) + 8)
    expected = attention_model.rollout(np.stack([noise(row["index"]) for row in rows[around]]))
    np.testing.assert_allclose(heatmaps_of(rows[around]), expected, atol=1e-6)
