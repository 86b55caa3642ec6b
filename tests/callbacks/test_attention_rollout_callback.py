import functools
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from support.event_files import images_of, scalars_of, starts_of
from support.paths import TESTS
from support.small_models import KERAS_3, small_classifier, small_vit
from tensorflow import keras

from keras_attnviz import (
    AttentionModel,
    AttentionRolloutCallback,
    ProbeSet,
    TokenLayout,
    deletion_auc,
    insertion_auc,
    perturbation_auc,
    read_log,
)
from keras_attnviz.drawing import render
from keras_attnviz.metrics.attention import attention_entropy, jensen_shannon_divergence
from keras_attnviz.monitor import scalars as scalar_table

pytestmark = pytest.mark.every_stack

LAYER_TAGS = [f"attention/entropy/layer_{layer}" for layer in range(3)]
DRIFT, CHANGE = "attention/drift_from_baseline", "attention/drift_from_last"
AGREEMENT = "attention/agreement/affinity"
SCALARS = [scalar.name for scalar in scalar_table.HEALTH]
HEALTH = [f"attention/{name}" for name in SCALARS]


@pytest.fixture(scope="module")
def probes(faces):
    images, labels = faces
    chosen = [0, 7, 100, 107]
    return ProbeSet(images[chosen], labels=labels[chosen], class_names=["face", "other"])


def fit(faces, log_dir, probes, *, epochs=3, model=None, callbacks=(), initial_epoch=0, **options):
    """Returns the callback and the history of a short fit."""
    callback = AttentionRolloutCallback(probes, log_dir, **options)
    model = model or small_classifier()
    history = model.fit(
        *faces,
        epochs=epochs,
        initial_epoch=initial_epoch,
        verbose=0,
        callbacks=[callback, *callbacks],
    )
    return callback, history.history


@pytest.fixture(scope="module")
def learned(faces, probes, tmp_path_factory):
    """A fit that learns, beside Keras' own callback with `update_freq`, and what it left."""
    log_dir = tmp_path_factory.mktemp("logs")
    model = small_classifier(layers=3)
    before = AttentionModel(model)(probes.images)
    board = keras.callbacks.TensorBoard(log_dir, update_freq=2)
    _, history = fit(faces, log_dir, probes, epochs=12, model=model, callbacks=[board])
    return log_dir, model, history, before


def test_the_model_learns_and_every_epoch_is_logged(learned):
    log_dir, _, history, _ = learned
    assert history["accuracy"][-1] > 0.85
    steps = list(range(-1, 12))
    images, scalars = images_of(log_dir / "attention"), scalars_of(log_dir / "attention")
    assert sorted(images) == [f"attention/probe_{index}" for index in range(4)]
    for series in images.values():
        assert list(series) == steps
    overall = ["attention/entropy", DRIFT, CHANGE, AGREEMENT, *HEALTH]
    assert sorted(scalars) == sorted([*overall, *LAYER_TAGS])
    for tag, series in scalars.items():
        assert list(series) == steps, tag
    assert starts_of(log_dir / "attention") == [-1]


def test_the_baseline_is_the_state_before_the_first_step(learned, probes):
    log_dir, _, _, (predictions, attentions) = learned
    scalars = scalars_of(log_dir / "attention")
    for tag, attention in zip(LAYER_TAGS, attentions, strict=True):
        np.testing.assert_allclose(
            scalars[tag][-1], np.mean(attention_entropy(attention)), rtol=1e-5
        )
    assert scalars[DRIFT][-1] == scalars[CHANGE][-1] == 0
    assert scalars[DRIFT][11] > 1e-5
    for index, (_, description) in enumerate(
        series[-1] for _, series in sorted(images_of(log_dir / "attention").items())
    ):
        confidence = np.max(predictions[index])
        assert description.startswith(f"probe_{index}. Step -1, before epoch 1: ")
        assert f" {confidence:.2f} " in description


def test_the_last_epoch_is_the_trained_model(learned, probes):
    log_dir, model, _, (_, first) = learned
    attention_model = AttentionModel(model)
    predictions, attentions = attention_model(probes.images)
    scalars = scalars_of(log_dir / "attention")
    entropies = [float(np.mean(attention_entropy(attention))) for attention in attentions]
    np.testing.assert_allclose([scalars[tag][11] for tag in LAYER_TAGS], entropies, rtol=1e-5)
    np.testing.assert_allclose(scalars["attention/entropy"][11], np.mean(entropies), rtol=1e-5)
    maps = [np.reshape(attention_model.heatmap(maps), (4, -1)) for maps in (attentions, first)]
    drift = np.mean(jensen_shannon_divergence(*maps))
    np.testing.assert_allclose(scalars[DRIFT][11], drift, rtol=1e-3, atol=1e-7)
    label = ["face", "other"][int(np.argmax(predictions[2]))]
    assert (
        f"after epoch 12: {label}" in images_of(log_dir / "attention")["attention/probe_2"][11][1]
    )


def test_pictures_show_probe_and_rollout_on_one_scale(learned, probes):
    log_dir, model, _, _ = learned
    heatmaps = AttentionModel(model).rollout(probes.images).numpy() * 37
    for index in range(4):
        panel, _ = images_of(log_dir / "attention")[f"attention/probe_{index}"][11]
        picture = render.enlarged(probes.display[index])
        np.testing.assert_array_equal(panel[50:274, :224], picture)
        expected = render.overlay(picture, heatmaps[index], limit=4.0)
        difference = np.abs(panel[50:274, 230:].astype(int) - expected)
        assert difference.max() <= 1


def test_scalars_are_in_the_history(learned):
    log_dir, _, history, _ = learned
    scalars = scalars_of(log_dir / "attention")
    for tag, series in scalars.items():
        name = "attention_" + tag.removeprefix("attention/").replace("/", "_")
        np.testing.assert_allclose(history[name], [series[step] for step in range(12)], rtol=1e-6)


def test_keras_tensorboard_callback_is_not_disturbed(learned, faces, tmp_path):
    log_dir, _, _, _ = learned
    beside = scalars_of(log_dir / "train")
    board = keras.callbacks.TensorBoard(tmp_path, update_freq=2)
    small_classifier().fit(*faces, epochs=12, verbose=0, callbacks=[board])
    alone = scalars_of(tmp_path / "train")
    # Keras' callback writes what stands in its logs, ours among it, and nothing else is new.
    new = beside.keys() - alone.keys()
    assert {tag.startswith("epoch_attention_") for tag in new} == {True}
    assert not KERAS_3 or "batch_loss" in alone  # Keras 2 writes none
    for tag, series in alone.items():
        assert list(beside[tag]) == list(series)


class CountedCalls(keras.layers.Layer):
    """Passes its input on and counts how often Python runs through it."""

    calls = 0

    def call(self, inputs):
        type(self).calls += 1
        return inputs


@pytest.mark.parametrize(("self_check", "calls"), [(False, 1), (True, 2)])
def test_the_model_is_traced_once_for_a_whole_fit(faces, probes, tmp_path, self_check, calls):
    def calls_in_fit(callbacks):
        model = keras.Sequential([small_vit(), CountedCalls(), keras.layers.Dense(2, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        CountedCalls.calls = 0
        model.fit(*faces, epochs=4, verbose=0, callbacks=callbacks)
        return CountedCalls.calls

    alone = calls_in_fit([])
    callback = AttentionRolloutCallback(probes, tmp_path, batch_size=3, self_check=self_check)
    assert calls_in_fit([callback]) == alone + calls


@pytest.mark.one_stack
def test_the_probe_pass_is_traced_once_for_a_whole_fit(faces, probes, tmp_path):
    class CountedLayout(TokenLayout):
        def to_grid(self, values):
            traces.append(values)
            return super().to_grid(values)

    # Batches of 3 and of 1, in four epochs and at the baseline; each method has its heatmap.
    traces, layout = [], CountedLayout(1, (6, 6), (0,))
    methods = ("rollout", "affinity", "relevance")
    fit(faces, tmp_path, probes, epochs=4, batch_size=3, layout=layout, methods=methods)
    assert len(traces) == 3


def test_training_is_the_same_with_and_without(faces, probes, tmp_path):
    def trained(callbacks):
        keras.utils.set_random_seed(3)
        model = small_classifier()
        model.fit(*faces, epochs=2, verbose=0, callbacks=callbacks)
        return model.get_weights()

    with_callback = trained([AttentionRolloutCallback(probes, tmp_path)])
    for ours, plain in zip(with_callback, trained([]), strict=True):
        np.testing.assert_array_equal(ours, plain)


@pytest.mark.one_stack
def test_every_epochs_and_the_last(faces, probes, tmp_path):
    _, history = fit(faces, tmp_path, probes, epochs=5, every_epochs=2)
    scalars = scalars_of(tmp_path / "attention")
    assert list(scalars[DRIFT]) == list(scalars[CHANGE]) == [-1, 1, 3, 4]
    # Between them the last logged values are repeated.
    for tag in (DRIFT, CHANGE, "attention/entropy"):
        logged = [scalars[tag][step] for step in (-1, 1, 1, 3, 4)]
        name = "attention_" + tag.removeprefix("attention/")
        np.testing.assert_allclose(history[name], logged, rtol=1e-6)


@pytest.mark.one_stack
def test_the_last_epoch_is_logged_when_training_stops_early(faces, probes, tmp_path):
    class Stopping(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1
            self.trained = self.model.get_weights()

        def on_train_end(self, logs=None):
            # As EarlyStopping restores the best weights.
            self.model.set_weights([weight * 0 for weight in self.trained])

    for name, is_first in (("before", True), ("after", False)):
        callback = AttentionRolloutCallback(probes, tmp_path / name, every_epochs=10)
        stopping, model = Stopping(), small_classifier()
        callbacks = [stopping, callback] if is_first else [callback, stopping]
        model.fit(*faces, epochs=10, verbose=0, callbacks=callbacks)
        series = scalars_of(tmp_path / name / "attention")
        assert list(series[DRIFT]) == [-1, 1]
        model.set_weights(stopping.trained)
        _, attentions = AttentionModel(model)(probes.images)
        expected = np.mean(attention_entropy(attentions[0]))
        np.testing.assert_allclose(series[LAYER_TAGS[0]][1], expected, rtol=1e-5)


@pytest.mark.one_stack
def test_drift_from_last_is_measured_against_the_last_logged_epoch(faces, probes, tmp_path):
    model = small_classifier()
    maps = [np.reshape(AttentionModel(model).rollout(probes.images), (4, -1))]
    for epoch in range(2):
        fit(faces, tmp_path / str(epoch), probes, epochs=1, model=model)
        maps.append(np.reshape(AttentionModel(model).rollout(probes.images), (4, -1)))
    # The same two epochs in one fit.
    callback, _ = fit(faces, tmp_path / "both", probes, epochs=1)
    callback.model.set_weights(model.get_weights())
    callback.on_epoch_end(1, {})
    callback.on_train_end()
    series = scalars_of(tmp_path / "both" / "attention")
    expected = np.mean(jensen_shannon_divergence(maps[2], maps[1]))
    from_baseline = np.mean(jensen_shannon_divergence(maps[2], maps[0]))
    np.testing.assert_allclose(series[CHANGE][1], expected, rtol=0.05)
    np.testing.assert_allclose(series[DRIFT][1], from_baseline, rtol=0.05)
    assert abs(expected - from_baseline) > 0.1 * from_baseline


@pytest.mark.one_stack
def test_layers_can_be_kept_out_of_the_logs(faces, probes, tmp_path):
    model = small_classifier(layers=3)
    _, history = fit(faces, tmp_path, probes, epochs=1, model=model, per_layer_logs=False)
    ours = [name for name in history if name.startswith("attention")]
    assert ours == [
        "attention_entropy",
        "attention_drift_from_baseline",
        "attention_drift_from_last",
        "attention_agreement_affinity",
        *(f"attention_{name}" for name in SCALARS),
    ]
    assert set(LAYER_TAGS) < set(scalars_of(tmp_path / "attention"))


def test_a_second_phase_goes_on_in_the_same_log(faces, probes, tmp_path):
    model = small_classifier()
    model.layers[0].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback, _ = fit(faces, tmp_path, probes, epochs=2, model=model)
    model.layers[0].trainable = True
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(*faces, initial_epoch=2, epochs=4, verbose=0, callbacks=[callback])
    series = scalars_of(tmp_path / "attention")
    assert list(series[DRIFT]) == [-1, 0, 1, 2, 3]
    # Frozen: nothing moves. Then it does, away from the one baseline.
    assert series[DRIFT][1] == 0
    assert series[DRIFT][3] > series[DRIFT][1]
    assert starts_of(tmp_path / "attention") == [-1, 2]


@pytest.mark.one_stack
def test_what_changes_between_two_phases_counts_as_drift(faces, probes, tmp_path):
    model = small_classifier()
    callback, _ = fit(faces, tmp_path, probes, epochs=1, model=model)
    model.set_weights([2 * weight for weight in model.get_weights()])
    # Training itself changes nothing.
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    model.fit(*faces, initial_epoch=1, epochs=2, verbose=0, callbacks=[callback])
    assert scalars_of(tmp_path / "attention")[CHANGE][1] > 1e-4


@pytest.mark.one_stack
def test_a_new_callback_goes_on_in_a_log_with_its_baseline(faces, probes, tmp_path):
    model = small_classifier()
    fit(faces, tmp_path, probes, epochs=2, model=model)
    _, history = fit(faces, tmp_path, probes, initial_epoch=2, model=model)
    series, log = scalars_of(tmp_path / "attention"), read_log(tmp_path)
    assert starts_of(tmp_path / "attention") == [-1, 2]
    for tag in ("attention/entropy", DRIFT, CHANGE):
        assert list(series[tag]) == [-1, 0, 1, 2]
    assert log.steps.tolist() == [-1, 0, 1, 2]
    heat = log.heatmaps().reshape(4, 4, -1)
    for tag, reference in ((DRIFT, 0), (CHANGE, 2)):
        expected = np.mean(jensen_shannon_divergence(heat[3], heat[reference]))
        assert expected > 0
        # The log's heatmaps are quantized.
        np.testing.assert_allclose(series[tag][2], expected, rtol=0.05, atol=1e-5)
    assert history["attention_drift_from_baseline"] == pytest.approx([series[DRIFT][2]])
    charted = log.series("drift").mean(axis=1)
    np.testing.assert_allclose(charted, list(series[DRIFT].values()), rtol=1e-4, atol=1e-7)
    assert np.isfinite(log.series("layer_drift")[3]).all()


@pytest.mark.one_stack
def test_what_a_killed_training_did_not_come_to_log_is_made_up_for(faces, probes, tmp_path):
    model = small_classifier()
    fit(faces, tmp_path, probes, epochs=2, model=model)
    model.fit(*faces, initial_epoch=2, epochs=3, verbose=0)
    callback = AttentionRolloutCallback(probes, tmp_path)
    expected = AttentionModel(model).rollout(probes.images).numpy() * 37
    model.fit(*faces, initial_epoch=3, epochs=4, verbose=0, callbacks=[callback])
    log = read_log(tmp_path)
    assert log.steps.tolist() == [-1, 0, 1, 2, 3]
    assert (np.abs(log.heatmaps()[3] - expected) < expected.max() / 200).all()
    _, description = images_of(tmp_path / "attention")["attention/probe_0"][2]
    assert description  # TensorBoard keeps the one written first.


@pytest.mark.one_stack
def test_other_options_go_on_without_the_baseline(faces, probes, tmp_path):
    model = small_classifier()
    fit(faces, tmp_path, probes, epochs=1, model=model)
    callback = AttentionRolloutCallback(probes, tmp_path, start_layer=-1)
    options = {"initial_epoch": 1, "epochs": 2, "verbose": 0, "callbacks": [callback]}
    with pytest.warns(RuntimeWarning, match="of another model or of other options"):
        history = model.fit(*faces, **options).history
    assert np.isnan(history["attention_drift_from_baseline"]).all()
    assert list(scalars_of(tmp_path / "attention")[DRIFT]) == [-1, 0]


@pytest.mark.one_stack
def test_other_probes_are_refused_in_a_log(faces, probes, tmp_path):
    model = small_classifier()
    fit(faces, tmp_path, probes, epochs=1, model=model)
    before = model.get_weights()
    others = ProbeSet(np.float32(probes.images * 0.999))
    with pytest.raises(ValueError, match=r"`probes` must be the images that the log in .* started"):
        fit(faces, tmp_path, others, epochs=2, initial_epoch=1, model=model)
    for pair in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(*pair)
    # From the first epoch on it is a new log.
    fit(faces, tmp_path, others, epochs=1, model=model)


@pytest.mark.one_stack
def test_another_model_gets_a_baseline_of_its_own(faces, probes, tmp_path):
    callback, _ = fit(faces, tmp_path / "logs", probes, epochs=1)
    callback.log_dir = str(tmp_path / "other")
    other = small_classifier(patch_size=8)
    other.fit(*faces, initial_epoch=1, epochs=2, verbose=0, callbacks=[callback])
    assert list(scalars_of(tmp_path / "other" / "attention")[DRIFT]) == [0, 1]


@pytest.mark.one_stack
def test_a_removed_log_is_told_and_begun_anew(faces, probes, tmp_path):
    class Removing(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.rmtree(tmp_path / "logs")

    with pytest.warns(RuntimeWarning) as caught:
        fit(faces, tmp_path / "logs", probes, epochs=3, callbacks=[Removing()])
    texts = [str(warning.message) for warning in caught]
    assert any("The attention at step 1 could not be" in t and "was removed" in t for t in texts)
    assert any("missing steps: 1." in text for text in texts)
    assert list(scalars_of(tmp_path / "logs" / "attention")[DRIFT]) == [2]


@pytest.mark.one_stack
def test_a_diverged_model_is_not_called_right(faces, probes, tmp_path):
    class Diverging(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights = [weight * np.nan for weight in self.model.get_weights()]
            self.model.set_weights(weights)

    callback = AttentionRolloutCallback(probes, tmp_path, color_scale="image")
    callbacks = [Diverging(), callback]
    model = small_classifier()
    with pytest.warns(RuntimeWarning) as warned:
        history = model.fit(*faces, epochs=2, verbose=0, callbacks=callbacks).history
    told = [str(warning.message) for warning in warned]
    # Once a method, not at each epoch.
    assert len(told) == 2
    for text, method in zip(told, ("rollout", "affinity"), strict=True):
        assert text.startswith(f"The heatmaps by '{method}' of these probes show nothing")
        assert "probe_0, probe_1, probe_2, probe_3. They are logged as they are" in text
    for series in images_of(tmp_path / "attention").values():
        assert series[0][1].endswith("after epoch 1: the model's output is not a number.")
    assert np.isnan(history["attention_entropy"]).all()


@pytest.mark.one_stack
def test_methods_and_the_class_that_they_explain(faces, probes, tmp_path):
    methods = {"relevance": {}, "value_rollout": {"start_layer": -1}}
    callback, history = fit(
        faces, tmp_path, probes, epochs=1, methods=methods, explained_class="label"
    )
    log = read_log(tmp_path)
    assert log.setup["methods"] == ["relevance", "value_rollout"]
    assert log.setup["method_titles"]["value_rollout"] == "Value-weighted rollout"
    model = AttentionModel(callback.model)
    expected = np.array(model.explain(probes.images, "relevance", classes=probes.labels))
    expected /= expected.mean(axis=(1, 2), keepdims=True)
    bound = expected.max(axis=(1, 2), keepdims=True) / 200
    assert (np.abs(log.heatmaps("relevance")[-1] - expected) < bound).all()
    expected = 37 * np.asarray(model.explain(probes.images, "value_rollout", start_layer=-1))
    bound = expected.max(axis=(1, 2), keepdims=True) / 200
    assert (np.abs(log.heatmaps("value_rollout")[-1] - expected) < bound).all()
    agreement = scalars_of(tmp_path / "attention")["attention/agreement/value_rollout"][0]
    assert -1 <= agreement <= 1
    np.testing.assert_allclose(history["attention_agreement_value_rollout"], agreement, rtol=1e-6)


@pytest.mark.one_stack
def test_faithfulness_is_measured_every_so_many_epochs(faces, probes, tmp_path):
    callback, history = fit(faces, tmp_path, probes, faithfulness_every_epochs=2, epochs=3)
    scalars = scalars_of(tmp_path / "attention")
    model = callback.model

    def predict(images):
        return model(images, training=False)

    expected = {
        "deletion": deletion_auc,
        "insertion": insertion_auc,
        "positive_perturbation": perturbation_auc,
        "negative_perturbation": functools.partial(perturbation_auc, lowest_first=True),
    }
    for method in ("rollout", "affinity"):
        for figure in expected:
            series = scalars[f"attention/faithfulness/{figure}/{method}"]
            assert sorted(series) == [-1, 1]
            logged = history[f"attention_faithfulness_{figure}_{method}"]
            np.testing.assert_allclose(logged, [series[-1], series[1], series[1]], rtol=1e-6)
    # The same figures, from the trained model; the last epoch's heatmaps are its own.
    _, history = fit(
        faces, tmp_path / "again", probes, faithfulness_every_epochs=1, epochs=1, model=model
    )
    heat = AttentionModel(model).explain(probes.images, "affinity")
    classes = np.argmax(predict(probes.images), axis=1)
    for figure, measure in expected.items():
        step = {} if "perturbation" in figure else {"step": 2}
        mean = np.mean(measure(predict, probes.images, heat, classes, **step))
        found = history[f"attention_faithfulness_{figure}_affinity"][-1]
        np.testing.assert_allclose(found, mean, rtol=1e-3, atol=1e-4)


def test_baseline_follows_a_callback_that_restores_weights(faces, probes, tmp_path):
    class Restoring(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.set_weights([0.5 * weight for weight in self.model.get_weights()])

    model = small_classifier()
    halved = small_classifier()
    halved.set_weights([0.5 * weight for weight in model.get_weights()])
    fit(faces, tmp_path, probes, epochs=1, model=model, callbacks=[Restoring()])
    _, attentions = AttentionModel(halved)(probes.images)
    expected = np.mean(attention_entropy(attentions[0]))
    found = scalars_of(tmp_path / "attention")[LAYER_TAGS[0]][-1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.one_stack
def test_early_stopping_can_follow_attention(faces, probes, tmp_path):
    stopping = keras.callbacks.EarlyStopping("attention_entropy", mode="max", min_delta=1.0)
    _, history = fit(faces, tmp_path, probes, epochs=5, callbacks=[stopping])
    assert len(history["loss"]) == 2


@pytest.mark.one_stack
def test_an_array_of_images_will_do(faces, tmp_path):
    fit(faces, tmp_path, faces[0][:1], epochs=1)
    descriptions = images_of(tmp_path / "attention")["attention/probe_0"]
    assert "class " in descriptions[0][1]


@pytest.mark.one_stack
def test_the_batch_size_changes_nothing(faces, probes, tmp_path):
    sizes = (1, 3, 8)
    others = [AttentionRolloutCallback(probes, tmp_path / str(n), batch_size=n) for n in sizes[1:]]
    fit(faces, tmp_path / "1", probes, epochs=1, batch_size=1, callbacks=others)
    runs = [scalars_of(tmp_path / str(size) / "attention") for size in sizes]
    for other in runs[1:]:
        assert other.keys() == runs[0].keys()
        for tag, series in runs[0].items():
            np.testing.assert_allclose(
                list(other[tag].values()), list(series.values()), rtol=1e-3, atol=1e-6
            )


@pytest.mark.one_stack
def test_one_color_scale_or_one_for_each_picture(faces, probes, tmp_path):
    fit(faces, tmp_path, probes, epochs=1, color_scale="image", opacity=1.0, color_map="gray")
    for series in images_of(tmp_path / "attention").values():
        for panel, _ in series.values():
            assert panel[50:274, 230:].max() >= 253


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"every_epochs": 0}, ValueError, r"`every_epochs` must be at least 1"),
        ({"every_epochs": 1.5}, TypeError, r"`every_epochs` must be an integer"),
        ({"batch_size": 0}, ValueError, r"`batch_size` must be at least 1"),
        ({"head_fusion": "sum"}, ValueError, r"`head_fusion` must be one of"),
        ({"discard_ratio": 1.0}, ValueError, r"`discard_ratio` must be in \[0, 1\)"),
        ({"residual": -1.0}, ValueError, r"`residual` must be in \[0, 1\)"),
        ({"methods": ["gradcam"]}, ValueError, r"`methods` must be names of methods, rollout, "),
        ({"methods": "rollout"}, TypeError, r"`methods` must be names of methods, rollout, "),
        ({"explained_class": -2}, ValueError, r"`explained_class` must be 'predicted', 'label', "),
        ({"explained_class": "b"}, ValueError, r"`explained_class` must be 'predicted', 'label', "),
        ({"explained_class": 0.5}, TypeError, r"`explained_class` must be 'predicted', 'label', "),
        ({"explained_class": [0, 1]}, ValueError, r"one index for each probe, at least 0"),
        (
            {"faithfulness_every_epochs": 0},
            ValueError,
            r"`faithfulness_every_epochs` must be at least 1",
        ),
        ({"color_scale": "log"}, ValueError, r"`color_scale` must be one of 'uniform', 'image'"),
        ({"color_map": "reddish"}, ValueError, r"`color_map` must be"),
        ({"log_dir": None}, TypeError, r"`log_dir` must be the path of a directory"),
    ],
)
def test_bad_arguments_are_refused_at_once(probes, tmp_path, options, error, text):
    with pytest.raises(error, match=text):
        AttentionRolloutCallback(probes, **{"log_dir": tmp_path, **options})
    assert list(tmp_path.iterdir()) == []


def three_classes():
    model = keras.Sequential([small_vit(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def no_attention():
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize(
    ("build", "options", "text"),
    [
        (no_attention, {}, r"`model` must compute attention.*flatten.*\(Flatten\)"),
        (three_classes, {}, r"`probes` must be of 3 classes.*Received: probes=\('face', 'other'\)"),
        (
            lambda: small_classifier(image_size=32),
            {},
            r"`probes` must be of shape \(None, 32, 32, 3\).*Resize the images to that",
        ),
        (small_classifier, {"start_layer": 2}, r"`start_layer` must be an integer in \[-2, 2\)"),
        (small_classifier, {"layers": ["conv"]}, r"`layers` must be"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    faces, probes, tmp_path, build, options, text
):
    model = build()
    size = (model.input_shape or (None, 24))[1] if model.built else 24
    images = np.zeros((4, size, size, 3), np.float32)
    trained = []
    watcher = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_: trained.append(1))
    callback = AttentionRolloutCallback(probes, tmp_path, **options)
    with pytest.raises(ValueError, match=text):
        model.fit(images, np.zeros(4), verbose=0, callbacks=[callback, watcher])
    assert trained == []


@pytest.mark.one_stack
def test_labels_beyond_the_outputs_are_refused(faces, tmp_path):
    probes = ProbeSet(faces[0][:2], labels=[0, 7])
    with pytest.raises(ValueError, match=r"`probes` must be of 2 classes.*\[0, 7\]"):
        fit(faces, tmp_path, probes)


@pytest.mark.one_stack
def test_a_log_directory_that_cannot_be_written(faces, probes, tmp_path):
    (tmp_path / "logs").write_text("a file")
    trained = []
    watcher = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_: trained.append(1))
    with pytest.raises(
        ValueError, match=r"`log_dir` must be a directory that can be written.*logs"
    ):
        fit(faces, tmp_path / "logs", probes, callbacks=[watcher])
    assert trained == []


FULL_DISK = """
    import pathlib, resource, signal, sys, warnings
    sys.path.insert(0, {tests!r})
    import numpy as np
    from support.small_models import small_classifier
    from tensorflow import keras
    from keras_attnviz import AttentionRolloutCallback

    # The kernel refuses to let any file of this process grow beyond the limit.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    logs = pathlib.Path({logs!r})
    def fill(epoch, _):
        if epoch == 1:
            limit(1000)
        if epoch == 3:
            limit(resource.RLIM_INFINITY)

    images = np.linspace(0, 1, 8 * 24 * 24 * 3, dtype="float32").reshape(8, 24, 24, 3)
    watcher = keras.callbacks.LambdaCallback(on_epoch_begin=fill)
    callback = AttentionRolloutCallback(images[:2], logs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = small_classifier().fit(
            images, np.arange(8) % 2, epochs=5, verbose=0, callbacks=[watcher, callback]
        )
    print("epochs", len(history.history["loss"]))
    print("entropies", np.isfinite(history.history["attention_entropy"]).tolist())
    for warning in caught:
        if "attention" in str(warning.message):
            print("warning", warning.message)
"""


@pytest.mark.one_stack
def test_a_full_disk_does_not_end_training(tmp_path):
    tests = str(TESTS)
    code = textwrap.dedent(FULL_DISK).format(tests=tests, logs=str(tmp_path))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert "epochs 5" in result.stdout, result.stderr
    # The numbers reach Keras all the same.
    assert "entropies [True, True, True, True, True]" in result.stdout
    warnings = [line for line in result.stdout.splitlines() if line.startswith("warning")]
    assert len(warnings) == 2
    assert "The attention at step 1 could not be logged" in warnings[0]
    assert "File too large" in warnings[0]
    assert "is incomplete; missing steps: 1, 2." in warnings[1]
    steps = list(scalars_of(tmp_path / "attention")[DRIFT])
    assert steps == [-1, 0, 3, 4]
