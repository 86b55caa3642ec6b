import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import TokenLayout
from keras_attnviz.methods.token_layout import advice, candidate_layouts


def test_grid_of_a_class_token_model_by_hand():
    layout = TokenLayout(1, (2, 3))
    assert (layout.patches, layout.tokens) == (6, 7)
    assert layout.query_weights() == [1, 0, 0, 0, 0, 0, 0]
    values = tf.constant([[9.0, 1, 2, 3, 4, 5, 6]])
    np.testing.assert_array_equal(layout.to_grid(values), [[[1, 2, 3], [4, 5, 6]]])
    np.testing.assert_array_equal(layout.to_grid(values[0]), [[1, 2, 3], [4, 5, 6]])


def test_several_readout_tokens_weigh_the_same():
    assert TokenLayout(2, (1, 2), (0, 1)).query_weights() == [0.5, 0.5, 0, 0]


def test_suffix_tokens_stand_after_the_patches():
    layout = TokenLayout(0, (1, 3), (3,), suffix=1)
    assert layout.tokens == 4
    assert layout.query_weights() == [0, 0, 0, 1]
    np.testing.assert_array_equal(layout.to_grid([1.0, 2, 3, 9]), [[1, 2, 3]])
    assert str(layout) == "TokenLayout(prefix=0, grid=(1, 3), readout=(3,), suffix=1)"


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (TokenLayout(1, (2, 2)), "class token"),
        (TokenLayout(0, (2, 2), (4,), suffix=1), "class token"),
        (TokenLayout(2, (2, 2), (0, 1)), "class and distillation token"),
        (TokenLayout(1, (2, 2), (1, 2, 3, 4)), "all patches"),
        (TokenLayout(1, (2, 2), range(5)), "all tokens"),
        (TokenLayout(1, (2, 2), (0, 3)), "tokens (0, 3)"),
        # The first of the patches is no class token.
        (TokenLayout(0, (2, 2), (0,)), "tokens (0,)"),
        # Read-outs that are not given.
        (TokenLayout(2, (2, 2)), "class token"),
        (TokenLayout(0, (2, 2), suffix=1), "class token"),
        (TokenLayout(0, (2, 2)), "all patches"),
    ],
)
def test_readout_in_words(layout, text):
    assert layout.readout_text() == text


def test_whether_the_readout_was_given_is_kept():
    assert TokenLayout(1, (2, 2), (0,)).readout_is_given
    assert not TokenLayout(1, (2, 2)).readout_is_given
    assert TokenLayout(1, (2, 2)) == TokenLayout(1, (2, 2), (0,))


def test_another_readout_of_the_same_tokens():
    layout = TokenLayout(2, (2, 3), suffix=1)
    assert layout.tokens == 9
    assert layout.with_readout((0, 1)) == TokenLayout(2, (2, 3), (0, 1), 1)
    assert layout.with_readout((0, 1)).readout_is_given
    assert layout.with_readout((0, 1)).with_readout(None) == layout
    assert not layout.with_readout((0, 1)).with_readout(None).readout_is_given


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (TokenLayout(2, (2, 3), suffix=1), [0, 1, 8]),
        (TokenLayout(0, (2, 3), suffix=2), [6, 7]),
        (TokenLayout(0, (2, 3)), []),
    ],
)
def test_further_tokens_are_those_that_are_no_patches(layout, expected):
    np.testing.assert_array_equal(layout.further_tokens(), expected)


def test_advice_names_no_readout_that_nobody_gave():
    text = advice(
        [TokenLayout(0, (2, 3)), TokenLayout(1, (1, 5), (0,)), TokenLayout(0, (1, 5), suffix=1)]
    )
    assert text == (
        "Pass the right one as `layout`. Candidates: TokenLayout(prefix=0, grid=(2, 3)); "
        "TokenLayout(prefix=1, grid=(1, 5), readout=(0,)); "
        "TokenLayout(prefix=0, grid=(1, 5), suffix=1)."
    )


def test_candidate_layouts_begin_with_the_squarest():
    assert str(candidate_layouts(197)[0]) == ("TokenLayout(prefix=1, grid=(14, 14), readout=(0,))")
    assert all(candidate.tokens == 30 for candidate in candidate_layouts(30))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((-1, (2, 2)), r"`prefix` must be at least 0\. Received: prefix=-1"),
        ((1, (2, 2), (0,), -1), r"`suffix` must be at least 0\. Received: suffix=-1"),
        ((1, (2, 0)), r"`grid` must be \(height, width\), positive integers"),
        ((1, (2,)), r"`grid` must be \(height, width\)"),
        ((1, (2, 2), ()), r"`readout` must be one or more token indices in \[0, 5\)"),
        ((1, (2, 2), (5,)), r"`readout` must be one or more token indices in \[0, 5\)"),
    ],
)
def test_bad_layouts(arguments, text):
    with pytest.raises(ValueError, match=text):
        TokenLayout(*arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("1", (2, 2)), r"`prefix` must be an integer of at least 0\. Received: prefix='1'"),
        ((1.5, (2, 2)), r"`prefix` must be an integer .* prefix=1\.5"),
        ((True, (2, 2)), r"`prefix` must be an integer .* prefix=True"),
        ((1, 4), r"`grid` must be \(height, width\), positive integers\. Received: grid=4"),
        ((1, None), r"`grid` must be .* grid=None"),
        ((1, "22"), r"`grid` must be .* grid='22'"),
        ((1, (2, 2.0)), r"`grid` must be .* grid=\(2, 2\.0\)"),
        ((1, (True, 2)), r"`grid` must be .* grid=\(True, 2\)"),
        ((1, (2, 2), 0), r"`readout` must be one or more .*, as a tuple\. Received: readout=0"),
        ((1, (2, 2), (0.7,)), r"`readout` must be one or more .* readout=\(0\.7,\)"),
        ((1, (2, 2), (False,)), r"`readout` must be one or more .* readout=\(False,\)"),
    ],
)
def test_layouts_of_wrong_types(arguments, text):
    with pytest.raises(TypeError, match=text):
        TokenLayout(*arguments)


def test_numpy_integers_become_those_of_python():
    layout = TokenLayout(np.int64(1), np.array([2, 3]), np.array([0, 1], np.uint8))
    assert layout == TokenLayout(1, (2, 3), (0, 1))
    assert str(layout) == "TokenLayout(prefix=1, grid=(2, 3), readout=(0, 1))"
    assert {type(number) for number in (layout.prefix, *layout.grid, *layout.readout)} == {int}
