import re
import runpy

import numpy as np
import pytest
import tensorflow as tf
from support.full_pass import in_full
from support.paths import ROOT
from support.tried_family import KNOWN_WARNINGS, Tried
from zoo.table import FAMILIES
from zoo.weights import start_afresh

from keras_attnviz import AttentionModel
from keras_attnviz.capture.graph.fixed_pass import own_variables_of
from keras_attnviz.methods.evidence import GRADIENTS, LAYER_GRADIENTS, VALUES
from keras_attnviz.methods.registry import METHODS, token_values
from keras_attnviz.model_io.calling import all_layers

pytestmark = [pytest.mark.every_stack, *KNOWN_WARNINGS]


def parameters(families):
    """The families that are run on this stack, as parameters of tests."""
    return [
        pytest.param(family, id=f"{family.build}: {family.name}", marks=family.slow * [slow])
        for family in families
        if family.runs_here
    ]


slow = pytest.mark.slow


@pytest.fixture(scope="module", params=parameters(f for f in FAMILIES if not f.error))
def tried(request):
    return Tried(request.param)


def test_finds_the_maps(tried):
    found = [
        (found.kind, found.heads, found.queries, found.keys, found.groups)
        for found in tried.attention_model.maps
    ]
    expected = [
        (maps.kind, maps.heads, maps.queries, maps.keys, maps.groups)
        for maps in tried.family.maps
        for _ in range(maps.count)
    ]
    assert found == expected


def test_finds_the_layout(tried):
    family, layout = tried.family, tried.attention_model.layout
    assert (layout.prefix, layout.grid, layout.suffix) == (
        family.prefix,
        family.patches,
        family.suffix,
    )
    assert sorted(layout.readout) == list(family.readout_tokens())


def test_lists_what_was_left_out(tried):
    left_out = [left.layer for left in tried.attention_model.left_out]
    for part, layer in zip(tried.family.left_out, left_out, strict=True):
        assert part in layer
    assert all(left.reason for left in tried.attention_model.left_out)


def test_predictions_are_the_models_own(tried):
    inputs = tried.inputs()
    predictions, _ = tried.attention_model(inputs)
    # In one graph a model computes in another order; over many pixels that adds up.
    np.testing.assert_allclose(predictions, tried.predictions(inputs), rtol=1e-3, atol=1e-4)


def test_attention_has_the_shapes_of_the_maps_and_rows_of_sum_1(tried):
    _, attentions = tried.attention_model(tried.inputs(count=3))
    assert len(attentions) == len(tried.attention_model.maps)
    for attention, found in zip(attentions, tried.attention_model.maps, strict=True):
        groups = [found.groups] if found.groups > 1 else []
        assert attention.shape == (3, *groups, found.heads, found.queries, found.keys)
        np.testing.assert_allclose(tf.reduce_sum(attention, -1), 1, atol=1e-5)


def test_half_frozen_what_is_kept_equals_a_full_pass_bit_by_bit(tried):
    model, attention_model = tried.model, tried.attention_model
    owners = {id(v): each for each in [model, *all_layers(model)] for v in own_variables_of(each)}
    # Bottom first, as weights stand, which `all_layers` don't.
    layers = list({id(owners[id(v)]): owners[id(v)] for v in model.weights}.values())
    flags = [layer.trainable for layer in layers]

    def measured(evidence):
        found = {f"map/{n}": each for n, each in enumerate(evidence.attentions)}
        rollout = token_values("rollout", evidence, attention_model.stack, {})
        return {"predictions": evidence.predictions, "rollout": rollout, **found}

    try:
        for layer in layers[: len(layers) // 2]:
            layer.trainable = False
        batch = (attention_model.signature.flatten(tried.inputs(), name="images"), [-1, -1])
        fixed = attention_model.fixed_pass(measured, [batch], methods=["rollout"])
        found = [fixed()[0]]
        kept = model.get_weights()
        for variable in {id(v): v for v in model.trainable_variables}.values():
            variable.assign(1.1 * variable)
        found.append(fixed()[0])
        (expected,) = in_full(fixed)
        assert fixed.share < 1
        for name, values in found[1].items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
        difference = np.abs(found[1]["predictions"] - found[0]["predictions"]).max()
        assert difference > 0
    finally:
        model.set_weights(kept)
        for layer, flag in zip(layers, flags, strict=True):
            layer.trainable = flag


def test_heatmaps_are_shares_of_the_patches(tried):
    heatmaps = tried.attention_model.rollout(tried.inputs()).numpy()
    assert heatmaps.dtype == np.float32
    assert heatmaps.shape == (2, *tried.family.heatmap)
    assert np.isfinite(heatmaps).all()
    assert (heatmaps >= 0).all()
    sums = heatmaps.reshape(2, -1).sum(axis=1)
    if tried.family.prefix or tried.family.suffix:
        assert (sums > 0.01).all()
        assert (sums < 1 + 1e-5).all()
    else:
        np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_heatmaps_differ_between_images_and_between_patches(tried):
    heatmaps = tried.attention_model.rollout(tried.inputs()).numpy()
    assert np.abs(heatmaps[0] - heatmaps[1]).max() > 1e-4
    values = heatmaps.reshape(2, -1)
    assert (values.max(axis=1) > 1.05 * values.min(axis=1)).all()


def test_two_images_at_once_are_as_one_by_one(tried):
    inputs = tried.inputs()
    together = tried.attention_model.rollout(inputs).numpy()
    for index in range(2):
        one = tf.nest.map_structure(lambda array, at=index: array[at : at + 1], inputs)
        alone = tried.attention_model.rollout(one).numpy()
        np.testing.assert_allclose(together[index : index + 1], alone, rtol=1e-4, atol=1e-6)
        if not tried.family.mixes_batch:
            predictions, _ = tried.attention_model(inputs)
            expected, _ = tried.attention_model(one)
            np.testing.assert_allclose(
                predictions[index : index + 1], expected, rtol=1e-4, atol=1e-5
            )


def test_token_maps_have_one_row_for_each_token(tried):
    _, attentions = tried.attention_model(tried.inputs())
    tokens = tried.attention_model.layout.tokens
    for placed, found in zip(
        tried.attention_model.token_maps(attentions), tried.attention_model.maps, strict=True
    ):
        rows = found.queries if found.kind == "pooling" else tokens
        assert placed.shape == (2, rows, tokens)
        np.testing.assert_allclose(tf.reduce_sum(placed, -1), 1, atol=1e-5)


# Heads that are mixed before the product with the values, and a softmax over tokens that is one.
WITHOUT_VALUES = ("cait.cait", "hierarchical.compact")


@pytest.mark.one_stack
def test_every_method_explains(tried):
    model, inputs = tried.attention_model, tried.inputs()
    predictions = tried.predictions(inputs)
    missing = {}
    if tried.family.build in WITHOUT_VALUES:
        missing[VALUES] = "is multiplied with values"
    if predictions.ndim != 2 or tried.family.mixes_batch:
        missing[GRADIENTS] = missing[LAYER_GRADIENTS] = "a model that gives class scores"
    # Flow is for a few tokens, see test_methods.
    needs = {name: set(method.needs) for name, method in METHODS.items() if name != "flow"}
    for need, text in missing.items():
        with pytest.raises(ValueError, match=text):
            model.evidence(inputs, methods=[name for name in needs if need in needs[name]])
    methods = [name for name in needs if not needs[name] & set(missing)]
    evidence = model.evidence(inputs, methods=methods)
    np.testing.assert_allclose(evidence.predictions, predictions, rtol=1e-3, atol=1e-4)
    for method in methods:
        heatmaps = model.layout.to_grid(token_values(method, evidence, model.stack, {})).numpy()
        assert heatmaps.shape == (2, *tried.family.patches)
        assert np.isfinite(heatmaps).all()
        assert (heatmaps >= 0).all()
        # Of LeGrad nothing is left where all gradients are negative, as can be in two layers.
        is_seen = np.ptp(heatmaps, axis=(1, 2)) > 0
        assert is_seen.any() if LAYER_GRADIENTS in needs[method] else is_seen.all()


def test_summary_names_every_layer(tried):
    lines = []
    tried.attention_model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for found in tried.attention_model.maps:
        assert found.layer in text
        assert found.kind in text
    for left in tried.attention_model.left_out:
        assert left.layer in text
        assert left.reason in text


FRESH = ("vit_keras_models.vit", "plain.class_token_first", "hierarchical.pvt", "cait.cait")


@pytest.mark.parametrize("family", parameters(f for f in FAMILIES if f.build in FRESH))
def test_finds_the_maps_before_training_too(family):
    model = start_afresh(family.model(), image_shape=family.image_shape)
    attention_model = AttentionModel(model, **family.options)
    assert attention_model.left_out == ()
    assert len(attention_model.maps) == sum(maps.count for maps in family.maps)


@pytest.mark.parametrize("family", parameters(f for f in FAMILIES if f.error))
def test_says_what_can_not_be_done(family):
    model = family.model()
    with pytest.raises(ValueError, match=family.error):
        AttentionModel(model, **family.options)


def test_the_page_on_models_is_the_table():
    generate = runpy.run_path(str(ROOT / "docs" / "models_table.py"))["with_tables"]
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert page == generate(page)
    for family in FAMILIES:
        assert re.search(rf"^\| {re.escape(family.name)} \|", page, flags=re.MULTILINE)
