"""Logits: the tensor before the last activation of a model."""

from keras_attnviz.capture.graph.operation_types import (
    OUTPUT_ACTIVATIONS,
    PROBABILITIES,
    SAME_ENTRIES,
)
from keras_attnviz.capture.graph.walks import stripped


def before_activation(predictions):
    """Returns the logits: the tensor that the model's last activations are computed from.

    That is `predictions` itself where the model ends in no softmax or sigmoid. Use
    this tensor to measure what the predictions depend on: a saturated softmax hides a dependence.
    """
    return stripped(predictions, SAME_ENTRIES | OUTPUT_ACTIVATIONS)


def last_activation(predictions):
    """Returns `"Softmax"` or `"Sigmoid"` where the model ends in one, else None."""
    last = stripped(predictions, SAME_ENTRIES).op.type
    return last if last in PROBABILITIES else None
