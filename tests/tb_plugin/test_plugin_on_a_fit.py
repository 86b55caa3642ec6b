"""The Attention tab's server on what the callback logs of a real fit, with both loaders."""

import numpy as np
import pytest
from support.plugin_server import LOADERS, Tab
from support.small_models import small_classifier

from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.tb_plugin.packing import dequantize, unpack

pytestmark = pytest.mark.one_stack

RUN = "attention"
STEPS = [-1, 0, 1, 2]


@pytest.fixture(scope="module")
def log_dir(faces, tmp_path_factory):
    """A training of three epochs that was interrupted after two and went on from the second."""
    images, labels = faces
    folder = tmp_path_factory.mktemp("fit")
    masks = np.zeros((3, 24, 24))
    masks[:, 6:18, 6:18] = 1
    probes = ProbeSet(
        images[[0, 100, 101]],
        labels=labels[[0, 100, 101]],
        names=['my "face"', "<b>other</b>", "../third"],
        class_names=['"face"', "<i>other</i>"],
        masks=masks,
    )
    model = small_classifier()
    callback = AttentionRolloutCallback(probes, folder, full_probes=[2, 0], full_every_epochs=1)
    for begin, end in ((0, 2), (1, 3)):
        model.fit(*faces, initial_epoch=begin, epochs=end, verbose=0, callbacks=[callback])
    return folder


@pytest.fixture(scope="module")
def log(log_dir):
    """The same log, read without TensorBoard's loaders."""
    return read_log(log_dir)


@pytest.fixture(scope="module", params=LOADERS)
def tab(request, log_dir):
    with LOADERS[request.param](log_dir) as source:
        yield Tab(source)


def test_the_run_and_its_setup(tab, log):
    assert tab.json("runs") == {"runs": [{"run": RUN, "last_step": 2}]}
    answer = tab.json("setup", run=RUN)
    assert tab.parts("blobs", key=answer.pop("pictures")) == log.pictures
    assert answer.pop("problems") == []
    assert answer == log.setup
    assert [probe["name"] for probe in answer["probes"]] == log.probes


def test_predictions_and_metrics(tab, log):
    records = [unpack(part) for part in tab.parts("epochs", run=RUN)]
    assert [fields["step"] for _, fields in records] == STEPS
    assert log.steps.tolist() == STEPS
    predictions = log.predictions()
    for index, (arrays, _) in enumerate(records):
        for name, values in predictions.items():
            np.testing.assert_array_equal(arrays[name], values[index])
        for series in log.setup["series"]:
            values = log.series(series["name"])[index]
            np.testing.assert_array_equal(arrays[f"series/{series['name']}"], values)


def test_heatmaps(tab, log):
    maps = log.heatmaps()
    for probe in range(3):
        arrays, _ = unpack(tab.bytes("heat", run=RUN, method="rollout", probe=probe))
        assert arrays["steps"].tolist() == STEPS
        values = dequantize(arrays["heat"], arrays["heat/highest"])
        np.testing.assert_array_equal(values, maps[:, probe].reshape(len(STEPS), -1))


def test_blobs(tab, log):
    for probe in range(3):
        heads = tab.json("keys", run=RUN, kind="heads", probe=probe)
        tokens = tab.json("keys", run=RUN, kind="tokens", method="rollout", probe=probe)
        assert heads["steps"] == tokens["steps"] == STEPS
        parts = tab.parts("blobs", key=heads["keys"] + tokens["keys"])
        for index, step in enumerate(STEPS):
            wanted = np.concatenate(log.heads(step, probe))
            assert_same_attention(parts[index], "heads", wanted)
            wanted = log.token_maps(step, probe)
            assert_same_attention(parts[len(STEPS) + index], "tokens", wanted)


def test_whole_maps(tab, log):
    for probe in (0, 2):
        for layer in range(len(log.setup["layers"])):
            keys = tab.json("keys", run=RUN, kind="full", probe=probe, layer=layer)
            parts = tab.parts("blobs", key=keys["keys"])
            assert keys["steps"]
            for step, part in zip(keys["steps"], parts, strict=True):
                assert_same_attention(part, "full", log.full_attention(step, probe, layer))


def assert_same_attention(part, name, wanted):
    arrays, _ = unpack(part)
    values = dequantize(arrays[name], arrays[f"{name}/highest"])
    np.testing.assert_array_equal(values.ravel(), wanted.ravel())
