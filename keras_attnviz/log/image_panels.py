"""Panels of the Images tab: each probe's caption, picture, overlays and color bars."""

import concurrent.futures
import contextlib
import os
import re

import numpy as np

from keras_attnviz.capture.gates import last_of_each_resolution
from keras_attnviz.drawing import render
from keras_attnviz.drawing.contact_sheet import Sheet
from keras_attnviz.drawing.probe_panel import probe_panel
from keras_attnviz.log.event_writer import tag_names
from keras_attnviz.methods.registry import MEAN_OF_GATES, gate_name
from keras_attnviz.model_io.outputs import class_name

_NO_SHEET = Sheet()
CHECK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


def probe_caption(index, snapshot, probes, *, moment):
    """Returns one line: the moment, the predicted class, its confidence, and whether it is right.

    Args:
        index: index of the probe.
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
    """Returns a probe's heatmaps: one for each method, and one for the gates of each resolution."""
    heat = {name: maps[index] for name, maps in snapshot.heatmaps.items() if name != MEAN_OF_GATES}
    spatial = [gate for gate in snapshot.gates if gate.is_spatial]
    maps = snapshot.measures.get("gate_maps")
    heat |= {
        gate_name(spatial[number]): maps[index, number]
        for number in last_of_each_resolution(spatial)
    }
    return {name: sheet.laid(grid) for name, grid in heat.items()}


def _shares_of(snapshot, index):
    """Returns each frame's share of a probe's heatmaps, or None for images."""
    shares = {name: each[index] for name, each in snapshot.frame_share.items()}
    return shares or None


def as_markdown(text):
    """Returns Markdown that shows a text literally in one line, without links or other markup."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    # File names may hold bytes that aren't valid UTF-8.
    text = text.encode("utf-8", "replace").decode()
    # An underscore within a word isn't markup.
    return re.sub(r"(^[#>+-]|[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)


@contextlib.contextmanager
def drawn_panels(step, snapshot, probes, colors, *, moment, sheet=_NO_SHEET):
    """Draws each probe's panel on threads while the `with` block runs.

    Args:
        step: integer.
        snapshot: a `Snapshot`.
        probes: the `ProbeSet`.
        colors: `ColorScale`.
        moment: text, when the snapshot was taken.
        sheet: the `Sheet` that lays out the frames of videos.

    Yields:
        iterator over the panels in the order of the probes, each a dict of the arguments of
        `AttentionWriter.image`. If a panel can't be drawn, the iterator raises the error.
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
        # If writing failed, the panels that aren't drawn yet are no longer needed.
        pool.shutdown(cancel_futures=True)
