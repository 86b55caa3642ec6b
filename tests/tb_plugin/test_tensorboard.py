"""TensorBoard itself, started on a log directory and asked over HTTP."""

import io
import json
import subprocess
import sys
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image
from support.real_tensorboard import answers, started
from support.small_models import small_classifier
from tensorflow import keras

from keras_attnviz import AttentionRolloutCallback, ProbeSet


@pytest.fixture(scope="module")
def log_dir(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    images, labels = faces
    probes = ProbeSet(
        images[[0, 100]],
        labels=labels[[0, 100]],
        names=['my "face"', "other"],
        class_names=["face", "other"],
    )
    small_classifier().fit(
        *faces,
        epochs=3,
        verbose=0,
        callbacks=[AttentionRolloutCallback(probes, folder), keras.callbacks.TensorBoard(folder)],
    )
    return folder


@pytest.fixture(scope="module", params=["true", "false"], ids=["load_fast", "load_slow"])
def ask(request, log_dir):
    """Starts TensorBoard and returns a function from a route to its answer's bytes."""
    arguments = ["--logdir", str(log_dir), "--port", "0", "--load_fast", request.param]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    with started(command) as address:
        answer = answers(address)
        wait_for_data(answer)
        yield answer


def wait_for_data(answer):
    for _ in range(100):
        tags = json.loads(answer("plugin/images/tags"))
        if len(tags.get("attention", {})) == 2:
            series = answer("plugin/scalars/scalars", run="attention", tag="attention/entropy")
            if len(json.loads(series)) == 4:
                return
        subprocess.run(["sleep", "0.2"], check=True)
    raise AssertionError(f"TensorBoard shows no pictures: {tags}")


def test_runs(ask):
    assert set(json.loads(ask("runs"))) == {"attention", "train"}


def test_image_tags_and_descriptions(ask):
    tags = json.loads(ask("plugin/images/tags"))["attention"]
    assert sorted(tags) == ["attention/my_face_", "attention/other"]
    assert "before epoch 1" in tags["attention/other"]["description"]


def test_every_picture_is_served(ask):
    series = json.loads(ask("plugin/images/images", run="attention", tag="attention/my_face_"))
    assert [entry["step"] for entry in series] == [-1, 0, 1, 2]
    for entry in series:
        query = dict(urllib.parse.parse_qsl(entry["query"]))
        png = ask("plugin/images/individualImage", **query)
        assert Image.open(io.BytesIO(png)).size == (454, 607)


def test_scalars_are_served(ask):
    tag = "attention/drift_from_baseline"
    series = json.loads(ask("plugin/scalars/scalars", run="attention", tag=tag))
    assert [step for _, step, _ in series] == [-1, 0, 1, 2]
    assert series[0][2] == 0
    assert np.all(np.array(series)[1:, 2] > 0)
