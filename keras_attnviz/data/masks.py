"""Masks of objects, as shares of grid cells."""

import numpy as np
from PIL import Image


def mask_shares(masks, grid):
    """Returns the share of each grid cell that a mask covers.

    Args:
        masks: float array `[masks, height, width]` in [0, 1].
        grid: `(height, width)` of the grid that is laid over the masks.

    Returns:
        float32 array `[masks, cells]` in [0, 1], row by row.
    """
    resized = [
        Image.fromarray(np.asarray(mask, np.float32)).resize(grid[::-1], Image.Resampling.BOX)
        for mask in masks
    ]
    return np.stack([np.asarray(mask).ravel() for mask in resized])


def tall_masks(masks, frames):
    """Returns the masks of videos as masks of tall images.

    Args:
        masks: float array `[videos, frames of the video, height, width]`.
        frames: number of frames of the tall image.

    Returns:
        float array `[videos, frames * height, width]`, the mean over frames that share tokens.
    """
    count, _, height, width = masks.shape
    return masks.reshape(count, frames, -1, height, width).mean(axis=2).reshape(count, -1, width)
