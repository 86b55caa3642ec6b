"""The graph of layer calls in a functional Keras model, and how to repeat and copy them."""

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import message


class LayerCall(NamedTuple):
    """One call of a layer in a functional model."""

    layer: Any
    inputs: tuple
    outputs: tuple
    node: Any

    def again(self, layer, tensors):
        """Returns the flat outputs of `layer`, called with `tensors` in place of the inputs.

        Args:
            layer: this call's layer, or a copy of it.
            tensors: dict from the `id` of a Keras tensor to the one that takes its place.
        """
        if hasattr(self.node, "map_arguments"):  # Keras 2 pops each tensor from a list.
            found = {str(id(old)): [tensors[id(old)]] * len(self.inputs) for old in self.inputs}
            args, kwargs = self.node.map_arguments(found)
        else:
            args, kwargs = self.node.arguments.fill_in(tensors)
        return tf.nest.flatten(layer(*args, **kwargs))


def as_functional(model, name):
    """Returns a functional model: `model` itself, or a `keras.Sequential`'s layers as one.

    Args:
        model: what a user passed.
        name: name of the argument, for errors.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: `model` has no graph of layers.
    """
    must = "a functional Keras model, such as those of `keras.applications`"
    if not isinstance(model, keras.Model):
        raise TypeError(message(name, must, model))
    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not getattr(model, "_nodes_by_depth", None):
        remedy = "Build it from layers called on `keras.Input`."
        raise ValueError(message(name, must, model, remedy))
    return model


def layer_calls(model):
    """Returns the `LayerCall`s of a functional model: input layers first, each after its inputs."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth]]
    calls = [_layer_call(node) for node in nodes]
    return sorted(calls, key=lambda call: bool(call.inputs))


def _layer_call(node):
    """Returns a node of Keras 2 or Keras 3 as a `LayerCall`."""
    is_keras_2 = hasattr(node, "keras_inputs")
    layer = node.layer if is_keras_2 else node.operation
    inputs = node.keras_inputs if is_keras_2 else node.input_tensors
    return LayerCall(layer, tuple(inputs), tuple(tf.nest.flatten(node.outputs)), node)


def copied(layer):
    """Returns a copy of a layer, or of a Keras 3 operation: the same settings, no weights."""
    if isinstance(layer, keras.layers.Lambda):
        # Keras 3 refuses to make a function from a config, but the function is available here.
        return keras.layers.Lambda(
            layer.function,
            output_shape=layer._output_shape,
            mask=layer.mask,
            arguments=layer.arguments,
            name=layer.name,
            dtype=layer.dtype_policy,
        )
    return type(layer).from_config(layer.get_config())


def give_weights(layer, copy):
    """Copies a layer's weights to its built copy; a Keras 3 operation has none."""
    if getattr(layer, "weights", ()):
        copy.set_weights(layer.get_weights())
        _finalize(copy)


def _finalize(layer):
    """Makes layers reread their weights: in Keras 3, `Normalization` computes with copies."""
    for inner in getattr(layer, "layers", ()):
        _finalize(inner)
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()
