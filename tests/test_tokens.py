import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import TokenLayout


def test_grid_of_a_class_token_model_by_hand():
    layout = TokenLayout(1, (2, 3))
    assert (layout.patches, layout.tokens) == (6, 7)
    assert layout.query_weights() == [1, 0, 0, 0, 0, 0, 0]
    values = tf.constant([[9.0, 1, 2, 3, 4, 5, 6]])
    np.testing.assert_array_equal(layout.to_grid(values), [[[1, 2, 3], [4, 5, 6]]])
    np.testing.assert_array_equal(layout.to_grid(values[0]), [[1, 2, 3], [4, 5, 6]])


def test_several_readout_tokens_weigh_the_same():
    assert TokenLayout(2, (1, 2), (0, 1)).query_weights() == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize(
    ("tokens", "grids", "expected"),
    [
        (197, [(14, 14)], TokenLayout(1, (14, 14))),
        (25, [(6, 4)], TokenLayout(1, (6, 4))),
        (201, [(112, 112), (14, 14)], TokenLayout(5, (14, 14))),
        # A convolution before and one after the patch embedding's own grid.
        (50, [(7, 7), (3, 3)], TokenLayout(1, (7, 7))),
    ],
)
def test_infer(tokens, grids, expected):
    assert TokenLayout.infer(tokens, patch_grids=grids, readout=(0,)) == expected


def test_infer_names_candidates_where_no_grid_fits():
    text = (
        r"197 tokens.*feature maps seen: \[\(7, 7\)\].*Pass the right one as `layout`.*"
        r"TokenLayout\(prefix=1, grid=\(14, 14\), readout=\(0,\)\)"
    )
    with pytest.raises(ValueError, match=text):
        TokenLayout.infer(197, patch_grids=[(7, 7)], readout=(0,))


def test_infer_names_candidates_where_the_readout_is_unknown():
    text = r"which tokens the head reads.*readout=\(0,\)\); .*readout=range\(1, 26\)\)"
    with pytest.raises(ValueError, match=text):
        TokenLayout.infer(26, patch_grids=[(5, 5)], readout=())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((-1, (2, 2)), r"`prefix` must be at least 0\. Received: prefix=-1"),
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
