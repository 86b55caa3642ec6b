"""Calls of a Keras model that leave no trace in it: variables and losses are restored."""

import contextlib

import numpy as np
import tensorflow as tf

from keras_attnviz.model_io.outputs import select_output
from keras_attnviz.model_io.workers import own_variables


def build(model, signature):
    """Builds a model for any batch size, as `fit` would, unless it is built already.

    Args:
        model: a Keras model.
        signature: its `InputSignature`.
    """
    if model.built:
        return

    def call(*flat):
        return model(signature.pack(list(flat)), training=False)

    with losses_kept(model):
        tf.function(call).get_concrete_function(*signature.specs)


def own_predictions(model, signature, inputs, *, output=None, in_graph=False):
    """Returns a model's own predictions in inference mode.

    Args:
        model: a built Keras model.
        signature: its `InputSignature`.
        inputs: flat list of tensors, the model's inputs.
        output: which output holds the predictions, see `select_output`.
        in_graph: whether the model is called in a graph of its own. That takes longer; but called
            operation by operation, a model may hold the results of all its layers until it is done.

    Raises:
        ValueError: the model doesn't take these values.
    """

    def call(*flat):
        return model(signature.pack(list(flat)), training=False)

    with (
        refusal_told(signature, inputs),
        losses_kept(model),
        variables_kept(model),
        own_variables(model),
    ):
        outputs = (tf.function(call) if in_graph else call)(*inputs)
    return select_output(outputs, output, getattr(model, "output_names", None))


@contextlib.contextmanager
def refusal_told(signature, inputs):
    """Replaces TensorFlow's error for made-up inputs by one that says what to do.

    Args:
        signature: the model's `InputSignature`.
        inputs: flat list of tensors, the model's inputs.

    Raises:
        ValueError: the model doesn't take these values.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        shapes = {
            name: tuple(tensor.shape) for name, tensor in zip(signature.names, inputs, strict=True)
        }
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            "`model` must take the inputs that it declares. Received an error for made-up ones "
            f"of the shapes {shapes}: {reason}. Pass an example of what it takes as `inputs`: "
            "pictures are made up, the values of all other inputs are taken from there."
        ) from error


@contextlib.contextmanager
def variables_kept(model):
    """Restores the value of each variable on exit, counters and random states for example."""
    # A read doesn't copy.
    kept = [
        (part, tf.convert_to_tensor(part))
        for variable in model.variables
        for part in parts_of(variable)
    ]
    try:
        yield
    finally:
        for variable, before in kept:
            if not _are_equal(*map(np.asarray, (before, tf.convert_to_tensor(variable)))):
                variable.assign(before)


def _are_equal(before, after):
    """Returns whether two arrays are equal; memory that is still the same isn't read."""
    same = before.__array_interface__["data"] == after.__array_interface__["data"]
    return same or np.array_equal(before, after)


@contextlib.contextmanager
def losses_kept(model):
    """Restores each layer's list of losses on exit, because a call in another graph replaces it.

    Otherwise the symbolic tensors of that graph would stay in `model.losses` until the next call
    of the model.
    """
    # Keras 2 has one list for eager calls and one for calls in a graph.
    kept = [
        (layer, name, list(getattr(layer, name)))
        for layer in [model, *all_layers(model)]
        for name in ("_losses", "_eager_losses")
        if hasattr(layer, name)
    ]
    try:
        yield
    finally:
        for layer, name, losses in kept:
            getattr(layer, name)[:] = losses


def parts_of(variable):
    """Returns the TensorFlow variables of a Keras variable: one for each device, as a list."""
    variable = getattr(variable, "_value", variable)  # Keras 3 wraps TensorFlow's
    return list(getattr(variable, "values", (variable,)))


def all_layers(model):
    """Returns all layers of a model, including layers within layers, as a list."""
    return list(model._flatten_layers(include_self=False, recursive=True))
