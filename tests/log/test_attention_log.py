"""A real fit's log, read back: what was logged, within the quantization's error."""

import contextlib
import io
import itertools
import json
import struct

import numpy as np
import pytest
from PIL import Image
from support.attention_logs import EventFile, MadeUpTraining
from support.event_files import events_of, scalars_of
from support.small_models import small_classifier

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.log.event_writer import AttentionWriter
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import pack, unpack

pytestmark = pytest.mark.one_stack

NAMES = ['my "face"', "<b>other</b>", "third"]


def probes_of(faces, **options):
    images, labels = faces
    chosen = [0, 100, 101]
    masks = np.zeros((3, 24, 24))
    masks[:, 6:18, 6:18] = 1
    return ProbeSet(
        images[chosen],
        labels=labels[chosen],
        names=NAMES,
        class_names=["face", "other"],
        masks=masks,
        **options,
    )


@pytest.fixture(scope="module")
def fitted(faces, tmp_path_factory):
    """The folder, the model after training, and the probes."""
    folder = tmp_path_factory.mktemp("logs")
    probes = probes_of(faces)
    model = small_classifier(layers=3)
    callback = AttentionRolloutCallback(
        probes, folder, full_probes=["third", 0], full_every_epochs=2
    )
    model.fit(*faces, epochs=3, verbose=0, callbacks=[callback])
    return folder, model, probes


@pytest.fixture(scope="module")
def log(fitted):
    return read_log(fitted[0])


def within_quantization(found, expected):
    """Holds the error that docs/log-format.md states; rows are the last axis."""
    found, expected = (values.reshape(-1, values.shape[-1]) for values in (found, expected))
    top = expected.max(axis=-1, keepdims=True)
    bound = top * (2 * np.sqrt(expected / top) + 1 / 510) / 510
    assert (np.abs(found - expected) <= bound * 1.001 + 1e-4 * top).all()


def test_setup(log, fitted):
    setup = log.setup
    assert (setup["version"], setup["grid"], setup["prefix"]) == (2, [6, 6], 1)
    assert [probe["name"] for probe in setup["probes"]] == log.probes == NAMES
    assert [probe["label"] for probe in setup["probes"]] == [0, 1, 1]
    assert setup["class_names"] == ["face", "other"]
    assert [layer["heads"] for layer in setup["layers"]] == [4, 4, 4]
    assert setup["uniform"] == 1 / 37
    assert setup["full"] == {"probes": [2, 0], "every_epochs": 2}
    assert not log.problems


def test_pictures_are_the_probes(log, fitted):
    _, _, probes = fitted
    for png, picture in zip(log.pictures, probes.display, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), picture)


def test_steps_begin_with_the_baseline(log):
    assert log.steps.tolist() == [-1, 0, 1, 2]


def test_the_last_heatmaps_are_those_of_the_trained_model(log, fitted):
    _, model, probes = fitted
    expected = AttentionModel(model).rollout(probes.images).numpy() * 37
    assert log.heatmaps().shape == (4, 3, 6, 6)
    within_quantization(log.heatmaps()[-1].reshape(3, -1), expected.reshape(3, -1))


def test_the_last_heads_are_the_class_tokens_rows(log, fitted):
    _, model, probes = fitted
    _, attentions = AttentionModel(model)(probes.images)
    for probe, name in enumerate(NAMES):
        found = log.heads(2, name)
        assert [layer.shape for layer in found] == [(4, 6, 6)] * 3
        for layer, attention in zip(found, attentions, strict=True):
            expected = attention[probe, :, 0, 1:].numpy() * 37
            within_quantization(layer.reshape(4, -1), expected)


def test_the_last_token_maps_are_the_rollout_of_every_patch(log, fitted):
    _, model, probes = fitted
    attention_model = AttentionModel(model)
    _, attentions = attention_model(probes.images)
    product = np.eye(37)
    for layer in attention_model.token_maps(attentions):
        product = (np.eye(37) + layer.numpy()) / 2 @ product
    for probe in range(3):
        found = log.token_maps(2, probe)
        assert found.shape == (6, 6, 6, 6)
        within_quantization(found.reshape(36, 36), product[probe, 1:, 1:] * 37)


def test_the_whole_attention_of_chosen_probes(log, fitted):
    logged = [step for step in log.steps if metadata.FULL_TAG in log.records[step]]
    assert logged == [-1, 1]
    assert log.full_attention(1, "third", -1).shape == (4, 6, 6, 6, 6)
    with pytest.raises(
        ValueError, match=r"`step` must be one at which .*full was logged, \[-1, 1\]"
    ):
        log.full_attention(2, 0, 0)
    with pytest.raises(ValueError, match=r"`probe` must be one of those that `full_probes` named"):
        log.full_attention(1, 1, 0)


def test_whole_attention_is_that_of_the_model(faces, tmp_path):
    probes, model = probes_of(faces), small_classifier()
    callback = AttentionRolloutCallback(probes, tmp_path, full_probes=[1, 2], full_every_epochs=1)
    model.fit(*faces, epochs=1, verbose=0, callbacks=[callback])
    _, attentions = AttentionModel(model)(probes.images)
    log = read_log(tmp_path)
    for probe in (1, 2):
        for layer, attention in enumerate(attentions):
            found = log.full_attention(0, probe, layer).reshape(4, 36, 36)
            within_quantization(found, attention[probe, :, 1:, 1:].numpy() * 37)


def test_predictions(log, fitted):
    _, model, probes = fitted
    outputs = model.predict(probes.images, verbose=0)
    found = log.predictions()
    np.testing.assert_array_equal(found["classes"][-1], outputs.argmax(-1))
    np.testing.assert_allclose(found["confidence"][-1], outputs.max(-1), rtol=1e-4)
    np.testing.assert_allclose(
        found["label_confidence"][-1], outputs[np.arange(3), probes.labels], rtol=1e-4
    )


def test_series(log):
    for item in log.setup["series"]:
        values = log.series(item["name"])
        sizes = {"layer": 3, "head": 4, "probe": 3}
        assert values.shape == (4, *(sizes[axis] for axis in item["axes"]))
        low, high = item["range"]
        assert values.min() >= low
        assert high is None or values.max() <= high
    np.testing.assert_array_equal(log.series("drift")[0], [0, 0, 0])
    assert (log.series("drift")[1:] > 0).all()
    assert not log.series("layer_drift")[0].any()


def test_localization_is_what_lies_in_the_mask(log):
    covered = np.float32([0, 0.5, 1, 1, 0.5, 0])
    mask = np.outer(covered, covered)
    heat = log.heatmaps()
    share = (heat * mask).sum(axis=(2, 3)) / heat.sum(axis=(2, 3)) / mask.mean()
    np.testing.assert_allclose(log.series("localization"), share, rtol=0.02)


def test_the_scalars_are_the_means_of_the_series(log, fitted):
    scalars = scalars_of(fitted[0] / "attention")
    by_layer = log.series("entropy").mean(axis=-1)
    for layer in range(3):
        logged = list(scalars[f"attention/entropy/layer_{layer}"].values())
        np.testing.assert_allclose(by_layer[:, layer], logged, rtol=1e-5)
    drift = list(scalars["attention/drift_from_baseline"].values())
    np.testing.assert_allclose(log.series("drift").mean(axis=-1), drift, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda log: log.heads(9, 0), r"`step` must be one of the logged steps, \[-1, 0, 1, 2\]"),
        (lambda log: log.heads(0, "nobody"), "`probe` must be an index below 3 or one of my"),
        (lambda log: log.heads(0, 3), "`probe` must be an index below 3"),
        (
            lambda log: log.heatmaps("flow"),
            "`method` must be one of rollout, affinity. Received: method='flow",
        ),
        (lambda log: log.series("x"), "`name` must be one of entropy, distance"),
    ],
)
def test_wrong_arguments(log, call, text):
    with pytest.raises(ValueError, match=text):
        call(log)


def test_the_run_itself_may_be_named(fitted, log):
    assert read_log(fitted[0] / "attention").steps.tolist() == log.steps.tolist()


def test_a_directory_without_a_log_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`log_dir` must be a directory that `AttentionRollout"):
        read_log(tmp_path)


def test_a_resumed_training_supersedes_what_it_repeats(faces, tmp_path):
    probes = probes_of(faces)
    for first, last in ((0, 3), (2, 4)):
        callback = AttentionRolloutCallback(probes, tmp_path)
        with pytest.warns(RuntimeWarning, match="goes on") if first else contextlib.nullcontext():
            small_classifier().fit(
                *faces, initial_epoch=first, epochs=last, verbose=0, callbacks=[callback]
            )
    log = read_log(tmp_path)
    assert log.steps.tolist() == [-1, 0, 1, 2, 3]
    # A new callback doesn't know the baseline.
    drift = log.series("drift")
    assert np.isfinite(drift[:3]).all()
    assert np.isnan(drift[3:]).all()


def test_a_file_that_was_cut_off_gives_what_is_whole(fitted, tmp_path):
    (file,) = (fitted[0] / "attention").glob("*tfevents*")
    data, ends = file.read_bytes(), [0]
    while ends[-1] < len(data):
        (length,) = struct.unpack_from("<Q", data, ends[-1])
        ends.append(ends[-1] + length + 16)
    run = tmp_path / "attention"
    run.mkdir()
    counts = []
    for end in ends[len(ends) // 2 :]:
        (run / file.name).write_bytes(data[: end + 9])
        log = read_log(tmp_path)
        counts.append(len(log.steps))
        assert log.steps.tolist() == [-1, 0, 1, 2][: counts[-1]]
        assert len(log.heatmaps()) == counts[-1]
        for step, probe in itertools.product(log.steps, range(3)):
            assert len(log.heads(step, probe)) == len(log.setup["layers"])
            assert np.isfinite(log.token_maps(step, probe)).all()
    assert counts == sorted(counts)
    assert {2, 3, 4} <= set(counts)


def test_a_damaged_record_is_named_and_left_out(tmp_path):
    writer = AttentionWriter(str(tmp_path), first_step=0)
    writer.blobs(0, metadata.SETUP_TAG, [json.dumps(MadeUpTraining().setup()).encode()])
    writer.record(0, metadata.EPOCH_TAG, b"KATNxx")
    writer.close()
    log = read_log(tmp_path)
    assert log.steps.tolist() == []
    assert any("attention_tab/epoch at step 0" in problem for problem in log.problems)


def test_a_newer_format_is_refused(tmp_path):
    writer = AttentionWriter(str(tmp_path), first_step=0)
    writer.blobs(0, metadata.SETUP_TAG, [json.dumps({"version": 3}).encode()])
    writer.close()
    with pytest.raises(ValueError, match=r"has format 3, and this .* reads up to format 2; update"):
        read_log(tmp_path)


def test_without_the_tab_nothing_is_logged_for_it(faces, tmp_path):
    callback = AttentionRolloutCallback(probes_of(faces), tmp_path, attention_tab=False)
    small_classifier().fit(*faces, epochs=1, verbose=0, callbacks=[callback])
    tags = {value.tag for e in events_of(tmp_path / "attention") for value in e.summary.value}
    assert "attention/entropy" in tags
    assert not [tag for tag in tags if tag.startswith(metadata.TAGS)]


@pytest.mark.parametrize(
    ("chosen", "error", "text"),
    [
        ("third", TypeError, "`full_probes` must be a list of names or indices"),
        (["fourth"], ValueError, r"must be names of probes or indices in \[-3, 3\).*Names: my "),
        ([3], ValueError, "must be names of probes or indices"),
        ([True], ValueError, "must be names of probes or indices"),
    ],
)
def test_full_probes_are_checked(faces, tmp_path, chosen, error, text):
    with pytest.raises(error, match=text):
        AttentionRolloutCallback(probes_of(faces), tmp_path, full_probes=chosen)


def test_full_probes_need_the_tab(faces, tmp_path):
    with pytest.raises(ValueError, match="must be empty if `attention_tab` is False"):
        AttentionRolloutCallback(probes_of(faces), tmp_path, full_probes=[0], attention_tab=False)


@pytest.mark.parametrize(
    "record",
    [
        pack({"classes": np.zeros(3, np.int32)}, step=1),
        pack({}, step=1),
        MadeUpTraining(names=("a",)).epoch(1),
        MadeUpTraining().epoch(0),
    ],
    ids=["parts are missing", "empty", "other probes", "another step"],
)
def test_an_epoch_that_does_not_fit_the_setup_is_named_and_left_out(tmp_path, record):
    training = MadeUpTraining()
    with EventFile(tmp_path / "attention") as file:
        training.write(file, range(-1, 2))
        file.record(1, metadata.EPOCH_TAG, record)
    log = read_log(tmp_path)
    assert log.steps.tolist() == [-1, 0]
    assert log.predictions()["classes"].shape == (2, 3)
    (problem,) = log.problems
    assert problem.startswith("attention_tab/epoch at step 1: ")


def test_what_is_missing_of_a_log_is_named(tmp_path):
    training = MadeUpTraining(full_probes=(1,))
    arrays, _ = unpack(training.epoch(0))
    del arrays["series/drift"]
    with EventFile(tmp_path / "attention") as file:
        training.write(file, (0,))
        file.record(0, metadata.EPOCH_TAG, pack(arrays, step=0))
        heads, other = training.head_maps(0, 0), training.token_maps(0, 0, "rollout")
        file.blobs(0, metadata.HEADS_TAG, [heads, other])
    log = read_log(tmp_path)
    assert log.heads(0, 0)[0].shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"A record of 'heads' doesn't fit the log's setup"):
        log.heads(0, 1)
    with pytest.raises(ValueError, match=r"The log has 2 blobs of attention_tab/heads at step 0"):
        log.heads(0, 2)
    with pytest.raises(ValueError, match=r"The log has no 'drift' at the steps \[0\]"):
        log.series("drift")
    assert log.series("entropy").shape == (1, 2, 2)


def test_an_earlier_setup_serves_where_the_last_can_not_be_read(tmp_path):
    training = MadeUpTraining()
    with EventFile(tmp_path / "attention") as file:
        training.write(file, range(-1, 2))
        file.blobs(1, metadata.SETUP_TAG, [b'{"version": 1}', b""])
    log = read_log(tmp_path)
    assert log.setup == training.setup()
    assert len(log.pictures) == 3
    (problem,) = log.problems
    assert problem.startswith("attention_tab/setup: missing or malformed: ")
