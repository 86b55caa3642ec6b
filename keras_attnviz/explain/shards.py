"""A directory of shards: files that are there in whole or not at all, so that work can go on."""

import json
import os
import re
import shutil
from pathlib import Path

from keras_attnviz._checks import message
from keras_attnviz.explain.tables import check_format, join_tables, write_table

# Readers of Parquet pass over files whose names begin with these.
_RUN, _SUCCESS, _HIDDEN = "_run.json", "_SUCCESS", "."


class Shards:
    """The files of one run, `part-00000.parquet` and so on.

    A file is written under a hidden name and then renamed, so what bears its name is whole. What
    the run is (`_run.json`) is kept beside them, and `_SUCCESS` once all are written.

    Args:
        directory: path of the directory, made where it is missing. A file beside an earlier run's
            shards must be of this run.
        run: dict of what makes the files what they are, as JSON has it.
        columns: see `write_table`.
        form: see `write_table`.
        name: what errors call the directory.

    Raises:
        ImportError: Parquet without pyarrow.
        ValueError: an unknown format; a directory of another run, or with other files in it.
    """

    def __init__(self, directory, *, run, columns, form, name="out"):
        check_format(form)
        self.directory = Path(directory)
        self._columns, self._form = columns, form
        self._notes = json.dumps(run, sort_keys=True)
        _check_directory(self.directory, name)
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / _RUN
        if path.exists():
            _check_same(json.loads(path.read_text(encoding="utf-8")), run, self.directory, name)
        else:
            _put(path, lambda hidden: hidden.write_text(self._notes, encoding="utf-8"))

    @property
    def is_complete(self):
        """Whether all shards of the run are written."""
        return (self.directory / _SUCCESS).exists()

    @property
    def paths(self):
        """The paths of the shards that are written, in order."""
        return sorted(self.directory.glob(f"part-*.{self._form}"), key=_number)

    def path_of(self, index):
        """Returns the path of a shard."""
        return self.directory / f"part-{index:05d}.{self._form}"

    def is_written(self, index):
        """Tells whether a shard is there, and then it is whole."""
        return self.path_of(index).exists()

    def first_missing(self):
        """Returns the index of the first shard that isn't there."""
        written = {_number(path) for path in self.paths}
        return next(index for index in range(len(written) + 1) if index not in written)

    def write(self, index, rows):
        """Writes a shard of rows, see `write_table`."""
        path = self.path_of(index)
        _put(
            path,
            lambda hidden: write_table(
                hidden, rows, self._columns, form=self._form, notes=self._notes
            ),
        )

    def complete(self):
        """Says that all shards are written."""
        _put(self.directory / _SUCCESS, lambda hidden: hidden.write_bytes(b""))

    def join(self, path):
        """Moves all rows into one file and removes the directory."""
        _put(Path(path), lambda hidden: join_tables(self.paths, hidden, form=self._form))
        shutil.rmtree(self.directory)


def _put(path, write):
    """Lets `write` write a file of another name, and gives it its own when it is on the disk."""
    for leftover in path.parent.glob(f"{_HIDDEN}{_escaped(path.name)}.*"):
        leftover.unlink(missing_ok=True)
    hidden = path.with_name(f"{_HIDDEN}{path.name}.{os.getpid()}")
    try:
        write(hidden)
        with open(hidden, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def _escaped(name):
    return re.sub(r"([*?[])", r"[\1]", name)


def _number(path):
    return int(path.stem.split("-")[1])


def _check_directory(directory, name):
    must = "a new or empty directory, or one of an earlier run"
    if directory.exists() and not directory.is_dir():
        raise ValueError(message(name, must, str(directory), "It is a file."))
    if directory.is_dir() and not (directory / _RUN).exists():
        others = [path.name for path in directory.iterdir() if path.name[0] != _HIDDEN]
        if others:
            remedy = f"It holds {others[0]!r}. Choose another."
            raise ValueError(message(name, must, str(directory), remedy))


def _check_same(before, run, directory, name):
    other = sorted(key for key in {*before, *run} if before.get(key) != run.get(key))
    if other:
        told = "; ".join(f"{key} was {before.get(key)!r}, is {run.get(key)!r}" for key in other)
        must = "a new directory, or that of a run of the same model, options and pictures"
        remedy = f"Different: {told}. Choose another, or remove it."
        raise ValueError(message(name, must, str(directory), remedy))
