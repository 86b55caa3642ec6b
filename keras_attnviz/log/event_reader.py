"""Event reader: reads a file's events up to where it is damaged."""

import itertools
import os
import struct

from google.protobuf.message import DecodeError
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2

_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4


def events_in(path, problems):
    """Yields the events of an event file up to where it was cut off or damaged.

    Args:
        path: path of the file.
        problems: list of texts, to which this adds one for each part that could not be read.
    """
    try:
        # TensorFlow's reader trusts a record's length, and ends the process if there isn't enough
        # memory for it. So it gets no record that is longer than the rest of the file.
        count = _whole_records(path)
        for number, record in enumerate(itertools.islice(_records(path), count)):
            try:
                yield event_pb2.Event.FromString(record)
            except DecodeError as error:
                problems.append(f"{path}: record {number} is not an event: {error}")
    except Exception as error:  # TensorBoard's reader raises errors of several kinds.
        problems.append(f"{path}: {type(error).__name__}: {error}")


def _records(path):
    return RawEventFileLoader(path).Load()


def _whole_records(path):
    """Returns how many records precede the first one that claims to go beyond the file's end."""
    with open(path, "rb") as file:
        size, count = os.fstat(file.fileno()).st_size, 0
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            end = file.tell() + _HEADER.unpack(header)[0] + _FOOTER_BYTES
            if end > size:
                break
            file.seek(end)
            count += 1
    return count
