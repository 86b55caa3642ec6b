"""Probe checks: whether probes fit a model's inputs and classes."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import message
from keras_attnviz.model_io.signature import InputSignature


def image_index(images, inputs):
    """Returns the index of the images among the inputs, in the order of a flat list."""
    return [array is images for array in tf.nest.flatten(inputs)].index(True)


def check_inputs(model, probes):
    """Raises unless a model that declares its inputs takes the probes."""
    declared = InputSignature.declared(model) if isinstance(model, keras.Model) else None
    if declared is not None:
        declared.check(probes.inputs, name="probes")


def input_options(probes):
    """Returns the options of `AttentionModel` for a model that doesn't declare sizes, a dict."""
    if probes.inputs is probes.images:
        return {"image_shape": probes.images.shape[1:]}
    return {"inputs": probes.inputs}


def check_class_names(probes, outputs):
    """Raises unless the model has the classes that the probes name or are labeled with."""
    classes = outputs[-1] if len(outputs) == 2 else None
    if classes is None:
        return
    must = f"of {max(classes, 2)} classes, as the model's output has"
    names, labels = probes.class_names, probes.labels
    if names is not None and len(names) != max(classes, 2):
        remedy = "Pass the class names in the order of the outputs."
        raise ValueError(message("probes", must, names, remedy))
    if labels is not None and labels.max() >= max(classes, 2):
        raise ValueError(message("probes", must, labels.tolist(), "Pass labels below that."))


def check_classes(given, explained, outputs):
    """Raises if an explained class is one that the model doesn't have."""
    classes = outputs[-1] if len(outputs) == 2 else None
    if classes and explained.max() >= max(classes, 2):
        must = f"below {max(classes, 2)}, the number of the model's classes"
        raise ValueError(message("explained_class", must, given))
