"""Fits of models of videos: what is logged, read back."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image
from support.event_files import images_of, scalars_of
from support.small_videos import gated_frames, open_model
from zoo import video

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.drawing import render

FRAMES, HEIGHT, WIDTH = 5, *video.SIZE
TOKENS = FRAMES * 6


def panned(count=32, frames=FRAMES, step=4):
    """Clips of photographs over which a window moves, to the left (0) or to the right (1).

    Returns `(clips, labels)`: float32 `[count, frames, 16, 24, 3]` in [0, 1], int `[count]`.
    """
    generator = np.random.default_rng(2)
    photographs = [
        np.asarray(Image.fromarray(picture).resize((96, 64)), np.float32) / 255
        for picture in (skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut())
    ]
    labels, clips = np.arange(count) % 2, []
    for number, label in enumerate(labels):
        top = generator.integers(0, 64 - HEIGHT)
        left = generator.integers(0, 96 - WIDTH - step * (frames - 1))
        moves = step * np.arange(frames)[:: 1 if label else -1]
        picture = photographs[number % 3]
        clips.append([picture[top : top + HEIGHT, left + m : left + m + WIDTH] for m in moves])
    return np.array(clips), labels


def object_masks(count):
    """Masks of an object that is there in frame 3 alone, in the left third of it."""
    masks = np.zeros((count, FRAMES, HEIGHT, WIDTH))
    masks[:, 3, :, :8] = 1
    return masks


def compiled(body, **options):
    model = video.model_of(body, classes=2, **options)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Returns the log directory, the history, the model and the probes of a fit."""
    log_dir = tmp_path_factory.mktemp("videos")
    videos, labels = panned()
    model = compiled(lambda clip: video.divided(clip, depth=1), frames=FRAMES)
    probes = ProbeSet(videos[:3], labels=labels[:3], masks=object_masks(3))
    callback = AttentionRolloutCallback(probes, log_dir, full_probes=[1])
    history = model.fit(videos, labels, epochs=2, verbose=0, callbacks=[callback])
    return log_dir, history.history, model, probes


@pytest.fixture(scope="module")
def log(fitted):
    found = read_log(fitted[0])
    assert found.problems == []
    return found


def by_frame(sheet):
    """Returns what lies in each frame's cell of 2 x 3, `[..., 5, 2, 3]`, and in the blank cell."""
    split = sheet.reshape(*sheet.shape[:-2], 2, 2, 3, 3)
    cells = np.moveaxis(split, -2, -3).reshape(*sheet.shape[:-2], 6, 2, 3)
    return cells[..., :5, :, :], cells[..., 5, :, :]


def test_the_log_says_what_a_sheet_is(log):
    assert log.setup["frames"] == FRAMES
    # Two rows of three frames of 2 x 3 patches.
    assert log.setup["grid"] == log.setup["head_grid"] == log.setup["token_grid"] == [4, 9]
    assert [layer["kind"] for layer in log.setup["layers"]] == ["temporal", "spatial"]


def test_heatmaps_are_those_of_the_model_in_the_sheet(fitted, log):
    _, _, model, probes = fitted
    frames, blank = by_frame(log.heatmaps()[-1])
    expected = AttentionModel(model).rollout(probes.images).numpy() * TOKENS
    np.testing.assert_allclose(frames, expected, atol=0.01 * expected.max())
    assert (blank == 0).all()


def test_heads_are_those_of_the_model_in_the_sheet(fitted, log):
    _, _, model, probes = fitted
    _, (temporal, spatial) = AttentionModel(model)(probes.images)
    for probe in range(3):
        over, within = log.heads(1, probe)
        # `[groups, heads, queries, keys]`: what a patch receives from all patches.
        expected = np.transpose(np.sum(spatial[probe], axis=2), [1, 0, 2]).reshape(2, 5, 2, 3)
        np.testing.assert_allclose(by_frame(within)[0], expected, atol=0.02)
        expected = np.transpose(np.sum(temporal[probe], axis=2), [1, 2, 0]).reshape(2, 5, 2, 3)
        np.testing.assert_allclose(by_frame(over)[0], expected, atol=0.02)


def test_patches_attend_from_their_cell_to_others(fitted, log):
    _, _, model, probes = fitted
    attention_model = AttentionModel(model)
    _, attentions = attention_model(probes.images)
    product = np.eye(TOKENS)
    for layer in attention_model.token_maps(attentions):
        product = (np.eye(TOKENS) + layer[1].numpy()) / 2 @ product
    # From frame 4, which stands in the second row, to all.
    found = log.token_maps(1, 1)[2:, 3:6]
    expected = product[24:].reshape(2, 3, 5, 2, 3) * TOKENS
    np.testing.assert_allclose(by_frame(found)[0], expected, atol=0.01 * expected.max())
    assert (log.token_maps(1, 1)[2:, 6:] == 0).all()


def test_whole_attention_is_in_the_sheet_too(log):
    spatial = log.full_attention(-1, 1, 1)
    # Patches of frame 0 attend within frame 0 alone.
    assert (spatial[:, :2, :3, :2, :3] > 0).all()
    assert (spatial[:, :2, :3, 2:] == 0).all()
    temporal = log.full_attention(-1, 1, 0)
    frames, blank = by_frame(temporal[:, 0, 1])
    assert (frames[:, :, 0, 1] > 0).all()
    frames[:, :, 0, 1] = 0
    assert (frames == 0).all()
    assert (blank == 0).all()


def test_distance_is_that_within_the_frame(log):
    distance = log.series("distance")
    # Attention over frames at one place looks nowhere else.
    assert (distance[:, 0] == 0).all()
    assert (distance[:, 1] > 4).all()


def test_shares_of_frames_sum_to_1(fitted, log):
    log_dir, history, model, probes = fitted
    shares = log.series("frame_share")
    assert shares.shape == (3, 3, FRAMES)
    np.testing.assert_allclose(shares.sum(axis=2), 1, rtol=1e-5)
    rollout = AttentionModel(model).rollout(probes.images).numpy()
    expected = rollout.sum(axis=(2, 3)) / rollout.sum(axis=(1, 2, 3))[:, np.newaxis]
    np.testing.assert_allclose(shares[-1], expected, rtol=1e-4)
    np.testing.assert_allclose(log.series("frame_share/affinity").sum(axis=2), 1, rtol=1e-5)
    scalars = scalars_of(log_dir / "attention")
    for frame in range(FRAMES):
        of_steps, means = scalars[f"attention/frame_share/{frame}"], shares.mean(axis=1)
        assert [of_steps[step] for step in (-1, 0, 1)] == pytest.approx(means[:, frame])
        assert history[f"attention_frame_share_{frame}"][-1] == pytest.approx(of_steps[1])


def test_masks_are_of_single_frames(fitted, log):
    _, history, model, probes = fitted
    rollout = AttentionModel(model).rollout(probes.images).numpy()
    mass = rollout[:, 3, :, 0].sum(axis=1) / rollout.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(log.series("localization_mass")[-1], mass, rtol=1e-4)
    # By chance 2 of 30 patches, blank cells aside.
    np.testing.assert_allclose(log.series("localization")[-1], mass * 15, rtol=1e-4)
    assert history["attention_localization_mass"][-1] == pytest.approx(mass.mean(), rel=1e-4)


def test_pictures_are_sheets_with_a_bar_for_each_frame(fitted, log):
    log_dir, _, _, probes = fitted
    sheet = np.asarray(Image.open(io.BytesIO(log.pictures[0])))
    assert sheet.shape == (2 * HEIGHT, 3 * WIDTH, 3)
    np.testing.assert_array_equal(sheet[:HEIGHT, WIDTH : 2 * WIDTH], probes.display[0, 1])
    np.testing.assert_array_equal(sheet[HEIGHT:, :WIDTH], probes.display[0, 3])
    assert (sheet[HEIGHT:, 2 * WIDTH :] == 255).all()
    panel, _ = images_of(log_dir / "attention")["attention/probe_0"][1]
    enlarged = render.enlarged(sheet)
    size = render.text_size(2 * enlarged.shape[1] + 6)
    # Caption, and for each of two rows title, picture, color bar and frames.
    of_row = size * 3 // 2 + enlarged.shape[0] + size * 5 // 2 + 7 * size
    assert panel.shape[0] == size * 3 // 2 + 2 * of_row


def test_bars_are_as_high_as_the_shares():
    bars = render.frame_bars([0.5, 0.25, 0.25, 0], 200, limit=4.0, size=12)
    assert bars.shape == (84, 200, 3)
    heights = [(bars[:66, column] != 255).any(axis=-1).sum() for column in (4, 54, 104, 154)]
    # Twice uniform is half of four times uniform, whose bar is 48 pixels high; the line is one.
    assert heights[0] == pytest.approx(24 + 1, abs=1)
    assert heights[1] == heights[2] == pytest.approx(12 + 1, abs=1)
    assert heights[3] <= 2


@pytest.mark.one_stack
def test_tubelets_share_a_frame_of_the_sheet(tmp_path):
    videos, labels = panned(8, frames=4)
    masks = np.zeros(videos.shape[:-1])[:2]
    masks[:, 2, :, :8] = 1
    callback = AttentionRolloutCallback(
        ProbeSet(videos[:2], masks=masks), tmp_path, per_layer_logs=False, methods=["rollout"]
    )
    history = compiled(video.tubelets).fit(
        videos, labels, epochs=1, verbose=0, callbacks=[callback]
    )
    log = read_log(tmp_path)
    assert (log.setup["frames"], log.setup["grid"]) == (2, [2, 6])
    assert log.series("frame_share").shape == (2, 2, 2)
    assert not [name for name in history.history if "frame_share" in name or "layer_" in name]
    # The object is there in one of two frames that share a cell, so it covers half of it.
    heat = log.heatmaps()[-1]
    half = heat[:, :, 3].sum(axis=1) / 2 / heat.sum(axis=(1, 2))
    np.testing.assert_allclose(log.series("localization_mass")[-1], half, rtol=0.02)


@pytest.mark.one_stack
def test_faithfulness_of_videos(tmp_path):
    videos, labels = panned(8)
    callback = AttentionRolloutCallback(
        ProbeSet(videos[:1]), tmp_path, methods=["rollout"], faithfulness_every_epochs=1
    )
    compiled(video.frame_features, frames=FRAMES).fit(
        videos, labels, epochs=1, verbose=0, callbacks=[callback]
    )
    values = scalars_of(tmp_path / "attention")["attention/faithfulness/deletion/rollout"]
    assert sorted(values) == [-1, 0]
    assert read_log(tmp_path).setup["grid"] == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"masks": np.zeros((2, 4, 8))}, r"`masks` must be of shape \[2, 3, 4, 8\]"),
        (
            {"display": np.zeros((2, 5, 4, 8, 3), np.uint8)},
            r"`display` must be a uint8 array of shape \[2, 3, height, width, 3\]",
        ),
    ],
)
def test_what_doesnt_fit_videos_is_an_error(arguments, text):
    with pytest.raises(ValueError, match=text):
        ProbeSet(np.zeros((2, 3, 4, 8, 3)), **arguments)


def test_probes_of_another_length_are_an_error_before_the_first_step(tmp_path):
    videos, labels = panned(4, frames=3)
    model = compiled(video.joint)
    with pytest.raises(ValueError, match=r"`probes` must be of shape \(None, 4, 16, 24, 3\)"):
        model.fit(videos, labels, verbose=0, callbacks=[AttentionRolloutCallback(videos, tmp_path)])


def test_probes_tell_a_model_of_any_length_how_long_they_are(tmp_path):
    videos, labels = panned(8, frames=3)
    model = open_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = AttentionRolloutCallback(videos[:2], tmp_path)
    model.fit(videos, labels, verbose=0, callbacks=[callback])
    assert read_log(tmp_path).setup["frames"] == 3


def test_gates_of_frames_are_shown_in_the_sheet(tmp_path):
    videos, labels = panned(8)
    model = compiled(gated_frames, frames=FRAMES)
    callback = AttentionRolloutCallback(videos[:2], tmp_path)
    model.fit(videos, labels, epochs=1, verbose=0, callbacks=[callback])
    log = read_log(tmp_path)
    assert log.problems == []
    assert (log.setup["frames"], log.setup["grid"]) == (FRAMES, [2 * HEIGHT // 2, 3 * WIDTH // 2])
    np.testing.assert_allclose(log.series("frame_share").sum(axis=2), 1, rtol=1e-5)
    where = AttentionModel(model).gate_values(videos[:2])[1][1].numpy()
    pooled = where.reshape(2, FRAMES, 8, 2, 12, 2).mean(axis=(3, 5))
    # The second of two layers of the log that are over positions is of both.
    for probe in range(2):
        sheet = log.heads(0, probe)[0][0]
        np.testing.assert_allclose(sheet[:8, 12:24], pooled[probe, 1], atol=0.01)
        np.testing.assert_allclose(sheet[8:, 12:24], pooled[probe, 4], atol=0.01)
        assert (sheet[8:, 24:] == 0).all()
