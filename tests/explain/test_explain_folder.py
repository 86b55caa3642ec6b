"""All pictures of a folder through a model: real files, broken ones among them."""

import os

import numpy as np
import pytest
from PIL import Image
from support.pictures import DATA, write_faces
from zoo.small_vits import SMALL

from keras_attnviz.explain.explain_folder import explain_folder
from keras_attnviz.explain.explain_pictures import PictureModel, explain
from keras_attnviz.networks.classifier import build_classifier

pytestmark = [pytest.mark.one_stack, pytest.mark.vit_keras]

parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")


@pytest.fixture(scope="module")
def picture_model():
    model = build_classifier(SMALL, classes=2, image_size=(32, 40), weights="none")
    return PictureModel(model, (0, 255), ("cat", "dog"))


@pytest.fixture
def folder(tmp_path):
    """Nine pictures, two of which are broken, in folders and below them; and other files."""
    root = write_faces(tmp_path / "data", per_class=3)
    (root / "face" / "bad.JPG").write_text("no picture", encoding="utf-8")
    (root / "face" / "notes.txt").write_text("no picture", encoding="utf-8")
    (root / "other" / ".hidden.png").write_text("no picture", encoding="utf-8")
    (root / "other" / "deep").mkdir()
    whole = (DATA / "rocket.jpg").read_bytes()
    (root / "other" / "deep" / "cut.jpg").write_bytes(whole[:5000])
    Image.open(DATA / "coffee.png").resize((90, 60)).save(root / "ä.png")
    return root


def run(picture_model, folder, out, **options):
    written = explain_folder(picture_model, folder, out, batch_size=2, shard_size=4, **options)
    return written, parquet.read_table(out).to_pylist()


def test_rows_agree_with_explaining_single_pictures(tmp_path, picture_model, folder):
    said = []
    written, rows = run(picture_model, folder, tmp_path / "out", print_fn=said.append)
    assert (written.images, written.skipped, len(written.paths)) == (7, 2, 3)
    names = [row["name"] for row in rows]
    assert names[0] == "ä.png"
    assert len(set(names)) == 9
    assert {name for name in names if name[0] != "f"} == {
        "ä.png",
        "other/deep/cut.jpg",
        *(f"other/00{index}.png" for index in range(3)),
    }
    broken = [row for row in rows if row["error"]]
    assert {row["name"] for row in broken} == {"face/bad.JPG", "other/deep/cut.jpg"}
    for row in broken:
        assert row["error"].startswith("`image` must be an intact JPEG or PNG picture.")
        assert row["heatmap"] is row["predicted"] is None
        assert sum(row["name"] in line for line in said) == 1
    intact = [row for row in rows if not row["error"]]
    expected = explain(picture_model, [os.path.join(folder, row["name"]) for row in intact])
    for row, explanation in zip(intact, expected, strict=True):
        heat = np.reshape(row["heatmap"], (row["grid_height"], row["grid_width"]))
        np.testing.assert_allclose(heat, explanation.attention, atol=1e-7)
        assert row["class_name"] == explanation.class_name
        assert row["confidence"] == pytest.approx(explanation.confidence, abs=1e-6)


def test_a_run_goes_on_where_it_was(tmp_path, picture_model, folder):
    _, before = run(picture_model, folder, tmp_path / "out")
    os.remove(tmp_path / "out" / "_SUCCESS")
    os.remove(tmp_path / "out" / "part-00001.parquet")
    written, rows = run(picture_model, folder, tmp_path / "out")
    assert written.images + written.skipped == 4
    for row, other in zip(rows, before, strict=True):
        np.testing.assert_allclose(row.pop("heatmap") or 0, other.pop("heatmap") or 0, atol=1e-7)
        assert row == other


def test_pictures_that_were_added_make_it_another_run(tmp_path, picture_model, folder):
    run(picture_model, folder, tmp_path / "out")
    Image.open(folder / "ä.png").save(folder / "b.png")
    with pytest.raises(ValueError, match=r"These differ: data was '9 pictures, .* is '10 pictures"):
        run(picture_model, folder, tmp_path / "out")


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_names_that_are_no_text_are_read(tmp_path, picture_model, folder):
    os.rename(folder / "ä.png", os.fsencode(folder) + b"/\xff.png")
    _, rows = run(picture_model, folder, tmp_path / "out")
    assert sum(row["name"] == "\ufffd.png" and not row["error"] for row in rows) == 1


def test_no_folder_and_no_pictures_are_told(tmp_path, picture_model):
    with pytest.raises(ValueError, match="`data` must be an existing directory"):
        run(picture_model, tmp_path / "none", tmp_path / "out")
    with pytest.raises(ValueError, match=r"`data` must be a directory with \.jpg, \.jpeg, \.png"):
        run(picture_model, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
