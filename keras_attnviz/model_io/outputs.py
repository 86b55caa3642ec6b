"""Which of the tensors that a model gives holds the predictions."""

from keras_attnviz._checks import is_integer, message
from keras_attnviz._structures import members


def select_output(outputs, output=None, names=None):
    """Returns one tensor out of what a model gives.

    Args:
        outputs: a tensor, or a dict, list or tuple of them, also nested.
        output: index in the order of `tf.nest`, dict key (of nested ones joined by `/`) or name
            of an output; None where there is one output only.
        names: the model's `output_names`, in the same order, where it has them.

    Raises:
        ValueError: several outputs and none chosen, or one chosen that is not there.
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
