import numpy as np
import pytest

from keras_attnviz.data.masks import mask_shares
from keras_attnviz.monitor.grid_cells import Cells

pytestmark = pytest.mark.one_stack


@pytest.mark.parametrize(
    ("patches", "most", "factor", "grid"),
    [
        ((14, 14), 400, 1, (14, 14)),
        ((20, 20), 400, 1, (20, 20)),
        ((20, 21), 400, 2, (10, 11)),
        ((37, 37), 400, 2, (19, 19)),
        ((56, 56), 400, 3, (19, 19)),
        ((1, 1000), 400, 3, (1, 334)),
        ((3, 3), 1, 3, (1, 1)),
    ],
)
def test_the_smallest_cells_that_are_few_enough(patches, most, factor, grid):
    cells = Cells.at_most(patches, most)
    assert (cells.factor, cells.grid, cells.count) == (factor, grid, grid[0] * grid[1])


def test_means_by_hand():
    # Patches 0 1 2 / 3 4 5 in cells of 2 x 2: columns 0 and 1 in one, column 2 in another.
    matrix = Cells((2, 3), 2).means()
    np.testing.assert_allclose(
        matrix, [[0.25, 0], [0.25, 0], [0, 0.5], [0.25, 0], [0.25, 0], [0, 0.5]]
    )


def test_means_of_single_patches_are_the_patches():
    np.testing.assert_array_equal(Cells((2, 2), 1).means(), np.eye(4))


def test_mask_shares_by_hand():
    mask = np.zeros((4, 8))
    mask[:2, :2], mask[3, 4:] = 1, 0.5
    np.testing.assert_allclose(mask_shares(mask[np.newaxis], (2, 2)), [[0.5, 0, 0, 0.25]])
