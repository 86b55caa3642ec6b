"""Samples of a `tf.data.Dataset`: the first images of each class."""

import itertools

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message, received

# The most examples that are read from an endless dataset.
_MAX_EXAMPLES = 10_000
# Ranks of batches of images and of videos.
_BATCHED = (4, 5)


def first_images(dataset, *, per_class, class_names, count):
    """Returns the first images of each class, or the first `count` where there are no labels.

    See `ProbeSet.from_dataset` for arguments and errors.

    Returns:
        `(images, labels)`: lists of equal length, ordered by class. Labels are integers; `labels`
        is None where the dataset has none.
    """
    specs = _specs(dataset)
    examples = _examples(dataset, specs[0])
    if len(specs) == 1:
        images = [image for image, _ in itertools.islice(examples, count)]
        if len(images) < count:
            remedy = f"It gave {len(images)}. Lower `count`."
            raise ValueError(message("dataset", f"of at least {count} images", dataset, remedy))
        return images, None
    classes = _class_count(dataset, specs, class_names)
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        examples = itertools.islice(examples, _MAX_EXAMPLES)
    return _first_of_each_class(examples, per_class, classes)


def class_indices(values):
    """Returns labels `[n]`, `[n, 1]` or one-hot `[n, classes]` as integers `[n]`, or None."""
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2) or values.size == 0:
        return None
    if values.ndim == 2 and values.shape[1] > 1:
        rows = values.astype(np.float64)
        # Half precision keeps three digits of smoothed labels.
        sums_to_one = np.abs(rows.sum(axis=1) - 1) < 0.01
        is_one_hot = (rows >= 0).all() and sums_to_one.all() and (rows.max(axis=1) > 0.5).all()
        return rows.argmax(axis=1) if is_one_hot else None
    flat = values.reshape(len(values))
    is_whole = values.dtype.kind != "f" or (np.isfinite(flat) & (flat == np.floor(flat))).all()
    return flat.astype(np.int64) if is_whole else None


def _specs(dataset):
    """Returns the specs of a dataset's images and, if it has any, of its labels; or raises."""
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
    """Yields pairs `(image, label or None)` from a batched or unbatched dataset."""
    if image_spec.shape.rank in _BATCHED:
        dataset = dataset.unbatch()
    for element in dataset.as_numpy_iterator():
        parts = element if isinstance(element, tuple) else (element,)
        yield parts[0], _class_index(parts[1]) if len(parts) > 1 else None


def _class_index(label):
    indices = class_indices(np.atleast_1d(label)[np.newaxis])
    if indices is None:
        must = "a dataset whose labels are class indices or one-hot"
        raise ValueError(f"`dataset` must be {must}. Received: {received('label', label)}.")
    return int(indices[0])


def _class_count(dataset, specs, class_names):
    """Returns the number of classes, or None where the dataset must be read to know it."""
    if class_names is not None:
        return len(class_names)
    image_spec, label_spec = specs
    batched = image_spec.shape.rank in _BATCHED
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
