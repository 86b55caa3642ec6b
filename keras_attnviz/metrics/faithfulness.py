"""Faithfulness of heatmaps: how a prediction changes as patches are deleted or inserted."""

import tensorflow as tf

from keras_attnviz._checks import check_count, message
from keras_attnviz.metrics.perturbation import (
    baseline_images,
    class_scores,
    curves,
    hits,
    patch_order,
    reader,
)

# Chefer et al. remove these percentages of the patches.
_PERCENT = range(10, 100, 10)


def deletion_auc(predict, images, heatmaps, classes, *, step=1, baseline="mean", batch_size=32):
    """Returns how long a class score lasts as patches are deleted, highest first.

    Args:
        predict: function from images `[any, height, width, channels]` to class scores
            `[any, classes]`, usually probabilities; in a graph it must be pure TensorFlow.
        images: float tensor `[batch, height, width, channels]`, the input of `predict`.
        heatmaps: float tensor `[batch, grid_height, grid_width]`. Each pixel belongs to the patch
            that it lies in. Of equal values, the first patch in row order goes first.
        classes: integer tensor `[batch]` in [0, classes), the class of each image to follow.
        step: number of patches deleted at a time.
        baseline: what a deleted patch holds: `"mean"` for the image's mean color, `"blur"` for the
            image as `blurred` returns it, or a number or tensor that broadcasts to `images`.
        batch_size: number of images predicted at a time. Memory grows with it, not with the number
            of steps.

    Returns:
        float32 tensor `[batch]`, within the range of the scores: the area under the curve of
        the score over the share of deleted patches, from 0 to 1, by trapezoids. Lower is better.
        NaN if a heatmap holds a value that is not finite.

    Raises:
        TypeError: `step` or `batch_size` is not an integer.
        ValueError: shapes don't fit, `step` or `batch_size` is below 1, or `baseline` is unknown.

    References:
        Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box
        Models", arXiv 1806.07421, and the authors' evaluation.py: the same steps and the same
        area. Deviations: patches in place of pixels, and the image's own mean in place of the mean
        of all images, which is the zero of RISE's standardized images.
    """
    images, heatmaps, classes = _checked(images, heatmaps, classes)
    read = reader(predict, classes, class_scores, batch_size)
    finish, order = baseline_images(images, baseline), patch_order(-heatmaps)
    return _area(curves(read, images, finish, order, _steps(heatmaps, step)), heatmaps)


def insertion_auc(predict, images, heatmaps, classes, *, step=1, baseline="blur", batch_size=32):
    """Returns how soon a class score appears as patches are inserted, highest first.

    Arguments, result and errors are as for `deletion_auc`, but the curve goes from the baseline to
    the image, and the default baseline is the blurred image. Higher is better.

    References:
        Petsiuk et al. 2018, arXiv 1806.07421.
    """
    images, heatmaps, classes = _checked(images, heatmaps, classes)
    read = reader(predict, classes, class_scores, batch_size)
    start, order = baseline_images(images, baseline), patch_order(-heatmaps)
    return _area(curves(read, start, images, order, _steps(heatmaps, step)), heatmaps)


def perturbation_auc(
    predict, images, heatmaps, classes, *, lowest_first=False, baseline="mean", batch_size=32
):
    """Returns how long a prediction stays right as 10% to 90% of the patches are removed.

    Args:
        predict: see `deletion_auc`.
        images: float tensor `[batch, height, width, channels]`.
        heatmaps: float tensor `[batch, grid_height, grid_width]`.
        classes: integer tensor `[batch]`, the predicted or the true class.
        lowest_first: False for the positive perturbation, from the highest value to the lowest,
            where lower is better; True for the negative one, where higher is better.
        baseline: see `deletion_auc`.
        batch_size: see `deletion_auc`.

    Returns:
        float32 tensor `[batch]` in [0, 1]: the area under a curve that is 1 where the class has
        the highest score, else 0, by trapezoids over 10%, 20%, ..., 90%, divided by 0.8. Of n
        patches, the first floor(share * n) are removed. The mean over images is the area under
        the accuracy. NaN if a heatmap holds a value that is not finite.

    Raises:
        TypeError, ValueError: as for `deletion_auc`.

    References:
        Chefer et al. 2021, "Transformer Interpretability Beyond Attention Visualization", arXiv
        2012.09838, section 4. Deviations: patches in place of pixels; the area is divided by its
        width; the image's mean in place of black, which is `baseline=-1.0` for images in [-1, 1].
    """
    images, heatmaps, classes = _checked(images, heatmaps, classes)
    read = reader(predict, classes, hits, batch_size)
    finish, order = (
        baseline_images(images, baseline),
        patch_order(heatmaps if lowest_first else -heatmaps),
    )
    counts = tf.constant(list(_PERCENT)) * tf.reduce_prod(tf.shape(heatmaps)[1:]) // 100
    return _area(curves(read, images, finish, order, counts), heatmaps)


def _steps(heatmaps, step):
    """Returns the number of changed patches at each step, from none to all."""
    check_count("step", step)
    patches = tf.reduce_prod(tf.shape(heatmaps)[1:])
    return tf.minimum(tf.range(-(-patches // step) + 1) * step, patches)


def _area(values, heatmaps):
    """Returns the area under curves, `[batch]`, divided by their width; NaN for broken heatmaps."""
    area = tf.reduce_mean((values[:, 1:] + values[:, :-1]) / 2.0, axis=1)
    is_finite = tf.reduce_all(tf.math.is_finite(heatmaps), axis=[1, 2])
    return tf.where(is_finite, area, float("nan"))


def _checked(images, heatmaps, classes):
    """Returns all three as tensors, float32, float32 and int32; raises if shapes don't fit."""
    images = tf.cast(tf.convert_to_tensor(images), tf.float32)
    heatmaps = tf.cast(tf.convert_to_tensor(heatmaps), tf.float32)
    classes = tf.cast(tf.convert_to_tensor(classes), tf.int32)
    shapes = (
        ("images", images, 4, "[batch, height, width, channels]"),
        ("heatmaps", heatmaps, 3, "[batch, grid_height, grid_width]"),
        ("classes", classes, 1, "[batch]"),
    )
    for name, values, rank, axes in shapes:
        if values.shape.rank != rank or not values.shape[:1].is_compatible_with(images.shape[:1]):
            must = f"of shape {axes} with one entry per image"
            raise ValueError(message(name, must, values))
    return images, heatmaps, classes
