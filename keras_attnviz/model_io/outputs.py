"""A model's outputs: the one that holds the predictions, and its classes and probabilities."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import is_integer, message
from keras_attnviz._structures import members


def select_output(outputs, output=None, names=None):
    """Returns one tensor out of a model's outputs.

    Args:
        outputs: a tensor, or a dict, list or tuple of tensors, also nested.
        output: an output's index in the order of `tf.nest`, its dict key (keys of nested dicts are
            joined by `/`) or its name; None where there is only one output.
        names: the model's `output_names`, in the same order, where it has them.

    Raises:
        ValueError: there are several outputs and none is chosen, or the chosen one doesn't exist.
    """
    found = [
        (key, name, tensor)
        for key, name, tensor in _named_outputs(outputs, names)
        if tensor is not None
    ]
    if output is None and len(found) == 1:
        return found[0][2]
    if is_integer(output) and -len(found) <= output < len(found):
        return found[output][2]
    for column in (0, 1):
        chosen = [
            entry[2] for entry in found if isinstance(output, str) and entry[column] == output
        ]
        if len(chosen) == 1:
            return chosen[0]
    listed = "; ".join(
        f"{index}: {key or name or 'no name'} {(None, *tensor.shape[1:])}"
        for index, (key, name, tensor) in enumerate(found)
    )
    must = "the index, key or name of one of the model's outputs"
    remedy = f"The model has: {listed}. Pass the one of the class predictions."
    raise ValueError(message("output", must, output, remedy))


def _named_outputs(outputs, names):
    """Returns `(key or None, name or None, tensor)` of each output."""
    found = members(outputs)
    names = list(names or [])
    names = names if len(names) == len(found) else [None] * len(found)
    keys = ["/".join(map(str, path)) if isinstance(outputs, dict) else None for path, _ in found]
    return [(key, name, tensor) for key, name, (_, tensor) in zip(keys, names, found, strict=True)]


def class_predictions(outputs, *, activation):
    """Returns the predicted class and its confidence for each image.

    Args:
        outputs: float array `[batch, classes]`, probabilities or logits; or `[batch, 1]`, a
            binary classifier's probability or logit of class 1.
        activation: `"Softmax"`, `"Sigmoid"` or None, the last operation of the model. With None,
            outputs of several classes are taken as probabilities if no value is negative and every
            row sums to 1; all others are taken as logits.

    Returns:
        `(classes, confidences)`: integer array `[batch]` and float array `[batch]` in [0, 1];
        None where `outputs` is not of rank 2.
    """
    probabilities = class_probabilities(outputs, activation=activation)
    if probabilities is None:
        return None
    classes = probabilities.argmax(axis=1)
    return classes, probabilities[np.arange(len(classes)), classes]


def class_probabilities(outputs, *, activation):
    """Returns the probability of each class, float64 `[batch, classes]`, at least two classes.

    See `class_predictions` for the arguments. None where `outputs` is not of rank 2.
    """
    outputs = np.asarray(outputs, np.float64)
    return None if outputs.ndim != 2 else probabilities(outputs, activation=activation).numpy()


def probabilities(outputs, *, activation):
    """Returns the probability of each class as a tensor, in pure TensorFlow.

    Args:
        outputs: float tensor `[batch, classes]`, see `class_predictions`.
        activation: see `class_predictions`.

    Returns:
        float tensor `[batch, classes]`, at least two classes.
    """
    outputs = tf.convert_to_tensor(outputs)
    if activation is None:
        is_single = outputs.shape[1] == 1
        squashed = tf.sigmoid(outputs) if is_single else tf.nn.softmax(outputs, axis=-1)
        outputs = tf.where(_are_probabilities(outputs), outputs, squashed)
    if outputs.shape[1] == 1:
        outputs = tf.concat([1.0 - outputs, outputs], axis=1)
    return outputs


def classes_to_explain(explained_class, count, *, labels=None):
    """Returns the class of each image whose score is explained; -1 for the predicted class.

    Args:
        explained_class: `"predicted"`, `"label"`, a class index, or class indices `[count]`, one
            for each image.
        count: number of images.
        labels: integer array `[count]`, or None.

    Returns:
        int32 array `[count]`.

    Raises:
        TypeError: `explained_class` is something else.
        ValueError: `explained_class` is `"label"` without labels, another text, or a negative
            index; or there are not as many indices as images.
    """
    must = "'predicted', 'label', the index of a class, or one index for each probe"
    if isinstance(explained_class, str):
        if explained_class == "predicted":
            return np.full(count, -1, np.int32)
        if explained_class != "label":
            raise ValueError(message("explained_class", must, explained_class))
        if labels is None:
            remedy = "The probes have no labels; give them some."
            raise ValueError(message("explained_class", "'predicted' or an index", "label", remedy))
        return np.int32(labels)
    classes = np.asarray(explained_class)
    if classes.dtype.kind not in "iu":
        raise TypeError(message("explained_class", must, explained_class))
    if classes.shape not in ((), (count,)) or (classes < 0).any():
        raise ValueError(message("explained_class", f"{must}, at least 0", explained_class))
    return np.broadcast_to(classes, count).astype(np.int32)


def class_name(index, class_names):
    """Returns the name of a class, or `class <index>` where names aren't known."""
    return f"class {index}" if class_names is None else class_names[index]


def _are_probabilities(outputs):
    """Returns whether each row of several classes is a distribution, a scalar bool tensor."""
    sums = tf.reduce_sum(outputs, axis=1)
    sum_to_one = tf.reduce_all(tf.abs(sums - 1.0) <= 1e-2)
    is_several = tf.constant(outputs.shape[1] != 1)
    return is_several & sum_to_one & tf.reduce_all(outputs >= 0)
