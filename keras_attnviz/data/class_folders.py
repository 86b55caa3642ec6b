"""Class folders: one folder of pictures for every class, read with `tf.data`."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_count, check_ratio, image_size_pair, message
from keras_attnviz.data.images import decode_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
CACHE_BYTES = 2**30
_LISTED_AT_MOST = 10


@dataclass(frozen=True, eq=False)
class ClassFolders:
    """The pictures of a directory that holds one folder for every class.

    Attributes:
        directory: path of the directory, a string.
        class_names: the folders' names, a sorted tuple of strings; label `n` is the name at `n`.
        paths: the pictures' paths, a tuple of strings, class after class, sorted in each class.
        labels: int32 array `[len(paths)]`.
    """

    directory: str
    class_names: tuple
    paths: tuple
    labels: np.ndarray

    @classmethod
    def scan(cls, directory, *, name="directory"):
        """Returns the class folders of a directory.

        Pictures are files ending in .jpg, .jpeg or .png (in any case), in a class's folder or
        in folders below it. Names that begin with a dot, and `__MACOSX`, are skipped.

        Args:
            directory: path of the directory.
            name: the directory's name in errors, that of the user's argument.

        Raises:
            ValueError: it isn't a directory, it has no class folders, or a class has no pictures.
        """
        root = Path(directory)
        if not root.is_dir():
            raise ValueError(message(name, "an existing directory", str(directory)))
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not _is_junk(path))
        if not folders:
            must = "a directory that holds one folder of pictures for every class"
            remedy = "Put the pictures of every class into a folder named like the class."
            raise ValueError(message(name, must, str(directory), remedy))
        found = [sorted(picture_paths(folder)) for folder in folders]
        empty = [folder.name for folder, paths in zip(folders, found, strict=True) if not paths]
        if empty:
            must = f"a directory with {', '.join(IMAGE_SUFFIXES)} files in every class folder"
            remedy = f"Without such files: {', '.join(empty)}. Fill or remove them."
            raise ValueError(message(name, must, str(directory), remedy))
        return cls(
            directory=str(directory),
            class_names=tuple(folder.name for folder in folders),
            paths=tuple(path for paths in found for path in paths),
            labels=np.repeat(np.arange(len(found)), [len(paths) for paths in found]).astype(
                "int32"
            ),
        )

    def __len__(self):
        return len(self.paths)

    @property
    def counts(self):
        """Number of pictures of every class, a dict from class name to integer."""
        numbers = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    @property
    def majority_share(self):
        """Share of the largest class: the accuracy of always predicting that class."""
        return max(self.counts.values()) / len(self)

    def split(self, validation_share, seed, *, name="directory"):
        """Returns two parts, with every class split by the same share; the seed fixes the split.

        Args:
            validation_share: share of every class that goes into the second part, in (0, 1);
                both parts get at least one picture of every class.
            seed: integer.
            name: the directory's name in errors.

        Returns:
            `(train, validation)`, two `ClassFolders`.

        Raises:
            ValueError: a class has fewer than two pictures, or the share isn't in (0, 1).
        """
        check_ratio("validation_share", validation_share)
        if validation_share == 0:
            raise ValueError(message("validation_share", "above 0 and below 1", validation_share))
        self._check_counts(2, "for a training and a validation part", name)
        is_validation = np.zeros(len(self), bool)
        for label, members in enumerate(self._members()):
            number = round(len(members) * validation_share)
            number = min(max(number, 1), len(members) - 1)
            chosen = np.random.default_rng([seed, label]).permutation(members)[:number]
            is_validation[chosen] = True
        return self._where(~is_validation), self._where(is_validation)

    def evenly(self, per_class, *, name="directory"):
        """Returns `per_class` pictures of every class, evenly spaced over its sorted files.

        Args:
            per_class: integer.
            name: the directory's name in errors.

        Raises:
            ValueError: some classes have fewer pictures; the message names them.
        """
        check_count("per_class", per_class)
        self._check_counts(per_class, f"to take {per_class} of every class", name)
        is_chosen = np.zeros(len(self), bool)
        for members in self._members():
            is_chosen[members[(np.arange(per_class) * 2 + 1) * len(members) // (2 * per_class)]] = 1
        return self._where(is_chosen)

    def corrupt(self, image_size):
        """Returns the paths of the pictures that can't be read or decoded, a tuple of strings."""
        size = image_size_pair(image_size)

        def index_of_intact(index, path):
            # The result must depend on the pixels, or TensorFlow prunes the decoding.
            return index, tf.reduce_max(decode_image(tf.io.read_file(path), size))

        indices = tf.data.Dataset.from_tensor_slices((np.arange(len(self)), _encoded(self.paths)))
        indices = indices.map(index_of_intact, num_parallel_calls=tf.data.AUTOTUNE)
        intact = {int(index) for index, _ in indices.ignore_errors()}
        return tuple(path for index, path in enumerate(self.paths) if index not in intact)

    def without(self, paths, *, name="directory"):
        """Returns these class folders without the given paths.

        Args:
            paths: some of the strings in `paths`.
            name: the directory's name in errors.

        Raises:
            ValueError: some classes would have no picture left; the message names them.
        """
        dropped = set(paths)
        kept = self._where(np.array([path not in dropped for path in self.paths], bool))
        kept._check_counts(1, "that can be decoded", name)
        return kept

    def dataset(self, *, image_size, batch_size, shuffle_seed=None, cache_bytes=CACHE_BYTES):
        """Returns the pictures and labels, batched, as a `tf.data.Dataset`.

        Decoded pictures are kept in memory, 8 bits for each value, if together they take at most
        `cache_bytes`; 1 GiB holds about 7,100 pictures of 224 x 224. Otherwise they are decoded
        again in each epoch, in parallel and ahead of time.

        Args:
            image_size: one integer or `(height, width)`.
            batch_size: number of pictures in a batch; the last batch may have fewer.
            shuffle_seed: integer; all pictures are shuffled again in each epoch. None keeps the
                order of `paths`.
            cache_bytes: most bytes of memory that decoded pictures may take, 1 GiB unless given.

        Returns:
            Dataset of `(float32 [batch, height, width, 3] in [0, 255], int32 [batch])`.
        """
        check_count("batch_size", batch_size)
        size = image_size_pair(image_size)

        def picture(path, label):
            return decode_image(tf.io.read_file(path), size), label

        def as_float(pixels, labels):
            return tf.cast(pixels, tf.float32), labels

        dataset = tf.data.Dataset.from_tensor_slices((_encoded(self.paths), self.labels))
        is_cached = len(self) * size[0] * size[1] * 3 <= cache_bytes
        # Where decoded pictures don't fit into memory, paths are shuffled instead.
        if shuffle_seed is not None and not is_cached:
            dataset = dataset.shuffle(len(self), seed=shuffle_seed)
        dataset = dataset.map(picture, num_parallel_calls=tf.data.AUTOTUNE)
        if is_cached:
            dataset = dataset.cache()
        if shuffle_seed is not None and is_cached:
            dataset = dataset.shuffle(len(self), seed=shuffle_seed)
        return dataset.batch(batch_size).map(as_float).prefetch(tf.data.AUTOTUNE)

    def _members(self):
        return [np.flatnonzero(self.labels == label) for label in range(len(self.class_names))]

    def _where(self, is_kept):
        paths = tuple(path for path, keep in zip(self.paths, is_kept, strict=True) if keep)
        return replace(self, paths=paths, labels=self.labels[is_kept])

    def _check_counts(self, minimum, purpose, name):
        few = [f"{label} ({count})" for label, count in self.counts.items() if count < minimum]
        if few:
            must = f"a directory with at least {minimum} pictures in every class folder {purpose}"
            remedy = f"Too few are in: {', '.join(few)}."
            raise ValueError(message(name, must, self.directory, remedy))


def check_intact(folders, image_size, *, skip_corrupt=None, name="directory"):
    """Returns the class folders, without their corrupt pictures if `skip_corrupt`.

    Args:
        folders: `ClassFolders`.
        image_size: one integer or `(height, width)`, the size of decoded pictures.
        skip_corrupt: whether corrupt pictures are left out; otherwise they raise an error. None
            where the user has no such choice, so that the error doesn't offer it.
        name: the directory's name in errors, that of the user's argument.

    Raises:
        ValueError: there are corrupt pictures and `skip_corrupt` isn't true; the message names
            them. Or a class would have no picture left.
    """
    corrupt = folders.corrupt(image_size)
    if corrupt and not skip_corrupt:
        listed = ", ".join(corrupt[:_LISTED_AT_MOST])
        more = (
            f" and {len(corrupt) - _LISTED_AT_MOST} more" if len(corrupt) > _LISTED_AT_MOST else ""
        )
        choice = ", or go on without them: skip_corrupt=True (--skip-corrupt)"
        remedy = (
            f"These can't be read: {listed}{more}. Mend or remove them"
            f"{'' if skip_corrupt is None else choice}."
        )
        must = "a directory of intact JPEG and PNG pictures"
        raise ValueError(message(name, must, folders.directory, remedy))
    return folders.without(corrupt, name=name)


def picture_paths(folder):
    """Yields the paths of the pictures in a folder and in folders below it, in a fixed order.

    Pictures are files ending in .jpg, .jpeg or .png (in any case). Names that begin with a dot,
    and `__MACOSX`, are skipped. Memory holds the names of only one folder at a time.
    """
    for parent, directories, names in os.walk(folder):
        directories[:] = sorted(name for name in directories if not _is_junk(Path(name)))
        for name in sorted(names):
            if name.lower().endswith(IMAGE_SUFFIXES) and not _is_junk(Path(name)):
                yield os.path.join(parent, name)


def _is_junk(path):
    return path.name.startswith(".") or path.name == "__MACOSX"


def _encoded(paths):
    # Bytes, so that file names that aren't UTF-8 work too.
    return np.array([os.fsencode(path) for path in paths], dtype=object)
