"""Logits: the tensor before the last activation of a model."""

# Operations that only change a tensor's form, and activations of a model's output.
_CHANGES_OF_FORM = frozenset(["Cast", "Identity", "Reshape"])
_OUTPUT_ACTIVATIONS = frozenset(["LogSoftmax", "Sigmoid", "Softmax"])


def before_activation(predictions):
    """Returns the logits: the tensor that the model's last activations are computed from.

    That is `predictions` itself where the model ends in no softmax or sigmoid. What the
    predictions depend on is asked of this tensor, because a saturated softmax hides a dependence.
    """
    tensor = predictions
    while tensor.op.type in _CHANGES_OF_FORM | _OUTPUT_ACTIVATIONS:
        tensor = tensor.op.inputs[0]
    return tensor


def last_activation(predictions):
    """Returns `"Softmax"` or `"Sigmoid"` where the model ends in one, else None."""
    tensor = predictions
    while tensor.op.type in _CHANGES_OF_FORM:
        tensor = tensor.op.inputs[0]
    return tensor.op.type if tensor.op.type in ("Sigmoid", "Softmax") else None
