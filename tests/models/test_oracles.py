"""What the placed maps and the rollout must be, worked out in NumPy from each model's geometry."""

import numpy as np
import pytest
from support.tried_family import KNOWN_WARNINGS, Tried
from zoo.table import FAMILIES

pytestmark = [pytest.mark.every_stack, *KNOWN_WARNINGS]


def family_of(build):
    return next(family for family in FAMILIES if family.build == build)


needs_keras_hub = pytest.mark.skipif(
    not family_of("hub.mit").runs_here, reason="keras-hub needs Keras 3 and Python 3.11"
)


def tried_by(build):
    return Tried(family_of(build))


def fused(attention):
    """Attention of one image, heads averaged: float64 `[groups, queries, keys]`."""
    attention = np.asarray(attention, np.float64)[0]
    attention = attention if attention.ndim == 4 else attention[np.newaxis]
    return attention.mean(axis=1)


def positions(height, width):
    """Row and column of each token, `[height * width]` each."""
    rows, columns = np.divmod(np.arange(height * width), width)
    return rows, columns


def half_residual(attention):
    return (np.eye(len(attention)) + attention) / 2


def check_maps(tried, expected_maps):
    """Holds `token_maps` and the rollout of one image against maps among all tokens."""
    model, inputs = tried.attention_model, tried.inputs(count=1)
    _, attentions = model(inputs)
    expected = [make(fused(item)) for make, item in zip(expected_maps, attentions, strict=True)]
    for placed, oracle in zip(model.token_maps(attentions), expected, strict=True):
        np.testing.assert_allclose(placed[0], oracle, rtol=1e-4, atol=1e-6)
    readout = np.zeros(model.layout.tokens)
    readout[list(model.layout.readout)] = 1 / len(model.layout.readout)
    for oracle in reversed(expected):
        readout = readout @ half_residual(oracle)
    start, count = model.layout.prefix, model.layout.patches
    found = model.rollout(inputs)[0]
    heatmap = readout[start : start + count].reshape(found.shape)
    np.testing.assert_allclose(found, heatmap, rtol=1e-4, atol=1e-6)


def whole(attention):
    return attention[0]


@pytest.mark.parametrize(
    "build", ["plain.class_token_first", "plain.class_token_last", "plain.average_pooling"]
)
def test_rollout_of_plain_models_is_the_product(build):
    check_maps(tried_by(build), [whole] * 2)


def columns_among_themselves(attention):
    rows, columns = positions(4, 3)
    placed = attention[columns[:, np.newaxis], rows[:, np.newaxis], rows]
    return placed * (columns[:, np.newaxis] == columns)


def rows_among_themselves(attention):
    rows, columns = positions(4, 3)
    placed = attention[rows[:, np.newaxis], columns[:, np.newaxis], columns]
    return placed * (rows[:, np.newaxis] == rows)


def test_axial_attention_stays_in_columns_then_in_rows():
    check_maps(tried_by("plain.axial"), [columns_among_themselves, rows_among_themselves] * 2)


def pixel_groups(attention):
    """A pixel's group is its place in its cell of 2 x 2, its slot the cell, on 8 x 6 pixels."""
    rows, columns = positions(8, 6)
    group = rows % 2 * 2 + columns % 2
    cell = rows // 2 * 3 + columns // 2
    placed = attention[group[:, np.newaxis], cell[:, np.newaxis], cell]
    return placed * (group[:, np.newaxis] == group)


def test_mobilevit_attends_from_a_pixel_to_the_same_pixel_of_other_cells():
    check_maps(tried_by("hierarchical.mobilevit"), [pixel_groups] * 2)


def coarse_cells(fine, coarse):
    """For each token of the grid `fine` its token on the grid `coarse`."""
    rows, columns = positions(*fine)
    return rows * coarse[0] // fine[0] * coarse[1] + columns * coarse[1] // fine[1]


def lifted(attention, finest, queries, keys):
    """Attention from tokens of one grid to those of another, among the finest grid's tokens."""
    cells = coarse_cells(finest, keys)
    shares = attention[:, cells] / np.bincount(cells)[cells]
    return shares[coarse_cells(finest, queries)]


def on_grids(finest, queries, keys):
    return lambda attention: lifted(attention[0], finest, queries, keys)


def test_reduced_keys_stand_for_the_patches_that_were_pooled():
    first, second = on_grids((8, 6), (8, 6), (4, 3)), on_grids((8, 6), (4, 3), (4, 3))
    check_maps(tried_by("hierarchical.pvt"), [first, first, second, second])


@needs_keras_hub
@pytest.mark.slow
def test_reduced_keys_of_mit():
    sides = [(16, 4), (16, 4), (8, 4), (4, 4)]
    grids = [on_grids((16, 16), (query, query), (key, key)) for query, key in sides]
    check_maps(tried_by("hub.mit"), grids)


def test_cait_is_self_attention_then_class_attention():
    tried = tried_by("cait.cait")
    inputs = tried.inputs(count=1)
    _, attentions = tried.attention_model(inputs)
    first, second, lower, upper = (fused(attention)[0] for attention in attentions)
    tokens = np.eye(13)[0]
    for class_row in (upper[0], lower[0]):
        asked = tokens[0]
        tokens[0] = 0
        tokens = tokens + asked * (np.eye(13)[0] + class_row) / 2
    patches = tokens[1:] @ half_residual(second) @ half_residual(first)
    heatmap = tried.attention_model.rollout(inputs)[0]
    np.testing.assert_allclose(heatmap, patches.reshape(4, 3), rtol=1e-4, atol=1e-6)


def test_learned_query_starts_the_rollout():
    tried = tried_by("several.learned_query_pooling")
    inputs = tried.inputs(count=1)
    _, attentions = tried.attention_model(inputs)
    first, second, pooling = (fused(attention)[0] for attention in attentions)
    patches = pooling[0] @ half_residual(second) @ half_residual(first)
    heatmap = tried.attention_model.rollout(inputs)[0]
    np.testing.assert_allclose(heatmap, patches.reshape(4, 3), rtol=1e-4, atol=1e-6)


def windows(resolution, size, shift):
    """The tokens of each shifted window, integer `[windows, size * size]`."""
    height, width = resolution
    tokens = np.roll(np.arange(height * width).reshape(resolution), (-shift, -shift), axis=(0, 1))
    tokens = tokens.reshape(height // size, size, width // size, size)
    return tokens.transpose(0, 2, 1, 3).reshape(-1, size * size)


def border_mask(resolution, size, shift):
    """-100 between tokens that only the shift has made neighbors, `[windows, tokens, tokens]`."""
    if not shift:
        return None
    side = [np.digitize(np.arange(n), [n - size, n - shift]) for n in resolution]
    regions = np.roll(side[0][:, np.newaxis] * 3 + side[1], (shift, shift), axis=(0, 1)).ravel()
    regions = regions[windows(resolution, size, shift)]
    return -100.0 * (regions[:, :, np.newaxis] != regions[:, np.newaxis]).astype("float32")


def swin_blocks(backbone, images):
    """Yields `(resolution, attention)` of each block, run by its own layers on our windows.

    The attention is among the block's tokens, float64 `[tokens, tokens]`.
    """
    tokens = backbone.patch_embedding(images)
    for stage in backbone.stages:
        for block in stage.blocks:
            resolution = tuple(block.input_resolution)
            members = windows(resolution, block.window_size, block.shift_size)
            mask = border_mask(resolution, block.window_size, block.shift_size)
            inside = block.norm1(tokens).numpy()[0][members]
            _, attention = block.attn(inside, mask=mask, return_attns=True)
            placed = np.zeros([members.size, members.size])
            for window, heads in zip(members, np.asarray(attention, float), strict=True):
                placed[window[:, np.newaxis], window] = heads.mean(axis=0)
            yield resolution, placed
            tokens = block(tokens)
        if stage.downsample is not None:
            tokens = stage.downsample(tokens, H=resolution[0], W=resolution[1])


@needs_keras_hub
@pytest.mark.slow
@pytest.mark.parametrize("build", ["hub.swin", "hub.swin_wide"])
def test_swin_is_placed_among_all_tokens_and_rolled_out_through_merging(build):
    tried = tried_by(build)
    images = tried.inputs(count=1)
    finest = tried.attention_model.layout.grid
    blocks = list(swin_blocks(tried.model.backbone, images))
    _, attentions = tried.attention_model(images)
    token_maps = tried.attention_model.token_maps(attentions)
    for placed, (resolution, attention) in zip(token_maps, blocks, strict=True):
        oracle = lifted(attention, finest, resolution, resolution)
        np.testing.assert_allclose(placed[0], oracle, rtol=1e-3, atol=1e-6)

    # On each stage's own tokens; a merged token's weight is shared by those it was merged from.
    here = blocks[-1][0]
    weights = np.full(here[0] * here[1], 1 / (here[0] * here[1]))
    for resolution, attention in reversed(blocks):
        if resolution != here:
            cells = coarse_cells(resolution, here)
            weights, here = (weights / np.bincount(cells))[cells], resolution
        weights = weights @ half_residual(attention)
    heatmap = tried.attention_model.rollout(images)[0]
    np.testing.assert_allclose(heatmap, weights.reshape(finest), rtol=1e-3, atol=1e-7)


# Videos of 4 frames of 2 x 3 patches, frame by frame.
FRAME, CELL = np.divmod(np.arange(24), 6)


def over_frames(attention):
    placed = attention[CELL[:, np.newaxis], FRAME[:, np.newaxis], FRAME]
    return placed * (CELL[:, np.newaxis] == CELL)


def within_frames(attention):
    placed = attention[FRAME[:, np.newaxis], CELL[:, np.newaxis], CELL]
    return placed * (FRAME[:, np.newaxis] == FRAME)


def over_frames_beside_a_class_token(attention):
    found = np.eye(25)
    found[1:, 1:] = over_frames(attention)
    return found


def within_frames_with_the_class_token(attention):
    """In each frame the class token asks and is asked; what comes out for it is averaged."""
    found = np.zeros((25, 25))
    found[1:, 1:] = within_frames(attention[:, 1:, 1:])
    found[1:, 0] = attention[FRAME, 1 + CELL, 0]
    found[0, 0] = attention[:, 0, 0].mean()
    found[0, 1:] = attention[FRAME, 0, 1 + CELL] / 4
    return found


def frame_means(attention):
    """The class token and each frame among themselves; a frame stands for its patches."""
    found = np.zeros((25, 25))
    frames = np.append(0, 1 + FRAME)
    sizes = np.append(1, np.full(24, 6))
    found[:] = attention[0][frames[:, np.newaxis], frames] / sizes
    return found


def within_frames_beside_a_class_token(attention):
    found = np.eye(25)
    found[1:, 1:] = within_frames(attention)
    return found


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        ("video.timesformer", [over_frames, within_frames] * 2),
        (
            "video.timesformer_class_token",
            [over_frames_beside_a_class_token, within_frames_with_the_class_token] * 2,
        ),
        ("video.vivit", [whole] * 2),
        ("video.vivit_tubelets", [whole] * 2),
        ("video.vivit_factorized", [within_frames_beside_a_class_token, frame_means]),
    ],
)
def test_space_time_rollout_is_the_product(build, expected):
    check_maps(tried_by(build), expected)
