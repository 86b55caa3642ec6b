"""The fixed probe images whose attention is followed over the epochs."""

import itertools
import re

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_count, message, received
from keras_attnviz.folders import ClassFolders

# ImageNet's channel means and standard deviations, of pixels in [0, 1].
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# Share of a range's span by which resizing and augmentation may overshoot it at either end.
_OVERSHOOT = 0.02
# Examples after which an endless dataset is no longer searched for a class.
_MAX_EXAMPLES = 10_000


class ProbeSet:
    """Images that stay the same through a whole training, with what is known about them.

    Args:
        images: float or integer array `[probes, height, width, channels]`, exactly what the
            model takes, preprocessing included.
        labels: whole numbers `[probes]` or `[probes, 1]`, the true classes, indices into
            `class_names`; or one-hot `[probes, classes]`, also smoothed, with more than half of
            each row's sum of 1 on one class. Kept as integers `[probes]`.
        names: unique texts `[probes]`; `probe_0`, `probe_1`, ... unless given.
        masks: float or bool array `[probes, height, width]` in [0, 1], 1 on the object.
        class_names: texts, one a class, in the order of the model's outputs.
        display: uint8 array `[probes, height, width, 3]`, the pictures that people see.
            Derived from `images` by `display_pictures` unless given: for values in [0, 255],
            [0, 1], [-1, 1] and standardized with ImageNet's mean and deviation; 1, 3 or 4
            channels.

    Raises:
        TypeError: `class_names` is one text.
        ValueError: no images, a wrong shape or several, values that are not finite or of no known
            range (then give `display`), lengths that differ, labels without a class name, names
            that are not unique.
    """

    def __init__(
        self, images, *, labels=None, names=None, masks=None, class_names=None, display=None
    ):
        self.images = _checked_images(images)
        self.class_names = _checked_class_names(class_names)
        self.labels = _checked_labels(labels, len(self), self.class_names)
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
                as in `ProbeSet`. Shuffled without a seed, it gives other probes in each run. It
                is read until all probes are found; if it is endless (its cardinality infinite)
                no further than 10,000 examples.
            per_class: number of images of each class, where there are labels.
            class_names: texts, one a class. Where they are not given and labels are integers,
                the whole dataset is read to learn how many classes there are.
            count: number of images, where there are no labels.

        Raises:
            TypeError: `dataset` is not a dataset of images or of `(images, labels, ...)`.
            ValueError: an endless dataset whose number of classes is not known, too few images,
                of a class or at all, or a label that is no class index.
        """
        check_count("per_class", per_class)
        check_count("count", count)
        class_names = _checked_class_names(class_names)
        specs = _checked_specs(dataset)
        if len(specs) == 1:
            images = [image for image, _ in itertools.islice(_examples(dataset, specs[0]), count)]
            if len(images) < count:
                remedy = f"It gave {len(images)}. Lower `count`."
                raise ValueError(message("dataset", f"of at least {count} images", dataset, remedy))
            return cls(images, class_names=class_names)
        classes = _class_count(dataset, specs, class_names)
        endless = dataset.cardinality() == tf.data.INFINITE_CARDINALITY
        examples = _examples(dataset, specs[0])
        images, labels = _first_of_each_class(
            itertools.islice(examples, _MAX_EXAMPLES) if endless else examples, per_class, classes
        )
        return cls(images, labels=labels, class_names=class_names)


def display_pictures(images):
    """Returns images as pictures to look at, uint8 `[probes, height, width, 3]`.

    Which range the values have is told from the smallest and the largest of all images: it is
    the first of [0, 1], [-1, 1], standardized with ImageNet's mean and deviation (3 channels) and
    [0, 255] that holds them. Each may be overshot by 2 % of its span at either end, as bicubic
    resizing and contrast augmentation do; what overshoots is clipped.

    The narrowest comes first, since it holds pictures of a wider range only where all of them
    have very little contrast: standardized ones within [-1, 1], say, or nearly black ones in
    [0, 255]. Those are shown in wrong colors, unless `ProbeSet` is given their `display`.
    Negative values are taken for overshot [0, 255] only where the largest is over 25.5, a tenth
    of that range: otherwise they come from another standardization.

    Args:
        images: array `[probes, height, width, channels]` with 1, 3 or 4 channels; of 4, the
            last is left out. Those in uint8 are taken as they are.

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
    if _is_within(values, 0, 1):
        return values * 255
    if _is_within(values, -1, 1):
        return (values + 1) * 127.5
    restored = values * _DEVIATION + _MEAN if values.shape[-1] == 3 else None
    if restored is not None and _is_within(restored, 0, 1):
        return restored * 255
    if _is_within(values, 0, 255) and (low >= 0 or high > 25.5):
        return values
    raise ValueError(
        "`images` must have values in [0, 255], [0, 1], [-1, 1] or standardized with ImageNet's "
        f"mean and deviation. Received: values from {low:.4g} to {high:.4g}. Pass the pictures "
        "to show as `display`, uint8 [probes, height, width, 3]."
    )


def _is_within(values, low, high):
    """Tells whether all values are in [low, high], a little overshoot included."""
    overshoot = _OVERSHOOT * (high - low)
    return values.min() >= low - overshoot and values.max() <= high + overshoot


def _checked_images(images):
    try:
        images = np.asarray(images)
    except ValueError:
        if not isinstance(images, (list, tuple)):
            raise
        shapes = list(dict.fromkeys(tuple(getattr(image, "shape", ())) for image in images))
        raise ValueError(
            "`images` must be of one shape [height, width, channels]. Received: "
            f"{len(images)} images of shapes {shapes}. Resize them."
        ) from None
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
    try:
        values = _class_indices(np.asarray(labels))
    except ValueError:  # lists of several lengths
        values = None
    if values is None or values.shape != (count,):
        must = f"integers of shape [{count}], or one-hot [{count}, classes]"
        remedy = "Pass one class index an image; of scores, `argmax(axis=-1)`."
        raise ValueError(message("labels", must, labels, remedy))
    classes = np.inf if class_names is None else len(class_names)
    if values.min() < 0 or values.max() >= classes:
        raise ValueError(message("labels", f"class indices in [0, {classes})", labels))
    return values


def _class_indices(values):
    """Returns labels `[n]`, `[n, 1]` or one-hot `[n, classes]` as integers `[n]`, else None."""
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2) or values.size == 0:
        return None
    if values.ndim == 2 and values.shape[1] > 1:
        rows = values.astype(np.float64)
        # Half precision keeps smoothed labels to three digits.
        sums_to_one = np.abs(rows.sum(axis=1) - 1) < 0.01
        is_one_hot = (rows >= 0).all() and sums_to_one.all() and (rows.max(axis=1) > 0.5).all()
        return rows.argmax(axis=1) if is_one_hot else None
    flat = values.reshape(len(values))
    is_whole = values.dtype.kind != "f" or (np.isfinite(flat) & (flat == np.floor(flat))).all()
    return flat.astype(np.int64) if is_whole else None


def _checked_class_names(class_names):
    """Returns the class names as a tuple of texts, or None."""
    if class_names is None:
        return None
    if isinstance(class_names, (str, bytes)) or not np.iterable(class_names):
        raise TypeError(message("class_names", "a list of texts, one a class", class_names))
    return tuple(map(str, class_names))


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


def _checked_specs(dataset):
    """Returns the specs of a dataset's images and, where it has labels, of those; or raises."""
    must = "a tf.data.Dataset of images or of (images, labels)"
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(message("dataset", must, dataset))
    spec = dataset.element_spec
    specs = spec[:2] if isinstance(spec, tuple) else (spec,)
    if not specs or not all(isinstance(part, tf.TensorSpec) for part in specs):
        remedy = "Bring its elements into that form with `dataset.map`."
        raise TypeError(message("dataset", must, dataset, remedy))
    return specs


def _examples(dataset, image_spec):
    """Yields `(image, label or None)` one by one from a batched or unbatched dataset."""
    if image_spec.shape.rank == 4:
        dataset = dataset.unbatch()
    for element in dataset.as_numpy_iterator():
        parts = element if isinstance(element, tuple) else (element,)
        yield parts[0], _class_index(parts[1]) if len(parts) > 1 else None


def _class_index(label):
    indices = _class_indices(np.atleast_1d(label)[np.newaxis])
    if indices is None:
        must = "a dataset whose labels are class indices or one-hot"
        raise ValueError(f"`dataset` must be {must}. Received: {received('label', label)}.")
    return int(indices[0])


def _class_count(dataset, specs, class_names):
    """Returns the number of classes, or None where only reading the dataset can tell."""
    if class_names is not None:
        return len(class_names)
    image_spec, label_spec = specs
    batched = image_spec.shape.rank == 4
    if label_spec.shape.rank == 1 + batched and (label_spec.shape[-1] or 0) > 1:
        return label_spec.shape[-1]
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        must = "finite, or its classes known"
        raise ValueError(message("dataset", must, dataset, "Pass `class_names`."))
    return None


def _first_of_each_class(examples, per_class, classes):
    """Returns the images and labels of the first `per_class` examples of each class."""
    chosen, read, limit = {}, 0, np.inf if classes is None else classes
    for image, label in examples:
        read += 1
        if not 0 <= label < limit:
            must = f"a dataset whose labels are class indices in [0, {limit})"
            raise ValueError(f"`dataset` must be {must}. Received: the label {label}.")
        members = chosen.setdefault(label, [])
        if len(members) < per_class:
            members.append(image)
        if len(chosen) == classes and all(len(members) == per_class for members in chosen.values()):
            break
    expected = range(classes) if classes is not None else sorted(chosen)
    few = [label for label in expected if len(chosen.get(label, [])) < per_class]
    must = f"a dataset with at least {per_class} images of each class"
    if read == 0:
        raise ValueError(f"`dataset` must be {must}. It is empty.")
    if few:
        found = f"Received: {read} examples. Too few of classes {few}"
        raise ValueError(f"`dataset` must be {must}. {found}. Lower `per_class`.")
    labels = [label for label in expected for _ in range(per_class)]
    return [image for label in expected for image in chosen[label]], labels
