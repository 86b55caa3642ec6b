"""Token layouts of any counts: they hold together, or are refused."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from support.fuzzing import counted, fuzzed
from tensorflow import keras

from keras_attnviz import AttentionModel, TokenLayout
from keras_attnviz.methods.token_layout import candidate_layouts

pytestmark = pytest.mark.one_stack

COUNTS = st.integers(-3, 40)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.lists(st.one_of(COUNTS, st.floats(), st.text(max_size=2), st.none()), max_size=4),
    st.dictionaries(COUNTS, COUNTS, max_size=3),
    COUNTS.map(np.int64),
    st.lists(COUNTS, max_size=3).map(np.array),
    st.lists(COUNTS, min_size=1, max_size=3).map(tf.constant),
)


def check(layout):
    tokens = layout.tokens
    assert tokens == layout.prefix + layout.grid[0] * layout.grid[1] + layout.suffix
    assert all(0 <= token < tokens for token in layout.readout)
    np.testing.assert_allclose(sum(layout.query_weights()), 1)
    np.testing.assert_allclose(sum(layout.patch_weights()), 1)
    assert len(layout.query_weights()) == len(layout.patch_weights()) == tokens
    assert layout.to_grid(np.zeros((2, tokens))).shape == (2, *layout.grid)
    assert str(layout)
    assert layout.readout_text()


@fuzzed(150)
@given(
    prefix=COUNTS,
    grid=st.tuples(COUNTS, COUNTS),
    suffix=COUNTS,
    readout=st.one_of(st.none(), st.lists(st.integers(-2, 60), max_size=5).map(tuple)),
)
@counted
def test_counts(prefix, grid, suffix, readout):
    with contextlib.suppress(ValueError):
        check(TokenLayout(prefix, grid, readout, suffix))


@fuzzed(200)
@given(prefix=ANYTHING, grid=ANYTHING, readout=ANYTHING, suffix=st.one_of(st.just(0), ANYTHING))
@counted
def test_arguments_of_any_kind(prefix, grid, readout, suffix):
    with contextlib.suppress(TypeError, ValueError):
        TokenLayout(prefix, grid, readout, suffix)


@fuzzed(150)
@given(tokens=st.integers(1, 20_000))
@counted
def test_candidates_have_as_many_tokens(tokens):
    layouts = candidate_layouts(tokens)
    assert 1 <= len(layouts) <= 4
    assert all(layout.tokens == tokens for layout in layouts)


class FurtherTokens(keras.layers.Layer):
    """Puts learned tokens before and after the patches."""

    def __init__(self, prefix, suffix):
        super().__init__()
        self.counts = prefix, suffix

    def build(self, shape):
        self.learned = [
            self.add_weight(shape=(1, count, shape[-1]), initializer="random_normal", name=name)
            for count, name in zip(self.counts, ("before", "after"), strict=True)
        ]

    def call(self, patches):
        before, after = (tf.repeat(each, tf.shape(patches)[0], axis=0) for each in self.learned)
        return tf.concat([before, patches, after], axis=1)


def transformer(grid, prefix, suffix, readout):
    """Returns a small transformer that reads the mean of some tokens."""
    images = keras.Input((2 * grid[0], 2 * grid[1], 3))
    patches = keras.layers.Conv2D(8, 2, 2)(images)
    tokens = keras.layers.Reshape((grid[0] * grid[1], 8))(patches)
    tokens = FurtherTokens(prefix, suffix)(tokens)
    for _ in range(2):
        attended = keras.layers.MultiHeadAttention(2, 4)(tokens, tokens)
        tokens = keras.layers.LayerNormalization()(tokens + attended)
    read = keras.layers.Lambda(lambda x: tf.reduce_mean(tf.gather(x, readout, axis=1), axis=1))
    return keras.Model(images, keras.layers.Dense(2)(read(tokens)))


@fuzzed(3)
@given(data=st.data())
@counted
def test_the_layout_of_a_model_is_found(data):
    grid = data.draw(st.tuples(st.integers(2, 7), st.integers(2, 7)), "grid")
    prefix = data.draw(st.integers(0, 5), "prefix")
    suffix = data.draw(st.integers(0, 2), "suffix")
    tokens = prefix + grid[0] * grid[1] + suffix
    indices = st.lists(st.integers(0, tokens - 1), min_size=1, max_size=3, unique=True)
    readout = sorted(data.draw(indices, "readout"))
    keras.utils.set_random_seed(0)
    found = AttentionModel(transformer(grid, prefix, suffix, readout)).layout
    assert (found.prefix, found.grid, found.suffix) == (prefix, grid, suffix)
    assert found.readout == tuple(readout)
    keras.backend.clear_session()
