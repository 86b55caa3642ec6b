"""What the Images tab shows of each probe: caption, picture, overlay, color bar."""

import dataclasses

import numpy as np

from keras_attnviz import render
from keras_attnviz._checks import check_choice, message
from keras_attnviz.classes import class_name
from keras_attnviz.events import tag_names

SCALES = ("uniform", "image")
CHECK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


@dataclasses.dataclass(frozen=True)
class ColorScale:
    """How values become colors.

    Args:
        scale: `"uniform"`: one scale for all pictures and epochs, from 0 to `limit` times
            uniform attention; `"image"`: each picture from 0 to its own highest value.
        limit: float above 0, for `"uniform"`.
        color_map: name of a matplotlib color map.
        opacity: float in [0, 1] of the heatmap over the grey picture.

    Raises:
        ValueError: a value that is not one of these.
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

    def limit_of(self, grid):
        """Returns the value of the highest color for `grid`, in times uniform attention."""
        # Of a model that has diverged there may be no number at all.
        highest = float(np.max(np.nan_to_num(grid, nan=0.0, posinf=0.0)))
        return self.limit if self.scale == "uniform" else max(highest, 1e-12)

    def labels_of(self, grid):
        """Returns the color bar's labels for `grid`."""
        limit = self.limit_of(grid)
        half, whole = (f"{value:.3g}\N{MULTIPLICATION SIGN}" for value in (limit / 2, limit))
        return ["0", half, f"{whole} uniform"]


def probe_panel(picture, grid, caption, colors):
    """Returns a probe's picture and its overlay side by side, with a caption and a color bar.

    Args:
        picture: uint8 array `[height, width, 3]`; small ones are shown enlarged.
        grid: float array `[grid_height, grid_width]`, times uniform attention.
        caption: one line of text.
        colors: `ColorScale`.

    Returns:
        uint8 array `[..., 2 * width + 6, 3]`: caption, the pair, color bar, from above; height and
        width of the pair are the enlarged picture's.
    """
    picture = render.enlarged(picture)
    heated = render.overlay(
        picture,
        grid,
        limit=colors.limit_of(grid),
        color_map=colors.color_map,
        opacity=colors.opacity,
    )
    gap = np.full((picture.shape[0], 6, 3), 255, np.uint8)
    pair = np.concatenate([picture, gap, heated], axis=1)
    width = pair.shape[1]
    bar = render.color_bar(width, labels=colors.labels_of(grid), color_map=colors.color_map)
    return np.concatenate([render.text_strip(caption, width), pair, bar], axis=0)


def probe_caption(index, snapshot, probes, *, moment):
    """Returns one line: when, the predicted class and its confidence, right or wrong.

    Args:
        index: the probe's number.
        snapshot: a `Snapshot`.
        probes: the `ProbeSet`.
        moment: text, when the snapshot was taken.
    """
    if snapshot.classes is None:
        return moment
    names, predicted = probes.class_names, snapshot.classes[index]
    confidence = snapshot.confidences[index]
    if not np.isfinite(confidence):
        return f"{moment}: the model's output is not a number"
    text = f"{moment}: {class_name(predicted, names)} {confidence:.2f}"
    if probes.labels is None:
        return text
    label = probes.labels[index]
    return f"{text} {CHECK if label == predicted else f'{CROSS} is {class_name(label, names)}'}"


def write_panels(writer, step, snapshot, probes, colors, *, moment):
    """Writes the panel of each probe.

    Args:
        writer: an `AttentionWriter`.
        step: integer.
        snapshot: a `Snapshot`.
        probes: the `ProbeSet`.
        colors: `ColorScale`.
        moment: text, when the snapshot was taken.
    """
    for index, (name, tag) in enumerate(zip(probes.names, tag_names(probes.names), strict=True)):
        caption = probe_caption(index, snapshot, probes, moment=moment)
        picture = probe_panel(probes.display[index], snapshot.relative[index], caption, colors)
        writer.image(
            step,
            f"attention/{tag}",
            render.png_bytes(picture),
            size=picture.shape[:2],
            description=f"{name}. Step {step}, {caption}.",
        )
