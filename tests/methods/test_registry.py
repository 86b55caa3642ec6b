"""Each method by its name, held against NumPy in float64 and against its pure function."""

import re

import numpy as np
import pytest
import tensorflow as tf
from support.small_models import small_classifier
from tensorflow import keras
from zoo.blocks import LearnedTokens, Take, classifier, encoder, patches

from keras_attnviz import (
    AttentionModel,
    ProbeSet,
    TokenLayout,
    affinity_refined,
    attention_flow,
    attention_relevance,
    attention_rollout,
    gradient_weighted,
    sink_damping,
)
from keras_attnviz.methods.registry import METHODS, chosen_methods, times_uniform, token_values
from keras_attnviz.monitor.probe_monitor import ProbeMonitor

GRID = (2, 3)


@pytest.fixture(scope="module")
def attention_model():
    """A model of one class token before six patches, two layers of two heads."""
    keras.utils.set_random_seed(8)
    images = keras.Input((16, 24, 3))
    tokens = Take(0)(encoder(LearnedTokens()(patches(images, 8))))
    return AttentionModel(classifier(images, tokens))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).random((3, 16, 24, 3)).astype("float32")


@pytest.fixture(scope="module")
def evidence(attention_model, images):
    return attention_model.evidence(images, methods=list(METHODS), classes=[0, 2, 1])


def grid_of(rows):
    return np.reshape(rows[:, 1:], (-1, *GRID))


def fused(attention):
    return np.mean(np.asarray(attention, np.float64), axis=1)


def expected_of(method, evidence):
    """Returns a method's rows of the class token, from the maps as they are."""
    attentions = evidence.attentions
    pairs = list(zip(attentions, evidence.gradients, strict=True))
    if method == "flow":
        return attention_flow(attentions)
    if method == "rollout":
        return attention_rollout(attentions, query=0)
    if method == "attention":
        return fused(attentions[-1])[:, 0]
    if method == "affinity":
        top = (fused(attentions[-1])[:, 0] + fused(attentions[-2])[:, 0]) / 2
        return affinity_refined(top * ([0] + [1] * 6), list(map(fused, attentions)))
    if method == "corrected_rollout":
        return attention_rollout([damped(attention) for attention in attentions], query=0)
    if method == "value_rollout":
        return attention_rollout(evidence.values, query=0)
    if method == "gradient_rollout":
        return attention_rollout([gradient_weighted(*pair) for pair in pairs], query=0)
    if method == "relevance":
        return attention_relevance(attentions, evidence.gradients, query=0)
    gradients = [np.asarray(each, np.float64) for each in evidence.layer_gradients]
    positive = [np.maximum(each, 0) for each in gradients]
    return np.mean([each.mean(axis=(1, 2)) for each in positive], axis=0)


def damped(attention):
    """Damps what patches receive from patches, image by image, the class token's column not."""
    attention = np.array(attention, np.float64)
    for image in attention:
        received = image[:, 1:, 1:].mean(axis=(0, 1))
        image[:, :, 1:] *= sink_damping(received, limit=2)
    return attention.astype("float32")


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_its_pure_function_of_the_maps(method, attention_model, images, evidence):
    expected = grid_of(expected_of(method, evidence))
    of_evidence = attention_model.layout.to_grid(
        token_values(method, evidence, attention_model.stack, {})
    )
    np.testing.assert_allclose(of_evidence, expected, rtol=1e-4, atol=1e-6)
    assert np.std(expected, axis=(1, 2)).min() > 1e-4
    found = attention_model.explain(images, method, classes=[0, 2, 1])
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_rollout_is_the_method_unless_one_is_named(attention_model, images):
    expected = attention_model.rollout(images, start_layer=-1)
    np.testing.assert_array_equal(attention_model.explain(images, start_layer=-1), expected)


@pytest.mark.one_stack
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("attention", {"layer": 0}),
        ("attention", {"layer": 0, "head": 1}),
        ("affinity", {"top_layers": 1}),
        ("corrected_rollout", {"limit": 1.0}),
        ("corrected_rollout", {"start_layer": 1}),
        ("flow", {"residual": 0.1}),
        ("value_rollout", {"start_layer": -1, "residual": 0.25, "head_fusion": "max"}),
        ("gradient_rollout", {"start_layer": -1, "residual": 0.0}),
        ("relevance", {"start_layer": 1}),
        ("legrad", {"start_layer": 1}),
    ],
)
def test_options_change_the_map(attention_model, images, method, options):
    changed = attention_model.explain(images, method, **options)
    assert np.abs(changed - attention_model.explain(images, method)).max() > 1e-5


def test_affinity_takes_all_layers_where_there_are_fewer(attention_model, images):
    expected = attention_model.explain(images, "affinity", top_layers=2)
    found = attention_model.explain(images, "affinity", top_layers=9)
    np.testing.assert_array_equal(found, expected)


def test_one_layer_and_head_by_hand(attention_model, images, evidence):
    found = attention_model.explain(images, "attention", layer=0, head=1)
    np.testing.assert_allclose(found, grid_of(evidence.attentions[0][:, 1, 0]), rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "options", "kind", "text"),
    [
        ("rolout", {}, ValueError, "`method` must be one of 'rollout', 'attention', 'affinity'"),
        ("relevance", {"residual": 0.5}, TypeError, "of 'relevance' must be among: start_layer"),
        ("attention", {"layer": 2}, ValueError, "`layer` must be an integer in [-2, 2)"),
        ("attention", {"head": 2}, ValueError, "`head` must be None or an integer in [0, 2)"),
        ("attention", {"head": "x"}, TypeError, "`head` must be None or an integer in [0, 2)"),
        ("affinity", {"top_layers": 0}, ValueError, "`top_layers` must be at least 1"),
        ("affinity", {"top_layers": 1.5}, TypeError, "`top_layers` must be an integer of at least"),
        ("corrected_rollout", {"limit": 0.5}, ValueError, "`limit` must be at least 1"),
        ("corrected_rollout", {"limit": "2"}, TypeError, "`limit` must be a number of at least 1"),
        ("legrad", {"start_layer": 5}, ValueError, "`start_layer` must be an integer in [-2, 2)"),
        ("relevance", {"start_layer": 0.5}, TypeError, "`start_layer` must be an integer in"),
        ("flow", {"residual": 1.0}, ValueError, "`residual` must be in [0, 1)"),
        ("value_rollout", {"residual": 1.0}, ValueError, "`residual` must be in [0, 1)"),
    ],
)
def test_bad_options_are_named(attention_model, images, method, options, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        attention_model.explain(images, method, **options)


def test_mixed_heads_need_other_methods_than_values(images):
    from zoo.handwritten import TalkingHeads

    keras.utils.set_random_seed(8)
    inputs = keras.Input((16, 24, 3))
    tokens = TalkingHeads()(patches(inputs, 8))
    model = classifier(inputs, keras.layers.GlobalAveragePooling1D()(tokens))
    attention_model = AttentionModel(model)
    text = "attention maps each of which is multiplied with values. Received, where that can't"
    with pytest.raises(ValueError, match=text):
        attention_model.explain(images, "value_rollout")
    assert np.isfinite(attention_model.explain(images, "relevance")).all()


def test_shares_are_in_times_uniform_and_others_in_times_the_mean():
    layout = TokenLayout(1, (1, 2))
    values = tf.constant([[0.5, 0.1, 0.4], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(times_uniform("rollout", values, layout)[0], [[0.3, 1.2]], rtol=1e-6)
    found = times_uniform("relevance", values, layout)
    np.testing.assert_allclose(found, [[[0.4, 1.6]], [[0, 0]]], rtol=1e-6)
    broken = times_uniform("relevance", tf.constant([[0.0, np.nan, 1.0]]), layout)
    assert np.isnan(broken).any()


@pytest.mark.parametrize(
    ("methods", "kind"),
    [
        ("rollout", TypeError),
        (3, TypeError),
        ((), ValueError),
        (["rollout", "grad_cam"], ValueError),
        ({"rollout": 3}, TypeError),
    ],
)
def test_methods_to_be_logged_are_checked(methods, kind):
    with pytest.raises(kind, match="`methods` must be names of methods, rollout, attention, "):
        chosen_methods(methods)


def test_methods_to_be_logged_keep_order_and_options():
    assert list(chosen_methods(["relevance", "rollout"])) == ["relevance", "rollout"]
    given = {"value_rollout": {"start_layer": -2}, "rollout": {}}
    assert chosen_methods(given) == given
    assert chosen_methods(given)["rollout"] is not given["rollout"]


@pytest.mark.one_stack
def test_a_snapshot_has_the_heatmaps_of_all_methods(faces):
    images, labels = faces
    model = small_classifier()
    probes = ProbeSet(images[[0, 50, 120]], labels=labels[[0, 50, 120]])
    methods = {"affinity": {"top_layers": 1}, "relevance": {}, "rollout": {}}
    options = {"head_fusion": "mean", "discard_ratio": 0.0, "residual": 0.5}
    monitor = ProbeMonitor(
        model,
        probes,
        batch_size=2,
        start_layer=-2,
        rollout_options=options,
        methods=methods,
        explained_class="label",
    )
    snapshot = monitor.snapshot()
    assert list(snapshot.heatmaps) == ["affinity", "relevance", "rollout"]
    np.testing.assert_array_equal(snapshot.first_heatmap, snapshot.heatmaps["affinity"])
    attention_model = monitor.attention_model
    for method, given in (
        ("affinity", {"top_layers": 1}),
        ("relevance", {"classes": probes.labels}),
        ("rollout", {"start_layer": -2}),
    ):
        expected = attention_model.explain(probes.images, method, **given).numpy()
        scale = 37 if method == "rollout" else 1 / expected.mean(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(
            snapshot.heatmaps[method], expected * scale, rtol=1e-3, atol=1e-5
        )
    assert snapshot.without_pattern() == []
