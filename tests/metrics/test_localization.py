import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz import localization, localization_auc, localization_mass, pointing_hit
from keras_attnviz.metrics.localization import LOCALIZATIONS, localizations

pytestmark = pytest.mark.one_stack


def test_localization_by_hand():
    # A quarter of the area gets half of the attention; then all of it; then what chance gives.
    heat = [[1.0, 1, 1, 3], [0, 0, 0, 2], [1, 1, 1, 1]]
    mask = [0, 0, 0, 1]
    np.testing.assert_allclose(localization(heat, mask), [2, 4, 1], rtol=1e-6)
    # A cell that is covered by half counts by half.
    np.testing.assert_allclose(localization([2.0, 1, 1], [0.5, 0, 0]), 1.5, rtol=1e-6)


def test_localization_without_an_object_is_not_a_number():
    assert np.isnan(localization([1.0, 1.0], [0, 0]))


def test_mass_by_hand():
    heat = [[1.0, 1, 1, 3], [0, 0, 0, 2], [1, 1, 1, 1]]
    np.testing.assert_allclose(localization_mass(heat, [0, 0, 0, 1]), [0.5, 1, 0.25], rtol=1e-6)
    np.testing.assert_allclose(localization_mass([2.0, 1, 1], [0.5, 0, 0]), 0.25, rtol=1e-6)
    assert np.isnan(localization_mass([0.0, 0], [0, 1]))


def test_auc_by_hand():
    # Of the four pairs (object, beside) the object is higher in three: 4 > 1, 4 > 3, 2 > 1.
    np.testing.assert_allclose(localization_auc([4.0, 2, 1, 3], [1, 1, 0, 0]), 0.75, rtol=1e-6)
    # A tie counts by half: 3 > 1, 3 = 3, 2 > 1, 2 < 3.
    np.testing.assert_allclose(localization_auc([3.0, 2, 1, 3], [1, 1, 0, 0]), 0.625, rtol=1e-6)
    np.testing.assert_allclose(localization_auc([1.0, 1, 1], [1, 0, 0]), 0.5, rtol=1e-6)
    # Half a cell is enough to belong to the object, less isn't.
    np.testing.assert_allclose(localization_auc([1.0, 3, 2], [0.4, 0.5, 0]), 1, rtol=1e-6)


def test_hit_by_hand():
    heat = [[1.0, 5, 2], [5.0, 1, 2], [5.0, 5, 1], [1.0, 1, 1]]
    hits = pointing_hit(heat, [0, 1, 0])
    np.testing.assert_allclose(hits, [1, 0, 0.5, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(pointing_hit([5.0, 1], [0.5, 0.4]), 1)


@pytest.mark.parametrize("measure", [localization_auc, pointing_hit])
@pytest.mark.parametrize("heat", [[1.0, np.nan, 2.0], [1.0, np.inf, 2.0]])
def test_a_broken_map_hits_nothing(measure, heat):
    assert np.isnan(measure(heat, [0, 1, 0]))


def test_nothing_is_told_without_an_object_or_a_background():
    for measure in (localization_auc, pointing_hit):
        assert np.isnan(measure([1.0, 2.0], [0.0, 0.4]))
    assert np.isnan(localization_auc([1.0, 2.0], [1, 1]))


def test_all_equal_float64_in_a_graph():
    generator = np.random.default_rng(3)
    heat = generator.integers(0, 6, (5, 30)).astype(np.float32)
    mask = generator.random((5, 30)).astype(np.float32)
    signature = [tf.TensorSpec([None, 30]), tf.TensorSpec([None, 30])]
    found = tf.function(localizations, input_signature=signature)(heat, mask)
    assert list(found) == list(LOCALIZATIONS) == ["mass", "auc", "hit", "lift"]
    heat, mask = heat.astype(float), mask.astype(float)
    expected = {name: [] for name in LOCALIZATIONS}
    for row, covered in zip(heat, mask, strict=True):
        inside, outside = row[covered >= 0.5], row[covered < 0.5]
        pairs = inside[:, np.newaxis] - outside
        share = (row * covered).sum() / row.sum()
        expected["mass"].append(share)
        expected["lift"].append(share / covered.mean())
        expected["auc"].append(((pairs > 0) + (pairs == 0) / 2).mean())
        expected["hit"].append((covered[row == row.max()] >= 0.5).mean())
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)


def test_one_mask_serves_many_maps():
    heat = np.random.default_rng(4).random((2, 3, 8)).astype(np.float16)
    mask = np.eye(8)[2:4]
    for name, values in localizations(heat, mask[:, np.newaxis]).items():
        assert values.dtype == tf.float32
        single = LOCALIZATIONS[name](heat[1, 2], mask[1])
        np.testing.assert_allclose(values[1, 2], single, rtol=1e-6)
