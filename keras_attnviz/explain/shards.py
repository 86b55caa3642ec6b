"""Shards: a directory of files that are either complete or absent, so that a run can resume."""

import json
import os
import re
import shutil
from pathlib import Path

from keras_attnviz._checks import message
from keras_attnviz.explain.tables import check_format, join_tables, write_table

# Parquet readers skip files whose names begin with these characters.
_RUN, _SUCCESS, _HIDDEN = "_run.json", "_SUCCESS", "."


class Shards:
    """The files of one run, `part-00000.parquet` and so on.

    Each file is written under a hidden name and then renamed, so a file with a shard's name is
    complete. Beside the shards, `_run.json` describes the run, and `_SUCCESS` exists once all
    shards are written.

    Args:
        directory: path of the directory, which is made if it is missing. If it holds shards, they
            must be of this run.
        run: dict for JSON of everything that determines the files' content.
        columns: see `write_table`.
        form: see `write_table`.
        name: what errors call the directory.

    Raises:
        ImportError: Parquet without pyarrow.
        ValueError: an unknown format; a directory of another run or with other files.
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
        """The paths of the shards written so far, in order."""
        return sorted(self.directory.glob(f"part-*.{self._form}"), key=_number)

    def path_of(self, index):
        """Returns the path of a shard."""
        return self.directory / f"part-{index:05d}.{self._form}"

    def is_written(self, index):
        """Returns whether a shard exists; if it does, it is complete."""
        return self.path_of(index).exists()

    def first_missing(self):
        """Returns the index of the first missing shard."""
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
        """Marks the run as complete."""
        _put(self.directory / _SUCCESS, lambda hidden: hidden.write_bytes(b""))

    def join(self, path):
        """Moves all rows into one file and removes the directory."""
        _put(Path(path), lambda hidden: join_tables(self.paths, hidden, form=self._form))
        shutil.rmtree(self.directory)


def _put(path, write):
    """Lets `write` write a hidden file, and renames it to `path` once it is on the disk."""
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
        remedy = f"These differ: {told}. Choose another, or remove it."
        raise ValueError(message(name, must, str(directory), remedy))
