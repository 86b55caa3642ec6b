"""Input signatures: the structure, shapes and dtypes that a model takes."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import is_integer, message
from keras_attnviz._structures import (
    Shape,
    arranged,
    is_sequence,
    mapped,
    member_paths,
    members,
    shape_of,
)
from keras_attnviz.model_io.random_inputs import random_values, rows_of
from keras_attnviz.model_io.video import VideoShape

# Remedies for an input of the wrong shape, by its rank.
_REMEDIES = {
    4: "Resize the images to that.",
    5: "Give videos of that many frames, resized to that.",
}


class InputSignature:
    """The inputs of a model: a batch of images, or a dict, list or tuple with images among others.

    Videos are members of rank 5. The flat list of inputs holds them as tall images, see
    `VideoShape`; the model gets them as videos.

    Args:
        structure: a `tf.TensorSpec` `[None, ...]`, or a dict, list or tuple of specs, also nested.
        example: flat list of arrays `[examples, ...]`, from which `random` takes the members that
            are no pictures; a `tf.TensorSpec` stands where there is no example.
        tubelet: number of a video's frames that share their tokens.

    Attributes:
        structure: the structure, as the model takes it.
        specs: list of `tf.TensorSpec`, the structure's members in the order of `tf.nest`, videos
            as tall images.
        names: tuple of texts: dict keys, or the names of the model's input layers.
        images: tuple of the indices of the members of rank 4 and 5, without bool masks.
        videos: dict from the indices of members of rank 5 to their `VideoShape`.
        image_shape: `(height, width, channels)` of the first image member, or
            `(frames, height, width, channels)` of a video, None for sides that aren't known. None
            where there are no images.
    """

    def __init__(self, structure, *, example=None, tubelet=1):
        self.structure = structure
        self._example = example
        self._members = tf.nest.flatten(structure)
        self.names = tuple(_names(structure))
        self.images = tuple(
            index
            for index, spec in enumerate(self._members)
            if spec.shape.rank in (4, 5) and spec.dtype != tf.bool
        )
        shapes = {index: tuple(self._members[index].shape)[1:] for index in self.images}
        self.image_shape = next(iter(shapes.values()), None)
        self.videos = {
            index: VideoShape(shape, tubelet) for index, shape in shapes.items() if len(shape) == 4
        }
        self.specs = list(self._members)
        for index, video in self.videos.items():
            spec = self.specs[index]
            self.specs[index] = tf.TensorSpec([None, *video.tall_shape], spec.dtype, spec.name)

    @classmethod
    def declared(cls, model):
        """Returns the signature that a Keras model declares, or None where it declares nothing.

        Functional models, built sequential models and models derived from them declare one; other
        subclassed models don't. Sides that aren't declared are None.
        """
        structure = _declared_structure(model)
        return None if structure is None else cls(mapped(_spec_of_input, structure))

    @classmethod
    def of(cls, model, *, image_shape=None, example=None):
        """Returns the signature of a Keras model, in which all image sizes are known.

        The model's own declaration comes first, then `example`, then the inputs with which a
        subclassed model was built. Without any of these, one batch of images is assumed.

        Args:
            model: the Keras model.
            image_shape: `(height, width, channels)`, where the model doesn't declare it.
            example: arrays or `tf.TensorSpec`s, batch first, in the structure that the model
                takes. Floating-point arrays get Keras' default float dtype. `random` takes the
                values of members that are no pictures from here.

        Raises:
            ValueError: `image_shape` or `example`, which the message calls `inputs`, doesn't fit
                the model's declaration; a subclassed model with several inputs has no `example`;
                there are no images among the inputs; or an image size isn't known.
        """
        signature = cls.declared(model)
        if example is not None:
            given = cls(mapped(_spec_of_example, example))
            signature = given if signature is None else signature._narrowed(example)
        if signature is None:
            signature = cls(_remembered(model))
            if is_sequence(image_shape):
                signature = signature._with_open_images(len(image_shape))
        if not signature.images:
            must = "a model of images [batch, height, width, channels] or of videos"
            shapes = [tuple(spec.shape)[1:] for spec in signature.specs]
            remedy = f"Its input has shape {', '.join(map(str, shapes))}."
            raise ValueError(message("model", must, model.name, remedy))
        if image_shape is not None:
            signature = signature._with_image_shape(image_shape)
        for index in signature.images:
            _check_size_is_known(tuple(signature._members[index].shape)[1:])
        if example is None:
            return signature
        return cls(signature.structure, example=signature.arrays(example))

    def with_tubelet(self, tubelet):
        """Returns the same signature, in which `tubelet` frames of a video share their tokens.

        Raises:
            ValueError: the number of a video's frames is no multiple of `tubelet`.
        """
        return InputSignature(self.structure, example=self._example, tubelet=tubelet)

    def flatten(self, inputs, *, name="inputs"):
        """Returns the inputs as a list of tensors of the specs' dtypes.

        Args:
            inputs: arrays or tensors in the structure that the model takes. Lists and tuples
                count as the same; a bare array stands for a structure of one member; a dict from
                the names of input layers is taken too where the model takes no dict.
            name: the argument's name in errors.

        Raises:
            ValueError: the inputs have another structure, missing or unknown keys, or other
                shapes.
        """
        return [
            tf.cast(tf.convert_to_tensor(member), spec.dtype)
            for member, spec in zip(self.arrays(inputs, name=name), self.specs, strict=True)
        ]

    def arrays(self, inputs, *, name="inputs"):
        """Returns the inputs as a flat list, videos as tall images; raises as `flatten` does."""
        flat = list(self.check(inputs, name=name))
        for index, video in self.videos.items():
            member = flat[index]
            flat[index] = video.tall(member if tf.is_tensor(member) else np.asarray(member))
        return flat

    def check(self, inputs, *, name="inputs"):
        """Returns the inputs as a flat list, as they are; raises what `flatten` raises."""
        flat = arranged(self.structure, inputs, name)
        paths = member_paths(self.structure, name)
        for path, member, spec in zip(paths, flat, self._members, strict=True):
            if member is None:
                remedy = "All inputs must be passed."
                raise ValueError(message(path, "an array", member, remedy))
            if not spec.shape.is_compatible_with(shape_of(member)):
                must = f"of shape {tuple(spec.shape)}"
                remedy = _REMEDIES.get(spec.shape.rank, "")
                raise ValueError(message(path, must, Shape(member), remedy))
        if len({shape_of(member)[0] for member in flat} - {None}) > 1:
            must = "of the same number of examples in each member"
            raise ValueError(message(name, must, mapped(Shape, inputs)))
        return flat

    def pack(self, tensors):
        """Returns a flat list of tensors in the structure that the model takes."""
        flat = list(tensors)
        for index, video in self.videos.items():
            flat[index] = video.video(flat[index])
        return tf.nest.pack_sequence_as(self.structure, flat)

    def random(self, batch, *, seed=0):
        """Returns random inputs for a run of the model, a flat list of NumPy arrays.

        Pictures are uniform in [0, 1), or in 0..255 where they are integers. The other members are
        rows of the example where there is one: the first `batch` rows for seed 0, the next for
        seed 1. Otherwise floats with "mask" in their name are ones, and other numbers of rank 4
        are like pictures. All other integers and bools are ones, which are valid indices nearly
        everywhere and no padding. Other floats are standard normal, and texts are empty. Axes of
        open length have 8 entries.
        """
        generator = np.random.default_rng(seed)
        pictures = self._pictures()
        examples = self._example or self.specs
        return [
            random_values(generator, "" if index in pictures else name, spec, batch)
            if index in pictures or isinstance(example, tf.TensorSpec) or not len(example)
            else rows_of(example, spec, batch, seed)
            for index, (name, spec, example) in enumerate(
                zip(self.names, self.specs, examples, strict=True)
            )
        ]

    def _pictures(self):
        """Returns the indices of the images that are pictures: those in color, or else all."""
        colored = [index for index in self.images if self._members[index].shape[-1] == 3]
        return colored or self.images

    def _narrowed(self, example):
        """Returns the signature with its open sides filled in from an example."""
        flat = self.check(example, name="inputs")
        specs = [
            tf.TensorSpec(
                [None, *spec.shape[1:].merge_with(shape_of(member)[1:])], spec.dtype, spec.name
            )
            for spec, member in zip(self._members, flat, strict=True)
        ]
        return self._of_members(specs)

    def _with_open_images(self, rank):
        """Returns the signature with images of any size, or videos where `rank` is 4."""
        specs = [
            tf.TensorSpec([None] * (1 + rank), spec.dtype, spec.name)
            if spec.shape.rank in (4, 5)
            else spec
            for spec in self._members
        ]
        return self._of_members(specs)

    def _with_image_shape(self, image_shape):
        """Returns the signature in which all images that `image_shape` fits have that shape."""
        specs, fits = list(self._members), False
        for index in self.images:
            declared = tuple(specs[index].shape)[1:]
            if _fits(image_shape, declared):
                fits = True
                spec = specs[index]
                specs[index] = tf.TensorSpec([None, *image_shape], spec.dtype, spec.name)
        if not fits:
            must = f"a shape that the model takes, {self.image_shape}"
            raise ValueError(message("image_shape", must, image_shape))
        return self._of_members(specs)

    def _of_members(self, specs):
        """Returns the signature of the same structure with other specs."""
        return InputSignature(tf.nest.pack_sequence_as(self.structure, specs))


def _declared_structure(model):
    """Returns the structure of a model's symbolic inputs, or None."""
    for attribute in ("_inputs_struct", "_nested_inputs"):  # Keras 3; tf.keras 2
        structure = getattr(model, attribute, None)
        if structure is not None:
            return structure
    if not isinstance(model, keras.Sequential):
        return None
    # In Keras 3, a built sequential model holds a functional one. Otherwise its first layer may be
    # a model that declares a structure.
    functional = getattr(model, "_functional", None)
    if functional is None and model.layers:
        functional = model.layers[0]
    return _declared_structure(functional)


def _remembered(model):
    """Returns the specs with which a subclassed model was built, or of images of open size."""
    called = getattr(model, "_saved_model_inputs_spec", None)  # tf.keras 2
    if called is not None:
        return mapped(_spec_of_example, called)
    shape = getattr(model, "_build_input_shape", None)  # tf.keras 2
    if shape is None:  # Keras 3
        shapes = getattr(model, "_build_shapes_dict", None) or {}
        shape = next(iter(shapes.values())) if len(shapes) == 1 else None
    if shape is None:
        shape = [None] * 4
    if isinstance(shape, dict) or not all(side is None or is_integer(side) for side in shape):
        raise ValueError(
            "The inputs of a subclassed model with several inputs must be known. Received: "
            f"{model.name}, built with shapes {shape}. Pass an example of them as `inputs`."
        )
    return tf.TensorSpec([None, *shape[1:]], keras.backend.floatx(), name="images")


def _spec_of_input(tensor):
    """Returns the spec of a symbolic Keras input."""
    return tf.TensorSpec([None, *tuple(tensor.shape)[1:]], tensor.dtype, name=tensor.name)


def _spec_of_example(example):
    """Returns the spec of an array or of a spec, with an open batch size."""
    if example is None:
        remedy = "All inputs must be passed."
        raise ValueError(message("inputs", "arrays, none of them None", example, remedy))
    if isinstance(example, tf.TensorSpec):
        dtype = example.dtype
    else:
        dtype = tf.as_dtype(getattr(example, "dtype", None) or np.asarray(example).dtype)
        dtype = keras.backend.floatx() if dtype.is_floating else dtype
    return tf.TensorSpec([None, *shape_of(example)[1:]], dtype, getattr(example, "name", None))


def _check_size_is_known(shape):
    if None in shape:
        what, sides = "image size", "height, width, channels"
        if len(shape) == 4:
            what, sides = "number of frames and their size", f"frames, {sides}"
        raise ValueError(
            f"The model's {what} must be known. Received: input shape {shape}. Pass "
            f"`image_shape=({sides})`, or build the model with that input."
        )


def _fits(given, declared):
    """Returns whether a model that declares the image shape `declared` takes the shape `given`."""
    if not is_sequence(given) or len(given) != len(declared):
        return False
    return all(side in (None, size) for side, size in zip(declared, given, strict=True))


def _names(structure):
    """Returns a name for each member: its dict key, its spec's name or its index."""
    return [
        path[-1] if path and isinstance(path[-1], str) else spec.name or f"input_{index}"
        for index, (path, spec) in enumerate(members(structure))
    ]
