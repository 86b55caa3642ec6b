"""What the Images tab shows of each probe: caption, picture, overlays, color bars."""

import concurrent.futures
import contextlib
import dataclasses
import os
import re

import numpy as np

from keras_attnviz._checks import check_choice, message
from keras_attnviz.classes import class_name
from keras_attnviz.drawing import render
from keras_attnviz.drawing.contact_sheet import Sheet
from keras_attnviz.log.event_writer import tag_names
from keras_attnviz.methods.registry import GATES, gate_name, shown
from keras_attnviz.monitor.gate_measures import stages

SCALES = ("uniform", "image")
_GAP = 6  # pixels between two columns
_NO_SHEET = Sheet()
CHECK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


@dataclasses.dataclass(frozen=True)
class ColorScale:
    """How values become colors.

    Args:
        scale: `"uniform"`: one scale for all pictures and epochs, from 0 to `limit` times
            uniform attention; `"image"`: each picture from 0 to its own highest value.
        limit: float above 0, for `"uniform"`; methods whose heatmaps are much flatter have a limit
            of their own.
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

    def limit_of(self, grid, method="rollout"):
        """Returns the value of the highest color for `grid`, in times uniform attention."""
        if self.scale == "uniform":
            return shown(method).color_limit or self.limit
        # Of a model that has diverged there may be no number at all.
        return max(float(np.max(np.nan_to_num(grid, nan=0.0, posinf=0.0))), 1e-12)


def probe_panel(picture, heat, caption, colors, *, shares=None):
    """Returns a probe's picture and the overlays of all methods, with a caption and color bars.

    Args:
        picture: uint8 array `[height, width, 3]`; small ones are shown enlarged.
        heat: dict from the name of a method, or of a gate, to float array
            `[grid_height, grid_width]`, times uniform attention or the gate's values; empty in a
            model that has channel gates alone: then there is the picture only.
        caption: one line of text.
        colors: `ColorScale`.
        shares: of a video, dict from the names in `heat` to float arrays `[frames]`, the share of
            the heatmap that lies in each frame.

    Returns:
        uint8 array `[..., 2 * width + 6, 3]`, `width` that of the enlarged picture: below the
        caption two columns, the picture first, then each method's overlay. Each overlay has its
        color bar, and below it a bar for each frame of a video; several also have the method's
        title.
    """
    picture = render.enlarged(picture)
    if not heat:
        return np.concatenate([render.text_strip(caption, picture.shape[1]), picture], axis=0)
    width = 2 * picture.shape[1] + _GAP
    text = render.text_size(width)
    blocks = [
        _block(
            picture,
            grid,
            method,
            colors,
            text=text,
            has_title=len(heat) > 1,
            shares=shares and shares.get(method),
        )
        for method, grid in heat.items()
    ]
    above = text * 3 // 2 if len(heat) > 1 else 0
    beside = np.full_like(blocks[0], 255)
    beside[above : above + picture.shape[0]] = picture
    cells = [beside, *blocks]
    cells += [np.full_like(beside, 255)] * (len(cells) % 2)
    gap = np.full((len(beside), _GAP, 3), 255, np.uint8)
    pairs = zip(cells[::2], cells[1::2], strict=True)
    rows = [np.concatenate([left, gap, right], axis=1) for left, right in pairs]
    return np.concatenate([render.text_strip(caption, width), *rows], axis=0)


def _block(picture, grid, method, colors, *, text, has_title, shares):
    """Returns a method's overlay above its color bar and frames, below its title if it has one."""
    limit = colors.limit_of(grid, method)
    heated = render.overlay(
        picture, grid, limit=limit, color_map=colors.color_map, opacity=colors.opacity
    )
    width = picture.shape[1]
    labels = ("0", f"{limit:.3g}{shown(method).unit}")
    bar = render.color_bar(width, labels=labels, color_map=colors.color_map, size=text)
    title = [render.text_strip(shown(method).title, width, size=text)] if has_title else []
    bars = []
    if shares is not None:
        bars = [
            render.frame_bars(shares, width, limit=limit, color_map=colors.color_map, size=text)
        ]
    return np.concatenate([*title, heated, bar, *bars], axis=0)


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


def _heat_of(snapshot, index, sheet):
    """Returns a probe's heatmaps: by each method, and of gates stage by stage."""
    heat = {name: maps[index] for name, maps in snapshot.heat.items() if name != GATES}
    spatial = [gate for gate in snapshot.gates if gate.is_spatial]
    maps = snapshot.measures.get("gate_maps")
    heat |= {gate_name(spatial[number]): maps[index, number] for number in stages(spatial)}
    return {name: sheet.laid(grid) for name, grid in heat.items()}


def _shares_of(snapshot, index):
    """Returns the share of each frame in a probe's heatmaps, None for images."""
    shares = {name: each[index] for name, each in snapshot.frame_share.items()}
    return shares or None


def as_markdown(text):
    """Returns the Markdown that shows a text as it is, in one line: no links, pictures, markup."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    # Names of files may hold bytes that are no text.
    text = text.encode("utf-8", "replace").decode()
    # Within words, underscores are no markup.
    return re.sub(r"(^[#>+-]|[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


@contextlib.contextmanager
def drawn_panels(step, snapshot, probes, colors, *, moment, sheet=_NO_SHEET):
    """Draws the panel of each probe on threads, while the `with` block goes on.

    Args:
        step: integer.
        snapshot: a `Snapshot`.
        probes: the `ProbeSet`.
        colors: `ColorScale`.
        moment: text, when the snapshot was taken.
        sheet: the `Sheet` that videos are shown in.

    Yields:
        iterator over the panels in the order of the probes, each a dict of the arguments of
        `AttentionWriter.image`; what fails is raised by it.
    """
    tags = tag_names(probes.names)

    def drawn(index):
        caption = probe_caption(index, snapshot, probes, moment=moment)
        heat, shares = _heat_of(snapshot, index, sheet), _shares_of(snapshot, index)
        shown = sheet.picture(probes.display[index])
        picture = probe_panel(shown, heat, caption, colors, shares=shares)
        return {
            "tag": f"attention/{tags[index]}",
            "png": render.png_bytes(picture),
            "size": picture.shape[:2],
            "description": as_markdown(f"{probes.names[index]}. Step {step}, {caption}."),
        }

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool.map(drawn, range(len(tags)))
    finally:
        # Where writing has failed, what isn't drawn yet need not be.
        pool.shutdown(cancel_futures=True)
