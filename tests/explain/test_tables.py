"""Rows written to files, and read back by readers that aren't ours."""

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.explain.tables import FORMATS, check_format, join_tables, write_table

pytestmark = pytest.mark.one_stack

pyarrow = pytest.importorskip("pyarrow", reason="an extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")

COLUMNS = {"index": "integer", "name": "text", "score": "number", "heatmap": "numbers"}
ROWS = [
    {"index": 0, "name": "Käse/a.png", "score": 0.25, "heatmap": np.float32([0.5, 0.25])},
    {"index": 2**40, "name": None, "score": None, "heatmap": None},
    {"index": 2, "score": float("nan"), "heatmap": np.float32([])},
]


def test_parquet_holds_the_rows_with_nulls_and_notes(tmp_path):
    write_table(tmp_path / "a.parquet", ROWS, COLUMNS, form="parquet", notes="about it")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.schema.names == list(COLUMNS)
    assert table.schema.field("heatmap").type == pyarrow.list_(pyarrow.float32())
    assert table.schema.metadata[b"keras_attnviz"] == b"about it"
    first, second, third = table.to_pylist()
    assert first == {"index": 0, "name": "Käse/a.png", "score": 0.25, "heatmap": [0.5, 0.25]}
    assert second == {"index": 2**40, "name": None, "score": None, "heatmap": None}
    assert np.isnan(third.pop("score"))
    assert third == {"index": 2, "name": None, "heatmap": []}


def test_tfrecord_holds_examples_and_leaves_out_what_is_none(tmp_path):
    write_table(tmp_path / "a.tfrecord", ROWS, COLUMNS, form="tfrecord", notes="")
    features = {
        "index": tf.io.FixedLenFeature([], tf.int64),
        "name": tf.io.FixedLenFeature([], tf.string, "missing"),
        "score": tf.io.FixedLenFeature([], tf.float32, -1.0),
        "heatmap": tf.io.VarLenFeature(tf.float32),
    }
    dataset = tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord"))
    found = [tf.io.parse_single_example(record, features) for record in dataset]
    assert [int(row["index"]) for row in found] == [0, 2**40, 2]
    assert [row["name"].numpy().decode() for row in found] == ["Käse/a.png", "missing", "missing"]
    np.testing.assert_array_equal([row["score"] for row in found], [0.25, -1.0, np.nan])
    assert found[0]["heatmap"].values.numpy().tolist() == [0.5, 0.25]


@pytest.mark.parametrize("form", FORMATS)
def test_joined_files_hold_all_rows_in_order(tmp_path, form):
    paths = [tmp_path / f"{index}" for index in range(3)]
    for index, path in enumerate(paths):
        write_table(
            path, [{"index": 2 * index}, {"index": 2 * index + 1}], COLUMNS, form=form, notes="x"
        )
    join_tables(paths, tmp_path / "joined", form=form)
    if form == "parquet":
        assert parquet.read_table(tmp_path / "joined")["index"].to_pylist() == list(range(6))
        return
    spec = {"index": tf.io.FixedLenFeature([], tf.int64)}
    records = tf.data.TFRecordDataset(str(tmp_path / "joined"))
    assert [int(tf.io.parse_single_example(r, spec)["index"]) for r in records] == list(range(6))


def test_a_missing_extra_and_an_unknown_format_are_told(monkeypatch):
    with pytest.raises(ValueError, match="`format` must be one of 'parquet', 'tfrecord'"):
        check_format("csv")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    check_format("tfrecord")
    with pytest.raises(ImportError, match=r"need pyarrow.*'keras-attnviz\[parquet\]'.*or write TF"):
        check_format("parquet")
