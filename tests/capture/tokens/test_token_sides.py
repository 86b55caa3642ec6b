"""The queries or keys of a map on the first anchor whose positions all have one."""

import numpy as np
import pytest
import tensorflow as tf
from support.traces import HEIGHT, PLAIN, WIDE, WIDTH, Attention, columns_first, traced

from keras_attnviz.capture.tokens.anchors import Anchors
from keras_attnviz.capture.tokens.geometry import NotLocatedError
from keras_attnviz.capture.tokens.score_gradients import ScoreGradients
from keras_attnviz.capture.tokens.token_sides import locate_side

PATCHES = HEIGHT * WIDTH


def learned(count):
    """Returns a function to so many tokens that are computed from no patch."""
    return lambda tokens: tf.zeros([tf.shape(tokens)[0], count, WIDE]) + tf.range(1.0, WIDE + 1)


def located(attention, name, *, queries=PATCHES, keys=PATCHES):
    trace, inputs = traced(attention)
    shape = (1, 2, queries, keys)
    gradients = ScoreGradients(trace, trace.sites[0], shape, order=PLAIN, key_axes=1, inputs=inputs)
    return locate_side(gradients, Anchors(trace, inputs).candidates(0), name)


def test_keys_are_found_on_the_nearest_feature_map():
    found = located(Attention(keys=columns_first), "keys")
    assert (found.side.slots, found.side.grid) == (PATCHES, (HEIGHT, WIDTH))
    columns = np.arange(PATCHES).reshape(WIDTH, HEIGHT).T.ravel()
    np.testing.assert_array_equal(found.side.owners, columns)
    assert (found.axes.groups, found.axes.heads) == (1, 2)
    assert "patches" in found.anchor.tensor.name


def test_a_few_queries_may_stand_for_no_patches():
    found = located(Attention(queries=learned(2)), "queries", queries=2)
    assert (found.side.slots, found.side.grid, found.side.owners) == (2, None, None)
    assert found.anchor is None


@pytest.mark.parametrize(
    ("side", "count", "reason"),
    [
        ("queries", 12, "its 12 queries stand for no patches of the image"),
        ("keys", 2, "its 2 keys stand for no patches of the image, or are computed with weights "),
    ],
)
def test_other_sides_must_stand_for_patches(side, count, reason):
    with pytest.raises(NotLocatedError, match=reason):
        located(Attention(**{side: learned(count)}), side, **{side: count})


def test_sides_that_mix_patches_are_refused():
    def mixed(tokens):
        return tf.cumsum(tokens, axis=1)

    with pytest.raises(NotLocatedError, match="its keys stand for no single patches"):
        located(Attention(keys=mixed), "keys")
