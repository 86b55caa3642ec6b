"""The fixed probe images whose attention is followed over the epochs."""

import itertools
import re

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_count, message
from keras_attnviz.folders import ClassFolders

# ImageNet's channel means and standard deviations, of pixels in [0, 1].
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class ProbeSet:
    """Images that stay the same through a whole training, with what is known about them.

    Args:
        images: float or integer array `[probes, height, width, channels]`, exactly what the
            model takes, preprocessing included.
        labels: integers `[probes]`, the true classes, indices into `class_names`.
        names: unique texts `[probes]`; `probe_0`, `probe_1`, ... unless given.
        masks: float or bool array `[probes, height, width]` in [0, 1], 1 on the object.
        class_names: texts, one a class, in the order of the model's outputs.
        display: uint8 array `[probes, height, width, 3]`, the pictures that people see.
            Derived from `images` unless given: for values in [0, 255], [0, 1], [-1, 1] and
            standardized with ImageNet's mean and deviation; 1, 3 or 4 channels.

    Raises:
        ValueError: no images, a wrong shape, values that are not finite or of no known range
            (then give `display`), lengths that differ, labels without a class name, names that
            are not unique.
    """

    def __init__(
        self, images, *, labels=None, names=None, masks=None, class_names=None, display=None
    ):
        self.images = _checked_images(images)
        self.labels = _checked_labels(labels, len(self), class_names)
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.names = _checked_names(names, len(self))
        self.masks = _checked_masks(masks, self.images.shape)
        self.display = display_pictures(self.images) if display is None else display
        _check_display(self.display, len(self))

    def __len__(self):
        return len(self.images)

    @classmethod
    def from_directory(cls, directory, *, image_size, per_class=2, preprocess=None):
        """Returns probes from a directory of class folders.

        Of each class the same number of pictures is taken, evenly spaced over its files in
        sorted order, so the choice is the same at each call.

        Args:
            directory: path of a directory with one folder of JPEG or PNG pictures a class.
            image_size: one integer or `(height, width)`; pictures are resized to it.
            per_class: number of pictures of each class.
            preprocess: function from float32 pictures `[probes, height, width, 3]` in [0, 255]
                to what the model takes, `vit_keras.vit.preprocess_inputs` for example. Not
                needed where the model itself begins with a Rescaling layer.

        Raises:
            ValueError: no class folders, too few pictures, a picture that can't be read.
        """
        folders = ClassFolders.scan(directory).evenly(per_class)
        corrupt = folders.corrupt(image_size)
        if corrupt:
            must = "a directory of intact JPEG or PNG pictures"
            remedy = f"These can't be read: {', '.join(corrupt)}. Mend or remove them."
            raise ValueError(message("directory", must, str(directory), remedy))
        return cls.from_folders(folders, image_size=image_size, preprocess=preprocess)

    @classmethod
    def from_folders(cls, folders, *, image_size, preprocess=None):
        """Returns all pictures of `ClassFolders` as probes; arguments as in `from_directory`."""
        dataset = folders.dataset(image_size=image_size, batch_size=len(folders))
        pictures, labels = next(dataset.as_numpy_iterator())
        return cls(
            pictures if preprocess is None else np.asarray(preprocess(pictures.copy())),
            labels=labels,
            names=_path_names(folders),
            class_names=folders.class_names,
            display=pictures.astype(np.uint8),
        )

    @classmethod
    def from_dataset(cls, dataset, *, per_class=2, class_names=None, count=8):
        """Returns probes from a `tf.data.Dataset`, the first ones that it gives.

        Args:
            dataset: dataset of images, or of `(images, labels, ...)`, batched or not; labels are
                integers or one-hot. Shuffled without a seed, it gives other probes in each run.
            per_class: number of images of each class, where there are labels.
            class_names: texts, one a class. Where they are not given and labels are integers,
                the whole dataset is read to learn how many classes there are.
            count: number of images, where there are no labels.

        Raises:
            TypeError: `dataset` is not a dataset.
            ValueError: an endless dataset whose number of classes is not known, or a class with
                too few images.
        """
        if not isinstance(dataset, tf.data.Dataset):
            raise TypeError(message("dataset", "a tf.data.Dataset", dataset))
        check_count("per_class", per_class)
        check_count("count", count)
        spec = dataset.element_spec
        if not isinstance(spec, tuple):
            images = itertools.islice(_examples(dataset, spec), count)
            return cls(np.stack([image for image, _ in images]), class_names=class_names)
        classes = _class_count(dataset, class_names)
        images, labels = _first_of_each_class(_examples(dataset, spec[0]), per_class, classes)
        return cls(images, labels=labels, class_names=class_names)


def display_pictures(images):
    """Returns images as pictures to look at, uint8 `[probes, height, width, 3]`.

    Args:
        images: array `[probes, height, width, channels]` with 1, 3 or 4 channels, values in
            [0, 255], [0, 1], [-1, 1] or standardized with ImageNet's mean and deviation; which
            of them is told from the smallest and largest value.

    Raises:
        ValueError: another number of channels, or values outside all of these ranges.
    """
    channels = images.shape[-1]
    if channels not in (1, 3, 4):
        remedy = "Pass the pictures to show as `display`."
        raise ValueError(message("images", "of 1, 3 or 4 channels", images, remedy))
    colors = images[..., :3]
    if images.dtype != np.uint8:
        pixels = _as_pixels(colors.astype(np.float32))
        colors = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    return np.repeat(colors, 3, axis=-1) if channels == 1 else colors


def _as_pixels(values):
    """Returns float32 values of a known range as floats in [0, 255]."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values * 255
    if low >= 0 and high <= 255:
        return values
    if low >= -1 and high <= 1:
        return (values + 1) * 127.5
    restored = values * _DEVIATION + _MEAN if values.shape[-1] == 3 else None
    # Resizing and augmentation may overshoot a little.
    if restored is not None and restored.min() > -0.02 and restored.max() < 1.02:
        return restored * 255
    raise ValueError(
        "`images` must have values in [0, 255], [0, 1], [-1, 1] or standardized with ImageNet's "
        f"mean and deviation. Received: values from {low:.4g} to {high:.4g}. Pass the pictures "
        "to show as `display`, uint8 [probes, height, width, 3]."
    )


def _checked_images(images):
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype.kind not in "fiu" or 0 in images.shape[1:]:
        must = "a number array [probes, height, width, channels]"
        raise ValueError(message("images", must, images))
    if len(images) == 0:
        raise ValueError(message("images", "at least one image", images))
    finite = np.isfinite(images).all(axis=(1, 2, 3))
    if not finite.all():
        bad = np.flatnonzero(~finite).tolist()
        must = "finite"
        raise ValueError(message("images", must, images, f"NaN or infinity in probes {bad}."))
    return images


def _checked_labels(labels, count, class_names):
    if labels is None:
        return None
    values = np.asarray(labels)
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise ValueError(message("labels", f"integers of shape [{count}]", labels))
    classes = np.inf if class_names is None else len(class_names)
    if values.min() < 0 or values.max() >= classes:
        raise ValueError(message("labels", f"class indices in [0, {classes})", labels))
    return values


def _checked_names(names, count):
    if names is None:
        return tuple(f"probe_{index}" for index in range(count))
    names = tuple(map(str, names))
    if len(names) != count or len(set(names)) != count:
        raise ValueError(message("names", f"{count} unique texts", names))
    return names


def _checked_masks(masks, shape):
    if masks is None:
        return None
    values = np.asarray(masks, np.float32)
    if values.shape != shape[:3] or not (values.min() >= 0 and values.max() <= 1):
        must = f"of shape {list(shape[:3])} with values in [0, 1]"
        raise ValueError(message("masks", must, masks))
    return values


def _check_display(display, count):
    shape = getattr(display, "shape", ())
    fits = len(shape) == 4 and shape[0] == count and shape[-1] == 3 and display.dtype == np.uint8
    if not fits:
        must = f"a uint8 array of shape [{count}, height, width, 3]"
        raise ValueError(message("display", must, display))


def _path_names(folders):
    """Returns names made of class and file name; equal ones are numbered."""
    names = []
    for path, label in zip(folders.paths, folders.labels, strict=True):
        stem = re.split(r"[/\\]", path)[-1].rsplit(".", 1)[0]
        name = f"{folders.class_names[label]}-{stem}"
        copies = sum(known == name or known.startswith(f"{name} (") for known in names)
        names.append(f"{name} ({copies + 1})" if copies else name)
    return names


def _examples(dataset, image_spec):
    """Yields `(image, label or None)` one by one from a batched or unbatched dataset."""
    if image_spec.shape.rank == 4:
        dataset = dataset.unbatch()
    for element in dataset.as_numpy_iterator():
        image, label = element[:2] if isinstance(element, tuple) else (element, None)
        yield image, label if label is None else _class_index(label)


def _class_index(label):
    label = np.asarray(label)
    return int(label.argmax()) if label.size > 1 else int(label.reshape(()))


def _class_count(dataset, class_names):
    """Returns the number of classes, or None where only reading the dataset can tell."""
    if class_names is not None:
        return len(class_names)
    image_spec, label_spec = dataset.element_spec[:2]
    batched = image_spec.shape.rank == 4
    if label_spec.shape.rank == 1 + batched and (label_spec.shape[-1] or 0) > 1:
        return label_spec.shape[-1]
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        must = "finite, or its classes known"
        raise ValueError(message("dataset", must, dataset, "Pass `class_names`."))
    return None


def _first_of_each_class(examples, per_class, classes):
    """Returns the images and labels of the first `per_class` examples of each class."""
    chosen = {}
    for image, label in examples:
        members = chosen.setdefault(label, [])
        if len(members) < per_class:
            members.append(image)
        if len(chosen) == classes and all(len(members) == per_class for members in chosen.values()):
            break
    expected = range(classes) if classes is not None else sorted(chosen)
    few = [label for label in expected if len(chosen.get(label, [])) < per_class]
    if few or not chosen:
        must = f"a dataset with at least {per_class} images of each class"
        raise ValueError(f"`dataset` must be {must}. Too few of classes {few}. Lower `per_class`.")
    labels = [label for label in expected for _ in range(per_class)]
    return np.stack([image for label in expected for image in chosen[label]]), np.array(labels)
