"""Feature maps among the operations of a graph: their positions, and what mixes these."""

import tensorflow as tf

from keras_attnviz.capture.graph.operation_types import (
    CONVOLUTIONS,
    FEATURE_MAPS,
    NORMALIZATIONS,
    POOLINGS,
    STATISTIC_STEPS,
    STATISTICS,
)
from keras_attnviz.capture.graph.walks import levels

# The most operations between a statistic and the tensor that is normalized with it.
_MAX_STEPS = 8


def feature_maps(operations, before):
    """Returns outputs of convolutions, poolings and patch extractions that precede `before`.

    Each is a symbolic tensor `[batch, height, width, channels]`, of videos also
    `[batch, frames, height, width, channels]`, or channels first as its operation's `data_format`
    says; see `spatial_axes`.
    """
    outputs = []
    for operation in operations:
        if operation is before.op:
            break
        if operation.type in FEATURE_MAPS:
            outputs.append(operation.outputs[0])
    return outputs


def frames_at_a_time(operations):
    """Returns the first convolution's stride over the frames of a video, 1 where it has none."""
    first = next((each for each in operations if each.type in CONVOLUTIONS), None)
    if first is None or first.type != "Conv3D":
        return 1
    return int(first.node_def.attr["strides"].list.i[spatial_axes(first.outputs[0])[0]])


def as_floats(image):
    """Returns a list: an image itself if it has a float dtype, else its casts to a float dtype."""
    if image.dtype.is_floating:
        return [image]
    casts = [operation.outputs[0] for operation in image.consumers() if operation.type == "Cast"]
    return [tensor for tensor in casts if tensor.dtype.is_floating]


def mixes_positions(tensor):
    """Returns whether a tensor mixes positions.

    Such a tensor is the output of a convolution or pooling whose windows overlap, or a statistic
    over positions with which all of them are normalized.
    """
    operation = tensor.op
    if operation.type in STATISTICS:
        return _sums_positions(operation) and _normalizes(tensor)
    if operation.type in CONVOLUTIONS:
        window = operation.inputs[1].shape.as_list()[: len(spatial_axes(tensor))]
    elif operation.type in POOLINGS:
        sizes = operation.node_def.attr["ksize"].list.i
        window = [sizes[axis] for axis in spatial_axes(tensor)]
    else:
        return False
    strides = operation.node_def.attr["strides"].list.i
    return any(
        size is None or size > strides[axis]
        for size, axis in zip(window, spatial_axes(tensor), strict=True)
    )


def _sums_positions(operation):
    """Returns whether a reduction goes over more than the last axis, that of channels."""
    axes = tf.get_static_value(operation.inputs[1])
    rank = operation.inputs[0].shape.rank
    return axes is not None and bool(rank) and bool({int(a) % rank for a in axes.flat} - {rank - 1})


def _normalizes(tensor):
    """Returns whether a statistic, perhaps after a root, is combined with more positions."""

    def following(item):
        passed = [each for each in item.consumers() if each.type in STATISTIC_STEPS]
        return [output for consumer in passed for output in consumer.outputs]

    return any(
        consumer.type in NORMALIZATIONS and any(_is_larger(each, item) for each in consumer.inputs)
        for level in levels([tensor], following, count=_MAX_STEPS)
        for item in level
        for consumer in item.consumers()
    )


def _is_larger(tensor, other):
    """Returns whether a tensor, computed from a batch of images, has more entries than another."""
    sizes = tensor.shape.rank and tensor.shape[1:].num_elements()
    others = other.shape.rank and other.shape[1:].num_elements()
    return bool(sizes and others) and tensor.shape[0] is None and sizes > others


def spatial_axes(tensor):
    """Returns the axes of height and width of a convolution's output, or of an image.

    For a convolution over frames, these are the axes of frames, height and width.
    """
    form = tensor.op.node_def.attr["data_format"].s
    if tensor.op.type == "Conv3D":
        return (2, 3, 4) if form == b"NCDHW" else (1, 2, 3)
    return (2, 3) if form == b"NCHW" else (1, 2)


def axes_of_positions(tensor):
    """Returns the axes of height and width of a tensor that is computed from feature maps.

    They are found at the nearest convolution or pooling before the tensor, and followed through
    transpositions. Where there is none, they are the second and third axis.
    """
    seen = set()

    def following(found):
        item, axes = found
        if item.op.type == "Transpose":
            order = tf.get_static_value(item.op.inputs[1])
            axes = tuple(axes[list(order).index(axis)] for axis in range(len(order)))
        for source in item.op.inputs:
            if source.shape.rank == 4 and source.op.name not in seen:
                seen.add(source.op.name)
                yield source, axes

    for level in levels([(tensor, (0, 1, 2, 3))], following):
        for item, axes in level:
            if item.op.type in CONVOLUTIONS | POOLINGS:
                return tuple(axes[axis] for axis in spatial_axes(item))
    return (1, 2)


def position_axes(tensor):
    """Returns the axes of positions: height and width, or tokens where there are three axes."""
    return (1,) if tensor.shape.rank == 3 else spatial_axes(tensor)
