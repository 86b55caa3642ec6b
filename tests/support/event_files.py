"""Reads event files back with TensorBoard's own reader."""

import io
import pathlib

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util


def events_of(run):
    """Returns all events in the files of a run's folder, in order."""
    paths = sorted(pathlib.Path(run).glob("*tfevents*"), key=lambda path: path.stat().st_mtime_ns)
    return [event for path in paths for event in EventFileLoader(str(path)).Load()]


def scalars_of(run):
    """Returns a dict from tag to a dict from step to value."""
    found = {}
    for event in events_of(run):
        for value in event.summary.value:
            number = tensor_util.make_ndarray(value.tensor)
            if number.ndim == 0 and number.dtype.kind == "f":
                found.setdefault(value.tag, {})[event.step] = float(number)
    return found


def images_of(run):
    """Returns a dict from tag to a dict from step to `(picture, description)`."""
    found = {}
    for event in events_of(run):
        for value in event.summary.value:
            if value.tag.startswith("attention/") and value.tensor.string_val:
                width, height, png = value.tensor.string_val[:3]
                picture = np.asarray(Image.open(io.BytesIO(png)))
                assert picture.shape == (int(height), int(width), 3)
                description = value.metadata.summary_description
                found.setdefault(value.tag, {})[event.step] = (picture, description)
    return found


def starts_of(run):
    """Returns the steps at which a training started."""
    return [event.step for event in events_of(run) if event.HasField("session_log")]
