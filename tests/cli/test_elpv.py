import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_attnviz.cli.elpv import write_class_folders

pytestmark = pytest.mark.one_stack

FOLDERS = [
    "train/defective",
    "train/functional",
    "validation/defective",
    "validation/functional",
]


def pictures(directory):
    paths = sorted(directory.rglob("*.png"))
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def test_folders_are_balanced_and_disjoint(tmp_path):
    directory = write_class_folders(tmp_path / "d", per_class=7, validation_per_class=3, seed=0)
    assert directory == tmp_path / "d"
    counts = [len(list((directory / folder).iterdir())) for folder in FOLDERS]
    assert counts == [7, 7, 3, 3]
    assert len(set(pictures(directory).values())) == 20


def test_pictures_have_the_probability_and_type_that_their_path_says(tmp_path):
    # The other stacks, which do without the package, read this module as well.
    from elpv_dataset.utils import load_dataset

    write_class_folders(tmp_path / "d", per_class=5, validation_per_class=2, seed=3)
    images, probabilities, types = load_dataset()
    for path in sorted((tmp_path / "d").rglob("*.png")):
        picture = np.asarray(Image.open(path))
        assert picture.shape == (300, 300)
        (index,) = np.flatnonzero((images == picture).all(axis=(1, 2)))
        assert probabilities[index] == {"functional": 0, "defective": 1}[path.parent.name]
        assert path.name == f"{types[index]}-cell{index + 1:04d}.png"


def test_choice_depends_on_the_arguments_alone(tmp_path):
    settings = {"per_class": 6, "validation_per_class": 2}
    first, again, other = (
        pictures(write_class_folders(tmp_path / name, seed=seed, **settings))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first.keys() != other.keys()


def test_more_training_pictures_keep_the_validation_pictures(tmp_path):
    write_class_folders(tmp_path / "a", per_class=2, validation_per_class=4, seed=0)
    write_class_folders(tmp_path / "b", per_class=9, validation_per_class=4, seed=0)
    assert pictures(tmp_path / "a" / "validation") == pictures(tmp_path / "b" / "validation")


def test_second_call_writes_nothing_and_other_settings_replace(tmp_path):
    settings = {"per_class": 3, "validation_per_class": 1, "seed": 0}
    directory = write_class_folders(tmp_path / "d", **settings)
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    write_class_folders(directory, **settings)
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before

    write_class_folders(directory, **{**settings, "per_class": 2})
    assert len(pictures(directory)) == 2 * (2 + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_note_names_license_and_authors(tmp_path):
    directory = write_class_folders(tmp_path / "d", per_class=1, validation_per_class=1, seed=0)
    note = (directory / "LICENSE-NOTE.md").read_text(encoding="utf-8")
    for words in ("CC-BY-NC-SA-4.0", "Deitsch", "Buerhop-Lutz", "10.1016/j.solener.2019.02.067"):
        assert words in note


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"per_class": 0}, ValueError, "`per_class`.*at least 1.*=0"),
        ({"validation_per_class": 0}, ValueError, "`validation_per_class`.*at least 1"),
        ({"per_class": 2.0}, TypeError, r"`per_class`.*integer.*=2\.0"),
        ({"seed": None}, TypeError, "`seed`.*integer.*=None"),
        ({"per_class": 715}, ValueError, "at most 715.*defective.*per_class=715.*Lower"),
    ],
)
def test_wrong_arguments_are_named_before_writing(tmp_path, changes, error, words):
    settings = {"per_class": 1, "validation_per_class": 1, "seed": 0, **changes}
    with pytest.raises(error, match=words):
        write_class_folders(tmp_path / "d", **settings)
    assert not list(tmp_path.iterdir())


def test_foreign_folder_is_left_alone(tmp_path):
    Path(tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(ValueError, match=r"`directory`.*written by this function.*another folder"):
        write_class_folders(tmp_path, per_class=1, validation_per_class=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "elpv_dataset", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ImportError, match=r"elpv-dataset.*keras-attnviz\[demo\]"):
        write_class_folders(tmp_path / "d", per_class=1, validation_per_class=1, seed=0)
