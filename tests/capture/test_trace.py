"""A traced model: what its graph knows before and after a run of one image."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from support.traces import HEIGHT, WIDE, WIDTH, Attention, traced
from tensorflow import keras

from keras_attnviz.capture.trace import trace_model
from keras_attnviz.model_io.signature import InputSignature

pytestmark = pytest.mark.every_stack

TOKENS = HEIGHT * WIDTH


def of_videos(tubelet):
    """Returns the trace of a model of videos whose first convolution takes `tubelet` frames."""
    videos = keras.Input((4, 8, 8, 3))
    patches = keras.layers.Conv3D(WIDE, (tubelet, 4, 4), (tubelet, 4, 4))(videos)
    scores = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling3D()(patches))
    model = keras.Model(videos, scores)
    return trace_model(model, InputSignature.of(model))


@pytest.mark.parametrize(("tubelet", "channels"), [(1, 3), (2, 6)])
def test_the_signature_knows_which_frames_share_their_tokens(tubelet, channels):
    trace = of_videos(tubelet)
    (video,) = trace.signature.videos.values()
    assert (video.tubelet, video.frames) == (tubelet, 4 // tubelet)
    assert trace.inputs[0].shape.as_list() == [None, 8 * video.frames, 8, channels]


def test_shapes_are_known_after_a_run():
    trace, _ = traced(Attention())
    (seen,), (site,) = trace.maps, trace.sites
    assert seen.shape == (1, 2, TOKENS, TOKENS)
    assert seen.deviations == [pytest.approx(0, abs=1e-5)]
    assert trace.shape_of(site.operands[0]) == (1, 2, TOKENS, WIDE // 2)
    assert trace.shape_of(trace.feature_maps(site)[0]) == (1, HEIGHT, WIDTH, WIDE)
    assert trace.shape_of(trace.predictions) is None


def test_another_run_gives_another_result():
    trace, inputs = traced(Attention())
    again = trace.observe([tf.constant(np.repeat(values, 2, axis=0)) for values in inputs])
    assert again.maps[0].shape == (2, 2, TOKENS, TOKENS)
    assert trace.maps[0].shape == (1, 2, TOKENS, TOKENS)


def test_is_frozen():
    trace, _ = traced(Attention())
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'seen'"):
        trace.seen = None
