"""Folders of pictures: streams them through a model and writes predictions and heatmaps."""

import hashlib
import itertools
import os

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message
from keras_attnviz.data.class_folders import IMAGE_SUFFIXES, picture_paths
from keras_attnviz.data.images import read_image
from keras_attnviz.explain.explain_dataset import BATCH_SIZE, explain_batches
from keras_attnviz.explain.result_rows import ERROR, NAME


def explain_folder(picture_model, folder, out, *, batch_size=BATCH_SIZE, **options):
    """Writes predictions and heatmaps of all pictures in a folder and its subfolders.

    Pictures that can't be read are skipped: their rows hold only `index`, `name` and `error`.

    Args:
        picture_model: a `PictureModel`.
        folder: path of a folder. Pictures are files ending in .jpg, .jpeg or .png.
        out: see `explain_dataset`. The column `name` is a picture's path relative to the folder.
        batch_size: see `explain_dataset`.
        **options: `method`, `format`, `shard_size`, `strategy`, `print_fn` and the method's
            options, see `explain_dataset`.

    Returns:
        A `Streamed`.

    Raises:
        ValueError: the folder doesn't exist or has no pictures; see `explain_dataset`.
    """
    folder = os.fspath(folder)
    if not os.path.isdir(folder):
        raise ValueError(message("data", "an existing directory", folder))
    digest = _names_digest(folder)
    size = tuple(picture_model.model.input_shape[1:3])
    return explain_batches(
        picture_model.model,
        lambda start: _batches(folder, size, picture_model.input_range, batch_size, start=start),
        out,
        data=digest,
        batch_size=batch_size,
        class_names=picture_model.class_names,
        **options,
    )


def _batches(folder, size, input_range, batch_size, *, start):
    """Returns a `tf.data.Dataset` of batches `(images, {name, error})` from index `start` on."""
    low, high = input_range

    def paths():
        return map(os.fsencode, itertools.islice(picture_paths(folder), start, None))

    def load(path):
        name = os.path.relpath(os.fsdecode(path), folder)
        try:
            return read_image(os.fsdecode(path), size), os.fsencode(name), b""
        except (OSError, ValueError) as error:
            return np.zeros((*size, 3), np.uint8), os.fsencode(name), str(error).encode()

    def picture(path):
        outputs = [tf.uint8, tf.string, tf.string]
        pixels, name, error = tf.numpy_function(load, [path], outputs, stateful=False)
        name, error = tf.ensure_shape(name, []), tf.ensure_shape(error, [])
        return tf.ensure_shape(pixels, (*size, 3)), {NAME: name, ERROR: error}

    def scaled(pixels, further):
        return tf.cast(pixels, tf.float32) / 255 * (high - low) + low, further

    dataset = tf.data.Dataset.from_generator(paths, output_signature=tf.TensorSpec([], tf.string))
    dataset = dataset.map(picture, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(batch_size).map(scaled).prefetch(2)


def _names_digest(folder):
    """Returns a digest of the pictures' names; raises if there are no pictures."""
    digest, count = hashlib.sha256(), 0
    for path in picture_paths(folder):
        digest.update(os.fsencode(os.path.relpath(path, folder)) + b"\0")
        count += 1
    if not count:
        must = f"a directory with {', '.join(IMAGE_SUFFIXES)} files"
        raise ValueError(message("data", must, folder))
    return f"{count} pictures, {digest.hexdigest()[:16]}"
