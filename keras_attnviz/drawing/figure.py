"""Figures of pictures beside their heatmaps."""

import os

import matplotlib.figure
import numpy as np
from PIL import Image

from keras_attnviz._checks import message
from keras_attnviz.data.images import check_exists
from keras_attnviz.drawing import render

_SHOWN_SIDE = 1024


def draw(explanations):
    """Draws pictures and attention maps side by side, one row per picture.

    The attention map is the picture darkened where the attention is below its maximum, as in
    figure 6 of "An Image is Worth 16x16 Words" (arXiv 2010.11929).

    Args:
        explanations: sequence of `Explanation`.

    Returns:
        A `matplotlib.figure.Figure`; its `savefig` needs no display.
    """
    figure = matplotlib.figure.Figure(figsize=(8, 4.2 * len(explanations)), layout="constrained")
    rows = figure.subplots(len(explanations), 2, squeeze=False)
    for (left, right), explanation in zip(rows, explanations, strict=True):
        picture = _shown(explanation.picture)
        left.imshow(picture)
        left.set_title("Original")
        right.imshow(_darkened(picture, explanation.attention))
        right.set_title("Attention Map")
        # A dollar sign would start a formula.
        name = explanation.class_name.replace("$", r"\$")
        left.set_xlabel(f"{name} ({explanation.confidence:.1%})", loc="left")
        for axes in (left, right):
            axes.set(xticks=[], yticks=[], frame_on=False)
    return figure


def check_drawing(path, sources):
    """Raises if it is clear beforehand that a drawing of these pictures can't be saved as `path`.

    Raises:
        FileNotFoundError: a source is not a web address and doesn't exist.
        ValueError: `path` has an unknown suffix or lies in a directory that doesn't exist.
    """
    known = matplotlib.figure.Figure().canvas.get_supported_filetypes()
    if os.path.splitext(path)[1][1:].lower() not in known:
        raise ValueError(message("out", f"a file name ending in one of {', '.join(known)}", path))
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise ValueError(message("out", "a file in an existing directory", path))
    for source in sources:
        check_exists(source)


def _shown(picture):
    image = Image.fromarray(picture)
    image.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    return render.enlarged(np.asarray(image))


def _darkened(picture, attention):
    mask = render.upsample(attention, picture.shape[:2])[..., np.newaxis]
    return np.round(picture * (mask / max(float(mask.max()), 1e-12))).astype("uint8")
