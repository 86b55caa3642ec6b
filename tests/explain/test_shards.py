"""Shards: there in whole or not at all, also where the process is killed while it writes."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.explain.shards import Shards

pytestmark = pytest.mark.one_stack

RUN = {"method": "rollout", "options": {"residual": 0.5}}
COLUMNS = {"index": "integer", "heatmap": "numbers"}

# Writes one small shard, then one that takes long.
WRITER = """
import sys
import numpy as np
from keras_attnviz.explain.shards import Shards
shards = Shards(sys.argv[1], run={"method": "rollout", "options": {"residual": 0.5}},
                columns={"index": "integer", "heatmap": "numbers"}, form="tfrecord")
heat = np.zeros(10_000, np.float32)
shards.write(0, [{"index": 0, "heatmap": heat}])
shards.write(1, ({"index": 1 + index, "heatmap": heat} for index in range(100_000)))
"""


def opened(directory, *, form="tfrecord", run=RUN):
    return Shards(directory, run=run, columns=COLUMNS, form=form)


def rows(*indices):
    return [{"index": index, "heatmap": np.float32([index])} for index in indices]


def indices_in(path):
    spec = {"index": tf.io.FixedLenFeature([], tf.int64)}
    records = tf.data.TFRecordDataset(str(path))
    return [int(tf.io.parse_single_example(record, spec)["index"]) for record in records]


def test_what_is_written_and_what_is_missing(tmp_path):
    shards = opened(tmp_path / "out")
    assert (shards.first_missing(), shards.is_complete, shards.paths) == (0, False, [])
    for index in (0, 1, 3):
        shards.write(index, rows(index))
    again = opened(tmp_path / "out")
    assert again.first_missing() == 2
    assert [path.name for path in again.paths] == [f"part-0000{i}.tfrecord" for i in (0, 1, 3)]
    assert [again.is_written(index) for index in range(5)] == [True, True, False, True, False]
    again.write(2, rows(2))
    again.complete()
    assert opened(tmp_path / "out").is_complete
    assert opened(tmp_path / "out").first_missing() == 4


def test_many_shards_stand_in_the_order_of_their_numbers(tmp_path):
    shards = opened(tmp_path)
    for index in (99999, 100000, 7):
        shards.write(index, rows(index))
    shards.join(tmp_path.parent / "joined.tfrecord")
    assert indices_in(tmp_path.parent / "joined.tfrecord") == [7, 99999, 100000]
    assert not tmp_path.exists()


def test_a_failure_while_writing_leaves_no_shard(tmp_path):
    shards = opened(tmp_path)
    with pytest.raises(TypeError):
        shards.write(0, [*rows(1), {"index": "no integer"}])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_run.json"]


def test_a_process_killed_while_it_writes_leaves_no_half_shard(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "out")])
    started = time.monotonic()
    try:
        while not any(
            path.stat().st_size > 100_000 for path in (tmp_path / "out").glob(".part-00001*")
        ):
            assert process.poll() is None
            assert time.monotonic() - started < 60
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert any((tmp_path / "out").glob(".part-00001*"))
    shards = opened(tmp_path / "out")
    assert shards.first_missing() == 1
    assert indices_in(shards.path_of(0)) == [0]
    shards.write(1, rows(1, 2))
    assert indices_in(shards.path_of(1)) == [1, 2]
    # What the killed process has left is gone.
    assert not any((tmp_path / "out").glob(".part-*"))


def test_another_run_or_other_files_are_refused(tmp_path):
    opened(tmp_path / "out").write(0, rows(0))
    text = r"of the same model.*These differ: method was 'rollout', is 'affinity'\. Choose another"
    with pytest.raises(ValueError, match=text):
        opened(tmp_path / "out", run={**RUN, "method": "affinity"})
    os.makedirs(tmp_path / "own")
    (tmp_path / "own" / "thesis.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match=r"`out` must be a new or empty.*holds 'thesis.txt'"):
        opened(tmp_path / "own")
    with pytest.raises(ValueError, match=r"`out` must be a new or empty directory.*It is a file"):
        opened(tmp_path / "own" / "thesis.txt")
    assert os.listdir(tmp_path / "own") == ["thesis.txt"]
