"""Agreement of maps with masks, by hand."""

import numpy as np
import pytest

from benchmarks.quality.agreement import agreement, coverage

pytestmark = pytest.mark.one_stack

COVERED = np.array([[1.0, 0.6, 0.4, 0.0]])  # of 2 x 2 patches; the first two are the object's


def figures(*values):
    found = agreement(np.reshape(values, [1, 2, 2]), COVERED)
    return found["auc"][0], found["hit"][0], found["lift"][0]


def test_coverage_is_the_mean_of_each_patch():
    mask = np.zeros((1, 4, 6))
    mask[0, :2, :3] = 1
    mask[0, 2, 3] = 0.6
    np.testing.assert_allclose(coverage(mask, (2, 2)), [[1, 0, 0, 0.1]])


@pytest.mark.parametrize(
    ("values", "auc", "hit", "lift"),
    [
        ((4, 3, 2, 1), 1, 1, (4 + 1.8 + 0.8) / 10 / 0.5),
        ((1, 2, 3, 4), 0, 0, (1 + 1.2 + 1.2) / 10 / 0.5),
        # Of the four pairs 4 > 3, 4 > 1, 2 < 3, 2 > 1.
        ((4, 2, 3, 1), 0.75, 1, (4 + 1.2 + 1.2) / 10 / 0.5),
        # Ties count half, and of two equal maxima one lies on the object.
        ((5, 1, 5, 1), 0.5, 0.5, (5 + 0.6 + 2) / 12 / 0.5),
        ((1, 1, 1, 1), 0.5, 0.5, 1),
    ],
)
def test_agreement(values, auc, hit, lift):
    assert figures(*values) == pytest.approx((auc, hit, lift))


def test_mass_is_the_share_on_the_object():
    maps = np.float64([[[4, 3], [2, 1]]])
    found = agreement(maps, COVERED)
    assert found["mass"] == pytest.approx((4 + 1.8 + 0.8) / 10)


def test_pictures_are_measured_one_by_one():
    maps = np.random.default_rng(0).random((5, 2, 2))
    covered = np.repeat(COVERED, 5, axis=0)
    together = agreement(maps, covered)
    for index in range(5):
        alone = agreement(maps[index : index + 1], COVERED)
        assert {name: alone[name][0] for name in alone} == pytest.approx(
            {name: together[name][index] for name in together}
        )
