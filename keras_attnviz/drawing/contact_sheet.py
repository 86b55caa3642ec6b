"""Contact sheets: a video's frames, or its heatmaps, row by row in one picture."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Lays frames out in a near-square sheet. A single frame, as of an image, stays as it is.

    Args:
        frames: number of frames, which stand below one another in the input.
    """

    frames: int = 1

    @property
    def columns(self):
        """Number of frames in a row of the sheet: the square root of `frames`, rounded up."""
        return math.isqrt(self.frames - 1) + 1

    @property
    def rows(self):
        """Number of rows of the sheet."""
        return -(-self.frames // self.columns)

    def grid(self, grid):
        """Returns the sheet's grid `(height, width)` for the grid of the stacked frames."""
        height, width = grid
        return height // self.frames * self.rows, width * self.columns

    def laid(self, values, *, fill=0):
        """Returns stacked frames as a sheet.

        Args:
            values: array `[..., frames * height, width]`.
            fill: value of the sheet's cells beyond the last frame.

        Returns:
            array `[..., rows * height, columns * width]` of the same dtype.
        """
        values = np.asarray(values)
        *leading, height, width = values.shape
        split = values.reshape(-1, self.frames, height // self.frames, width)
        blank = self.rows * self.columns - self.frames
        split = np.pad(split, ((0, 0), (0, blank), (0, 0), (0, 0)), constant_values=fill)
        split = split.reshape(-1, self.rows, self.columns, height // self.frames, width)
        return split.transpose(0, 1, 3, 2, 4).reshape(*leading, *self.grid((height, width)))

    def picture(self, display):
        """Returns an image unchanged, and a video's frames as a sheet on white.

        Args:
            display: uint8 array `[height, width, 3]`, or `[frames of the video, height, width, 3]`.
                Each frame of the sheet stands for equally many frames of the video and shows the
                middle one.

        Returns:
            uint8 array `[height, width, 3]`.
        """
        if display.ndim == 3:
            return display
        count = len(display) // self.frames
        shown = display[(count - 1) // 2 :: count][: self.frames]
        tall = np.moveaxis(shown, -1, 0).reshape(3, -1, shown.shape[2])
        return np.moveaxis(self.laid(tall, fill=255), 0, -1)
