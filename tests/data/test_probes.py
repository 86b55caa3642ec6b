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


def shown(low, high):
    """Returns the picture of two grey pixels, as bytes."""
    values = np.full((1, 1, 2, 3), low, np.float32)
    values[0, 0, 1] = high
    return ProbeSet(values).display[0, 0, :, 0].tolist()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1.01, [0, 255]),
        (-0.02, 1.02, [0, 255]),
        (0.2, 1.01, [51, 255]),
        (-1, 1.01, [0, 255]),
        (-1.04, 1.04, [0, 255]),
        (-1.03, 0, [0, 128]),
        (0, 257, [0, 255]),
        (-5, 260, [0, 255]),
        (-0.5, 51, [0, 51]),
        (0, 20, [0, 20]),
    ],
)
def test_every_range_may_be_overshot_a_little(low, high, expected):
    assert shown(low, high) == expected


def test_standardized_values_may_overshoot_a_little():
    pixels = np.tile(np.array([-0.019, 1.019])[:, np.newaxis], 3)[np.newaxis, np.newaxis]
    assert ProbeSet((pixels - MEAN) / DEVIATION).display[0, 0].tolist() == [[0] * 3, [255] * 3]


def test_overshot_pixels_leave_the_others_as_they_are():
    for scale, shift in [(1 / 255, 0), (2 / 255, -1), (1, 0)]:
        images = PICTURES.astype(np.float32) * scale + shift
        images[0, 0, 0] = 259 * scale + shift
        expected = PICTURES.copy()
        expected[0, 0, 0] = 255
        np.testing.assert_array_equal(ProbeSet(images).display, expected)


@pytest.mark.parametrize(
    ("low", "high", "channels"),
    [
        (-0.42, 2.82, 1),  # MNIST by its own mean and deviation
        (-2.5, 3.1, 3),  # each image by its own
        (-6, 255, 3),
        (0, 261, 3),
    ],
)
def test_values_of_no_known_range_are_not_guessed(low, high, channels):
    values = np.full((1, 2, 1, channels), low, np.float32)
    values[0, 1] = high
    with pytest.raises(ValueError, match=r"`images` must have values in \[0, 255\], \[0, 1\]"):
        ProbeSet(values)


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
        (
            PICTURES,
            {"labels": [0.0, 0.5]},
            r"`labels` must be .*, or one-hot .*`argmax\(axis=-1\)`",
        ),
        (PICTURES, {"labels": [0.0, np.nan]}, r"`labels` must be integers"),
        (PICTURES, {"labels": [[0], [0, 1]]}, r"`labels` must be integers"),
        (PICTURES, {"labels": ["a", "b"]}, r"`labels` must be integers"),
        (PICTURES, {"labels": [[0, 2], [1, 1]]}, r"`labels` must be integers"),
        (PICTURES, {"labels": [[0.5, 0.5], [0, 1]]}, r"`labels` must be integers"),
        (PICTURES, {"labels": [[1]]}, r"`labels` must be integers of shape \[2\]"),
        (PICTURES, {"labels": [0, -1]}, r"`labels` must be class indices in \[0, inf\)"),
        (
            PICTURES,
            {"labels": np.eye(3)[[0, 2]], "class_names": ["a", "b"]},
            r"class indices in \[0, 2\)",
        ),
        (
            [CAT, CAT[1:]],
            {},
            r"`images` must be of one shape .* 2 images of shapes \[\(48, 64, 3\), \(47, 64, 3\)\]",
        ),
        (
            {"image": PICTURES, "table": None},
            {},
            r"`images\['table'\]` must be an array, one entry for each probe\. Received: .*=None\. "
            "All inputs must be passed",
        ),
        (PICTURES, {"labels": [0, 2], "class_names": ["a", "b"]}, r"class indices in \[0, 2\)"),
        (PICTURES, {"names": ["a", "a"]}, "`names` must be 2 unique texts"),
        (PICTURES, {"masks": np.zeros((2, 3, 3))}, r"`masks` must be of shape \[2, 48, 64\]"),
        (PICTURES, {"display": PICTURES / 255.0}, r"`display` must be a uint8 array of shape \[2"),
    ],
)
def test_bad_probes_are_named(images, options, text):
    with pytest.raises(ValueError, match=text):
        ProbeSet(images, **options)


@pytest.mark.parametrize(
    "labels",
    [
        [2, 0],
        np.array([2, 0], np.uint8),
        np.array([2, 0], np.float32),
        [[2], [0]],
        [[0, 0, 1], [1, 0, 0]],
        np.eye(3, dtype=np.float32)[[2, 0]],
        np.eye(3, dtype=bool)[[2, 0]],
        np.eye(3, dtype=np.float16)[[2, 0]] * 0.9 + 0.1 / 3,
    ],
)
def test_labels_become_integers(labels):
    probes = ProbeSet(PICTURES, labels=labels, class_names=["a", "b", "c"])
    assert probes.labels.tolist() == [2, 0]
    assert probes.labels.dtype.kind == "i"


@pytest.mark.parametrize("class_names", ["ab", b"ab", 2])
def test_class_names_are_a_list(class_names):
    with pytest.raises(TypeError, match="`class_names` must be a list of texts, one a class"):
        ProbeSet(PICTURES, class_names=class_names)
    with pytest.raises(TypeError, match="`class_names` must be a list of texts, one a class"):
        ProbeSet.from_dataset(dataset([0, 1]), per_class=1, class_names=class_names)


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
    with pytest.raises(
        ValueError, match=r"intact JPEG and PNG pictures.*c 2\.png\. Mend or remove them\.$"
    ):
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


@pytest.mark.parametrize("label", [2, -1])
def test_from_dataset_refuses_labels_without_a_class_name(label):
    with pytest.raises(ValueError, match=rf"`dataset` must .* \[0, 2\).* the label {label}\."):
        ProbeSet.from_dataset(dataset([0, label, 1]), per_class=1, class_names=["a", "b"])


@pytest.mark.parametrize("label", [0.5, b"cat", [1, 1, 0], [0.5, 0.5]])
def test_from_dataset_refuses_labels_that_are_no_classes(label):
    with pytest.raises(ValueError, match=r"`dataset` must be .* or one-hot\..*label="):
        ProbeSet.from_dataset(dataset([label] * 2), per_class=1)


@pytest.mark.parametrize("batch", [None, 3])
def test_from_dataset_takes_a_column_of_labels(batch):
    data = dataset(np.array([[1.0], [0.0], [1.0]], np.float32))
    probes = ProbeSet.from_dataset(data.batch(batch) if batch else data, per_class=1)
    assert probes.labels.tolist() == [0, 1]
    assert probes.images[:, 0, 0, 0].tolist() == [1, 0]


@pytest.mark.parametrize("batch", [None, 64])
def test_from_dataset_leaves_off_where_an_endless_dataset_lacks_a_class(batch):
    data = dataset([0, 1]).repeat()
    text = r"Received: 10000 examples\. Too few of classes \[2\]"
    with pytest.raises(ValueError, match=text):
        ProbeSet.from_dataset(
            data.batch(batch) if batch else data, per_class=1, class_names=["a", "b", "c"]
        )


def test_from_dataset_reads_a_finite_one_to_its_end():
    data = dataset(np.arange(10_002) // 10_001).map(lambda image, label: (image / 10_001, label))
    probes = ProbeSet.from_dataset(data, per_class=1, class_names=["many", "last"])
    assert probes.images[:, 0, 0, 0].tolist() == [0, 1]


def test_from_dataset_names_elements_of_another_form():
    labeled = dataset([0, 1])
    text = r"`dataset` must be .* of images or of \(images, labels\).*`dataset\.map`"
    for data in (
        labeled.map(lambda image, label: {"image": image, "label": label}),
        labeled.map(lambda image, label: ({"image": image}, label)),
        labeled.map(lambda image, label: (image, {"class": label})),
    ):
        with pytest.raises(TypeError, match=text):
            ProbeSet.from_dataset(data)


def test_from_dataset_takes_tuples_of_images_alone():
    data = dataset([0] * 3).map(lambda image, label: (image,))
    assert ProbeSet.from_dataset(data.batch(2), count=3).images[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_from_dataset_names_too_few_images():
    labeled = dataset([0, 1])
    alone = labeled.map(lambda image, label: image)
    with pytest.raises(
        ValueError, match=r"`dataset` must be of at least 3 .* gave 2\. Lower `count`"
    ):
        ProbeSet.from_dataset(alone, count=3)
    with pytest.raises(ValueError, match=r"`dataset` must be .*It gave 0"):
        ProbeSet.from_dataset(alone.take(0))
    for class_names in (None, ["a", "b"]):
        with pytest.raises(ValueError, match=r"`dataset` must be .* It is empty\."):
            ProbeSet.from_dataset(labeled.take(0), class_names=class_names)


TABLE = np.arange(10.0).reshape(2, 5)


@pytest.mark.parametrize(
    ("inputs", "picture"),
    [
        ({"table": TABLE, "image": PICTURES}, "image"),
        ([TABLE, PICTURES], 1),
        ((PICTURES, TABLE.tolist()), 0),
        ([PICTURES], 0),
        ((tf.constant(PICTURES), tf.constant(TABLE)), 0),
    ],
)
def test_images_among_several_inputs(inputs, picture):
    probes = ProbeSet(inputs, labels=[1, 0], masks=np.zeros((2, 48, 64)))
    assert len(probes) == 2
    assert type(probes.inputs) is type(inputs)
    assert len(probes.inputs) == len(inputs)
    assert probes.images is probes.inputs[picture]
    np.testing.assert_array_equal(probes.images, PICTURES)
    np.testing.assert_array_equal(probes.display, PICTURES)
    for array in probes.inputs.values() if picture == "image" else probes.inputs:
        assert isinstance(array, np.ndarray)
        assert array.shape in (PICTURES.shape, TABLE.shape)


def test_masks_of_bools_are_no_images():
    probes = ProbeSet({"a_mask": PICTURES > 0, "image": PICTURES})
    assert probes.images is probes.inputs["image"]


def test_one_array_is_the_only_input():
    for images in (PICTURES, list(PICTURES), tuple(PICTURES), tf.constant(PICTURES)):
        probes = ProbeSet(images)
        assert probes.inputs is probes.images
        np.testing.assert_array_equal(probes.images, PICTURES)


def test_of_several_images_those_to_show_are_given():
    views = {"left": PICTURES / 255.0, "right": PICTURES[:, :, ::-1] * 7.0}
    probes = ProbeSet(views, display=PICTURES)
    assert probes.display is PICTURES
    assert probes.images is probes.inputs["left"]
    text = r"`images` must be with one array .*\{'left': \(2, 48, 64, 3\), 'right'.*as `display`"
    with pytest.raises(ValueError, match=text):
        ProbeSet(views)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"table": TABLE}, r"`images` must be with one array .*\{'table': \(2, 5\)\}\.$"),
        ({"image": CAT}, r"`images` must be with one array .*\{'image': \(48, 64, 3\)\}\.$"),
        (
            {"image": PICTURES, "table": TABLE[:1]},
            r"`images\['table'\]` must be an array of 2 entries, one for each probe\. "
            r"Received.*\(1, 5\)",
        ),
        ([PICTURES, 3.0], r"`images\[1\]` must be an array of 2 entries"),
        ([PICTURES, TABLE * np.nan], r"`images\[1\]` must be finite.*infinity in probes \[0, 1\]"),
        ({"image": BROKEN}, r"`images\['image'\]` must be finite.*in probes \[1\]"),
        ((PICTURES[:0], TABLE[:0]), r"`images\[0\]` must be at least one image"),
        ({"image": PICTURES, "other": PICTURES}, r"Of several, pass the pictures"),
    ],
)
def test_bad_inputs_among_several_are_named(inputs, text):
    with pytest.raises(ValueError, match=text):
        ProbeSet(inputs)
