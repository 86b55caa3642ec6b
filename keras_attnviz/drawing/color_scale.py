"""Color scales: which value of a heatmap gets which color."""

import dataclasses

import numpy as np

from keras_attnviz._checks import check_choice, message
from keras_attnviz.drawing import render
from keras_attnviz.methods.registry import method_of

SCALES = ("uniform", "image")


@dataclasses.dataclass(frozen=True)
class ColorScale:
    """How values become colors.

    Args:
        scale: `"uniform"` for one scale for all pictures and epochs, from 0 to `limit` times
            uniform attention; `"image"` to scale each picture from 0 to its highest value.
        limit: float above 0, for `"uniform"`. Methods with much flatter heatmaps override it.
        color_map: name of a matplotlib color map.
        opacity: float in [0, 1], the heatmap's opacity over the gray picture.

    Raises:
        ValueError: an argument is none of these.
    """

    scale: str = "uniform"
    limit: float = 4.0
    color_map: str = "inferno"
    opacity: float = 0.6

    def __post_init__(self):
        check_choice("color_scale", self.scale, SCALES)
        if not self.limit > 0:
            raise ValueError(message("color_limit", "above 0", self.limit))
        if not 0 <= self.opacity <= 1:
            raise ValueError(message("opacity", "in [0, 1]", self.opacity))
        render.colorize([0.0], limit=1.0, color_map=self.color_map)

    def limit_of(self, grid, method="rollout"):
        """Returns the value of the highest color for `grid`, as a multiple of uniform attention."""
        if self.scale == "uniform":
            return method_of(method).color_limit or self.limit
        # If the model has diverged, all values may be NaN.
        return max(float(np.max(np.nan_to_num(grid, nan=0.0, posinf=0.0))), 1e-12)
