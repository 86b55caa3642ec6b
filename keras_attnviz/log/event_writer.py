"""Event writer: everything that goes into event files is written here.

It writes entries as records, not through `tf.summary`, because Keras' TensorBoard callback changes
the recording condition of `tf.summary` if it has an `update_freq`. It uses TensorFlow's record
writer: TensorBoard's computes checksums in Python, which takes a quarter of a second for the
pictures of eight probes.
"""

import itertools
import os
import re
import socket
import time

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.histogram import summary_v2 as histogram_summary
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util import tensor_util

from keras_attnviz._checks import message
from keras_attnviz.log.lock import lock, unlock
from keras_attnviz.tb_plugin.metadata import FORMAT_VERSION, PLUGIN_NAME

RUN = "attention"
_PREFIX = "events.out.tfevents"
_numbers = itertools.count()


class AttentionWriter:
    """Writes into the run `attention` of a log directory.

    Args:
        log_dir: path of the log directory; the run's folder is made inside it.
        first_step: step of the first entry. This log supersedes what an earlier training logged in
            this run at this step or later: TensorBoard no longer shows it.

    Raises:
        ValueError: the folder or the file can't be written, or another process is writing there.
    """

    def __init__(self, log_dir, *, first_step):
        try:
            self._folder = os.path.join(log_dir, RUN)
            tf.io.gfile.makedirs(self._folder)
            lock(self._folder, log_dir)
            self._path = os.path.join(self._folder, _file_name(self._folder))
            self._writer = tf.io.TFRecordWriter(self._path)
            self._add(0, file_version="brain.Event:2")
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(first_step, session_log=start)
            self.flush()
        except (OSError, tf.errors.OpError) as error:
            must = "a directory that can be written"
            raise ValueError(message("log_dir", must, log_dir, f"{error}")) from error

    def scalars(self, step, values):
        """Writes scalars; `values` is a dict from tag to number."""
        metadata = scalar_metadata.create_summary_metadata(display_name=None, description=None)
        for tag, value in values.items():
            tensor = tensor_util.make_tensor_proto(np.float32(value))
            self._add_summary(step, tag, tensor, metadata)

    def image(self, step, tag, png, *, size, description):
        """Writes one picture.

        Args:
            step: integer.
            tag: text; see `tag_names`.
            png: bytes of a PNG file.
            size: `(height, width)` in pixels.
            description: Markdown. TensorBoard shows the one written first.
        """
        metadata = image_metadata.create_summary_metadata(
            display_name=None, description=description
        )
        parts = [str(size[1]).encode(), str(size[0]).encode(), png]
        tensor = tensor_util.make_tensor_proto(np.array(parts, dtype=object))
        self._add_summary(step, tag, tensor, metadata)

    def histogram(self, step, tag, values):
        """Writes the distribution of an array's values, for the Distributions tab."""
        summary = histogram_summary.histogram_pb(tag, np.asarray(values, np.float64))
        self._add(step, summary=summary)

    def text(self, step, tag, text):
        """Writes one text for the Text tab; `text` is Markdown."""
        metadata = text_metadata.create_summary_metadata(display_name=None, description=None)
        tensor = tensor_util.make_tensor_proto(np.array(text.encode(), dtype=object))
        self._add_summary(step, tag, tensor, metadata)

    def record(self, step, tag, data):
        """Writes one record of the Attention tab; `data` is bytes."""
        tensor = tensor_util.make_tensor_proto(np.array(data, dtype=object))
        self._add_summary(step, tag, tensor, _tab_metadata(summary_pb2.DATA_CLASS_TENSOR))

    def blobs(self, step, tag, blobs):
        """Writes a sequence of blobs of the Attention tab; `blobs` is a list of bytes."""
        tensor = tensor_util.make_tensor_proto(np.array(blobs, dtype=object))
        self._add_summary(step, tag, tensor, _tab_metadata(summary_pb2.DATA_CLASS_BLOB_SEQUENCE))

    def flush(self):
        """Writes all buffered entries to the file.

        Raises:
            OSError: the file was removed; TensorFlow writes to a removed file without an error.
            tf.errors.OpError: the file can't be written.
        """
        self._writer.flush()
        if not tf.io.gfile.exists(self._path):
            raise OSError(f"the file {self._path!r} was removed")

    def close(self):
        """Flushes and closes the file."""
        unlock(self._folder)
        self._writer.close()

    def _add_summary(self, step, tag, tensor, metadata):
        value = summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)
        self._add(step, summary=summary_pb2.Summary(value=[value]))

    def _add(self, step, **content):
        event = event_pb2.Event(wall_time=time.time(), step=step, **content)
        self._writer.write(event.SerializeToString())


def _tab_metadata(data_class):
    plugin_data = summary_pb2.SummaryMetadata.PluginData(
        plugin_name=PLUGIN_NAME, content=str(FORMAT_VERSION).encode()
    )
    return summary_pb2.SummaryMetadata(plugin_data=plugin_data, data_class=data_class)


def _file_name(folder):
    """Returns a new name that TensorBoard recognizes as an event file.

    TensorBoard reads files in the order of their names, which contain the time. If the clock was
    set back, the new name follows the newest file's.
    """
    begins = [name.split(".")[3] for name in tf.io.gfile.listdir(folder) if _PREFIX in name]
    newest = max((int(begin) for begin in begins if begin.isdigit()), default=0)
    seconds = max(int(time.time()), newest + 1)
    return f"{_PREFIX}.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"


def has_log(log_dir):
    """Returns whether attention has been logged in a log directory before."""
    return bool(tf.io.gfile.glob(os.path.join(log_dir, RUN, "*tfevents*")))


def tag_names(names):
    """Returns a unique part of a tag for each name, a list of texts.

    Each run of characters other than `A-Z a-z 0-9 _ . -` becomes one `_`, because TensorBoard's
    data server can't read tags with quotation marks. A name without letters or digits becomes
    `probe_<index>`. Names that become equal are numbered.
    """
    tags = []
    for index, name in enumerate(names):
        tag = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
        if not re.search("[A-Za-z0-9]", tag):
            tag = f"probe_{index}"
        numbered = (f"{tag}_{number}" for number in itertools.count(1))
        tags.append(next(free for free in itertools.chain([tag], numbered) if free not in tags))
    return tags
