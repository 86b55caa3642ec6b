"""Run records: reads a run's event files, and keeps the records that fit the setup."""

import glob
import os

from tensorboard.compat.proto import event_pb2

from keras_attnviz.log.event_reader import events_in
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import PackingError, unpack
from keras_attnviz.tb_plugin.validation import (
    NewerFormatError,
    UnreadableError,
    check_epoch,
    read_heat,
    read_setup,
)


def run_records(folder):
    """Returns what the event files of a run hold for the Attention tab.

    Args:
        folder: path of the run's folder.

    Returns:
        `(setup, pictures, records, problems)`: the last readable setup, a dict, or None; list of
        bytes, each probe's picture as PNG; dict from step to a dict from tag to a list of bytes;
        list of texts, one for each part that could not be read.

    Raises:
        ValueError: the log has a newer format.
    """
    records, problems = {}, []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*tfevents*"))):
        _read_file(path, records, problems)
    setup, pictures = _last_setup(records, folder, problems)
    if setup is not None:
        for step, tags in records.items():
            _leave_out_unfit(step, tags, setup, problems)
    return setup, pictures, records, problems


def _last_setup(records, folder, problems):
    """Returns the last readable setup and its pictures; `(None, [])` if there is none."""
    setups = [
        tags[metadata.SETUP_TAG]
        for _, tags in sorted(records.items())
        if metadata.SETUP_TAG in tags
    ]
    for blobs in reversed(setups):
        try:
            return read_setup(blobs[0]), list(blobs[1:])
        except NewerFormatError as error:
            raise ValueError(f"The log in {folder!r} can't be read: {error}.") from error
        except UnreadableError as error:
            problems.append(f"{metadata.SETUP_TAG}: {error}")
    return None, []


def _leave_out_unfit(step, tags, setup, problems):
    """Removes the records of a step that don't fit the setup, as the Attention tab does."""
    checks = {metadata.EPOCH_TAG: check_epoch}
    checks |= {metadata.heat_tag(method): read_heat for method in setup["methods"]}
    for tag, check in checks.items():
        try:
            if tag in tags:
                check(tags[tag][0], step=step, setup=setup)
        except UnreadableError as error:
            problems.append(f"{tag} at step {step}: {error}")
            del tags[tag]


def _read_file(path, records, problems):
    """Adds a file's records to a dict from step to tag to a list of bytes."""
    for event in events_in(path, problems):
        if event.session_log.status == event_pb2.SessionLog.START:
            for step in [step for step in records if step >= event.step]:
                del records[step]
        for value in event.summary.value:
            if value.tag.startswith(metadata.TAGS):
                _keep(records, event.step, value, problems)


def _keep(records, step, value, problems):
    """Adds the blobs of one value to the records, unless they can't be unpacked."""
    # Not converted to an array: its shape may claim any number of copies of one text.
    blobs = list(value.tensor.string_val)
    try:
        if not blobs:
            raise PackingError("it is empty")
        if value.tag != metadata.SETUP_TAG:
            for blob in blobs:
                unpack(blob)
        records.setdefault(step, {})[value.tag] = blobs
    except PackingError as error:
        problems.append(f"{value.tag} at step {step}: {error}")
