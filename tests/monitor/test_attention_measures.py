"""Oracle: the maps among all tokens, computed head by head in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from zoo import cait, hierarchical, plain, several
from zoo.weights import randomize

from keras_attnviz import AttentionModel
from keras_attnviz.monitor.attention_measures import Measures

pytestmark = pytest.mark.one_stack

OPTIONS = {"start_layer": 0, "head_fusion": "mean", "discard_ratio": 0.0, "residual": 0.5}


class Measured:
    def __init__(self, model, **options):
        self.attention_model = AttentionModel(randomize(model), **options)
        signature = self.attention_model.signature
        self.layout = self.attention_model.layout
        self.size = signature.image_shape[:2]
        self.measures = Measures(
            self.attention_model, image_size=self.size, rollout_options=OPTIONS
        )
        _, self.attentions = self.attention_model(signature.pack(signature.random(2)))
        self.found = self.measures.measured(self.attentions)
        self.patches = slice(
            self.layout.prefix, self.layout.prefix + int(np.prod(self.layout.grid))
        )

    def head_maps(self):
        """Each layer's `[batch, heads, queries, tokens]`, one head after the other."""
        for placement, attention in zip(
            self.attention_model.placements, self.attentions, strict=True
        ):
            heads = range(attention.shape[-3])
            single = [attention[..., head : head + 1, :, :] for head in heads]
            yield placement, np.stack([placement.token_map(a).numpy() for a in single], axis=1)


MODELS = {
    "class token": plain.class_token_first,
    "class token last": plain.class_token_last,
    "all patches": plain.average_pooling,
    "pixel groups": hierarchical.mobilevit,
    "rows and columns": plain.axial,
    "reduced keys": hierarchical.pvt,
    "class attention": cait.cait,
    "pooling": several.learned_query_pooling,
}


@pytest.fixture(scope="module", params=MODELS)
def measured(request):
    return Measured(MODELS[request.param]())


def test_heads_are_the_read_out_rows_of_the_token_maps(measured):
    heads, others = (measured.found[name].numpy() for name in ("heads", "others"))
    expected = []
    for placement, maps in measured.head_maps():
        if placement.is_pooling:
            weights = measured.attention_model.stack.query
        else:
            weights = np.float32(measured.layout.query_weights())
            is_query = placement.query_slots >= 0
            if not (weights * is_query).any():
                weights = np.zeros(len(weights))
                weights[measured.patches] = 1
            weights = weights * is_query
            weights = weights / weights.sum()
        expected.append(np.einsum("q,bhqk->bhk", weights, maps))
    expected = np.concatenate(expected, axis=1)
    tokens = measured.layout.tokens
    np.testing.assert_allclose(heads, expected[..., measured.patches] * tokens, atol=2e-4)
    np.testing.assert_allclose(others, 1 - expected[..., measured.patches].sum(axis=-1), atol=1e-5)


def test_tokens_are_the_rollout_of_every_patch(measured):
    found = measured.found["tokens"].numpy()
    product = np.eye(measured.layout.tokens)[np.newaxis]
    for placement, maps in measured.head_maps():
        if placement.is_pooling:
            continue
        fused = maps.mean(axis=1)
        # A row is normalized after the fusion, which is a mean of rows of sum 1 already.
        identity = np.eye(fused.shape[-1])
        product = (0.5 * identity + 0.5 * fused) @ product
    expected = product[:, measured.patches, measured.patches] * measured.layout.tokens
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_full_maps_are_those_of_the_heads(measured):
    for layer, (placement, maps) in enumerate(measured.head_maps()):
        found = measured.measures.full(measured.attentions, layer).numpy()
        if placement.is_pooling:
            assert not found.any()
            continue
        is_query = (placement.query_slots >= 0)[measured.patches]
        expected = maps[:, :, measured.patches, measured.patches] * measured.layout.tokens
        np.testing.assert_allclose(found, expected * is_query[:, np.newaxis], atol=2e-4)


def test_distances_are_those_between_the_centers_of_patches(measured):
    found = measured.found["distance"].numpy()
    grid = measured.layout.grid
    centers = np.stack(np.indices(grid).reshape(2, -1), axis=1) * [
        size / side for size, side in zip(measured.size, grid, strict=True)
    ]
    expected = []
    for placement, maps in measured.head_maps():
        if placement.is_pooling or not _is_plain(placement, measured):
            expected.append(np.full(maps.shape[:2], np.nan))
            continue
        between = np.linalg.norm(centers[:, np.newaxis] - centers, axis=-1)
        rows = maps[:, :, measured.patches, measured.patches]
        expected.append((rows * between).sum(-1).__truediv__(rows.sum(-1)).mean(-1))
    expected = np.concatenate(expected, axis=1)
    assert found.shape == expected.shape
    known = np.isfinite(expected)
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-4)


def _is_plain(placement, measured):
    """One patch a slot, on both sides, and every patch a query."""
    of_patches = [slots[measured.patches] for slots in (placement.query_slots, placement.key_slots)]
    return all((s >= 0).all() and len(set(s.tolist())) == len(s) for s in of_patches)


def test_entropy_is_that_of_each_head(measured):
    found = measured.found["entropy"].numpy()
    expected = []
    for attention in measured.attentions:
        values = attention.numpy().astype(float)
        values = values if values.ndim == 5 else values[:, np.newaxis]
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(values > 0, -values * np.log(values), 0)
        expected.append(terms.sum(-1).mean(axis=(1, 3)) / np.log(values.shape[-1]))
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-4)


def test_received_is_what_the_patches_attend_to(measured):
    pairs = zip(measured.attentions, measured.head_maps(), strict=True)
    for attention, (placement, maps) in pairs:
        found = measured.measures.received(placement, attention)
        np.testing.assert_allclose(tf.reduce_sum(found, axis=-1), 1, rtol=1e-4)
        np.testing.assert_allclose(found, maps_of_patches(measured, placement, maps), atol=1e-5)


def maps_of_patches(measured, placement, maps):
    """The mean row of the patches, `[batch, heads, tokens]`; without any, of all queries."""
    if placement.is_pooling:
        return maps.mean(axis=2)
    weights = np.zeros(measured.layout.tokens)
    weights[measured.patches] = 1
    for candidate in (weights, np.ones(len(weights))):
        chosen = candidate * (placement.query_slots >= 0)
        if chosen.any():
            return np.einsum("q,bhqk->bhk", chosen / chosen.sum(), maps)
    raise AssertionError("no queries")


def test_health_is_that_of_the_heads(measured):
    found = measured.found
    heads = pairs = 0
    for layer, (placement, maps) in enumerate(measured.head_maps()):
        rows = maps_of_patches(measured, placement, maps)
        on_patches = rows[..., measured.patches]
        by_patch = on_patches.mean(axis=1) * measured.layout.tokens
        shares = (by_patch * (by_patch > 10)).sum(-1) / by_patch.sum(-1)
        np.testing.assert_allclose(found["sinks"][:, layer], shares, atol=1e-5)
        np.testing.assert_array_equal(found["artifacts"][:, layer], (by_patch > 10).sum(-1))
        count = maps.shape[1]
        others = found["non_patch"][:, heads : heads + count]
        np.testing.assert_allclose(others, 1 - on_patches.sum(-1), atol=1e-5)
        heads, pairs = heads + count, pairs + count * (count - 1) // 2
    assert found["non_patch"].shape == (2, heads)
    assert found["divergences"].shape == (2, pairs)


def test_heads_are_compared_in_rows_of_all_groups(measured):
    """Oracle: the divergence, in base 2, of the chosen rows of the raw maps."""
    found = measured.found
    expected = []
    for placement, attention in zip(
        measured.attention_model.placements, measured.attentions, strict=True
    ):
        attention = attention.numpy().astype(float)
        attention = attention if attention.ndim == 5 else attention[:, np.newaxis]
        slots = range(placement.groups * placement.queries)
        if not placement.is_pooling:
            slots = sorted(set(placement.query_slots.tolist()) - {-1})
        places = {round(at) for at in np.linspace(0, len(slots) - 1, 8)}
        rows = np.stack(
            [
                attention[:, slots[at] // placement.queries, :, slots[at] % placement.queries]
                for at in sorted(places)
            ],
            axis=2,
        )
        for first in range(rows.shape[1]):
            for second in range(first + 1, rows.shape[1]):
                pair = rows[:, [first, second]]
                middle = pair.mean(axis=1, keepdims=True)
                terms = np.where(pair > 0, pair * np.log2(np.maximum(pair, 1e-30) / middle), 0)
                expected.append(terms.sum(-1).mean(axis=(1, 2)))
    np.testing.assert_allclose(found["divergences"], np.transpose(expected), atol=1e-5)


def test_large_grids_are_pooled():
    measures = Measured(plain.average_pooling()).measures
    assert measures.head_cells.factor == measures.token_cells.factor == 1


def test_all_is_one_graph(measured):
    together = tf.function(measured.measures.measured)(measured.attentions)
    assert set(together) == set(measured.found)
    for name, values in measured.found.items():
        np.testing.assert_allclose(together[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_details_can_be_left_out(measured):
    found = measured.measures.measured(measured.attentions, details=False)
    assert set(measured.found) - set(found) == {"heads", "others", "distance", "tokens"}
    np.testing.assert_array_equal(found["entropy"], measured.found["entropy"])
