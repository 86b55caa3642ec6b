"""Attention layers after the stages of an already trained convolutional network."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import is_integer, message
from keras_attnviz.layers.backbone_stages import stage_ends
from keras_attnviz.layers.layer_graph import as_functional, copied, give_weights, layer_calls


def with_stage_attention(backbone, layer, *, stages=None, data_format=None):
    """Returns a copy of a convolutional network with an attention layer after each chosen stage.

    Layers that read the last feature map of a stage then read the attention layer's output. All
    layers of the backbone are copied with their weights, names and `trainable`, so the backbone is
    unchanged, and training one network doesn't change the other. If the attention layers return
    their input, the copy returns what the backbone does. With `backbone.trainable = False`, only
    the attention layers learn. Layers are copied by `get_config` and `from_config`, which custom
    layers must support.

    Args:
        backbone: a functional Keras model of a convolutional network, such as those of
            `keras.applications`, with or without its top.
        layer: a function from a stage's number to a new layer, such as
            `lambda stage: BottleneckAttention()`.
        stages: numbers of the stages that get an attention layer, see `backbone_stages`; None for
            all.
        data_format: "channels_last" or "channels_first", as in the backbone; by default Keras'
            `image_data_format()`.

    Returns:
        functional `keras.Model`, not compiled, with inputs and outputs structured as in the
        backbone.

    Raises:
        TypeError: `backbone` is not a Keras model; `layer` is not a function, or returns no layer.
        ValueError: `backbone` has no graph of layers, or no stage; `stages` is empty, repeats a
            number or has one that isn't a stage's; `layer` returns a layer twice, or one that
            changes the shape.

    Example:
        >>> backbone = keras.applications.ResNet50(include_top=False)
        >>> gated = with_stage_attention(
        ...     backbone, lambda stage: BottleneckAttention(), stages=[2, 3, 4]
        ... )
    """
    model = as_functional(backbone, "backbone")
    ends = _chosen(stages, stage_ends(model, data_format))
    if not callable(layer) or isinstance(layer, keras.layers.Layer):
        must = "a function from a stage's number to a new layer"
        raise TypeError(message("layer", must, layer, "Pass `lambda stage: SqueezeExcite()`, say."))
    return _copy(model, _new_layers(layer, ends))


def _chosen(stages, ends):
    """Returns the requested stages with the tensors that they end at."""
    if stages is None:
        return ends
    listed = ", ".join(f"{stage.number} ({stage.layer})" for stage, _ in ends)
    must = f"one or more different numbers of the stages {listed}"
    if not isinstance(stages, (list, tuple, range)):
        raise TypeError(message("stages", must, stages))
    numbers = [stage.number for stage, _ in ends]
    known = all(is_integer(number) and number in numbers for number in stages)
    if not known or not stages or len(set(stages)) < len(stages):
        raise ValueError(message("stages", must, stages, "Pass None for all."))
    return [end for end in ends if end[0].number in stages]


def _new_layers(layer, ends):
    """Returns a dict from the `id` of the tensor that a stage ends at to the stage's new layer."""
    layers = {}
    for stage, tensor in ends:
        made = layer(stage.number)
        must = f"a function that returns a new Keras layer for stage {stage.number}"
        if not isinstance(made, keras.layers.Layer):
            raise TypeError(message("layer", must, made))
        if made in layers.values():
            remedy = "Create the layer inside the function."
            raise ValueError(message("layer", must, made, remedy))
        layers[id(tensor)] = made
    return layers


def _copy(model, gates):
    """Returns a copy of a functional model with new layers after some of its tensors.

    Args:
        model: functional model.
        gates: dict from the `id` of a tensor to the layer after it.
    """
    copies, tensors = {}, {}
    for call in layer_calls(model):
        if id(call.layer) not in copies:
            copies[id(call.layer)] = (call.layer, copied(call.layer))
        copy = copies[id(call.layer)][1]
        answers = call.again(copy, tensors) if call.inputs else tf.nest.flatten(copy.output)
        for tensor, answer in zip(call.outputs, answers, strict=True):
            gate = gates.get(id(tensor))
            tensors[id(tensor)] = _gated(gate, answer) if gate else answer
    for layer, copy in copies.values():
        give_weights(layer, copy)
    inputs, outputs = (
        tf.nest.map_structure(lambda tensor: tensors[id(tensor)], ends)
        for ends in (model.input, model.output)
    )
    return keras.Model(inputs, outputs, name=f"{model.name}_attention")


def _gated(gate, features):
    """Returns the output of a stage's new layer; raises if the layer changes the shape."""
    answer = gate(features)
    if tuple(answer.shape) != tuple(features.shape):
        must = f"a function that gives layers which keep the shape {tuple(features.shape)}"
        raise ValueError(message("layer", must, gate, f"{gate.name} gives {tuple(answer.shape)}."))
    return answer
