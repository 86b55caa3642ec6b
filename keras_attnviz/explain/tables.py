"""Tables of results as files: Parquet, or TFRecord files of `tf.train.Example`."""

import os
import shutil

import tensorflow as tf

from keras_attnviz._checks import check_choice

# The kinds of columns.
INTEGER, NUMBER, NUMBERS, TEXT = "integer", "number", "numbers", "text"
FORMATS = ("parquet", "tfrecord")


def check_format(form, *, name="format"):
    """Raises unless files of a format can be written.

    Raises:
        ImportError: Parquet without pyarrow.
        ValueError: an unknown format.
    """
    check_choice(name, form, FORMATS)
    if form == "parquet":
        _pyarrow()


def write_table(path, rows, columns, *, form, notes):
    """Writes rows to a new file.

    Args:
        path: path of the file.
        rows: sequence of dicts from column names to values. Missing values and None are null in
            Parquet and are left out of a TFRecord.
        columns: dict from the names of all columns to `INTEGER` (int64), `NUMBER` (float32),
            `NUMBERS` (a flat list of float32) or `TEXT`.
        form: one of `FORMATS`.
        notes: text that a Parquet file stores as its metadata `keras_attnviz`.
    """
    if form == "parquet":
        _write_parquet(path, rows, columns, notes)
    else:
        _write_tfrecord(path, rows, columns)


def join_tables(paths, path, *, form):
    """Writes the rows of several files to one, with at most one of them in memory.

    Args:
        paths: sequence of paths of files with the same columns.
        path: path of the new file.
        form: format of all files, one of `FORMATS`.
    """
    if form == "parquet":
        parquet = _pyarrow()[1]
        with parquet.ParquetWriter(path, parquet.read_schema(paths[0])) as writer:
            for part in paths:
                writer.write_table(parquet.read_table(part, partitioning=None))
        return
    with open(path, "wb") as joined:
        for part in paths:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, joined)


def _write_parquet(path, rows, columns, notes):
    pyarrow, parquet = _pyarrow()
    kinds = {
        INTEGER: pyarrow.int64(),
        NUMBER: pyarrow.float32(),
        NUMBERS: pyarrow.list_(pyarrow.float32()),
        TEXT: pyarrow.string(),
    }
    schema = pyarrow.schema(
        [(name, kinds[kind]) for name, kind in columns.items()], metadata={"keras_attnviz": notes}
    )
    arrays = [
        pyarrow.array([row.get(name) for row in rows], kinds[kind])
        for name, kind in columns.items()
    ]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), path)


def _write_tfrecord(path, rows, columns):
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for row in rows:
            features = {
                name: _feature(row[name], kind)
                for name, kind in columns.items()
                if row.get(name) is not None
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def _feature(value, kind):
    if kind == INTEGER:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    if kind == TEXT:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    values = value if kind == NUMBERS else [value]
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _pyarrow():
    """Returns `pyarrow` and `pyarrow.parquet`, imported here because they are an extra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"Parquet files need pyarrow. Received: {error}. Install it with: "
            "pip install 'keras-attnviz[parquet]', with NumPy 1: pip install 'pyarrow<26'; or "
            "write TFRecord files."
        ) from error
    return pyarrow, pyarrow.parquet
