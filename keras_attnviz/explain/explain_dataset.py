"""Whole data sets: writes predictions and heatmaps of any number of images, shard by shard."""

import dataclasses
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_choice, check_count, message
from keras_attnviz.capture.attention_model import AttentionModel
from keras_attnviz.explain.result_rows import ERROR, MASK, NAME, ImageRows, columns, further_spec
from keras_attnviz.explain.shards import Shards
from keras_attnviz.explain.tables import FORMATS
from keras_attnviz.methods.registry import METHODS

BATCH_SIZE, SHARD_SIZE = 32, 1024


@dataclasses.dataclass(frozen=True)
class Streamed:
    """What `explain_dataset` wrote.

    Attributes:
        paths: tuple of texts, the files with the results. Files of earlier calls are included.
        images: number of images that this call explained.
        skipped: number of images that this call skipped because of an error.
    """

    paths: tuple
    images: int
    skipped: int


def explain_dataset(
    model,
    dataset,
    out,
    *,
    method="rollout",
    format=None,
    batch_size=BATCH_SIZE,
    shard_size=SHARD_SIZE,
    class_names=None,
    strategy=None,
    memory_limit=None,
    print_fn=None,
    **options,
):
    """Writes predictions and heatmaps of any number of images, shard by shard.

    Memory doesn't grow with the number of images. If there are several local devices, each takes
    a part of every batch. To resume an interrupted call, repeat it: finished shards aren't written
    again. So the data set must give the same images in the same order each time.

    Args:
        model: a Keras model, or an `AttentionModel`. All devices read its weights from the one
            that holds them.
        dataset: a `tf.data.Dataset` of batches: the model's inputs alone; `(inputs, labels)` with
            class indices or one-hot labels; or `(inputs, further)` with a dict of `"name"` (text),
            `"label"`, `"mask"` (float `[batch, height, width]`, 1 on the object) and `"error"`
            (text; an image is skipped unless it is empty).
        out: a directory for shards, `part-00000.parquet` and so on; or a file ending in .parquet
            or .tfrecord, into which the shards are joined at the end.
        method: name of an explanation method, see `AttentionModel.explain`. Methods with gradients
            explain the predicted class.
        format: format of shards in a directory, `"parquet"` (the default) or `"tfrecord"`.
        batch_size: number of images that all devices together run at once. The data set is
            rebatched to this size.
        shard_size: number of images in a shard, a multiple of `batch_size`.
        class_names: sequence of texts, in the order of the outputs.
        strategy: a `tf.distribute.Strategy`. The default uses all local devices.
        memory_limit: None, or the most bytes that the images' attention may take on a device while
            it is computed; an estimate. Where `batch_size` images take more, fewer run at a time.
            None stands for a quarter of the free memory.
        print_fn: function that is called with one line for each shard and each skipped image.
        **options: the method's options, see `AttentionModel.explain`.

    Returns:
        A `Streamed`. Each image gets one row with the columns `index`, the image's number in the
        data set; `name`; `label`; `predicted`, `class_name` and `confidence`; `grid_height`,
        `grid_width` and `heatmap`, the float32 values of `AttentionModel.explain` row by row, the
        frames of a video below one another; `localization_mass`, `_auc`, `_hit` and `_lift` if
        there are masks; and `error`. Unknown values are null in Parquet, and are left out of a
        TFRecord, which holds one `tf.train.Example` per row.

    Raises:
        ImportError: Parquet without pyarrow.
        TypeError: `dataset` isn't a data set; see `AttentionModel.explain`.
        ValueError: no images; elements that don't fit; an `out` of another run; see
            `AttentionModel` and its `explain`.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(message("dataset", "a tf.data.Dataset of batches", dataset))
    _check_sizes(batch_size, shard_size)
    rebatched = dataset.rebatch(batch_size)
    return explain_batches(
        model,
        lambda start: rebatched.skip(start // batch_size).prefetch(2),
        out,
        has_masks=MASK in further_spec(dataset),
        method=method,
        format=format,
        batch_size=batch_size,
        shard_size=shard_size,
        class_names=class_names,
        strategy=strategy,
        memory_limit=memory_limit,
        print_fn=print_fn,
        **options,
    )


def explain_batches(
    model,
    batches_from,
    out,
    *,
    has_masks=False,
    data=None,
    method="rollout",
    format=None,
    batch_size=BATCH_SIZE,
    shard_size=SHARD_SIZE,
    class_names=None,
    strategy=None,
    memory_limit=None,
    print_fn=None,
    **options,
):
    """Does what `explain_dataset` does, with batches that can start at any shard.

    Args:
        model: see `explain_dataset`.
        batches_from: function from the index of an image, a multiple of `shard_size`, to an
            iterable of batches of `batch_size` images that starts with this image.
        out: see `explain_dataset`.
        has_masks: whether the batches have masks.
        data: text that identifies the images: the same images have the same text.
        method, format, batch_size, shard_size, class_names: see `explain_dataset`, also for the
            rest: strategy, memory_limit, print_fn, options.
    """
    check_choice("method", method, tuple(METHODS))
    _check_sizes(batch_size, shard_size)
    file, directory, form = _places(out, format)
    attention_model = model if isinstance(model, AttentionModel) else AttentionModel(model)
    image_rows = ImageRows(
        attention_model,
        method,
        options,
        class_names=class_names,
        batch_size=batch_size,
        strategy=strategy,
        memory_limit=memory_limit,
    )
    if image_rows.memory_line and print_fn:
        print_fn(image_rows.memory_line)
    run = {
        "method": method,
        "options": options,
        "shard_size": shard_size,
        "masks": has_masks,
        # Not the layers' names: Keras gives a rebuilt model's layers higher numbers.
        "maps": list(attention_model.indices),
        "layout": str(attention_model.layout),
        "weights": _digest(attention_model.model),
        "data": data,
    }
    shards = Shards(directory, run=run, columns=columns(has_masks=has_masks), form=form)
    images = skipped = 0
    if not shards.is_complete:
        images, skipped = _write_missing(
            shards, batches_from, image_rows, batch_size, shard_size, print_fn or _silent
        )
    if file is None:
        return Streamed(tuple(map(str, shards.paths)), images, skipped)
    shards.join(file)
    return Streamed((str(file),), images, skipped)


def _write_missing(shards, batches_from, image_rows, batch_size, shard_size, say):
    """Writes the missing shards; returns the numbers of explained and of skipped images."""
    images = skipped = 0
    first = shards.first_missing()
    batches = iter(batches_from(first * shard_size))
    for index in itertools.count(first):
        taken = itertools.islice(batches, shard_size // batch_size)
        if shards.is_written(index):
            if not sum(1 for _ in taken):
                break
            continue
        rows = image_rows.of(taken, first=index * shard_size)
        if not rows:
            break
        failed = [row for row in rows if row.get(ERROR)]
        for row in failed:
            say(f"Skipped: {row[NAME] or row['index']}: {row[ERROR]}")
        shards.write(index, rows)
        say(f"Written: {shards.path_of(index)}, {len(rows)} images")
        images, skipped = images + len(rows) - len(failed), skipped + len(failed)
    if not index:
        raise ValueError("`dataset` must hold at least one image. Received: none.")
    shards.complete()
    return images, skipped


def _places(out, form):
    """Returns the file to join the shards into, or None; the shards' directory; their format."""
    out = Path(os.fspath(out))
    suffix = out.suffix[1:].lower()
    if suffix not in FORMATS:
        return None, out, form or FORMATS[0]
    if form not in (None, suffix):
        raise ValueError(
            message("format", f"left out, or {suffix!r} as in the name of `out`", form)
        )
    if out.exists():
        remedy = "Remove it, or choose another name."
        raise ValueError(message("out", "a new file", str(out), remedy))
    return out, out.with_name(f"{out.name}.parts"), suffix


def _check_sizes(batch_size, shard_size):
    check_count("batch_size", batch_size)
    check_count("shard_size", shard_size)
    if shard_size % batch_size:
        must = f"a multiple of `batch_size`, {batch_size}"
        raise ValueError(message("shard_size", must, shard_size))


def _digest(model):
    """Returns a digest of a model's weights: the same weights give the same text."""
    digest = hashlib.sha256()
    for variable in model.weights:
        digest.update(np.asarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:16]


def _silent(_):
    pass
