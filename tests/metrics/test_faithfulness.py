import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import deletion_auc, insertion_auc, perturbation_auc
from keras_attnviz.metrics.perturbation import blurred

# Images of 4 x 4 pixels on a grid of 2 x 2: the model's score is the mean over the pixels.
VALUES = np.float32([[4.0, 3.0], [2.0, 1.0]])
IMAGES = np.repeat(np.repeat(VALUES, 2, axis=0), 2, axis=1)[np.newaxis, ..., np.newaxis]


def mean_score(images):
    """The mean of the pixels for class 0, half of the first pixel for class 1."""
    return tf.stack([tf.reduce_mean(images, axis=[1, 2, 3]), images[:, 0, 0, 0] / 2], axis=1)


def curve(heatmap, start, finish):
    """Oracle: the scores of class 0 on the way from one grid of values to the other."""
    values, scores = np.array(start, float), [np.mean(start)]
    for place in np.argsort(-np.ravel(heatmap), kind="stable"):
        values.ravel()[place] = np.ravel(finish)[place]
        scores.append(values.mean())
    return scores


def area(scores):
    return (
        np.trapezoid(scores, dx=1 / (len(scores) - 1))
        if hasattr(np, "trapezoid")
        else np.trapz(scores, dx=1 / (len(scores) - 1))
    )


def test_deletion_by_hand():
    # 10/4, then without 4, 3, 2 and 1: 6/4, 3/4, 1/4, 0. Trapezoids: (10/8 + 10/4) / 4.
    value = deletion_auc(mean_score, IMAGES, VALUES[np.newaxis], [0], baseline=0.0)
    np.testing.assert_allclose(value, [3.75 / 4], rtol=1e-6)
    # The other way round: 9/4, 7/4, 4/4, 0.
    value = deletion_auc(mean_score, IMAGES, -VALUES[np.newaxis], [0], baseline=0.0)
    np.testing.assert_allclose(value, [(1.25 + 5) / 4], rtol=1e-6)
    # Deleted to the image's mean, 2.5, nothing is lost at the end: 17/8, 16/8, 17/8, 20/8.
    value = deletion_auc(mean_score, IMAGES, VALUES[np.newaxis], [0])
    np.testing.assert_allclose(value, [(2.5 + 17 / 8 + 2 + 17 / 8) / 4], rtol=1e-6)


def test_insertion_by_hand():
    # 0, then 4/4, 7/4, 9/4, 10/4.
    value = insertion_auc(mean_score, IMAGES, VALUES[np.newaxis], [0], baseline=0.0)
    np.testing.assert_allclose(value, [(5 + 1.25) / 4], rtol=1e-6)
    # Class 1 sees the first pixel alone, which is there from the first step on.
    value = insertion_auc(mean_score, IMAGES, VALUES[np.newaxis], [1], baseline=0.0)
    np.testing.assert_allclose(value, [(2 * 3.5) / 4], rtol=1e-6)


def test_steps_of_several_patches_by_hand():
    # Three at a time: 10/4, 1/4, 0; the last step has one patch, and counts as much, as in RISE.
    value = deletion_auc(mean_score, IMAGES, VALUES[np.newaxis], [0], step=3, baseline=0.0)
    np.testing.assert_allclose(value, [(10 / 8 + 1 / 4) / 2], rtol=1e-6)


def test_perturbation_by_hand():
    # Class 0 wins over class 1 where the mean is above half of the first pixel. Of 4 patches 0 are
    # away at 10 and 20 %, 1 up to 40 %, 2 up to 70 %, 3 at 80 and 90 %.
    black = {"baseline": 0.0}
    # From the highest: 4 is away first, then class 1 has 0 and class 0 something, to the end.
    value = perturbation_auc(mean_score, IMAGES, VALUES[np.newaxis], [0], **black)
    np.testing.assert_allclose(value, [1], rtol=1e-6)
    # From the lowest: 10/4 and 9/4 are above 2, 7/4 isn't. Right at 10 to 40 %: 3.5 of 8 widths.
    value = perturbation_auc(
        mean_score, IMAGES, VALUES[np.newaxis], [0], lowest_first=True, **black
    )
    np.testing.assert_allclose(value, [3.5 / 8], rtol=1e-6)
    value = perturbation_auc(
        mean_score, IMAGES, VALUES[np.newaxis], [1], lowest_first=True, **black
    )
    np.testing.assert_allclose(value, [4.5 / 8], rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_equal_the_oracle(batch_size):
    generator = np.random.default_rng(0)
    grids = generator.random((5, 3, 4)).astype(np.float32)
    # Ties among the heatmap's values are taken in the patches' order.
    heatmaps = generator.integers(0, 5, (5, 3, 4)).astype(np.float32)
    images = np.repeat(np.repeat(grids, 2, axis=1), 3, axis=2)[..., np.newaxis]
    options = {"baseline": 0.25, "batch_size": batch_size}
    deleted = deletion_auc(mean_score, images, heatmaps, [0] * 5, **options)
    inserted = insertion_auc(mean_score, images, heatmaps, [0] * 5, **options)
    empty = np.full((3, 4), 0.25)
    pairs = list(zip(heatmaps, grids, strict=True))
    np.testing.assert_allclose(deleted, [area(curve(h, g, empty)) for h, g in pairs], rtol=1e-5)
    np.testing.assert_allclose(inserted, [area(curve(h, empty, g)) for h, g in pairs], rtol=1e-5)


def test_no_more_than_a_batch_is_predicted_at_a_time():
    sizes = []

    def predict(images):
        sizes.append(len(images))
        return mean_score(images)

    images, heatmaps = np.repeat(IMAGES, 3, axis=0), np.repeat(VALUES[np.newaxis], 3, axis=0)
    deletion_auc(predict, images, heatmaps, [0] * 3, batch_size=4)
    # 3 images, 5 states each.
    assert sizes == [4] * 4


def test_all_in_a_graph_of_any_batch_size():
    signature = [
        tf.TensorSpec([None, None, None, 1]),
        tf.TensorSpec([None, None, None]),
        tf.TensorSpec([None], tf.int32),
    ]
    generator = np.random.default_rng(1)
    images = generator.random((3, 8, 8, 1)).astype(np.float32)
    heatmaps = generator.random((3, 2, 4)).astype(np.float32)
    classes = np.int32([0, 1, 0])
    for measure in (deletion_auc, insertion_auc, perturbation_auc):

        def run(*given, measure=measure):
            return measure(mean_score, *given, batch_size=5)

        found = tf.function(run, input_signature=signature)(images, heatmaps, classes)
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, run(images, heatmaps, classes), rtol=1e-5)
        # Each image has its own value, whatever stands beside it.
        order = [2, 0, 1]
        turned = run(images[order], heatmaps[order], classes[order])
        np.testing.assert_allclose(turned, found.numpy()[order], rtol=1e-5)


def test_blurring_keeps_what_is_even_and_the_sum_inside():
    np.testing.assert_allclose(blurred(np.full((1, 5, 7, 3), 0.7)), 0.7, rtol=1e-5)
    point = np.zeros((1, 31, 31, 1), np.float32)
    point[0, 15, 15] = 1
    found = blurred(point)[0, :, :, 0].numpy()
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(found, found.T, rtol=1e-5)
    # 11 pixels wide, and one deviation of 5 away exp(-1/2) of the middle.
    assert (found[15] > 0).sum() == 11
    np.testing.assert_allclose(found[15, 20] / found[15, 15], np.exp(-0.5), rtol=1e-5)
    # What lies at one border doesn't reach the other.
    halves = np.repeat([0.0, 1.0], 15).reshape(1, 1, 30, 1)
    found = blurred(halves)[0, 0, :, 0].numpy()
    np.testing.assert_array_equal(found[:10], 0)
    np.testing.assert_allclose(found[-10:], 1, rtol=1e-5)


def test_insertion_begins_at_the_blurred_image():
    value = insertion_auc(mean_score, IMAGES, VALUES[np.newaxis], [0])
    given = insertion_auc(mean_score, IMAGES, VALUES[np.newaxis], [0], baseline=blurred(IMAGES))
    np.testing.assert_array_equal(value, given)
    same = insertion_auc(mean_score, IMAGES, VALUES[np.newaxis], [0], baseline="blur")
    np.testing.assert_array_equal(value, same)


def test_a_broken_heatmap_has_no_value():
    heatmaps = np.stack([VALUES, VALUES * np.nan])
    images = np.repeat(IMAGES, 2, axis=0)
    for measure in (deletion_auc, insertion_auc, perturbation_auc):
        found = measure(mean_score, images, heatmaps, [0, 0])
        np.testing.assert_array_equal(np.isnan(found), [False, True])


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"images": IMAGES[0]}, ValueError, r"`images` must be of shape \[batch, height"),
        ({"heatmaps": VALUES}, ValueError, r"`heatmaps` must be of shape \[batch, grid_height"),
        ({"classes": [0, 1]}, ValueError, r"`classes` must be of shape \[batch\] with one entry"),
        ({"classes": [2]}, ValueError, r"`classes` must be in \[0, 2\)\. .*classes=\[2\]"),
        ({"step": 0}, ValueError, r"`step` must be at least 1"),
        ({"step": 1.5}, TypeError, r"`step` must be an integer"),
        ({"batch_size": 0}, ValueError, r"`batch_size` must be at least 1"),
        ({"baseline": "gray"}, ValueError, r"`baseline` must be 'mean', 'blur', a number or a te"),
        (
            {"predict": lambda images: images},
            ValueError,
            r"`predict` must be a function that returns scores \[batch, classes\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change, error, text):
    given = {
        "predict": mean_score,
        "images": IMAGES,
        "heatmaps": VALUES[np.newaxis],
        "classes": [0],
        **change,
    }
    with pytest.raises(error, match=text):
        deletion_auc(**given)
