"""A log of 300 epochs for the Attention tab: one real epoch of a ViT-B/16, repeated."""

import json

from benchmarks.common import models
from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.log.event_writer import AttentionWriter
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import pack, unpack

EPOCHS = 300


def one_epoch(log_dir, *, probes=8):
    """Logs the baseline and one epoch of a ViT-B/16 with the callback; returns the log."""
    images = models.photographs(probes) / 127.5 - 1
    model = models.vit_b16()
    callback = AttentionRolloutCallback(ProbeSet(images.astype("float32")), log_dir)
    callback.set_params({"epochs": 1})
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, {})
    callback.on_train_end()
    return read_log(log_dir)


def epoch_bytes(log):
    """Returns the size in bytes of the tab's data of an epoch of which nothing is unchanged."""
    return sum(len(blob) for blobs in _baseline(log).values() for blob in blobs)


def repeat(log, log_dir):
    """Writes a log that repeats the baseline; returns the file's size in bytes."""
    writer = AttentionWriter(str(log_dir), first_step=-1)
    writer.blobs(-1, metadata.SETUP_TAG, [json.dumps(log.setup).encode(), *log.pictures])
    for step in range(-1, EPOCHS - 1):
        for tag, blobs in _baseline(log).items():
            renamed = [_at(blob, step) for blob in blobs]
            if tag == metadata.EPOCH_TAG or tag.startswith(metadata.heat_tag("")):
                writer.record(step, tag, renamed[0])
            else:
                writer.blobs(step, tag, renamed)
    writer.close()
    return sum(path.stat().st_size for path in log_dir.rglob("*tfevents*"))


def _baseline(log):
    """Returns the baseline's records; those of the epoch only say that nothing has changed."""
    return {tag: blobs for tag, blobs in log.records[-1].items() if tag != metadata.SETUP_TAG}


def _at(blob, step):
    """Returns a packed record with another step."""
    arrays, fields = unpack(blob)
    if "is_baseline" in fields:
        fields["is_baseline"] = step < 0
    return pack(arrays, **{**fields, "step": step})
