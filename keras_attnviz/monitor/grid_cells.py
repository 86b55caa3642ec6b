"""Grid cells: patches pooled into larger cells, so that logged maps stay small."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cells:
    """Square blocks of patches; those at the lower and right border may hold fewer.

    Args:
        patches: `(height, width)` of the grid of patches.
        factor: patches on each side of a cell.
        frames: number of frames, which stand below one another. No cell spans two frames.
    """

    patches: tuple
    factor: int
    frames: int = 1

    @classmethod
    def at_most(cls, patches, count, *, frames=1):
        """Returns the smallest cells that number at most `max(count, frames)`."""
        factor = 1
        while math.prod(cls(patches, factor, frames).grid) > max(count, frames):
            factor += 1
        return cls(tuple(patches), factor, frames)

    @property
    def grid(self):
        """`(height, width)` of the grid of cells."""
        height, width = self.patches
        return self.frames * -(-height // self.frames // self.factor), -(-width // self.factor)

    @property
    def count(self):
        """Number of cells."""
        return math.prod(self.grid)

    def means(self):
        """Returns the matrix from patches to means over cells, float32 `[patches, cells]`."""
        height, width = self.patches
        frame, row = np.divmod(np.arange(height), height // self.frames)
        rows = frame * (self.grid[0] // self.frames) + row // self.factor
        columns = np.arange(width) // self.factor
        owners = (rows[:, np.newaxis] * self.grid[1] + columns).ravel()
        matrix = np.zeros((len(owners), self.count), np.float32)
        matrix[np.arange(len(owners)), owners] = 1
        return matrix / matrix.sum(axis=0)
