"""Videos as contact sheets."""

import numpy as np
import pytest

from keras_attnviz.drawing.contact_sheet import Sheet
from keras_attnviz.monitor.grid_cells import Cells


@pytest.mark.parametrize(
    ("frames", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (5, 2, 3), (7, 3, 3), (8, 3, 3), (16, 4, 4)],
)
def test_sheets_are_near_square(frames, rows, columns):
    sheet = Sheet(frames)
    assert (sheet.rows, sheet.columns) == (rows, columns)
    assert sheet.grid((frames * 2, 5)) == (rows * 2, columns * 5)


def test_frames_are_laid_row_by_row():
    # Three frames of 1 x 2, and a blank cell.
    values = np.array([[[1, 2], [3, 4], [5, 6]]])
    np.testing.assert_array_equal(Sheet(3).laid(values), [[[1, 2, 3, 4], [5, 6, 0, 0]]])
    laid = Sheet(3).laid(values.astype(np.uint8), fill=255)
    assert laid.dtype == np.uint8
    np.testing.assert_array_equal(laid[0, 1], [5, 6, 255, 255])


@pytest.mark.parametrize("frames", [2, 5, 9])
def test_each_frame_stands_in_its_cell(frames):
    tall = np.random.default_rng(0).random((2, 3, frames * 4, 6))
    sheet = Sheet(frames)
    laid = sheet.laid(tall)
    for frame in range(frames):
        row, column = divmod(frame, sheet.columns)
        cell = laid[..., row * 4 : row * 4 + 4, column * 6 : column * 6 + 6]
        np.testing.assert_array_equal(cell, tall[..., frame * 4 : frame * 4 + 4, :])
    assert np.isclose(laid.sum(), tall.sum())


def test_images_stay_as_they_are():
    values = np.random.default_rng(0).random((2, 4, 6))
    np.testing.assert_array_equal(Sheet().laid(values), values)
    picture = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    assert Sheet().picture(picture) is picture


def test_a_bright_frame_shows_in_its_cell_alone():
    video = np.zeros((5, 2, 3, 3), np.uint8)
    video[3] = 200
    picture = Sheet(5).picture(video)
    expected = np.zeros((4, 9, 3))
    expected[2:, :3], expected[2:, 6:] = 200, 255
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize(("count", "shown"), [(4, [0, 2]), (6, [1, 4]), (8, [1, 5])])
def test_the_middle_frame_of_a_tubelet_is_shown(count, shown):
    video = np.broadcast_to(np.uint8(range(count))[:, None, None, None], (count, 1, 1, 3))
    np.testing.assert_array_equal(Sheet(2).picture(video)[0, :, 0], shown)


def test_cells_are_of_one_frame_each():
    # Two frames of 3 x 3 patches in cells of 2 x 2.
    cells = Cells((6, 3), 2, frames=2)
    assert cells.grid == (4, 2)
    means = cells.means().T.reshape(4, 2, 6, 3)
    np.testing.assert_allclose(means[1, 0, 2, :2], [0.5, 0.5])
    np.testing.assert_allclose(means[2, 0, 3:5, :2], 0.25)
    assert (means[:2, :, 3:] == 0).all()
    assert (means[2:, :, :3] == 0).all()


@pytest.mark.parametrize(
    ("patches", "most", "frames", "grid"),
    [((112, 14), 400, 8, (56, 7)), ((14, 7), 3, 2, (2, 1)), ((10, 1), 4, 10, (10, 1))],
)
def test_the_smallest_cells_of_frames(patches, most, frames, grid):
    assert Cells.at_most(patches, most, frames=frames).grid == grid
