import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from PIL import Image

from keras_attnviz import ProbeSet

CAT = skimage.data.chelsea()[:48, :64]
PICTURES = np.stack([CAT, CAT[::-1]])
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    "preprocess",
    [
        lambda pixels: pixels,
        lambda pixels: pixels.astype(np.float32),
        lambda pixels: pixels / 255.0,
        lambda pixels: pixels.astype(np.float32) / 127.5 - 1,
        lambda pixels: (pixels / 255.0 - MEAN) / DEVIATION,
        lambda pixels: tf.constant(pixels, tf.float32).numpy().astype(np.float16),
    ],
)
def test_display_pictures_of_the_usual_ranges(preprocess):
    images = preprocess(PICTURES)
    probes = ProbeSet(images)
    np.testing.assert_array_equal(probes.display, PICTURES)
    assert probes.display.dtype == np.uint8
    assert probes.images is images


def test_display_of_other_channels():
    grey = ProbeSet(PICTURES[..., :1] / 255.0).display
    np.testing.assert_array_equal(grey, np.repeat(PICTURES[..., :1], 3, axis=-1))
    four = np.concatenate([PICTURES, PICTURES[..., :1]], axis=-1)
    np.testing.assert_array_equal(ProbeSet(four).display, PICTURES)


def test_display_given():
    shown = PICTURES[:, ::-1]
    assert ProbeSet(PICTURES * 7.0, display=shown).display is shown


def test_names_labels_and_masks_are_kept():
    masks = np.zeros((2, 48, 64))
    probes = ProbeSet(PICTURES, labels=[1, 0], masks=masks, class_names=["a", "b"])
    assert len(probes) == 2
    assert probes.names == ("probe_0", "probe_1")
    assert probes.labels.tolist() == [1, 0]
    assert probes.class_names == ("a", "b")
    np.testing.assert_array_equal(probes.masks, masks)


BROKEN = PICTURES.astype(np.float32).copy()
BROKEN[1, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("images", "options", "text"),
    [
        (
            CAT,
            {},
            r"`images` must be a number array \[probes, height, width, channels\].*48, 64, 3",
        ),
        (PICTURES[:0], {}, "`images` must be at least one image"),
        (BROKEN, {}, r"`images` must be finite.*NaN or infinity in probes \[1\]"),
        (PICTURES * 7.0, {}, r"Received: values from 161 to 1344\. Pass the pictures .* `display`"),
        (PICTURES[..., :2], {}, "of 1, 3 or 4 channels.*Pass the pictures to show as `display`"),
        (PICTURES, {"labels": [0]}, r"`labels` must be integers of shape \[2\]"),
        (PICTURES, {"labels": [0.0, 1.0]}, r"`labels` must be integers"),
        (PICTURES, {"labels": [0, 2], "class_names": ["a", "b"]}, r"class indices in \[0, 2\)"),
        (PICTURES, {"names": ["a", "a"]}, "`names` must be 2 unique texts"),
        (PICTURES, {"masks": np.zeros((2, 3, 3))}, r"`masks` must be of shape \[2, 48, 64\]"),
        (PICTURES, {"display": PICTURES / 255.0}, r"`display` must be a uint8 array of shape \[2"),
    ],
)
def test_bad_probes_are_named(images, options, text):
    with pytest.raises(ValueError, match=text):
        ProbeSet(images, **options)


@pytest.fixture
def class_folders(tmp_path):
    for name, count in [("dogs", 7), ("cats", 5)]:
        (tmp_path / name).mkdir()
        for index in range(count):
            picture = Image.fromarray(np.full((20, 30, 3), 10 * index, np.uint8))
            picture.save(tmp_path / name / f"{name[0]} {index}.png")
    return tmp_path


def test_from_directory_takes_the_same_number_of_each_class(class_folders):
    probes = ProbeSet.from_directory(class_folders, image_size=(12, 16), per_class=2)
    assert probes.images.shape == (4, 12, 16, 3)
    assert probes.images.dtype == np.float32
    assert probes.class_names == ("cats", "dogs")
    assert probes.labels.tolist() == [0, 0, 1, 1]
    assert probes.names == ("cats-c 1", "cats-c 3", "dogs-d 1", "dogs-d 5")
    assert probes.images[:, 0, 0, 0].tolist() == [10, 30, 10, 50]
    again = ProbeSet.from_directory(class_folders, image_size=(12, 16), per_class=2)
    np.testing.assert_array_equal(again.images, probes.images)


def test_from_directory_preprocesses_but_shows_the_pictures(class_folders):
    probes = ProbeSet.from_directory(
        class_folders, image_size=16, per_class=1, preprocess=lambda pixels: pixels * 100 - 1
    )
    assert probes.images[0, 0, 0].tolist() == [1999] * 3
    assert probes.display[0, 0, 0].tolist() == [20] * 3


def test_from_directory_names_equal_files_apart(tmp_path):
    for folder in ("a/left", "a/right"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(CAT).save(tmp_path / folder / "cell.png")
    probes = ProbeSet.from_directory(tmp_path, image_size=16, per_class=2)
    assert probes.names == ("a-cell", "a-cell (2)")


def test_from_directory_names_what_is_wrong(class_folders):
    with pytest.raises(ValueError, match=r"at least 6 pictures in every class .*cats \(5\)"):
        ProbeSet.from_directory(class_folders, image_size=16, per_class=6)
    (class_folders / "cats" / "c 2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"intact JPEG or PNG pictures.*c 2\.png"):
        ProbeSet.from_directory(class_folders, image_size=16, per_class=1)


def dataset(labels):
    values = np.arange(len(labels), dtype=np.float32)[:, None, None, None]
    values = np.broadcast_to(values, (len(labels), 4, 4, 3))
    return tf.data.Dataset.from_tensor_slices((values, labels))


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("one_hot", [False, True])
def test_from_dataset_takes_the_first_of_each_class(batch, one_hot):
    labels = np.array([2, 0, 0, 0, 1, 2, 1])
    data = dataset(np.eye(3, dtype=np.float32)[labels] if one_hot else labels)
    probes = ProbeSet.from_dataset(data.batch(batch) if batch else data, per_class=2)
    assert probes.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert probes.images[:, 0, 0, 0].tolist() == [1, 2, 4, 6, 0, 5]


def test_from_dataset_reads_no_further_than_needed():
    def examples():
        for index in range(4):
            yield np.full((4, 4, 3), index, np.float32), index % 2
        raise RuntimeError("read too far")

    signature = (tf.TensorSpec([4, 4, 3]), tf.TensorSpec([], tf.int32))
    data = tf.data.Dataset.from_generator(examples, output_signature=signature)
    probes = ProbeSet.from_dataset(data, per_class=2, class_names=["even", "odd"])
    assert probes.images[:, 0, 0, 0].tolist() == [0, 2, 1, 3]


def test_from_dataset_without_labels():
    data = dataset([0] * 6).map(lambda image, label: image)
    assert ProbeSet.from_dataset(data.batch(4), count=5).images[:, 0, 0, 0].tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_from_dataset_names_what_is_wrong():
    with pytest.raises(TypeError, match=r"`dataset` must be a tf\.data\.Dataset"):
        ProbeSet.from_dataset(PICTURES)
    with pytest.raises(ValueError, match=r"Too few of classes \[1\]\. Lower `per_class`"):
        ProbeSet.from_dataset(dataset([0, 0, 1]), per_class=2)
    with pytest.raises(ValueError, match=r"must be finite, or its classes known.*`class_names`"):
        ProbeSet.from_dataset(dataset([0, 1]).repeat(), per_class=1)
    with pytest.raises(ValueError, match=r"Too few of classes \[2\]"):
        ProbeSet.from_dataset(dataset([0, 1]), per_class=1, class_names=["a", "b", "c"])
