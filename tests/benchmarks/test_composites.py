"""The quality benchmark's data set: what is cut out, how it is pasted, how it is split.

The stamps are not needed: the tests cut a cat's face out of a photograph of scikit-image's.
"""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from benchmarks.quality import composites, cutouts

pytestmark = pytest.mark.one_stack

SIZE = 56


@pytest.fixture(scope="module")
def face():
    """The cat's face, cut out along an ellipse with a soft edge: uint8 `[120, 160, 4]`."""
    photograph = skimage.data.chelsea()[60:180, 120:280]
    rows, columns = np.mgrid[-1:1:120j, -1:1:160j]
    alpha = np.clip((1 - np.hypot(rows, columns)) * 20, 0, 1)
    return np.dstack([photograph, np.uint8(255 * alpha)])


@pytest.fixture(scope="module")
def several(face):
    return [
        cutouts.Cutout(f"{label}/{number}.png", label, face)
        for label in ("bird", "food")
        for number in range(10)
    ]


@pytest.fixture(scope="module")
def backgrounds():
    return [skimage.data.rocket(), skimage.data.coffee()]


def save(path, rgba):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba).save(path)


def test_the_mask_is_the_alpha():
    box = np.zeros((40, 40, 4), np.uint8)
    box[:, :30] = 255
    box = cutouts.cropped(box)
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    # In its own size, so that nothing is resampled; white on black shows where it went.
    image, mask = composites.pasted(black, box, box[..., 3].size / SIZE**2, random_numbers())
    assert mask.sum() == (mask == 1).sum() == 40 * 30
    np.testing.assert_array_equal(image, np.uint8(255 * mask)[..., np.newaxis] + black)


def test_a_soft_edge_mixes_object_and_background(face):
    grey = np.full((SIZE, SIZE, 3), 200, np.uint8)
    blackened = np.dstack([np.zeros_like(face[..., :3]), face[..., 3]])
    image, mask = composites.pasted(grey, blackened, 0.2, random_numbers())
    assert ((mask > 0.2) & (mask < 0.8)).any()
    np.testing.assert_allclose(image[..., 1], 200 * (1 - mask), atol=0.6)


@pytest.mark.parametrize("area", [0.1, 0.25])
def test_the_object_covers_the_area_that_was_asked_for(face, area):
    black = np.zeros((112, 112, 3), np.uint8)
    _, mask = composites.pasted(black, face, area, random_numbers())
    assert mask.mean() == pytest.approx(area, rel=0.02)


def test_a_long_object_is_made_to_fit():
    bar = np.full((20, 200, 4), 255, np.uint8)
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    _, mask = composites.pasted(black, bar, 0.2, random_numbers())
    assert mask.sum() == pytest.approx(SIZE * 20 * SIZE / 200, rel=0.1)


def test_objects_go_everywhere(face):
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    rng = random_numbers()
    masks = [composites.pasted(black, face, 0.1, rng)[1] > 0.5 for _ in range(60)]
    centers = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
    # Its center can lie anywhere but near the border; half of that range is far from a corner.
    assert (np.ptp(centers, axis=0) > SIZE / 2).all()
    np.testing.assert_allclose(centers.mean(axis=0), SIZE / 2, atol=SIZE / 8)


def test_splits_share_no_cutout_and_lose_none(several):
    parts = composites.split_cutouts(several, seed=3)
    names = [cutout.name for part in parts.values() for cutout in part]
    assert sorted(names) == sorted(cutout.name for cutout in several)
    sizes = {name: [c.label for c in part].count("bird") for name, part in parts.items()}
    assert sizes == {"train": 5, "tune": 2, "report": 3}


def test_splits_depend_on_the_seed_alone(several):
    def names(cutout_list, seed):
        parts = composites.split_cutouts(cutout_list, seed)
        return [[cutout.name for cutout in part] for part in parts.values()]

    assert names(several, 3) == names(several[::-1], 3)
    assert names(several, 3) != names(several, 4)


def test_pictures_depend_on_the_seed_alone(several, backgrounds):
    first, again, other = (
        composites.make_composites(several, backgrounds, per_class=4, size=SIZE, seed=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert first.names == again.names
    assert (first.images != other.images).mean() > 0.5


def test_cutouts_of_a_class_take_turns(several, backgrounds):
    made = composites.make_composites(several, backgrounds, per_class=15, size=SIZE, seed=0)
    assert made.labels.tolist() == [0] * 15 + [1] * 15
    assert {made.names.count(cutout.name) for cutout in several} == {1, 2}
    assert all(
        name.startswith(("bird", "food")[label])
        for name, label in zip(made.names, made.labels, strict=True)
    )


def test_photographs_are_told_from_drawings(face):
    flat = face.copy()
    flat[..., :3] = np.where(face[..., :3] > 128, 200, 40)
    assert cutouts.is_photograph(face)
    assert not cutouts.is_photograph(flat)
    blended = face.copy()
    blended[..., :3] = np.linspace(0, 255, face.shape[0], dtype=np.uint8)[:, np.newaxis, np.newaxis]
    assert not cutouts.is_photograph(blended)  # a gradient has many colors but no texture


def test_thin_and_tiny_cutouts_are_left_out(face):
    assert cutouts.is_compact(face)
    assert not cutouts.is_compact(face[::6, ::6])
    thin = face.copy()
    thin[:50] = thin[60:] = 0
    assert not cutouts.is_compact(cutouts.cropped(thin))


def test_stamps_are_found_by_class(tmp_path, face):
    drawing = np.full_like(face, 255)
    save(tmp_path / "animals/birds/b.png", face)
    save(tmp_path / "animals/birds/a.png", np.pad(face, ((9, 9), (9, 9), (0, 0))))
    save(tmp_path / "animals/birds/drawn.png", drawing)
    save(tmp_path / "animals/birds/cartoon/c.png", face)
    save(tmp_path / "animals/birds/b_mirror.png", face[:, ::-1])
    save(tmp_path / "food/fruit/pear.png", face)
    save(tmp_path / "symbols/one.png", face)
    found = cutouts.find_cutouts(tmp_path)
    assert [(cutout.name, cutout.label) for cutout in found] == [
        ("animals/birds/a.png", "bird"),
        ("animals/birds/b.png", "bird"),
        ("food/fruit/pear.png", "food"),
    ]
    np.testing.assert_array_equal(found[0].rgba, found[1].rgba)  # cropped


def test_missing_stamps_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install tuxpaint-stamps-default"):
        cutouts.find_cutouts(tmp_path / "stamps")


def random_numbers():
    return np.random.default_rng(0)
