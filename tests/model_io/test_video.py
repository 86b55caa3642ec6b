"""Videos as tall images, and what is found in models of videos."""

import numpy as np
import pytest
import tensorflow as tf
from support.small_videos import gated_frames, open_model
from tensorflow import keras
from zoo import video
from zoo.weights import randomize

from keras_attnviz import AttentionModel, RolloutModel, TokenLayout, frame_importance
from keras_attnviz.data.masks import tall_masks
from keras_attnviz.model_io.signature import InputSignature
from keras_attnviz.model_io.video import VideoShape


def numbered(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def clips(count=2, frames=4, seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((count, frames, *video.SIZE, 3)).astype(np.float32)


def test_frames_stand_below_one_another():
    videos = numbered(2, 3, 2, 4, 1)
    tall = VideoShape((3, 2, 4, 1)).tall(videos)
    assert tall.shape == (2, 6, 4, 1)
    for frame in range(3):
        np.testing.assert_array_equal(tall[:, 2 * frame : 2 * frame + 2], videos[:, frame])


def test_frames_of_a_tubelet_are_channels():
    videos = numbered(2, 4, 2, 3, 3)
    tall = VideoShape((4, 2, 3, 3), tubelet=2).tall(videos)
    assert tall.shape == (2, 4, 3, 6)
    np.testing.assert_array_equal(tall[:, :2, :, :3], videos[:, 0])
    np.testing.assert_array_equal(tall[:, :2, :, 3:], videos[:, 1])
    np.testing.assert_array_equal(tall[:, 2:, :, 3:], videos[:, 3])


@pytest.mark.parametrize("tubelet", [1, 2, 3, 6])
@pytest.mark.parametrize("of", [np.asarray, tf.constant])
def test_back_from_tall_images_is_the_inverse(tubelet, of):
    videos = of(numbered(2, 6, 2, 3, 4).astype(np.float16))
    shape = VideoShape((6, 2, 3, 4), tubelet)
    tall = shape.tall(videos)
    assert tuple(tall.shape) == (2, *shape.tall_shape)
    assert tall.dtype == videos.dtype
    np.testing.assert_array_equal(shape.video(tall), videos)


def test_tall_images_in_a_graph_of_any_batch():
    shape = VideoShape((4, 2, 3, 1), tubelet=2)
    spec = tf.TensorSpec([None, 4, 2, 3, 1])
    tall = tf.function(shape.tall, input_signature=[spec])
    videos = numbered(3, 4, 2, 3, 1)
    np.testing.assert_array_equal(tall(videos), shape.tall(videos))


def test_masks_of_a_tubelet_are_averaged():
    masks = np.zeros((1, 4, 1, 2))
    masks[0, 1, 0, 0] = masks[0, 2:, 0, 1] = 1
    np.testing.assert_array_equal(tall_masks(masks, 2), [[[0.5, 0], [0, 1]]])


def test_frames_that_are_left_over_are_an_error():
    model = video.model_of(video.tubelets, frames=5)
    with pytest.raises(
        ValueError, match=r"a model of videos whose number of frames is a multiple of 2\. Rec.*5"
    ):
        AttentionModel(model)


def test_a_signature_gives_the_model_its_videos():
    model = video.timesformer()
    signature = InputSignature.of(model)
    assert [tuple(spec.shape) for spec in signature.specs] == [(None, 64, 24, 3)]
    assert signature.image_shape == (4, 16, 24, 3)
    (tall,) = signature.flatten(clips())
    np.testing.assert_array_equal(signature.pack([tall]), clips())
    with pytest.raises(ValueError, match=r"of shape \(None, 4, 16, 24, 3\).*that many frames"):
        signature.flatten(clips(frames=3))
    with pytest.raises(ValueError, match=r"of shape \(None, 4, 16, 24, 3\)"):
        signature.flatten(clips()[:, 0])


def test_a_number_of_frames_must_be_known():
    with pytest.raises(
        ValueError,
        match=r"number of frames and their size must be known.*image_shape=\(frames, height",
    ):
        AttentionModel(open_model())
    found = AttentionModel(open_model(), image_shape=(4, 16, 24, 3))
    assert found.rollout(clips()).shape == (2, 4, 2, 3)
    found = AttentionModel(open_model(), inputs=clips(frames=2))
    assert found.rollout(clips(frames=2)).shape == (2, 2, 2, 3)


class Subclassed(keras.Model):
    """A subclassed model of videos, whose shape nobody has told it."""

    def __init__(self):
        super().__init__()
        self.inner = video.vivit()

    def call(self, inputs):
        return self.inner(inputs)


def test_a_subclassed_model_is_told_its_videos():
    found = AttentionModel(Subclassed(), image_shape=(4, 16, 24, 3))
    assert (found.frames, found.layout.grid) == (4, (8, 3))


def test_temporal_attention_is_called_so():
    found = AttentionModel(video.timesformer())
    assert [each.kind for each in found.maps] == ["temporal", "spatial"] * 2
    assert found.maps[0].grid == (4, 2, 3)
    lines = []
    found.summary(lines.append)
    assert "4x2x3" in lines[1]


def scores_of_layers(model, inputs):
    """Yields what each attention layer of a functional model gives when it is called by hand."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.MultiHeadAttention):
            normalized = tf.nest.flatten(layer.input)[0]
            x = keras.Model(model.input, normalized)(inputs)
            yield layer(x, x, return_attention_scores=True)[1]


def test_maps_are_those_of_the_layers_themselves():
    model = randomize(video.timesformer_class_token())
    _, attentions = AttentionModel(model)(clips())
    for found, scores in zip(attentions, scores_of_layers(model, clips()), strict=True):
        # `[videos * groups, heads, queries, keys]`.
        np.testing.assert_allclose(found, tf.reshape(scores, found.shape), rtol=1e-4, atol=1e-6)


def test_frames_in_another_order_are_found_in_that_order():
    model = randomize(video.timesformer_class_token())
    found, order = AttentionModel(model), [2, 0, 3, 1]
    heatmaps = found.rollout(clips()).numpy()
    moved = found.rollout(clips()[:, order]).numpy()
    np.testing.assert_allclose(moved, heatmaps[:, order], rtol=1e-4, atol=1e-6)
    assert np.abs(moved - heatmaps).max() > 1e-3


def test_a_class_token_of_each_frames_own_is_an_error():
    model = randomize(video.vivit_frame_class_tokens())
    with (
        pytest.warns(UserWarning, match="it passes by 1 of 3 attention maps"),
        pytest.raises(ValueError, match="a class token of each frame's own say, are not followed"),
    ):
        AttentionModel(model)


def test_a_layout_has_a_grid_of_whole_frames():
    with pytest.raises(ValueError, match="`layout` must be of a grid whose height is that of 4"):
        AttentionModel(video.vivit(), layout=TokenLayout(1, (6, 4)), self_check=False)


def test_frame_importance_by_hand():
    heatmaps = [[[[1.0, 2.0]], [[1.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]]
    np.testing.assert_array_equal(frame_importance(heatmaps), [[0.75, 0.25], [0, 0]])
    with pytest.raises(ValueError, match=r"`heatmaps` must be a tensor \[\.\.\., frames"):
        frame_importance([[1.0]])


@pytest.mark.parametrize("dtype", [tf.float16, tf.float64])
def test_frame_importance_in_a_graph(dtype):
    heatmaps = np.random.default_rng(1).random((3, 4, 2, 5))
    spec = tf.TensorSpec([None, None, 2, 5], dtype)
    found = tf.function(frame_importance, input_signature=[spec])(tf.cast(heatmaps, dtype))
    expected = heatmaps.sum(axis=(2, 3)) / heatmaps.sum(axis=(1, 2, 3))[:, np.newaxis]
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_a_rollout_model_takes_videos_and_is_exported(tmp_path):
    model = RolloutModel(video.vivit_tubelets())
    found = model(clips())["rollout"]
    np.testing.assert_allclose(found, AttentionModel(model.model).rollout(clips()), rtol=1e-5)
    model.export(str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded.serve(clips())["rollout"], found, rtol=1e-5)


def test_gates_of_frames_that_are_seen_as_a_batch():
    model = randomize(video.model_of(gated_frames))
    found = AttentionModel(model)
    assert (found.frames, found.maps) == (4, ())
    assert [gate.kind for gate in found.gates] == ["channel", "spatial", "channel and spatial"]
    assert [gate.grid for gate in found.gates] == [(64, 24)] * 3
    _, (which, where, both) = found.gate_values(clips())
    inner = [model.get_layer(name).input[1] for name in ("which", "where", "both")]
    channels, positions, full = keras.Model(model.input, inner)(clips())
    by_video = tf.reshape(channels, [2, 4, 8]).numpy().mean(axis=1)
    np.testing.assert_allclose(which, by_video, rtol=1e-4)
    np.testing.assert_allclose(where, tf.reshape(positions, [2, 64, 24]), rtol=1e-4)
    np.testing.assert_allclose(both, tf.reshape(full, [2, 64, 24, 8]), rtol=1e-4)
