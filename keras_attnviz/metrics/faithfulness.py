"""Whether a heatmap shows what a prediction is made of: patches are taken away or put in."""

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

# Chefer et al. take away so many percent of the patches.
_PERCENT = range(10, 100, 10)


def deletion_auc(predict, images, heatmaps, classes, *, step=1, baseline="mean", batch_size=32):
    """Returns how long a class score lasts while the patches are deleted, highest first.

    Args:
        predict: function from images `[any, height, width, channels]` to class scores
            `[any, classes]`, probabilities as a rule; in a graph it must be TensorFlow.
        images: float tensor `[batch, height, width, channels]`, what `predict` takes.
        heatmaps: float tensor `[batch, grid_height, grid_width]`. Each pixel belongs to the patch
            that it lies in; of equal values the patch that stands first comes first.
        classes: integer tensor `[batch]` in [0, classes), the class of each image to follow.
        step: number of patches that are deleted at a time.
        baseline: what a deleted patch holds: `"mean"`, the image's mean color; `"blur"`, see
            `blurred`; or a number or tensor that broadcasts to `images`.
        batch_size: images that are predicted at a time; memory grows with it, not with the number
            of steps.

    Returns:
        float32 tensor `[batch]`, within the range of the scores: the area under the score's curve
        over the share of deleted patches, from 0 to 1, by trapezoids. Lower is better. NaN where
        a heatmap holds a value that is not finite.

    Raises:
        TypeError: a `step` or `batch_size` that is no integer.
        ValueError: shapes that don't fit, a `step` or `batch_size` below 1, an unknown `baseline`.

    References:
        Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box
        Models", arXiv 1806.07421, and the authors' evaluation.py: the same steps and the same
        area. Deviation: patches in place of pixels, and the image's own mean in place of that of
        all images, which is the zero of RISE's standardized images.
    """
    images, heatmaps, classes = _checked(images, heatmaps, classes)
    read = reader(predict, classes, class_scores, batch_size)
    finish, order = baseline_images(images, baseline), patch_order(-heatmaps)
    return _area(curves(read, images, finish, order, _steps(heatmaps, step)), heatmaps)


def insertion_auc(predict, images, heatmaps, classes, *, step=1, baseline="blur", batch_size=32):
    """Returns how soon a class score is there while the patches are inserted, highest first.

    As `deletion_auc`, but from the baseline to the image; the baseline is the blurred image unless
    given. Higher is better.

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
    """Returns how long a prediction stays right while 10 % to 90 % of the patches are taken away.

    Args:
        predict: as for `deletion_auc`, as all but the next.
        images: float tensor `[batch, height, width, channels]`.
        heatmaps: float tensor `[batch, grid_height, grid_width]`.
        classes: integer tensor `[batch]`, the predicted or the true class.
        lowest_first: False is the positive perturbation, from the highest value to the lowest, in
            which lower is better; True the negative one, in which higher is better.
        baseline: see `deletion_auc`.
        batch_size: see `deletion_auc`.

    Returns:
        float32 tensor `[batch]` in [0, 1]: the area under the curve that is 1 where the highest
        score is that of the class, else 0, by trapezoids over 10, 20, ..., 90 %, divided by 0.8;
        of n patches the first floor(share * n) are taken away. The mean over images is that of
        the accuracy. NaN where a heatmap holds a value that is not finite.

    Raises:
        As `deletion_auc`.

    References:
        Chefer et al. 2021, "Transformer Interpretability Beyond Attention Visualization", arXiv
        2012.09838, section 4. Deviation: patches in place of pixels; divided by the width; the
        image's mean in place of black, which is `baseline=-1.0` for images in [-1, 1].
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
    """Returns how many patches are changed at each step, from none to all."""
    check_count("step", step)
    patches = tf.reduce_prod(tf.shape(heatmaps)[1:])
    return tf.minimum(tf.range(-(-patches // step) + 1) * step, patches)


def _area(values, heatmaps):
    """Returns the area under curves over [0, 1], `[batch]`."""
    area = tf.reduce_mean((values[:, 1:] + values[:, :-1]) / 2.0, axis=1)
    is_finite = tf.reduce_all(tf.math.is_finite(heatmaps), axis=[1, 2])
    return tf.where(is_finite, area, float("nan"))


def _checked(images, heatmaps, classes):
    """Returns all three as tensors, float32 and int32."""
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
            must = f"of shape {axes} with one entry for each of the images"
            raise ValueError(message(name, must, values))
    return images, heatmaps, classes
