"""The stages of a convolutional network, found in its graph of layers."""

import itertools
from typing import NamedTuple

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_choice, message
from keras_attnviz.layers.feature_gate import DATA_FORMATS
from keras_attnviz.layers.layer_graph import as_functional, layer_calls

# The assumed side of images of unknown size, to see where a network halves them.
PROBE_SIDE = 256
# A side below this share of the current stage's side starts another stage. Half a side, rounded up,
# is at most two thirds of it; an unpadded convolution removes little.
NEXT_STAGE = 0.75


class Stage(NamedTuple):
    """One stage of a convolutional network.

    Attributes:
        number: 1 for the first.
        layer: name of the layer that outputs its last feature map.
        shape: `(height, width, channels)` of that feature map; None where unknown.
    """

    number: int
    layer: str
    shape: tuple


def backbone_stages(backbone, *, data_format=None):
    """Returns the stages of a convolutional network, from the image to the last feature map.

    A stage lies between two halvings of the resolution and has at least one layer with kernels. It
    ends at the last feature map that all paths through the network pass and that isn't padded for
    the next layer. In networks of inverted bottlenecks (MobileNet, EfficientNet), this is the
    expanded feature map inside the block that halves. If each block reads the two blocks before it
    (NASNet), no such map lies between most stages, and they count as one.

    Args:
        backbone: a functional Keras model of a convolutional network, such as those of
            `keras.applications`. A model among its layers counts as one layer. If the
            backbone has several outputs, it ends at the one furthest from the inputs.
        data_format: "channels_last" or "channels_first", as in the backbone; by default Keras'
            `image_data_format()`.

    Returns:
        list of `Stage`, the highest resolution first. Feature maps with one position are not
        stages.

    Raises:
        TypeError: `backbone` is not a Keras model.
        ValueError: `backbone` has no graph of layers, or no stage; or `data_format` is unknown.

    Example:
        >>> for stage in backbone_stages(keras.applications.ResNet50(weights=None)):
        ...     print(stage.number, stage.layer, stage.shape)
        1 conv1_relu (112, 112, 64)
        2 conv2_block3_out (56, 56, 256)
        3 conv3_block4_out (28, 28, 512)
        4 conv4_block6_out (14, 14, 1024)
        5 conv5_block3_out (7, 7, 2048)
    """
    return [stage for stage, _ in stage_ends(as_functional(backbone, "backbone"), data_format)]


def stage_ends(model, data_format):
    """Returns a list of `(Stage, Keras tensor that it ends at)` of a functional model.

    Args:
        model: see `as_functional`.
        data_format: see `backbone_stages`.

    Raises:
        ValueError: the model has no stage, or `data_format` is unknown.
    """
    data_format = data_format or keras.backend.image_data_format()
    check_choice("data_format", data_format, DATA_FORMATS)
    calls = _calls_to_the_end(model)
    found = []
    for index in _ends(calls, _sides(model, calls, data_format)):
        (tensor,) = calls[index].outputs
        shape = tuple(tensor.shape[1:])
        shape = shape if data_format == "channels_last" else (*shape[1:], shape[0])
        found.append((Stage(len(found) + 1, calls[index].layer.name, shape), tensor))
    if not found:
        must = "a convolutional network whose layers are seen, with feature maps"
        remedy = "Pass the network itself where it is a layer of this model."
        raise ValueError(message("backbone", must, model, remedy))
    return found


def _calls_to_the_end(model):
    """Returns the calls behind the output furthest from the inputs, in order."""
    calls, steps = layer_calls(model), {}
    for call in calls:
        step = 1 + max((steps[id(tensor)] for tensor in call.inputs), default=0)
        steps |= {id(tensor): step for tensor in call.outputs}
    end = max(tf.nest.flatten(model.output), key=lambda tensor: steps[id(tensor)])
    needed, kept = {id(end)}, []
    for call in reversed(calls):
        if needed & {id(tensor) for tensor in call.outputs}:
            needed |= {id(tensor) for tensor in call.inputs}
            kept.append(call)
    return kept[::-1]


def _sides(model, calls, data_format):
    """Returns `(height, width)` of each call's feature map, None for a call without one."""
    rows = slice(1, 3) if data_format == "channels_last" else slice(2, 4)
    maps = {
        index: call.outputs[0]
        for index, call in enumerate(calls)
        if len(call.outputs) == 1 and len(call.outputs[0].shape) == 4
    }
    shapes = [tuple(tensor.shape) for tensor in maps.values()]
    if any(side is None for shape in shapes for side in shape[rows]):
        shapes = _probed_shapes(model.inputs, list(maps.values()))
    sides = dict(zip(maps, (shape[rows] for shape in shapes), strict=True))
    return [sides.get(index) for index in range(len(calls))]


def _probed_shapes(inputs, tensors):
    """Returns the shapes of tensors for images of side `PROBE_SIDE`, from a trace."""
    shapes = [[1, *(side or PROBE_SIDE for side in tensor.shape[1:])] for tensor in inputs]
    specs = [
        tf.TensorSpec(shape, tensor.dtype) for shape, tensor in zip(shapes, inputs, strict=True)
    ]
    model = keras.Model(inputs, tensors)
    traced = tf.function(lambda *images: model(list(images), training=False))
    outputs = traced.get_concrete_function(*specs).structured_outputs
    return [tuple(output.shape) for output in tf.nest.flatten(outputs)]


def _ends(calls, sides):
    """Returns the indices of the calls that output the last feature map of a stage."""
    ends = []
    for index in _passed_by_all(calls):
        if sides[index] is None:
            continue
        if not ends or _is_halved(sides[index], sides[ends[-1]]):
            ends.append(index)
        elif not _is_padded(sides[index], sides[ends[-1]]):
            ends[-1] = index
    return [
        end
        for before, end in itertools.pairwise([-1, *ends])
        if max(sides[end]) > 1
        and any(_has_kernel(call.layer) for call in calls[before + 1 : end + 1])
    ]


def _passed_by_all(calls):
    """Returns the indices of the calls that every path from an input to the end passes."""
    last_use = {}
    for index, call in enumerate(calls):
        last_use |= {id(tensor): index for tensor in call.inputs}
    reach, indices = 0, []
    for index, call in enumerate(calls):
        if reach <= index:
            indices.append(index)
        reach = max([reach, *(last_use.get(id(tensor), 0) for tensor in call.outputs)])
    return indices


def _is_halved(sides, before):
    """Returns whether a feature map has about half the resolution of another."""
    return any(side < NEXT_STAGE * other for side, other in zip(sides, before, strict=True))


def _is_padded(sides, before):
    """Returns whether a feature map is larger than another."""
    return any(side > other for side, other in zip(sides, before, strict=True))


def _has_kernel(layer):
    """Returns whether a layer has a weight with two or more axes."""
    return any(len(weight.shape) > 1 for weight in getattr(layer, "weights", ()))
