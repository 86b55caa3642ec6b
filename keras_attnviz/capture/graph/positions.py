"""Feature maps, dependences and the logits, found among the operations of a graph."""

import collections

import tensorflow as tf

_CONVOLUTIONS = frozenset(["Conv2D", "Conv3D", "DepthwiseConv2dNative"])
_POOLINGS = frozenset(["AvgPool", "MaxPool"])
_FEATURE_MAPS = _CONVOLUTIONS | _POOLINGS | frozenset(["ExtractImagePatches"])
# Operations of a statistic of an image's positions, on the way to what is normalized with it.
_SUMS = frozenset(["EuclideanNorm", "Max", "Mean", "Min", "Sum"])
_NORMALIZING = frozenset(["Add", "AddV2", "Mul", "RealDiv", "SquaredDifference", "Sub"])
_ROOTS = frozenset(["Maximum", "Neg", "Reciprocal", "Rsqrt", "Sqrt", "Square"])
_OF_STATISTICS = _NORMALIZING | _ROOTS | frozenset(["Cast", "Identity", "Reshape", "Squeeze"])
_MAX_STEPS = 8


def feature_maps(operations, before):
    """Returns outputs of convolutions, poolings and patch extractions that precede `before`.

    Each is a symbolic tensor `[batch, height, width, channels]`, of videos also
    `[batch, frames, height, width, channels]`, or channels first as its operation's `data_format`
    says; `spatial_axes` tells which axes are which.
    """
    outputs = []
    for operation in operations:
        if operation is before.op:
            break
        if operation.type in _FEATURE_MAPS:
            outputs.append(operation.outputs[0])
    return outputs


def frames_at_a_time(operations):
    """Returns how many frames of a video the first convolution steps over, 1 without any."""
    first = next((each for each in operations if each.type in _CONVOLUTIONS), None)
    if first is None or first.type != "Conv3D":
        return 1
    return int(first.node_def.attr["strides"].list.i[spatial_axes(first.outputs[0])[0]])


def as_floats(image):
    """Returns an image itself where it is of floats, else what it is cast to."""
    if image.dtype.is_floating:
        return [image]
    casts = [operation.outputs[0] for operation in image.consumers() if operation.type == "Cast"]
    return [tensor for tensor in casts if tensor.dtype.is_floating]


def mixes_positions(tensor):
    """Tells whether a tensor mixes positions that keep their places beside it.

    It is the output of a convolution or pooling whose windows overlap, or a statistic of positions
    that all of them are normalized with.
    """
    operation = tensor.op
    if operation.type in _SUMS:
        return _sums_positions(operation) and _normalizes(tensor)
    if operation.type in _CONVOLUTIONS:
        window = operation.inputs[1].shape.as_list()[: len(spatial_axes(tensor))]
    elif operation.type in _POOLINGS:
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
    """Tells whether a reduction goes over more than the last axis, the channels'."""
    axes = tf.get_static_value(operation.inputs[1])
    rank = operation.inputs[0].shape.rank
    return axes is not None and bool(rank) and bool({int(a) % rank for a in axes.flat} - {rank - 1})


def _normalizes(tensor):
    """Tells whether a statistic meets, perhaps after a root, a tensor of more positions."""
    frontier = [tensor]
    for _ in range(_MAX_STEPS):
        following = []
        for item in frontier:
            for consumer in item.consumers():
                if consumer.type in _NORMALIZING and any(
                    _is_larger(other, item) for other in consumer.inputs
                ):
                    return True
                if consumer.type in _OF_STATISTICS or consumer.type == "StopGradient":
                    following.extend(consumer.outputs)
        frontier = following
    return False


def _is_larger(tensor, other):
    """Tells whether a tensor, computed from a batch of images, has more entries than another."""
    sizes = tensor.shape.rank and tensor.shape[1:].num_elements()
    others = other.shape.rank and other.shape[1:].num_elements()
    return bool(sizes and others) and tensor.shape[0] is None and sizes > others


def spatial_axes(tensor):
    """Returns the axes of height and width of a convolution's output, or of an image.

    Of a convolution over frames those of frames, height and width.
    """
    form = tensor.op.node_def.attr["data_format"].s
    if tensor.op.type == "Conv3D":
        return (2, 3, 4) if form == b"NCDHW" else (1, 2, 3)
    return (2, 3) if form == b"NCHW" else (1, 2)


def axes_of_positions(tensor):
    """Returns the axes of height and width of a tensor that is computed from feature maps.

    Those of the nearest convolution or pooling before it, followed through transpositions; the
    second and third where there is none.
    """
    seen, waiting = set(), collections.deque([(tensor, (0, 1, 2, 3))])
    while waiting:
        item, axes = waiting.popleft()
        if item.op.type in _CONVOLUTIONS | _POOLINGS:
            return tuple(axes[axis] for axis in spatial_axes(item))
        if item.op.type == "Transpose":
            order = tf.get_static_value(item.op.inputs[1])
            axes = tuple(axes[list(order).index(axis)] for axis in range(len(order)))
        for source in item.op.inputs:
            if source.shape.rank == 4 and source.op.name not in seen:
                seen.add(source.op.name)
                waiting.append((source, axes))
    return (1, 2)


def position_axes(tensor):
    """Returns the axes of positions: height and width, or tokens where there are three axes."""
    return (1,) if tensor.shape.rank == 3 else spatial_axes(tensor)
