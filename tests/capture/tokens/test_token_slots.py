import numpy as np
import pytest

from keras_attnviz import TokenLayout
from keras_attnviz.capture.tokens.geometry import MapGeometry, TokenSide
from keras_attnviz.capture.tokens.gradient_codes import LeadingAxes
from keras_attnviz.capture.tokens.token_slots import placement_of, shared_layout, token_slots

pytestmark = pytest.mark.one_stack

NOWHERE = TokenSide(1, None, None)


def side(slots, grid, owners):
    return TokenSide(slots, grid, np.array(owners))


def geometry(queries, keys=None, *, groups=1, kind="self-attention"):
    axes = LeadingAxes((groups, 1, 2), (True, False, False))
    return MapGeometry(0, axes, queries, keys or queries, kind, (0, 1, 2, 3))


PATCHES = side(6, (2, 3), range(6))
BEHIND_CLASS = side(7, (2, 3), range(1, 7))
BEFORE_CLASS = side(7, (2, 3), range(6))
BETWEEN = side(9, (2, 3), range(2, 8))
BETWEEN_REGISTERS = side(9, (2, 3), range(1, 7))
# A class token and a 1 x 2 grid.
COARSE = side(3, (1, 2), [1, 2])
# Windows of one row each, the lower one first.
WINDOWS = side(3, (2, 3), [3, 4, 5, 0, 1, 2])
# Windows of four slots, the first of each is padding.
PADDED = side(4, (2, 3), [1, 2, 3, 5, 6, 7])


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([PATCHES], TokenLayout(0, (2, 3))),
        ([BEHIND_CLASS], TokenLayout(1, (2, 3))),
        ([BEFORE_CLASS], TokenLayout(0, (2, 3), suffix=1)),
        ([BETWEEN], TokenLayout(2, (2, 3), suffix=1)),
        # The finest grid, the most further tokens.
        ([PATCHES, COARSE], TokenLayout(1, (2, 3))),
        ([COARSE, BETWEEN_REGISTERS], TokenLayout(1, (2, 3), suffix=2)),
    ],
)
def test_shared_layout(sides, expected):
    assert shared_layout([geometry(each) for each in sides]) == expected


@pytest.mark.parametrize(
    ("sides", "counts"),
    [
        # Registers before the class token, from the second block on.
        ([BEHIND_CLASS, side(9, (2, 3), range(3, 9))], "1 before and 0 after and 3 before and 0"),
        ([BEFORE_CLASS, side(9, (2, 3), range(6))], "0 before and 1 after and 0 before and 3"),
        # A class token that has moved to the end.
        ([BEHIND_CLASS, BEFORE_CLASS], "0 before and 1 after and 1 before and 0 after"),
    ],
)
def test_further_tokens_that_can_not_be_told_apart(sides, counts):
    with pytest.raises(ValueError, match=f"Received: {counts}.* with `layers`"):
        shared_layout([geometry(each) for each in sides])


def test_a_key_that_no_query_asks_for_can_not_be_told_from_the_class_token():
    with pytest.raises(ValueError, match="1 before and 0 after and 2 before and 0 after"):
        shared_layout([geometry(BEHIND_CLASS, side(8, (2, 3), range(2, 8)))])


def test_tokens_of_another_image_are_not_passed_by_in_silence():
    second = side(16, (2, 3), range(6))
    with pytest.warns(UserWarning, match="2 x 3 patches .* 10 further tokens, 0 before and 10"):
        assert shared_layout([geometry(second)]) == TokenLayout(0, (2, 3), suffix=10)


def test_free_slots_of_windows_are_padding_and_no_tokens():
    assert shared_layout([geometry(PADDED, groups=2)]) == TokenLayout(0, (2, 3))


def test_the_grid_may_be_the_keys_alone():
    keys = side(7, (2, 3), range(1, 7))
    assert shared_layout([geometry(NOWHERE, keys)]) == TokenLayout(1, (2, 3))


def test_maps_without_a_grid_share_nothing():
    assert shared_layout([geometry(NOWHERE)]) is None


SHARED = TokenLayout(2, (2, 3), suffix=1)


@pytest.mark.parametrize(
    ("member", "groups", "expected"),
    [
        (BETWEEN, 1, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        # No registers, no class token: those tokens have no slot here.
        (PATCHES, 1, [-1, -1, 0, 1, 2, 3, 4, 5, -1]),
        (BEHIND_CLASS, 1, [0, -1, 1, 2, 3, 4, 5, 6, -1]),
        (BEFORE_CLASS, 1, [-1, -1, 0, 1, 2, 3, 4, 5, 6]),
        (WINDOWS, 2, [-1, -1, 3, 4, 5, 0, 1, 2, -1]),
        (PADDED, 2, [-1, -1, 1, 2, 3, 5, 6, 7, -1]),
        # Columns 0 and 1 of the finer grid stand in the left cell, column 2 in the right one.
        (COARSE, 1, [0, -1, 1, 1, 2, 1, 1, 2, -1]),
    ],
)
def test_slot_of_each_token_by_hand(member, groups, expected):
    np.testing.assert_array_equal(token_slots(SHARED, member, groups), expected)


def test_patches_that_are_permuted_keep_their_slots():
    columns = side(7, (2, 3), [1, 3, 5, 2, 4, 6])
    np.testing.assert_array_equal(
        token_slots(TokenLayout(1, (2, 3)), columns, 1), [0, 1, 3, 5, 2, 4, 6]
    )


def test_fewer_further_tokens_are_the_first_ones():
    layout = TokenLayout(2, (2, 3), suffix=2)
    np.testing.assert_array_equal(
        token_slots(layout, BEFORE_CLASS, 1), [-1, -1, 0, 1, 2, 3, 4, 5, 6, -1]
    )
    np.testing.assert_array_equal(
        token_slots(layout, BEHIND_CLASS, 1), [0, -1, 1, 2, 3, 4, 5, 6, -1, -1]
    )


def test_placement_of_windows():
    placed = placement_of(geometry(WINDOWS, groups=2, kind="windows"), TokenLayout(0, (2, 3)))
    assert (placed.groups, placed.queries, placed.keys) == (2, 3, 3)
    np.testing.assert_array_equal(placed.query_slots, [3, 4, 5, 0, 1, 2])
    np.testing.assert_array_equal(placed.key_slots, [3, 4, 5, 0, 1, 2])


def test_placement_of_reduced_keys():
    keys = side(2, (2, 3), [0, 0, 1, 0, 0, 1])
    placed = placement_of(geometry(PATCHES, keys, kind="reduced keys"), TokenLayout(0, (2, 3)))
    assert (placed.queries, placed.keys) == (6, 2)
    np.testing.assert_array_equal(placed.query_slots, range(6))
    np.testing.assert_array_equal(placed.key_slots, [0, 0, 1, 0, 0, 1])


@pytest.mark.parametrize(
    ("keys", "layout", "expected"),
    [
        (BEHIND_CLASS, TokenLayout(1, (2, 3)), [0, -1, -1, -1, -1, -1, -1]),
        (BEFORE_CLASS, TokenLayout(0, (2, 3), suffix=1), [-1, -1, -1, -1, -1, -1, 0]),
    ],
)
def test_class_attention_asks_for_the_token_that_its_keys_have_beside_the_patches(
    keys, layout, expected
):
    placed = placement_of(geometry(NOWHERE, keys, kind="class attention"), layout)
    assert (placed.queries, placed.keys) == (1, 7)
    np.testing.assert_array_equal(placed.query_slots, expected)
    np.testing.assert_array_equal(placed.key_slots, keys_in_order(keys, layout))


def keys_in_order(keys, layout):
    extra = np.setdiff1d(np.arange(keys.slots), keys.owners)
    return [*extra[: layout.prefix], *keys.owners, *extra[layout.prefix :]]


def test_pooling_queries_have_no_tokens():
    placed = placement_of(geometry(NOWHERE, PATCHES, kind="pooling"), TokenLayout(1, (2, 3)))
    assert placed.is_pooling
    np.testing.assert_array_equal(placed.key_slots, [-1, 0, 1, 2, 3, 4, 5])
