"""Class folders: scanning, splitting, choosing, finding corrupt files, reading."""

import os

import numpy as np
import pytest
import tensorflow as tf
from support.pictures import encoded, photograph, write_faces

from keras_attnviz.data.class_folders import ClassFolders, check_intact
from keras_attnviz.data.images import read_image

CAT = encoded(photograph("chelsea.png", (40, 30)), "JPEG")


def write_tree(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CAT)
    return root


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return ClassFolders.scan(write_faces(tmp_path_factory.mktemp("faces"), per_class=20))


def test_scan_finds_pictures_of_every_suffix_sorted_by_class_and_name(tmp_path):
    names = ["b/2.JPG", "b/10.jpeg", "b/deep/1.Png", "a ü/ö 1.png", "a ü/0.jpg"]
    junk = ["b/._2.jpg", "b/.ipynb_checkpoints/2.jpg", "__MACOSX/x.jpg", ".git/x.png", "b/x.txt"]
    write_tree(tmp_path, [*names, *junk, "loose.jpg"])
    found = ClassFolders.scan(tmp_path)
    assert found.class_names == ("a ü", "b")
    relative = [os.path.relpath(path, tmp_path) for path in found.paths]
    assert relative == ["a ü/0.jpg", "a ü/ö 1.png", "b/10.jpeg", "b/2.JPG", "b/deep/1.Png"]
    assert found.labels.tolist() == [0, 0, 1, 1, 1]
    assert found.labels.dtype == np.int32
    assert found.counts == {"a ü": 2, "b": 3}
    assert found.majority_share == 3 / 5
    assert found.corrupt(16) == ()
    pictures, labels = next(iter(found.dataset(image_size=16, batch_size=5)))
    assert pictures.shape == (5, 16, 16, 3)
    assert labels.numpy().tolist() == [0, 0, 1, 1, 1]


def test_scan_says_what_is_wrong_with_a_directory(tmp_path):
    with pytest.raises(ValueError, match=r"an existing directory.*nowhere"):
        ClassFolders.scan(tmp_path / "nowhere")
    write_tree(tmp_path, ["loose.jpg"])
    with pytest.raises(ValueError, match=r"an existing directory.*loose\.jpg"):
        ClassFolders.scan(tmp_path / "loose.jpg")
    with pytest.raises(ValueError, match=r"one folder of pictures for every class.*Put the"):
        ClassFolders.scan(tmp_path)
    write_tree(tmp_path, ["full/1.jpg", "notes/readme.txt", "blank/.hidden.jpg"])
    with pytest.raises(ValueError, match=r"in every class folder.*Without such files: blank, no"):
        ClassFolders.scan(tmp_path)


def test_errors_call_the_directory_what_the_user_calls_it(damaged):
    with pytest.raises(ValueError, match=r"`data` must be an existing directory\. Received: data="):
        ClassFolders.scan(damaged / "nowhere", name="data")
    (damaged / "c").mkdir()
    with pytest.raises(ValueError, match=r"`data` must be .*Without such files: c\."):
        ClassFolders.scan(damaged, name="data")
    with pytest.raises(ValueError, match=r"`data` must be .* one folder of pictures for every"):
        ClassFolders.scan(damaged / "c", name="data")
    (damaged / "c").rmdir()
    folders = ClassFolders.scan(damaged, name="data")
    with pytest.raises(ValueError, match=r"`directory` must be a directory of intact"):
        check_intact(folders, 16, skip_corrupt=False)
    with pytest.raises(ValueError, match=r"`data` must be a directory of intact"):
        check_intact(folders, 16, skip_corrupt=False, name="data")
    one = folders.without([path for path in folders.paths if not path.endswith("0.jpg")])
    with pytest.raises(ValueError, match=r"`data` must be .* for a training and a validation"):
        one.split(0.5, 0, name="data")
    with pytest.raises(ValueError, match=r"`data` must be .* to take 2 of every class"):
        one.evenly(2, name="data")
    with pytest.raises(ValueError, match=r"`data` must be .* that can be decoded"):
        one.without(one.paths[:1], name="data")


def test_split_is_stratified_deterministic_and_complete(tmp_path):
    names = [f"a/{i:02d}.jpg" for i in range(20)] + [f"b/{i}.jpg" for i in range(5)] + ["c/1.jpg"]
    folders = ClassFolders.scan(write_tree(tmp_path, [*names, "c/2.jpg"]))
    train, validation = folders.split(0.2, seed=3)
    assert validation.counts == {"a": 4, "b": 1, "c": 1}
    assert sorted(train.paths + validation.paths) == sorted(folders.paths)
    assert train.class_names == validation.class_names == folders.class_names
    for part in (train, validation):
        classes = [os.path.basename(os.path.dirname(path)) for path in part.paths]
        assert [part.class_names[label] for label in part.labels] == classes
    assert folders.split(0.2, seed=3)[1].paths == validation.paths
    assert folders.split(0.2, seed=4)[1].paths != validation.paths
    assert folders.split(0.99, seed=3)[0].counts == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("share", "error", "match"),
    [
        (0, ValueError, r"`validation_share` must be above 0 and below 1\. Received:"),
        (1, ValueError, r"`validation_share` must be in \[0, 1\)"),
        ("half", TypeError, r"`validation_share` must be a number"),
    ],
)
def test_split_refuses_other_shares(faces, share, error, match):
    with pytest.raises(error, match=match):
        faces.split(share, seed=0)


def test_split_refuses_a_class_of_one_picture(tmp_path):
    folders = ClassFolders.scan(write_tree(tmp_path, ["a/1.jpg", "b/1.jpg", "b/2.jpg"]))
    with pytest.raises(ValueError, match=r"at least 2 pictures.*Too few are in: a \(1\)\."):
        folders.split(0.2, seed=0)


def test_evenly_spreads_over_each_class(faces):
    chosen = faces.evenly(4)
    names = [os.path.basename(path) for path in chosen.paths]
    assert names == ["002.png", "007.png", "012.png", "017.png"] * 2
    assert chosen.labels.tolist() == [0] * 4 + [1] * 4
    assert faces.evenly(20).paths == faces.paths
    with pytest.raises(ValueError, match=r"at least 21 pictures.*face \(20\), other \(20\)"):
        faces.evenly(21)
    with pytest.raises(ValueError, match=r"`per_class` must be at least 1\. Received: per_class=0"):
        faces.evenly(0)


@pytest.fixture
def damaged(tmp_path):
    """Ten good pictures, and in the class `a` four that can't be decoded."""
    write_tree(tmp_path, [f"{name}/{i}.jpg" for name in "ab" for i in range(5)])
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "half.jpeg").write_bytes(CAT[: len(CAT) // 2])
    (tmp_path / "a" / "text.jpg").write_text("not a picture", encoding="utf-8")
    os.symlink(tmp_path / "nowhere", tmp_path / "a" / "link.jpg")
    return tmp_path


def test_corrupt_pictures_are_found_and_left_out(damaged):
    folders = ClassFolders.scan(damaged)
    corrupt = folders.corrupt(16)
    assert [os.path.basename(path) for path in corrupt] == [
        "empty.png",
        "half.jpeg",
        "link.jpg",
        "text.jpg",
    ]
    rest = folders.without(corrupt)
    assert rest.counts == {"a": 5, "b": 5}
    assert rest.corrupt(16) == ()
    assert rest.labels.tolist() == [0] * 5 + [1] * 5


def test_check_intact_names_corrupt_pictures_or_goes_on_without_them(damaged):
    folders = ClassFolders.scan(damaged)
    with pytest.raises(ValueError, match=r"can't be read: \S+empty\.png, .*text\.jpg\. .*--skip-c"):
        check_intact(folders, 16, skip_corrupt=False)
    assert check_intact(folders, 16, skip_corrupt=True).counts == {"a": 5, "b": 5}


def test_check_intact_lists_ten_names_at_most(damaged):
    for index in range(9):
        (damaged / "a" / f"zero{index}.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"zero5\.jpg and 3 more\. Mend"):
        check_intact(ClassFolders.scan(damaged), 16, skip_corrupt=False)


def test_a_class_of_corrupt_pictures_alone_is_an_error(damaged):
    for index in range(5):
        (damaged / "a" / f"{index}.jpg").write_bytes(b"")
    folders = ClassFolders.scan(damaged)
    with pytest.raises(ValueError, match=r"that can be decoded.*Too few are in: a \(0\)"):
        check_intact(folders, 16, skip_corrupt=True)


def test_dataset_gives_the_pixels_and_labels_in_order(faces):
    batches = list(faces.dataset(image_size=(24, 32), batch_size=16))
    assert [len(labels) for _, labels in batches] == [16, 16, 8]
    pictures = np.concatenate([pictures for pictures, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, faces.labels)
    assert batches[0][0].dtype == tf.float32
    assert pictures.max() > 200
    for index in (0, 17, 39):
        np.testing.assert_array_equal(pictures[index], read_image(faces.paths[index], (24, 32)))


def order(dataset):
    return [float(tf.reduce_sum(picture)) for picture, _ in dataset.unbatch()]


@pytest.mark.parametrize("cache_bytes", [2**30, 0], ids=["cached", "too large to cache"])
def test_dataset_shuffles_anew_each_epoch_and_alike_for_one_seed(faces, cache_bytes):
    reading = {"image_size": 16, "batch_size": 7, "cache_bytes": cache_bytes}
    plain = order(faces.dataset(**reading))
    shuffled = faces.dataset(**reading, shuffle_seed=1)
    first, second = order(shuffled), order(shuffled)
    assert first != second
    assert first != plain
    assert sorted(first) == sorted(second) == sorted(plain)
    again = faces.dataset(**reading, shuffle_seed=1)
    assert [order(again), order(again)] == [first, second]


@pytest.mark.parametrize(("cache_bytes", "is_kept"), [(20 * 16 * 16 * 3 * 2, True), (100, False)])
def test_dataset_keeps_decoded_pictures_in_memory_when_they_fit(tmp_path, cache_bytes, is_kept):
    folders = ClassFolders.scan(write_faces(tmp_path, per_class=20))
    dataset = folders.dataset(image_size=16, batch_size=40, cache_bytes=cache_bytes)
    before = next(iter(dataset))[0].numpy()
    for path in folders.paths:
        os.remove(path)
    if is_kept:
        np.testing.assert_array_equal(next(iter(dataset))[0], before)
    else:
        with pytest.raises(tf.errors.NotFoundError, match=r"000\.png"):
            next(iter(dataset))


def test_dataset_refuses_a_batch_of_none(faces):
    with pytest.raises(ValueError, match=r"`batch_size` must be at least 1"):
        faces.dataset(image_size=16, batch_size=0)
