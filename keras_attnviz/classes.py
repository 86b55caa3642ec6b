"""Model outputs to predicted classes and confidences."""

import numpy as np

from keras_attnviz._checks import is_integer, message


def class_predictions(outputs, *, activation):
    """Returns the predicted class and its confidence for each image.

    Args:
        outputs: float array `[batch, classes]`, probabilities or logits; `[batch, 1]` of a
            binary classifier gives the probability or logit of class 1.
        activation: `"Softmax"`, `"Sigmoid"` or None, the last operation of the model. With None
            the outputs are taken for probabilities if every row sums to 1, else for logits.

    Returns:
        `(classes, confidences)`: integer array `[batch]` and float array `[batch]` in [0, 1];
        or None where `outputs` is not of rank 2.
    """
    probabilities = class_probabilities(outputs, activation=activation)
    if probabilities is None:
        return None
    classes = probabilities.argmax(axis=1)
    return classes, probabilities[np.arange(len(classes)), classes]


def class_probabilities(outputs, *, activation):
    """Returns the probability of each class, float64 `[batch, classes]`, at least two classes.

    Arguments as in `class_predictions`; None where `outputs` is not of rank 2.
    """
    outputs = np.asarray(outputs, np.float64)
    if outputs.ndim != 2:
        return None
    if activation is None and not _are_probabilities(outputs):
        outputs = _sigmoid(outputs) if outputs.shape[1] == 1 else _softmax(outputs)
    if outputs.shape[1] == 1:
        outputs = np.concatenate([1.0 - outputs, outputs], axis=1)
    return outputs


def classes_to_explain(explained_class, count, *, labels=None):
    """Returns the class of each image that gradients are asked for; -1 stands for the predicted.

    Args:
        explained_class: `"predicted"`, `"label"` or a class index.
        count: number of images.
        labels: integer array `[count]`, or None.

    Returns:
        int32 array `[count]`.

    Raises:
        TypeError: `explained_class` is something else.
        ValueError: `"label"` without labels, another text, a negative index.
    """
    must = "'predicted', 'label' or the index of a class"
    if not isinstance(explained_class, str) and not is_integer(explained_class):
        raise TypeError(message("explained_class", must, explained_class))
    if explained_class == "label":
        if labels is None:
            remedy = "The probes have no labels; give them some."
            raise ValueError(message("explained_class", "'predicted' or an index", "label", remedy))
        return np.int32(labels)
    if explained_class == "predicted":
        explained_class = -1
    elif isinstance(explained_class, str) or explained_class < 0:
        raise ValueError(message("explained_class", must, explained_class))
    return np.full(count, explained_class, np.int32)


def class_name(index, class_names):
    """Returns the name of a class, or `class <index>` where names are not known."""
    return f"class {index}" if class_names is None else class_names[index]


def _are_probabilities(outputs):
    sums_to_one = np.allclose(outputs.sum(axis=1), 1.0, atol=1e-2)
    return bool(outputs.shape[1] > 1 and (outputs >= 0).all() and sums_to_one)


def _sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-logits))


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
