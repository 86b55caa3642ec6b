import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import attention_rollout
from keras_attnviz.methods.placement import Placement
from keras_attnviz.methods.rollout import FUSIONS, placed_rollout


def placement(groups, queries, keys, query_slots, key_slots=None):
    key_slots = query_slots if key_slots is None else key_slots
    query_slots = None if query_slots is None else np.array(query_slots)
    return Placement(groups, queries, keys, query_slots, np.array(key_slots))


# Four tokens in two windows of two, shifted by one: tokens 1 and 2, tokens 3 and 0.
SHIFTED = placement(2, 2, 2, [3, 0, 1, 2])
SHIFTED_ATTENTION = np.float32([[[[0.75, 0.25], [0.5, 0.5]]], [[[1, 0], [0.25, 0.75]]]])[np.newaxis]


def test_shifted_windows_by_hand():
    expected = [[0.75, 0, 0, 0.25], [0, 0.75, 0.25, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(SHIFTED.token_map(SHIFTED_ATTENTION)[0], expected)
    once = placed_rollout([SHIFTED_ATTENTION], [SHIFTED], query=[1, 0, 0, 0])
    np.testing.assert_allclose(once, [[0.875, 0, 0, 0.125]])
    # 0.875 of token 0's row and 0.125 of token 3's, which keeps its own.
    twice = placed_rollout([SHIFTED_ATTENTION] * 2, [SHIFTED] * 2, query=[1, 0, 0, 0])
    np.testing.assert_allclose(twice, [[0.765625, 0, 0, 0.234375]])


def test_tokens_share_the_attention_of_their_reduced_key_by_hand():
    reduced = placement(1, 4, 2, [0, 1, 2, 3], [0, 0, 1, 1])
    attention = np.float32([[[[0.6, 0.4], [1, 0], [0, 1], [0.2, 0.8]]]])
    expected = [[0.3, 0.3, 0.2, 0.2], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.1, 0.1, 0.4, 0.4]]
    np.testing.assert_allclose(reduced.token_map(attention)[0], expected, rtol=1e-6)
    row = placed_rollout([attention], [reduced], query=[1, 0, 0, 0])
    np.testing.assert_allclose(row, [[0.65, 0.15, 0.1, 0.1]], rtol=1e-6)


def test_reduced_keys_may_be_pooled_from_unequally_many_tokens():
    reduced = placement(1, 3, 2, [0, 1, 2], [0, 0, 1])
    attention = np.float32([[[[0.6, 0.4]] * 3]])
    np.testing.assert_allclose(reduced.token_map(attention)[0], [[0.3, 0.3, 0.4]] * 3, rtol=1e-6)


def test_tokens_of_a_merged_patch_share_its_row_by_hand():
    merged = placement(1, 2, 2, [0, 0, 1, 1])
    attention = np.float32([[[[0.5, 0.5], [1, 0]]]])
    expected = [[0.25] * 4, [0.25] * 4, [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]]
    np.testing.assert_allclose(merged.token_map(attention)[0], expected)
    # Each token keeps its own half: merging does not mix tokens, attention does.
    row = placed_rollout([attention], [merged], query=[0, 0, 1, 0])
    np.testing.assert_allclose(row, [[0.25, 0.25, 0.5, 0]])
    # Two rows of one slot are one row's weight twice.
    row = placed_rollout([attention], [merged], query=[0.5, 0, 0.25, 0.25])
    np.testing.assert_allclose(row, [[0.25 + 0.0625 + 0.125, 0.0625 + 0.125, 0.1875, 0.1875]])


CLASS_ONLY = placement(1, 1, 3, [0, -1, -1], [0, 1, 2])
PATCHES_ONLY = placement(1, 2, 2, [-1, 0, 1])
CLASS_ATTENTION = np.float32([[[[0.2, 0.3, 0.5]]]])
PATCH_ATTENTION = np.float32([[[[0.5, 0.5], [0, 1]]]])


def test_class_attention_above_patches_without_the_class_token_by_hand():
    expected = [[0.2, 0.3, 0.5], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(CLASS_ONLY.token_map(CLASS_ATTENTION)[0], expected)
    expected = [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(PATCHES_ONLY.token_map(PATCH_ATTENTION)[0], expected)
    stack = [PATCHES_ONLY, CLASS_ONLY]
    row = placed_rollout([PATCH_ATTENTION, CLASS_ATTENTION], stack, query=[1, 0, 0])
    # The class token's 0.6 stays, as there is no class token below.
    np.testing.assert_allclose(row, [[0.6, 0.1125, 0.2875]], rtol=1e-6)


def test_pooling_starts_the_rollout_without_a_residual_by_hand():
    pooling = placement(1, 1, 2, None, [-1, 1, 0])
    assert pooling.is_pooling
    assert not PATCHES_ONLY.is_pooling
    attention = np.float32([[[[0.8, 0.2]]]])
    np.testing.assert_allclose(pooling.token_map(attention), [[[0, 0.2, 0.8]]])
    stack = [PATCHES_ONLY, pooling]
    row = placed_rollout([PATCH_ATTENTION, attention], stack, query=[1.0])
    np.testing.assert_allclose(row, [[0, 0.15, 0.05 + 0.8]], rtol=1e-6)


def test_several_pooling_queries_are_weighted():
    pooling = placement(1, 2, 2, None, [0, 1])
    attention = np.float32([[[[0.8, 0.2], [0, 1]]]])
    np.testing.assert_allclose(pooling.token_map(attention), attention[0])
    row = placed_rollout([attention], [pooling], query=[0.25, 0.75])
    np.testing.assert_allclose(row, [[0.2, 0.8]], rtol=1e-6)


def test_keys_of_padding_are_left_out_by_hand():
    # Three tokens in two windows of two; the last slot is padding.
    padded = placement(2, 2, 2, [0, 1, 2])
    attention = np.float32([[[[0.5, 0.5], [0.1, 0.9]]], [[[0.25, 0.75], [0.5, 0.5]]]])[np.newaxis]
    expected = [[0.5, 0.5, 0], [0.1, 0.9, 0], [0, 0, 1]]
    np.testing.assert_allclose(padded.token_map(attention)[0], expected)
    row = placed_rollout([attention], [padded], query=[0, 0.5, 0.5])
    np.testing.assert_allclose(row, [[0.025, 0.475, 0.5]], rtol=1e-6)


THREE = placement(1, 3, 3, [0, 1, 2])
EMPTIED = np.float32([[[[0.34, 0.33, 0.33], [0.6, 0.4, 0], [0, 0.4, 0.6]]]])


def test_a_row_that_discarding_empties_keeps_its_residual_only_by_hand():
    # Of nine values the five lowest go, all of the first row among them.
    expected = [[0, 0, 0], [0.6, 0.4, 0], [0, 0.4, 0.6]]
    placed = THREE.token_map(EMPTIED, discard_ratio=0.6)
    np.testing.assert_allclose(placed[0], expected, rtol=1e-6)
    row = placed_rollout([EMPTIED], [THREE], query=[0.5, 0.5, 0], discard_ratio=0.6)
    np.testing.assert_allclose(row, [[0.65, 0.35, 0]], rtol=1e-6)
    options = {"discard_ratio": 0.6, "residual": 0}
    row = placed_rollout([EMPTIED], [THREE], query=[0.5, 0.5, 0], **options)
    np.testing.assert_allclose(row, [[0.3, 0.2, 0]], rtol=1e-6)


def test_discarding_compares_all_windows_of_an_image():
    placed = SHIFTED.token_map(SHIFTED_ATTENTION, discard_ratio=0.5).numpy()[0]
    # 1, 0.75 and 0.75 stay, and the first of the two 0.5.
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(placed, expected)


@pytest.mark.parametrize(("start_layer", "count"), [(0, 3), (1, 2), (2, 1), (-1, 1), (-3, 3)])
def test_layers_below_the_start_are_ignored(start_layer, count):
    attentions, placements = [SHIFTED_ATTENTION] * 3, [SHIFTED] * 3
    row = placed_rollout(attentions, placements, query=[1, 0, 0, 0], start_layer=start_layer)
    kept = 0.875**count
    np.testing.assert_allclose(row, [[kept, 0, 0, 1 - kept]], rtol=1e-6)


def random_attention(random, *shape, dtype="float32"):
    exponentials = np.exp(random.normal(0, 2, shape))
    return (exponentials / exponentials.sum(-1, keepdims=True)).astype(dtype)


def everything():
    """A stack of all placements over 2 + 12 + 1 tokens, and shapes of the attention."""
    random = np.random.default_rng(1)
    tokens, patches = 15, np.arange(12)

    def among(slots, prefix=(-1, -1), suffix=(-1,)):
        return [*prefix, *slots, *suffix]

    windows = among(random.permutation(12))
    pooled = among(patches // 4 + 1, (0, -1), (4,))
    merged = among(patches // 2, (-1, -1), (-1,))
    # Three windows of five slots hold twelve patches, so three slots are padding.
    padded = among(random.permutation(15)[:12])
    return [
        (placement(1, tokens, tokens, random.permutation(tokens)), (3, tokens, tokens)),
        (placement(4, 3, 3, windows), (4, 2, 3, 3)),
        (placement(1, tokens, 5, np.arange(tokens), pooled), (2, tokens, 5)),
        (placement(3, 5, 5, padded), (3, 1, 5, 5)),
        (placement(1, 6, 6, merged), (4, 6, 6)),
        (placement(2, 3, 3, merged), (2, 2, 3, 3)),
        (placement(1, 1, 14, among([-1] * 12, (0, -1)), among(patches + 2, (0, 1))), (2, 1, 14)),
    ]


def oracle_map(placed, attention, fusion, ratio):
    """One image's attention among all tokens, token by token, in float64."""
    attention = attention.astype(float)
    attention = attention if attention.ndim == 4 else attention[np.newaxis]
    fused = {"mean": np.mean, "max": np.max, "min": np.min}[fusion](attention, axis=1)
    order = np.argsort(-fused.ravel(), kind="stable")
    kept = np.zeros(fused.size)
    left = fused.size - int(ratio * fused.size)
    kept[order[:left]] = fused.ravel()[order[:left]]
    kept = kept.reshape(fused.shape)
    tokens = len(placed.key_slots)
    result = np.zeros((tokens, tokens))
    for query, slot in enumerate(placed.query_slots):
        if slot < 0:
            result[query, query] = 1
            continue
        group, row = divmod(slot, placed.queries)
        for key, column in enumerate(placed.key_slots):
            if column >= 0 and column // placed.keys == group:
                share = np.sum(placed.key_slots == column)
                result[query, key] = kept[group, row, column % placed.keys] / share
        if result[query].sum() > 0:
            result[query] /= result[query].sum()
    return result


def oracle_row(placements, attentions, query, *, image, fusion, ratio, residual):
    row = np.array(query, float)
    for placed, attention in zip(reversed(placements), reversed(attentions), strict=True):
        matrix = oracle_map(placed, attention[image], fusion, ratio)
        matrix = residual * np.eye(len(matrix)) + (1 - residual) * matrix
        row = row @ (matrix / matrix.sum(axis=1, keepdims=True))
    return row


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.9])
def test_every_kind_equals_the_float64_oracle(fusion, ratio):
    random = np.random.default_rng(2)
    placements, shapes = zip(*everything(), strict=True)
    attentions = [random_attention(random, 3, *shape) for shape in shapes]
    options = {"head_fusion": fusion, "discard_ratio": ratio}
    for placed, attention in zip(placements, attentions, strict=True):
        expected = [oracle_map(placed, image, fusion, ratio) for image in attention]
        np.testing.assert_allclose(
            placed.token_map(attention, **options), expected, rtol=1e-5, atol=1e-7
        )
    query = random.dirichlet(np.ones(15)).tolist()
    rows = placed_rollout(attentions, placements, query=query, residual=0.3, **options)
    expected = [
        oracle_row(
            placements, attentions, query, image=image, fusion=fusion, ratio=ratio, residual=0.3
        )
        for image in range(3)
    ]
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.sum(rows, axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("ratio", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("start_layer", [0, 2, -1])
def test_plain_maps_give_attention_rollout(fusion, ratio, start_layer):
    random = np.random.default_rng(3)
    attentions = [random_attention(random, 2, heads, 7, 7) for heads in (1, 4, 2)]
    options = {"head_fusion": fusion, "discard_ratio": ratio, "residual": 0.25}
    options["start_layer"] = start_layer
    query = [0.5, 0, 0, 0.25, 0.25, 0, 0]
    plain = placement(1, 7, 7, range(7))
    rows = placed_rollout(attentions, [plain] * 3, query=query, **options)
    expected = attention_rollout(attentions, query=query, **options)
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-8)


def test_in_a_function_with_unknown_batch():
    placements, shapes = zip(*everything(), strict=True)
    query = np.full(15, 1 / 15).tolist()

    @tf.function(input_signature=[[tf.TensorSpec([None, *shape]) for shape in shapes]])
    def both(attentions):
        maps = [
            placed.token_map(attention, discard_ratio=0.2)
            for placed, attention in zip(placements, attentions, strict=True)
        ]
        return placed_rollout(attentions, placements, query=query, discard_ratio=0.2), maps

    for count in (1, 4):
        random = np.random.default_rng(count)
        attentions = [tf.constant(random_attention(random, count, *shape)) for shape in shapes]
        rows, maps = both(attentions)
        expected = placed_rollout(attentions, placements, query=query, discard_ratio=0.2)
        np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-8)
        for placed, attention, found in zip(placements, attentions, maps, strict=True):
            np.testing.assert_allclose(found, placed.token_map(attention, discard_ratio=0.2))


def test_half_precision_is_summed_in_single():
    random = np.random.default_rng(4)
    placements, shapes = zip(*everything(), strict=True)
    halves = [random_attention(random, 2, *shape, dtype="float16") for shape in shapes]
    singles = [half.astype(np.float32) for half in halves]
    query = np.full(15, 1 / 15).tolist()
    rows = placed_rollout(halves, placements, query=query)
    assert rows.dtype == tf.float32
    np.testing.assert_allclose(rows, placed_rollout(singles, placements, query=query), rtol=1e-6)
    assert placements[1].token_map(halves[1]).dtype == tf.float32


def test_permuting_images_permutes_rows():
    random = np.random.default_rng(5)
    placements, shapes = zip(*everything(), strict=True)
    attentions = [random_attention(random, 3, *shape) for shape in shapes]
    options = {"query": np.full(15, 1 / 15).tolist(), "discard_ratio": 0.5}
    rows = placed_rollout(attentions, placements, **options).numpy()
    turned = placed_rollout([each[[2, 0, 1]] for each in attentions], placements, **options)
    np.testing.assert_allclose(turned, rows[[2, 0, 1]], rtol=1e-6, atol=1e-8)


def test_attention_to_oneself_leaves_every_token_alone():
    windows = placement(3, 4, 4, np.random.default_rng(6).permutation(12))
    attention = np.tile(np.eye(4, dtype=np.float32), (2, 3, 5, 1, 1))
    np.testing.assert_array_equal(windows.token_map(attention), np.stack([np.eye(12)] * 2))
    query = np.random.default_rng(7).dirichlet(np.ones(12)).tolist()
    rows = placed_rollout([attention] * 2, [windows] * 2, query=query)
    np.testing.assert_allclose(rows, [query] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"residual": 1}, ValueError, r"`residual` must be in \[0, 1\)\. Received: residual=1"),
        ({"residual": "half"}, TypeError, r"`residual` must be a number in \[0, 1\)"),
        ({"start_layer": 1}, ValueError, r"`start_layer` must be .* \[-1, 1\), as there are 1 lay"),
        ({"start_layer": 0.5}, TypeError, r"`start_layer` must be an integer in \[-1, 1\)"),
        ({"head_fusion": "sum"}, ValueError, "`head_fusion` must be one of 'mean', 'max', 'min'"),
        ({"discard_ratio": -0.1}, ValueError, r"`discard_ratio` must be in \[0, 1\)"),
    ],
)
def test_bad_options_are_named(options, error, text):
    with pytest.raises(error, match=text):
        placed_rollout([SHIFTED_ATTENTION], [SHIFTED], query=[1, 0, 0, 0], **options)


def test_several_rows_at_once_are_as_one_by_one():
    rows = np.float32([[1, 0, 0, 0], [0, 0.5, 0.25, 0.25], [0, 0, 0, 1]])
    for attention, place in ((SHIFTED_ATTENTION, SHIFTED), (REDUCED_ATTENTION, REDUCED)):
        layers, places = [attention] * 3, [place] * 3
        together = placed_rollout(layers, places, query=rows)
        single = [placed_rollout(layers, places, query=row)[0] for row in rows]
        np.testing.assert_allclose(together[0], single, atol=1e-6)


REDUCED = placement(1, 4, 2, [0, 1, 2, 3], [0, 0, 1, 1])
REDUCED_ATTENTION = np.float32([[[[0.6, 0.4], [1, 0], [0, 1], [0.2, 0.8]]]])


def test_head_rows_by_hand():
    # Two heads; the second looks at the first key only.
    attention = np.concatenate([REDUCED_ATTENTION, np.float32([[[[1, 0]] * 4]])], axis=1)
    weights = REDUCED.slot_weights([[1, 0, 0, 0], [0, 0.5, 0.5, 0]])
    np.testing.assert_allclose(weights, [[1, 0, 0, 0], [0, 0.5, 0.5, 0]])
    rows = REDUCED.head_rows(weights, attention)
    first = [[0.3, 0.3, 0.2, 0.2], [0.25, 0.25, 0.25, 0.25]]
    np.testing.assert_allclose(rows, [[first, [[0.5, 0.5, 0, 0]] * 2]], rtol=1e-6)


def test_head_rows_of_windows_are_those_of_the_token_map():
    identity = np.eye(4)
    rows = SHIFTED.head_rows(SHIFTED.slot_weights(identity), SHIFTED_ATTENTION)
    assert rows.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(rows[:, 0], SHIFTED.token_map(SHIFTED_ATTENTION), rtol=1e-6)


def test_head_rows_leave_keys_without_a_token_out():
    padded = placement(1, 2, 3, [0, 1], [0, 2])
    rows = padded.head_rows(np.eye(2), np.float32([[[[0.2, 0.5, 0.3], [0.5, 0, 0.5]]]]))
    np.testing.assert_allclose(rows, [[[[0.4, 0.6], [0.5, 0.5]]]], rtol=1e-6)


def test_tokens_that_are_no_queries_have_no_slot_weight():
    weights = CLASS_ONLY.slot_weights([[0.5, 0.25, 0.25], [0, 1, 0]])
    np.testing.assert_allclose(weights, [[0.5], [0]])
    merged = placement(1, 2, 2, [0, 0, 1, 1])
    np.testing.assert_allclose(merged.slot_weights([[0.1, 0.2, 0.3, 0.4]]), [[0.3, 0.7]])
