"""Fits of convolutional networks with gates: what is logged, read back."""

import numpy as np
import pytest
from support.event_files import events_of, images_of, scalars_of
from support.small_models import small_classifier
from tensorboard.util import tensor_util
from tensorflow import keras
from zoo import gated

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet, read_log

pytestmark = pytest.mark.one_stack

CHOSEN = [0, 7, 100, 107]


def fitted(model, faces, log_dir, *, epochs=2, initial_epoch=0, **options):
    images, labels = faces
    probes = ProbeSet(images[CHOSEN], labels=labels[CHOSEN], class_names=["face", "other"])
    callback = AttentionRolloutCallback(probes, log_dir, **options)
    return model.fit(
        images, labels, epochs=epochs, initial_epoch=initial_epoch, verbose=0, callbacks=[callback]
    )


class AfterEpochs(keras.callbacks.Callback):
    """Takes the gates' values from the model itself, before and after each epoch."""

    def __init__(self, images):
        super().__init__()
        self.images, self.values = images, []

    def on_train_begin(self, logs=None):
        self.source = AttentionModel(self.model)
        self.on_epoch_end(-1)

    def on_epoch_end(self, epoch, logs=None):
        self.values.append([each.numpy() for each in self.source.gate_values(self.images)[1]])


@pytest.fixture(scope="module")
def of_all_kinds(faces, tmp_path_factory):
    """Returns the log directory of a fit, its history, and the gates' values at each step."""
    log_dir = tmp_path_factory.mktemp("gates")
    images, labels = faces
    watch = AfterEpochs(images[CHOSEN])
    probes = ProbeSet(images[CHOSEN], labels=labels[CHOSEN])
    history = gated.all_kinds().fit(
        images,
        labels,
        epochs=2,
        verbose=0,
        callbacks=[AttentionRolloutCallback(probes, log_dir), watch],
    )
    return log_dir, history.history, watch.values


def histograms_of(run):
    """Returns a dict from tag to a dict from step to the histogram `[bins, 3]`."""
    found = {}
    for event in events_of(run):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "histograms":
                array = tensor_util.make_ndarray(value.tensor)
                found.setdefault(value.tag, {})[event.step] = array
    return found


def test_heatmaps_are_the_mean_of_the_spatial_gates(of_all_kinds):
    log_dir, _, values = of_all_kinds
    log = read_log(log_dir)
    assert log.problems == []
    assert log.steps.tolist() == [-1, 0, 1]
    for logged, (_, where, both, _) in zip(log.heatmaps("gates"), values, strict=True):
        coarse = np.repeat(np.repeat(both.mean(axis=3), 2, axis=1), 2, axis=2)
        # Within the steps that the log rounds to.
        np.testing.assert_allclose(logged, (where + coarse) / 2, atol=0.005)


def test_each_spatial_gate_is_a_layer_of_the_log(of_all_kinds):
    log_dir, _, values = of_all_kinds
    log = read_log(log_dir)
    assert [layer["path"] for layer in log.setup["layers"]] == ["gated/where", "gated/bottleneck"]
    assert [gate["kind"] for gate in log.setup["gates"]][0::3] == ["channel", "branch"]
    for probe in range(4):
        where, both = log.heads(1, probe)
        np.testing.assert_allclose(where[0], values[-1][1][probe], atol=0.005)
        assert both.shape == (1, 12, 12)


def test_scalars_are_logged_and_in_the_history(of_all_kinds):
    log_dir, history, values = of_all_kinds
    logged = scalars_of(log_dir / "attention")
    channels = [step[0] for step in values]
    for step, each in zip((-1, 0, 1), channels, strict=True):
        assert logged["attention/gate_mean/layer_0"][step] == pytest.approx(each.mean(), rel=1e-4)
        drift = np.abs(each - channels[0]).mean()
        assert logged["attention/gate_drift/layer_0"][step] == pytest.approx(drift, abs=1e-6)
        share = values[step + 1][3].mean(axis=0)[1]
        assert logged["attention/branch_share/layer_3/1"][step] == pytest.approx(share, rel=1e-4)
    assert history["attention_gate_mean_layer_0"] == pytest.approx(
        [each.mean() for each in channels[1:]], rel=1e-4
    )
    drift = [logged["attention/gate_drift"][step] for step in (0, 1)]
    assert history["attention_gate_drift"] == pytest.approx(drift)
    assert "attention_entropy" not in history


def test_channels_are_distributions(of_all_kinds):
    log_dir, _, values = of_all_kinds
    logged = histograms_of(log_dir / "attention")
    assert sorted(logged) == [
        "attention/gate/gated_bottleneck",
        "attention/gate/gated_select",
        "attention/gate/gated_squeeze",
    ]
    for step in (-1, 0, 1):
        bins = logged["attention/gate/gated_squeeze"][step]
        channels = values[step + 1][0]
        assert bins[:, 2].sum() == channels.size
        assert bins[0, 0] == pytest.approx(channels.min(), rel=1e-5)
        assert bins[-1, 1] == pytest.approx(channels.max(), rel=1e-5)


def test_pictures_show_the_gates_stage_by_stage(of_all_kinds, faces):
    log_dir, _, values = of_all_kinds
    pictures = images_of(log_dir / "attention")
    assert len(pictures) == 4
    picture, _ = pictures["attention/probe_0"][1]
    # Two columns, picture and two gates: two rows.
    assert picture.shape[0] > picture.shape[1]
    # The overlay changes where a gate opens: brightest where it is highest.
    assert np.ptp(values[-1][1][0]) > 0


def test_gates_of_channels_alone_have_pictures_without_heatmaps(faces, tmp_path):
    history = fitted(gated.channels_only(), faces, tmp_path)
    log = read_log(tmp_path)
    assert log.problems == []
    assert log.setup["methods"] == log.setup["layers"] == []
    assert log.series("gate_mean").shape == (3, 2)
    distribution = log.series("gate_distribution")
    assert distribution.shape == (3, 2, 20)
    np.testing.assert_allclose(distribution.sum(axis=2), 1, rtol=1e-5)
    picture, description = images_of(tmp_path / "attention")["attention/probe_0"][1]
    assert picture.shape[1] < picture.shape[0]
    assert "face" in description
    assert "attention_drift_from_baseline" not in history.history
    with pytest.raises(ValueError, match="`method` must be one of"):
        log.heatmaps()


def test_a_resumed_fit_drifts_from_the_first_baseline(faces, tmp_path):
    model = gated.all_kinds()
    images = faces[0][CHOSEN]
    baseline = AttentionModel(model).gate_values(images)[1][0].numpy()
    fitted(model, faces, tmp_path, epochs=1)
    history = fitted(model, faces, tmp_path, epochs=2, initial_epoch=1).history
    now = AttentionModel(model).gate_values(images)[1][0].numpy()
    expected = np.abs(now - baseline).mean()
    assert history["attention_gate_drift_layer_0"] == pytest.approx([expected], rel=1e-3)
    assert read_log(tmp_path).steps.tolist() == [-1, 0, 1]


def test_methods_of_a_model_without_maps_are_an_error(faces, tmp_path):
    with pytest.raises(ValueError, match="`methods` must be None for a model that has gates and"):
        fitted(gated.channels_only(), faces, tmp_path, methods=["rollout"])


def test_faithfulness_of_the_mean_of_gates(faces, tmp_path):
    fitted(gated.all_kinds(), faces, tmp_path, epochs=1, faithfulness_every_epochs=1)
    logged = scalars_of(tmp_path / "attention")
    values = logged["attention/faithfulness/deletion/gates"]
    assert sorted(values) == [-1, 0]
    assert all(0 <= value <= 1 for value in values.values())


def test_a_transformer_is_logged_as_before(faces, tmp_path):
    fitted(small_classifier(), faces, tmp_path, epochs=1)
    setup = read_log(tmp_path).setup
    assert setup["methods"] == ["rollout", "affinity"]
    assert setup["gates"] == []
    assert not any("gate" in tag for tag in scalars_of(tmp_path / "attention"))
