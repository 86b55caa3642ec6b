"""What tells of a healthy training, from arrays, and in the log of a real fit."""

import numpy as np
import pytest
from support.event_files import scalars_of
from support.small_models import small_classifier
from tensorflow import keras

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.data.masks import mask_shares
from keras_attnviz.metrics.localization import localizations
from keras_attnviz.monitor.health import layer_health
from keras_attnviz.monitor.scalars import HEALTH, snapshot_scalars
from keras_attnviz.monitor.snapshot import Snapshot

pytestmark = pytest.mark.one_stack

SCALARS = tuple(scalar.name for scalar in HEALTH)
NAMES = ("mass", "auc", "hit", "lift")
MEASURES = {
    # Two images; two layers, of two heads and of three.
    "entropy": np.float32([[0.995, 0.2, 0.5, 0.5, 0.5], [0.995, 0.4, 0.5, 0.5, 0.5]]),
    "non_patch": np.float32([[0, 0.5, 1, 0.1, 0.1], [0, 0.1, 0.94, 0.1, 0.1]]),
    "divergences": np.float32([[0.4, 0, 0.5, 0.5], [0.2, 0.01, 0.5, 0.5]]),
    "sinks": np.float32([[0, 0.5], [0, 0.3]]),
    "artifacts": np.float32([[0, 3], [0, 2]]),
}


def scalars_by_hand(layers, entropy, baseline=None):
    """Returns the scalars of health of layers with these entropies, in their order."""
    before = None if baseline is None else Snapshot({}, baseline, None, None)
    snapshot = Snapshot({}, entropy, None, None, health=layers)
    scalars = snapshot_scalars(snapshot, baseline=before, last=None)
    return {name: value for name, value in scalars.items() if "entropy" not in name}


def localized_by_hand(values, is_right=None):
    """Returns the scalars of heatmaps with these localizations, all four alike but for these."""
    values = {name: np.zeros(len(*values.values())) for name in NAMES} | values
    snapshot = Snapshot(
        {},
        np.float32([]),
        None,
        None,
        is_right=is_right,
        localization={"rollout": values},
    )
    return snapshot_scalars(snapshot, baseline=None, last=None)


def test_layers_by_hand():
    layers = layer_health(MEASURES, [2, 3])
    np.testing.assert_allclose(layers["sink_share"], [0, 0.4])
    np.testing.assert_allclose(layers["artifact_tokens"], [0, 2.5])
    np.testing.assert_allclose(layers["non_patch_share"], [0.15, 0.39], rtol=1e-6)
    np.testing.assert_allclose(layers["head_diversity"], [0.3, 1.005 / 3], rtol=1e-6)
    # One uniform head; one on the class token, 0.97 of it on the average.
    np.testing.assert_array_equal(layers["dead_heads"], [1, 1])
    # On the average 0.005 apart.
    np.testing.assert_array_equal(layers["duplicate_heads"], [0, 1])


def test_a_layer_of_one_head_has_no_diversity():
    measures = {**MEASURES, "divergences": np.zeros((2, 6), np.float32)}
    layers = layer_health(measures, [1, 4])
    np.testing.assert_array_equal(layers["head_diversity"], [np.nan, 0])
    np.testing.assert_array_equal(layers["duplicate_heads"], [0, 3])
    assert scalars_by_hand(layers, np.ones(2))["head_diversity"] == 0


def test_scalars_by_hand():
    layers = layer_health(MEASURES, [2, 3])
    scalars = scalars_by_hand(layers, np.float32([0.05, 0.5]))
    assert tuple(scalars) == SCALARS
    expected = [1, 0.27, (0.3 + 0.335) / 2, 0.2, 2.5]
    np.testing.assert_allclose(list(scalars.values()), expected, rtol=1e-6)
    as_before = scalars_by_hand(layers, np.float32([0.05, 0.5]), np.float32([0.06, 0.9]))
    assert as_before["collapsed_layers"] == 0


def test_a_diverged_network_has_no_numbers():
    measures = {name: values * np.nan for name, values in MEASURES.items()}
    scalars = scalars_by_hand(layer_health(measures, [2, 3]), np.float32([np.nan] * 2))
    assert np.isnan(list(scalars.values())).all()


def test_localization_by_right_and_wrong_by_hand():
    found = localized_by_hand(
        {"lift": np.float32([1, 2, np.nan, 4])}, np.array([True, True, False, False])
    )
    assert {name: value for name, value in found.items() if "lift" in name} == pytest.approx(
        {"localization/lift": 7 / 3, "localization/lift/right": 1.5, "localization/lift/wrong": 4}
    )
    nothing_wrong = localized_by_hand({"hit": np.ones(2)}, np.array([True, True]))
    assert np.isnan(nothing_wrong["localization/hit/wrong"])
    found = localized_by_hand({"hit": np.ones(2)})
    assert list(found) == [f"localization/{name}" for name in NAMES]


@pytest.fixture(scope="module")
def logged(faces, masked_probes, tmp_path_factory):
    """A fit with masks, its history, and the model's state after it."""
    folder = tmp_path_factory.mktemp("logs")
    model = small_classifier()
    callback = AttentionRolloutCallback(masked_probes, folder)
    history = model.fit(*faces, epochs=2, verbose=0, callbacks=[callback]).history
    return folder, model, history


@pytest.mark.parametrize(("method", "of"), [("rollout", ""), ("affinity", "/affinity")])
def test_localization_is_logged_by_right_and_wrong(logged, masked_probes, method, of):
    folder, model, history = logged
    attention_model = AttentionModel(model)
    predictions, _ = attention_model(masked_probes.images)
    heat = attention_model.explain(masked_probes.images, method)
    masks = mask_shares(masked_probes.masks, attention_model.layout.grid)
    is_right = np.argmax(predictions, axis=1) == masked_probes.labels
    assert is_right.any()
    scalars = scalars_of(folder / "attention")
    for name, values in localizations(np.reshape(heat, (4, -1)), masks).items():
        tag = f"attention/localization/{name}{of}"
        groups = {"": values.numpy(), "/right": values.numpy()[is_right]}
        if not is_right.all():
            groups["/wrong"] = values.numpy()[~is_right]
        for which, members in groups.items():
            np.testing.assert_allclose(scalars[tag + which][1], members.mean(), rtol=3e-3)
            key = (tag + which).replace("/", "_")
            np.testing.assert_allclose(history[key][1], members.mean(), rtol=3e-3)
        assert np.isnan(scalars[f"{tag}/wrong"][1]) == is_right.all()


def test_the_tab_has_the_same_numbers(logged):
    folder, _, history = logged
    log = read_log(folder)
    for name in ("mass", "auc", "hit"):
        for of, key in (("", ""), ("/affinity", "_affinity")):
            values = log.series(f"localization_{name}{of}").mean(axis=1)[1:]
            expected = history[f"attention_localization_{name}{key}"]
            np.testing.assert_allclose(values, expected, rtol=1e-5)
    of_layers = {
        "head_diversity": log.series("head_diversity").mean(axis=1),
        "non_patch_share": log.series("non_patch_share").mean(axis=(1, 2)),
        "sink_share": log.series("sinks").mean(axis=1),
        "artifact_tokens": log.series("artifact_tokens").max(axis=1),
    }
    for name, values in of_layers.items():
        np.testing.assert_allclose(values[1:], history[f"attention_{name}"], rtol=1e-5)
    assert (of_layers["non_patch_share"] > 0).all()
    for name in ("dead_heads", "duplicate_heads"):
        values = log.series(name)
        assert ((values >= 0) & (values <= 4) & (values == values.round())).all()


def test_no_names_are_promised_without_masks_or_labels(faces, masked_probes, tmp_path):
    for name, options in (
        ("masks", {"masks": masked_probes.masks}),
        ("labels", {"labels": masked_probes.labels}),
    ):
        callback = AttentionRolloutCallback(
            ProbeSet(masked_probes.images, **options), tmp_path / name, attention_tab=False
        )
        model = small_classifier()
        history = model.fit(*faces, epochs=1, verbose=0, callbacks=[callback]).history
        found = {key for key in history if "localization" in key}
        expected = {
            f"attention_localization_{each}{of}" for each in NAMES for of in ("", "_affinity")
        }
        assert found == (expected if name == "masks" else set())
        assert {f"attention_{each}" for each in SCALARS} <= set(history)
        assert np.isfinite([history[key][0] for key in found]).all()


def test_a_collapse_is_counted(faces, masked_probes, tmp_path):
    class Sharpening(keras.callbacks.Callback):
        """Makes queries and keys so large that every row goes to one token."""

        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([300 * weight for weight in self.model.get_weights()])

    callback = AttentionRolloutCallback(masked_probes, tmp_path)
    model = small_classifier()
    callbacks = [Sharpening(), callback]
    history = model.fit(*faces, epochs=1, verbose=0, callbacks=callbacks).history
    assert history["attention_collapsed_layers"] == [2]
    series = scalars_of(tmp_path / "attention")["attention/collapsed_layers"]
    assert series == {-1: 0, 0: 2}
