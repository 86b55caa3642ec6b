import numpy as np
import pytest

from keras_attnviz.capture.tokens.gradient_codes import (
    LeadingAxes,
    plain_axes,
    slot_owners,
    split_axes,
)

CHANNELS = 16


def linear(owners, slots, *, noise=0.0, seed=0):
    """Gradients of slots that each position's own slot alone is computed from.

    Returns a function from factors `[slots]` to `[positions, channels]`.
    """
    random = np.random.default_rng(seed)
    owners = np.array(owners)
    vectors = random.normal(size=(len(owners), CHANNELS)) * random.uniform(
        0.01, 10, (len(owners), 1)
    )
    vectors[owners < 0] = 0

    def gradient(factors):
        assert factors.shape == (slots,)
        found = factors[np.maximum(owners, 0), np.newaxis] * vectors
        return found * (1 + noise * random.normal(size=found.shape))

    return gradient


def mixed(slots, positions, seed=0):
    """Gradients of slots that are all computed from all positions, as with channel attention."""
    vectors = np.random.default_rng(seed).normal(size=(slots, positions, CHANNELS))
    return lambda factors: np.einsum("s,spc->pc", factors, vectors)


def shifted_windows():
    """Slot numbers of the positions of a grid of 4 x 6 in windows of 2 x 3, shifted by 1 and 2."""
    rolled = np.roll(np.arange(24).reshape(4, 6), (-1, -2), axis=(0, 1))
    members = rolled.reshape(2, 2, 2, 3).transpose(0, 2, 1, 3).ravel()
    owners = np.zeros(24, int)
    owners[members] = np.arange(24)
    return owners


FORMS = {
    "row by row": (np.arange(12), 12),
    "column by column": (np.arange(12).reshape(4, 3).T.ravel(), 12),
    "permuted": (np.random.default_rng(1).permutation(50), 50),
    "three digits": (np.random.default_rng(2).permutation(600), 600),
    "shifted windows": (shifted_windows(), 24),
    "merged two by two": (np.repeat(np.repeat([[0, 1], [2, 3]], 2, 0), 2, 1).ravel(), 4),
    "after a class token": (np.arange(1, 10), 10),
    "before registers": (np.arange(9), 13),
    "cropped": ([-1, -1, 0, 1, -1, 2, 3, -1], 4),
    "one slot": ([0, 0, 0], 1),
    "two slots": ([1, 0], 2),
    "eight slots": (np.arange(8)[::-1], 8),
    "nine slots": (np.arange(9)[::-1], 9),
}


@pytest.mark.parametrize("noise", [0, 0.005])
@pytest.mark.parametrize("form", FORMS)
def test_owner_of_each_position(form, noise):
    owners, slots = FORMS[form]
    found = slot_owners(linear(owners, slots, noise=noise), slots)
    np.testing.assert_array_equal(found, owners)
    assert found.dtype.kind == "i"


@pytest.mark.parametrize("slots", [2, 9, 70])
def test_slots_computed_from_all_positions_have_no_owner(slots):
    assert slot_owners(mixed(slots, 12), slots) is None


def test_one_position_of_two_slots_is_enough_to_find_no_owners():
    own, other = linear(np.arange(12), 12), mixed(12, 12)

    def gradient(factors):
        found = own(factors)
        found[7] = other(factors)[7]
        return found

    assert slot_owners(gradient, 12) is None


def test_weak_positions_may_have_the_rounding_of_strong_ones():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 64))
    vectors *= (
        np.tile([1, 0.25], 20)[:, np.newaxis] / np.linalg.norm(vectors, axis=1)[:, np.newaxis]
    )

    def gradient(factors):
        return factors[:, np.newaxis] * vectors + 0.0009 * random.normal(size=vectors.shape)

    np.testing.assert_array_equal(slot_owners(gradient, 40), np.arange(40))


def test_gradients_that_are_proportional_by_other_numbers_have_no_owner():
    # One channel is always proportional; a position of two slots gives a number between.
    halves = np.array([[1.0, 1.0], [1.0, 0.0]])

    def gradient(factors):
        return halves @ factors[:, np.newaxis]

    assert slot_owners(gradient, 2) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradients_that_are_not_finite_have_no_owner(value):
    def gradient(factors):
        found = linear(np.arange(4), 4)(factors)
        found[1, 2] = value
        return found

    assert slot_owners(gradient, 4) is None


def test_gradients_that_depend_on_no_factor_have_no_owner():
    constant = np.random.default_rng(0).normal(size=(4, CHANNELS))
    twisted = np.random.default_rng(1).normal(size=(4, CHANNELS))
    assert slot_owners(lambda factors: constant + factors.sum() * twisted, 4) is None


def test_no_gradient_at_all_gives_no_slot():
    found = slot_owners(lambda factors: np.zeros((3, CHANNELS)), 4)
    np.testing.assert_array_equal(found, [-1, -1, -1])


def test_negligible_gradients_count_as_none():
    own = linear([0, 1, 2, 3], 4)
    strengths = np.array([1, 1e-9, 1, 1])[:, np.newaxis]
    found = slot_owners(lambda factors: own(factors) * strengths, 4)
    np.testing.assert_array_equal(found, [0, -1, 2, 3])


def by_members(members, leading, *, noise=0.0, seed=0):
    """Gradients of positions that each read some members of the leading axes.

    `members` is an integer array `[positions, count]` of flat numbers into `leading`.
    """
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(*members.shape, CHANNELS))

    def gradient(cotangent):
        assert cotangent.shape == leading
        found = np.einsum("pm,pmc->pc", np.ravel(cotangent)[members], vectors)
        return found * (1 + noise * random.normal(size=found.shape))

    return gradient


def positions_of(groups, heads, *, count=3):
    """Positions of each group that read all its heads: batch, groups, heads in that order."""
    members = np.arange(groups * heads).reshape(groups, heads)
    return np.repeat(members, count, axis=0)


LEADING = {
    "heads": ((1, 4), positions_of(1, 4), LeadingAxes((1, 1, 4), (True, False, False))),
    "one head": ((1, 1), positions_of(1, 1), LeadingAxes((1, 1, 1), (True, False, False))),
    "windows, then heads": (
        (6, 2),
        positions_of(6, 2),
        LeadingAxes((6, 1, 2), (True, False, False)),
    ),
    "windows of one head": ((6,), positions_of(6, 1), LeadingAxes((6, 1), (True, False))),
    "heads merged with the batch": ((4,), positions_of(1, 4), LeadingAxes((1, 4), (True, False))),
    "windows and heads merged": ((12,), positions_of(4, 3), LeadingAxes((4, 3), (True, False))),
    "more heads than windows": ((12,), positions_of(2, 6), LeadingAxes((2, 6), (True, False))),
    "groups on an axis of their own": (
        (1, 5, 3),
        positions_of(5, 3),
        LeadingAxes((1, 1, 5, 3), (True, False, True, False)),
    ),
    "heads before the groups": (
        (1, 3, 5),
        np.repeat(np.arange(15).reshape(3, 5).T, 2, axis=0),
        LeadingAxes((1, 1, 3, 5), (True, False, False, True)),
    ),
}


@pytest.mark.parametrize("noise", [0, 0.005])
@pytest.mark.parametrize("form", LEADING)
def test_leading_axes_are_groups_or_heads(form, noise):
    leading, members, expected = LEADING[form]
    gradient = by_members(members, leading, noise=noise)
    axes = split_axes(gradient, leading, np.random.default_rng(0))
    # An axis of size 1 may be called either.
    assert axes.sizes == expected.sizes
    assert (axes.groups, axes.heads) == (expected.groups, expected.heads)
    np.testing.assert_array_equal(axes.group_numbers(), expected.group_numbers())


def test_axes_by_hand():
    axes = LeadingAxes((2, 3, 2), (True, False, True))
    assert (axes.groups, axes.heads) == (4, 3)
    expected = [[[0, 1]] * 3, [[2, 3]] * 3]
    np.testing.assert_array_equal(axes.group_numbers(), expected)


def test_plain_axes_are_all_heads():
    axes = plain_axes((1, 8))
    assert axes == LeadingAxes((1, 1, 8), (True, False, False))
    assert (axes.groups, axes.heads) == (1, 8)
    np.testing.assert_array_equal(axes.group_numbers(), np.zeros((1, 1, 8)))
