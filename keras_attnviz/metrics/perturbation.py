"""Images that change patch by patch into others, and the predictions for them."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_count, message


def curves(read, start, finish, order, counts):
    """Returns the values read as one image changes into another, float32 `[batch, counts]`.

    For each of `counts`, that many patches come from `finish`, the first in `order`
    `[batch, rows, columns]`; the others come from `start`. Images are mixed as they are read, so
    that not all steps are in memory at once.
    """
    shape, steps = tf.shape(start), tf.shape(counts)[0]
    rows = tf.range(shape[1]) * tf.shape(order)[1] // shape[1]
    columns = tf.range(shape[2]) * tf.shape(order)[2] // shape[2]

    def mixed(pairs):
        image, step = pairs // steps, pairs % steps
        at = tf.gather(tf.gather(tf.gather(order, image), rows, axis=1), columns, axis=2)
        is_changed = at < tf.gather(counts, step)[:, tf.newaxis, tf.newaxis]
        images = tf.gather(finish, image), tf.gather(start, image)
        return tf.where(is_changed[..., tf.newaxis], *images), image

    return tf.reshape(read(mixed, shape[0] * steps), [shape[0], steps])


def reader(predict, classes, value, batch_size):
    """Returns a function that reads a value of each image, `[count]`, `batch_size` at a time."""
    check_count("batch_size", batch_size)

    def read(images_at, count):
        size = tf.maximum(tf.minimum(batch_size, count), 1)

        def chunk(number):
            # The last chunk repeats the last image, so that all chunks have one size.
            images, owners = images_at(tf.minimum(number * size + tf.range(size), count - 1))
            scores = _checked_scores(predict(images), classes)
            return value(scores, tf.gather(classes, owners))

        found = tf.map_fn(
            chunk,
            tf.range(-(-count // size)),
            fn_output_signature=tf.float32,
            parallel_iterations=1,
        )
        return tf.reshape(found, [-1])[:count]

    return read


def class_scores(scores, classes):
    """Returns each image's score for its class."""
    return tf.gather(scores, classes, axis=1, batch_dims=1)


def hits(scores, classes):
    """Returns 1 where the class has the highest score, else 0."""
    return tf.cast(tf.argmax(scores, axis=1, output_type=tf.int32) == classes, tf.float32)


def patch_order(heatmaps):
    """Returns the rank of each patch, 0 for the lowest value, int32 `[batch, rows, columns]`."""
    flat = tf.reshape(heatmaps, [tf.shape(heatmaps)[0], -1])
    places = tf.argsort(tf.argsort(flat, axis=1, stable=True), axis=1)
    return tf.reshape(places, tf.shape(heatmaps))


def baseline_images(images, baseline):
    """Returns the images with all patches deleted, in the shape of `images`."""
    if isinstance(baseline, str):
        if baseline not in ("mean", "blur"):
            raise ValueError(message("baseline", "'mean', 'blur', a number or a tensor", baseline))
        if baseline == "blur":
            return blurred(images)
        baseline = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    return tf.broadcast_to(tf.cast(tf.convert_to_tensor(baseline), tf.float32), tf.shape(images))


def blurred(images):
    """Returns blurred images, as in RISE: a Gaussian of 11 x 11 pixels with standard deviation 5.

    Args:
        images: float tensor `[batch, height, width, channels]`.

    Returns:
        float32 tensor of the same shape. Pixels beyond the border repeat those at the border,
        so that the border stays as bright. In RISE they are zero.
    """
    images = tf.cast(tf.convert_to_tensor(images), tf.float32)
    curve = np.exp(-0.5 * (np.arange(-5, 6) / 5) ** 2)
    for axis in (1, 2):
        size, total = tf.shape(images)[axis], tf.zeros_like(images)
        for shift, weight in enumerate(np.float32(curve / curve.sum()), start=-5):
            places = tf.clip_by_value(tf.range(size) + shift, 0, size - 1)
            total += weight * tf.gather(images, places, axis=axis)
        images = total
    return images


def _checked_scores(scores, classes):
    scores = tf.cast(tf.convert_to_tensor(scores), tf.float32)
    if scores.shape.rank != 2:
        raise ValueError(
            message("predict", "a function that returns scores [batch, classes]", scores)
        )
    if tf.executing_eagerly() and scores.shape[1] is not None:
        values = np.asarray(classes)
        if ((values < 0) | (values >= scores.shape[1])).any():
            raise ValueError(message("classes", f"in [0, {scores.shape[1]})", values.tolist()))
    return scores
