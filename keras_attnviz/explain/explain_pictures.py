"""Single pictures: what a model predicts for each, and where it looked."""

import dataclasses
import os

import numpy as np
from tensorflow import keras
from vit_keras.utils import get_imagenet_classes

from keras_attnviz._checks import message
from keras_attnviz.capture.attention_model import AttentionModel
from keras_attnviz.data.images import read_image, resize_image
from keras_attnviz.model_io.outputs import class_name, class_predictions
from keras_attnviz.networks.classifier import load_classifier
from keras_attnviz.networks.pretrained import ARCHITECTURES, build_vit

DEFAULT_IMAGE_SIZE = 384
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class PictureModel:
    """A model with what is needed to feed it pictures.

    Attributes:
        model: Keras model from float `[batch, height, width, 3]`, RGB, to `[batch, classes]`.
        input_range: `(low, high)`, the model's input values for black and white.
        class_names: sequence of texts, in the order of the outputs, or None.
    """

    model: keras.Model
    input_range: tuple
    class_names: tuple | None = None

    def __post_init__(self):
        _check_input_range(self.input_range)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """A model's prediction for one picture, and where it looked.

    Attributes:
        source: path or web address of the picture.
        picture: uint8 array `[height, width, 3]`, upright, in its original size.
        class_index: integer, the predicted class.
        class_name: text; "class <index>" if names aren't known.
        confidence: float in [0, 1].
        attention: float32 array `[grid_height, grid_width]`, the heatmap.
    """

    source: str
    picture: np.ndarray
    class_index: int
    class_name: str
    confidence: float
    attention: np.ndarray


def open_model(
    model, *, weights=None, image_size=None, activation=None, input_range=None, trust=False
):
    """Builds a network by its name, or loads one from a file.

    Args:
        model: "vit_b16", "vit_b32", "vit_l16" or "vit_l32", which classify into ImageNet's
            classes; or the path of a `.keras` file, written by `fine_tune` or holding any other
            Vision Transformer.
        weights: weights of a named network, see `build_vit`.
        image_size: input size of a named network, integer or pair (height, width); 384 by default.
        activation: activation of a named network's head, the name of any Keras activation;
            "linear" by default.
        input_range: `(low, high)`, a loaded network's input values for black and white. It is left
            out for files of `fine_tune`.
        trust: whether code in the file may run, see `load_classifier`.

    Returns:
        A `PictureModel`.

    Raises:
        FileNotFoundError: `model` is neither a known name nor an existing file.
        ValueError: an argument is out of range or doesn't belong to this kind of model.
        OSError: the pretrained weights can't be downloaded.
    """
    if model in ARCHITECTURES:
        _check_absent("of a named network", input_range=input_range)
        return _named_model(model, weights, image_size or DEFAULT_IMAGE_SIZE, activation)
    if not os.path.isfile(model):
        known = ", ".join(name for name in ARCHITECTURES if name != "vit_s14")
        must = f"one of {known} or the path of a .keras file"
        raise FileNotFoundError(message("model", must, model))
    given = {"weights": weights, "image_size": image_size, "activation": activation}
    _check_absent("of a network in a file", **given)
    loaded, class_names = load_classifier(model, trust=trust, name="model")
    if class_names is not None:
        _check_absent("of a file that knows it", input_range=input_range)
        return PictureModel(loaded, (0, 255), class_names)
    if input_range is None:
        must = "given for a network that this package hasn't fine-tuned"
        remedy = "For a network that takes pixels from -1 to 1: (-1, 1) (--input-range -1 1)."
        raise ValueError(message("input_range", must, input_range, remedy))
    return PictureModel(loaded, tuple(input_range))


def explain(picture_model, sources, method="rollout", **options):
    """Runs pictures through a model and returns its predictions and heatmaps.

    Args:
        picture_model: a `PictureModel`.
        sources: sequence of paths or web addresses of JPEG or PNG files.
        method: name of an explanation method, see `AttentionModel.explain`.
        **options: the method's options. For rollout, these are `head_fusion`, `discard_ratio`,
            `residual` and `start_layer`; see `attention_rollout`.

    Returns:
        List of `Explanation`, one per picture.

    Raises:
        OSError: a picture can't be read.
        ValueError: no pictures; a broken picture; a model without attention, or whose outputs
            aren't `[batch, classes]`; see `AttentionModel.explain`.
    """
    if isinstance(sources, (str, os.PathLike)) or len(sources) == 0:
        raise ValueError(message("sources", "a sequence of at least one picture", sources))
    attention_model = AttentionModel(picture_model.model)
    pictures = [read_image(source) for source in sources]
    images = _model_inputs(pictures, picture_model)
    explanations = []
    for start in range(0, len(sources), _BATCH):
        batch = images[start : start + _BATCH]
        predictions, heatmaps = attention_model.predict_with_heatmap(batch, method, options=options)
        answers = _answers(predictions, attention_model)
        for index, (answer, confidence) in enumerate(answers):
            explanations.append(
                Explanation(
                    source=os.fspath(sources[start + index]),
                    picture=pictures[start + index],
                    class_index=answer,
                    class_name=class_name(answer, picture_model.class_names),
                    confidence=confidence,
                    attention=heatmaps[index].numpy(),
                )
            )
    return explanations


def _named_model(name, weights, image_size, activation):
    activation = activation or "linear"
    _check_activation(activation)
    model = build_vit(
        name, image_size=image_size, weights=weights, include_top=True, activation=activation
    )
    names = tuple(get_imagenet_classes())
    return PictureModel(model, (-1, 1), names if len(names) == model.output_shape[-1] else None)


def _model_inputs(pictures, picture_model):
    size = picture_model.model.input_shape[1:3]
    low, high = picture_model.input_range
    pixels = np.stack([resize_image(picture, size) for picture in pictures])
    return pixels.astype("float32") / 255 * (high - low) + low


def _answers(outputs, attention_model):
    answers = class_predictions(outputs, activation=attention_model.activation)
    if answers is None:
        shape = tuple(outputs.shape)
        raise ValueError(f"The model must give outputs [batch, classes]. Received: shape {shape}.")
    classes, confidences = answers
    return zip(classes.tolist(), confidences.tolist(), strict=True)


def _check_absent(kind, **arguments):
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(message(name, f"omitted: it is not an option {kind}", value))


def _check_activation(activation):
    try:
        keras.activations.get(activation)
    except ValueError as error:
        must = 'the name of a Keras activation, "linear", "sigmoid" or "softmax" for example'
        raise ValueError(message("activation", must, activation)) from error


def _check_input_range(input_range):
    valid = (
        isinstance(input_range, (tuple, list))
        and len(input_range) == 2
        and all(isinstance(value, (int, float)) for value in input_range)
        and input_range[0] < input_range[1]
    )
    if not valid:
        must = "two numbers, the model's input values for black and white"
        raise ValueError(message("input_range", must, input_range))
