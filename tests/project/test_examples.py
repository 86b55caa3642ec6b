"""The examples, run as a user runs them."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support.event_files import images_of, scalars_of
from support.paths import ROOT
from support.pictures import DATA, write_faces
from support.small_models import KERAS_3
from zoo.small_vits import SMALL, write_published_weights

from keras_attnviz import RolloutModel, read_log
from keras_attnviz.explain.explain_pictures import PictureModel, explain
from keras_attnviz.networks.classifier import build_classifier

pytestmark = pytest.mark.vit_keras

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def keras_home(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras")
    write_published_weights(path, best_class=281)
    return path


@pytest.fixture
def train(tmp_path, keras_home):
    """A function that trains by an example for an epoch; returns what it printed and logged.

    The log of the attention, a picture of each of four probes, is checked to be there before and
    after the epoch.
    """

    def trained(name, *options):
        data = write_faces(tmp_path / "data", per_class=5)
        arguments = ["--data", data, *options, "--epochs", 1, "--batch-size", 8]
        said = run(name, *arguments, "--log-dir", "logs", folder=tmp_path, keras_home=keras_home)
        assert "val_accuracy" in said
        log_dir = tmp_path / "logs" / "attention"
        pictures, scalars = images_of(log_dir), scalars_of(log_dir)
        assert len(pictures) == 4
        assert {tuple(steps) for steps in pictures.values()} == {(-1, 0)}
        return said, scalars

    return trained


def run(name, *arguments, folder, keras_home):
    """Runs an example in `folder`; returns what it printed."""
    finished = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"KERAS_HOME": str(keras_home), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
@pytest.mark.one_stack
def test_finetune_folder_trains_and_logs_the_attention(tmp_path, train):
    said, scalars = train("finetune_folder.py", "--model", "vit_b32", "--image-size", 64)
    assert "Using 8 files for training." in said
    assert {"train", "validation"} <= set(os.listdir(tmp_path / "logs"))
    assert list(scalars["attention/entropy"]) == [-1, 0]


@pytest.mark.slow
@pytest.mark.skipif(KERAS_3, reason="the notebook is for tf.keras 2")
def test_notebook_classic_trains_and_logs_the_attention(train):
    said, scalars = train("notebook_classic.py", "--weights", "none", "--image-size", 32)
    assert "Found 8 images belonging to 2 classes." in said
    assert {tag for tag in scalars if "/layer_" in tag} == {
        f"attention/entropy/layer_{layer}" for layer in range(12)
    }
    assert 0 < scalars["attention/drift_from_baseline"][0] < 0.1


@pytest.mark.slow
@pytest.mark.one_stack
def test_explain_image_prints_and_draws(tmp_path, keras_home):
    (tmp_path / "example.py").write_text(
        (EXAMPLES / "explain_image.py").read_text(encoding="utf-8").replace("vit_b16", "vit_b32"),
        encoding="utf-8",
    )
    picture = DATA / "chelsea.png"
    said = run(tmp_path / "example.py", picture, folder=tmp_path, keras_home=keras_home)
    assert said.startswith(f"{picture}: tabby, tabby cat (")
    with Image.open(tmp_path / "attention.png") as drawing:
        assert drawing.size == (1200, 630)


@pytest.mark.slow
@pytest.mark.one_stack
@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="an extra")
def test_beam_explain_writes_what_the_model_gives(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    model = build_classifier(SMALL, classes=2, image_size=(32, 40), weights="none")
    RolloutModel(model).export(tmp_path / "exported")
    data = write_faces(tmp_path / "data", per_class=4)
    (data / "face" / "bad.png").write_text("no picture", encoding="utf-8")
    (data / "notes.txt").write_text("no picture", encoding="utf-8")
    given = {"--model": "exported", "--input": "data/**", "--output": "out/heat"}
    # Neither the example nor the exported model needs this package.
    (tmp_path / "keras_attnviz.py").write_text("raise ImportError", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    options = [f"{name}={value}" for name, value in given.items()]
    # In processes of their own, so that everything is sent to them as on a cluster.
    options += ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    run("beam_explain.py", *options, "--batch-size=3", folder=tmp_path, keras_home=tmp_path)
    rows = parquet.read_table(tmp_path / "out").to_pylist()
    assert len(rows) == 9
    (broken,) = [row for row in rows if row["error"]]
    assert broken["name"].endswith("data/face/bad.png")
    assert broken["heatmap"] is None
    intact = [row for row in rows if not row["error"]]
    assert len({row["name"] for row in intact}) == 8
    expected = explain(PictureModel(model, (0, 255)), [tmp_path / row["name"] for row in intact])
    for row, explanation in zip(intact, expected, strict=True):
        heat = np.reshape(row["heatmap"], (row["grid_height"], row["grid_width"]))
        np.testing.assert_allclose(heat, explanation.attention, atol=1e-6)
        assert max(row["predictions"]) == pytest.approx(explanation.confidence, abs=1e-5)


def test_convnet_attention_shows_each_stage_before_and_after(tmp_path, keras_home):
    for part in ("train", "validation"):
        write_faces(tmp_path / "data" / part, per_class=6)
    options = ["--data", "data", "--epochs", 1, "--image-size", 64]
    said = run("convnet_attention.py", *options, folder=tmp_path, keras_home=keras_home)
    assert "The stages' maps before and after training: stages.png" in said
    log = read_log(tmp_path / "logs")
    assert log.steps.tolist() == [-1, 0]
    stages = [layer["path"].rsplit("/", 1)[-1] for layer in log.setup["layers"]]
    assert stages == ["bam_1", "bam_2", "bam_3", "bam_4"]
    assert [gate["kind"] for gate in log.setup["gates"]] == ["channel and spatial"] * 4
    # A picture, its four stages, before and after; four of eight probes.
    with Image.open(tmp_path / "stages.png") as drawing:
        assert drawing.width > 2 * drawing.height
    pictures = images_of(tmp_path / "logs" / "attention")
    assert {tuple(steps) for steps in pictures.values()} == {(-1, 0)}
