"""How well maps of patches agree with masks of the object."""

import numpy as np


def coverage(masks, grid):
    """Returns how much of each patch the object covers, float32 `[count, patches]` in [0, 1].

    Args:
        masks: float array `[count, height, width]` in [0, 1].
        grid: pair (height, width) in patches; it divides the masks' sizes.
    """
    count, height, width = masks.shape
    rows, columns = grid
    cells = masks.reshape(count, rows, height // rows, columns, width // columns)
    return cells.mean(axis=(2, 4)).reshape(count, rows * columns)


def agreement(maps, covered):
    """Returns four figures for each picture.

    A patch is one of the object where the object covers more than half of it.

    Args:
        maps: float array `[count, grid_height, grid_width]`, values >= 0.
        covered: as `coverage` returns it; every picture has patches of both kinds.

    Returns:
        dict of float arrays `[count]`. "auc": the share of pairs of a patch of the object and
        another one in which the map is higher on the object, ties counted half; 0.5 is chance, 1
        the best. "hit": 1 where the map's maximum lies on the object, else 0 (the pointing game);
        chance is the object's share of the patches. Several equal maxima count by the share of
        them on the object. "mass": the share of the map that lies on the object; chance is the
        object's share of the area. "lift": the mass divided by that share; 1 is chance.
    """
    values = np.asarray(maps, np.float64).reshape(len(maps), -1)
    is_object = covered > 0.5
    difference = np.sign(values[:, :, np.newaxis] - values[:, np.newaxis, :])
    is_pair = is_object[:, :, np.newaxis] & ~is_object[:, np.newaxis, :]
    auc = ((difference + 1) / 2 * is_pair).sum(axis=(1, 2)) / is_pair.sum(axis=(1, 2))
    is_top = values == values.max(axis=1, keepdims=True)
    hit = (is_top & is_object).sum(axis=1) / is_top.sum(axis=1)
    inside = (values * covered).sum(axis=1) / values.sum(axis=1)
    return {"auc": auc, "hit": hit, "mass": inside, "lift": inside / covered.mean(axis=1)}
