"""The fixed probe images whose attention is followed over the epochs."""

import hashlib
import re

import numpy as np

from keras_attnviz._checks import check_count, message
from keras_attnviz._structures import Shape, is_sequence, mapped, member_paths, members
from keras_attnviz.data.class_folders import ClassFolders, check_intact
from keras_attnviz.data.dataset_samples import class_indices, first_images
from keras_attnviz.data.display import display_pictures


class ProbeSet:
    """Images or videos that stay the same during training, with labels, names and masks.

    Args:
        images: exactly what the model takes, preprocessing included: float or integer array
            `[probes, height, width, channels]`, of videos
            `[probes, frames, height, width, channels]`. For a model with several inputs, the dict,
            list or tuple of arrays that it takes, each `[probes, ...]`, with images among them.
        labels: the true classes: whole numbers `[probes]` or `[probes, 1]`, indices into
            `class_names`; or one-hot `[probes, classes]`, also smoothed: each row sums to 1, with
            more than half of it on one class. Kept as integers `[probes]`.
        names: unique texts `[probes]`; `probe_0`, `probe_1`, ... unless given.
        masks: float or bool array `[probes, height, width]` in [0, 1], of videos
            `[probes, frames, height, width]`, 1 on the object.
        class_names: texts, one for each class, in the order of the model's outputs.
        display: uint8 array `[probes, height, width, 3]`, of videos
            `[probes, frames, height, width, 3]`: the pictures that people see. Derived from
            `images` by `display_pictures` unless given, for 1, 3 or 4 channels with values in
            [0, 255], [0, 1], [-1, 1], or standardized with ImageNet's mean and deviation. Needed
            where several of the arrays are images.

    Attributes:
        inputs: what the model takes, as given, in NumPy arrays.
        images: the images among the inputs. Of several arrays of images it is the first; in a dict,
            the one with the first key in sorted order.

    Raises:
        TypeError: `class_names` is one text or no sequence.
        ValueError: there are no images; images have a wrong shape or several shapes; values are
            not finite, or in no known range (then pass `display`); lengths differ; a label has no
            class name; or names are not unique.
    """

    def __init__(
        self, images, *, labels=None, names=None, masks=None, class_names=None, display=None
    ):
        self.inputs, self.images = _checked_inputs(images, display)
        self.class_names = _checked_class_names(class_names)
        self.labels = _checked_labels(labels, len(self), self.class_names)
        self.names = _checked_names(names, len(self))
        self.masks = _checked_masks(masks, self.images.shape)
        self.display = display_pictures(self.images) if display is None else display
        _check_display(self.display, self.images.shape)

    def __len__(self):
        return len(self.images)

    def fingerprint(self):
        """Returns a SHA-256 text of the inputs, which is the same only for the same inputs."""
        digest = hashlib.sha256()
        for _, array in members(self.inputs):
            digest.update(f"{array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @classmethod
    def from_directory(cls, directory, *, image_size, per_class=2, preprocess=None):
        """Returns probes from a directory of class folders.

        Each class gives the same number of pictures, evenly spaced over its sorted files, so the
        choice is the same at each call.

        Args:
            directory: path of a directory with one folder of JPEG or PNG pictures for each class.
            image_size: one integer or `(height, width)`; pictures are resized to it.
            per_class: number of pictures of each class.
            preprocess: function from float32 pictures `[probes, height, width, 3]` in [0, 255]
                to what the model takes, `vit_keras.vit.preprocess_inputs` for example. Not
                needed where the model itself begins with a Rescaling layer.

        Raises:
            ValueError: there are no class folders or too few pictures, or a picture can't be read.
        """
        folders = check_intact(ClassFolders.scan(directory).evenly(per_class), image_size)
        return cls.from_folders(folders, image_size=image_size, preprocess=preprocess)

    @classmethod
    def from_folders(cls, folders, *, image_size, preprocess=None):
        """Returns all pictures of `ClassFolders` as probes; see `from_directory` for arguments."""
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
        """Returns the first images of a `tf.data.Dataset` as probes.

        Args:
            dataset: dataset of images, or of `(images, labels, ...)`, batched or not; videos must
                be batched. Labels are as in `ProbeSet`. If it is shuffled without a seed, each run
                has other probes. It is read until all probes are found; an endless dataset, of
                infinite cardinality, is read up to 10,000 examples.
            per_class: number of images of each class, where there are labels.
            class_names: texts, one for each class. If they are not given and labels are integers,
                the whole dataset is read to count the classes.
            count: number of images, where there are no labels.

        Raises:
            TypeError: `dataset` is not a dataset of images or of `(images, labels, ...)`.
            ValueError: the dataset is endless and its number of classes is not known; there are
                too few images in a class or in all; or a label is no class index.
        """
        check_count("per_class", per_class)
        check_count("count", count)
        class_names = _checked_class_names(class_names)
        images, labels = first_images(
            dataset, per_class=per_class, class_names=class_names, count=count
        )
        if images and images[0].ndim == 4:
            images = np.stack(images)  # A list of them would be several inputs.
        return cls(images, labels=labels, class_names=class_names)


def _checked_inputs(given, display):
    """Returns the model's inputs in NumPy arrays, and the images among them."""
    if not _are_several(given):
        images = _checked_images(given)
        return images, images
    paths = member_paths(given, "images")
    for path, (_, member) in zip(paths, members(given), strict=True):
        if member is None:
            remedy = (
                "All inputs must be passed. Pass arrays for all inputs, or attach "
                "to a model without that input."
            )
            raise ValueError(message(path, "an array, one entry for each probe", member, remedy))
    inputs = _as_arrays(given)
    paths = member_paths(inputs, "images")
    arrays = [array for _, array in members(inputs)]
    pictures = [array for array in arrays if _is_picture(array)]
    if not pictures or (len(pictures) > 1 and display is None):
        must = (
            "with one array [probes, height, width, channels], or of videos, among the model's "
            "inputs"
        )
        remedy = "Of several, pass the pictures to show as `display`." if pictures else ""
        raise ValueError(message("images", must, mapped(Shape, inputs), remedy))
    for path, array in zip(paths, arrays, strict=True):
        if _is_picture(array):
            _checked_images(array, path)
        elif array.ndim == 0 or len(array) != len(pictures[0]):
            must = f"an array of {len(pictures[0])} entries, one for each probe"
            raise ValueError(message(path, must, array))
        else:
            _check_finite(array, path)
    return inputs, pictures[0]


def _are_several(given):
    """Returns whether `given` is a structure of arrays, and not a list of images."""
    if isinstance(given, dict):
        return True
    return is_sequence(given) and any(
        isinstance(member, dict) or len(getattr(member, "shape", ())) in (4, 5) for member in given
    )


def _as_arrays(given):
    """Returns a structure of NumPy arrays; a list of numbers becomes one array."""
    if isinstance(given, dict):
        return {key: _as_arrays(member) for key, member in given.items()}
    if is_sequence(given) and any(isinstance(m, dict) or hasattr(m, "shape") for m in given):
        arrays = [_as_arrays(member) for member in given]
        return tuple(arrays) if isinstance(given, tuple) else arrays
    return np.asarray(given)


def _is_picture(array):
    return array.ndim in (4, 5) and array.dtype != bool


def _checked_images(images, name="images"):
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
    if images.ndim not in (4, 5) or images.dtype.kind not in "fiu" or 0 in images.shape[1:]:
        must = "a number array [probes, height, width, channels] or [probes, frames, ...]"
        raise ValueError(message(name, must, images))
    if len(images) == 0:
        raise ValueError(message(name, "at least one image", images))
    _check_finite(images, name)
    return images


def _check_finite(array, name):
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite).tolist()
        raise ValueError(message(name, "finite", array, f"NaN or infinity in probes {bad}."))


def _checked_labels(labels, count, class_names):
    if labels is None:
        return None
    try:
        values = class_indices(np.asarray(labels))
    except ValueError:  # lists of several lengths
        values = None
    if values is None or values.shape != (count,):
        must = f"integers of shape [{count}], or one-hot [{count}, classes]"
        remedy = "Pass one class index for each image; of scores, `argmax(axis=-1)`."
        raise ValueError(message("labels", must, labels, remedy))
    classes = np.inf if class_names is None else len(class_names)
    if values.min() < 0 or values.max() >= classes:
        raise ValueError(message("labels", f"class indices in [0, {classes})", labels))
    return values


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
    if values.shape != shape[:-1] or not (values.min() >= 0 and values.max() <= 1):
        must = f"of shape {list(shape[:-1])} with values in [0, 1]"
        raise ValueError(message("masks", must, masks))
    return values


def _check_display(display, images):
    """Raises unless pictures suit images `[probes, height, width, channels]`, or videos."""
    shape, leading = getattr(display, "shape", ()), images[:-3]
    is_picture = len(shape) == len(images) and shape[-1] == 3 and display.dtype == np.uint8
    if not is_picture or shape[:-3] != leading:
        must = f"a uint8 array of shape [{', '.join(map(str, leading))}, height, width, 3]"
        raise ValueError(message("display", must, display))


def _path_names(folders):
    """Returns names made of class and file name; equal names are numbered."""
    names = []
    for path, label in zip(folders.paths, folders.labels, strict=True):
        stem = re.split(r"[/\\]", path)[-1].rsplit(".", 1)[0]
        name = f"{folders.class_names[label]}-{stem}"
        copies = sum(known == name or known.startswith(f"{name} (") for known in names)
        names.append(f"{name} ({copies + 1})" if copies else name)
    return names
