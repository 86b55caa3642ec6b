"""Feature maps, dependences and the logits, found among the operations of a graph."""

import collections
import re

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
_MASKS = frozenset(["Select", "SelectV2"])
# Operations that read a tensor's shape, not its values.
_SHAPE_READERS = frozenset(["OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"])
# Operations that only change a tensor's form, and activations of a model's output.
_CHANGES_OF_FORM = frozenset(["Cast", "Identity", "Reshape"])
_OUTPUT_ACTIVATIONS = frozenset(["LogSoftmax", "Sigmoid", "Softmax"])
_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])


class Dependence:
    """Which of some tensors each operation's values are computed from.

    Args:
        operations: all operations of a graph, in their order.
        sources: tensors.
        by_shape: whether what depends on a source's shape alone counts too.
    """

    def __init__(self, operations, sources, *, by_shape=False):
        bits = {}
        for index, source in enumerate(sources):
            bits[source.op.name] = bits.get(source.op.name, 0) | 1 << index
        self._bits = {}
        for operation in operations:
            value = bits.get(operation.name, 0)
            if by_shape or operation.type not in _SHAPE_READERS:
                for tensor in operation.inputs:
                    value |= self._bits.get(tensor.op.name, 0)
            self._bits[operation.name] = value

    def of(self, tensor):
        """Returns the indices of the sources that `tensor` is computed from, as a set."""
        bits = self._bits.get(tensor.op.name, 0)
        return {index for index in range(bits.bit_length()) if bits >> index & 1}

    def any(self, tensor):
        """Tells whether `tensor` is computed from any of the sources."""
        return bool(self._bits.get(tensor.op.name, 0))


def needed_operations(operations):
    """Returns the names of operations and of all that they are computed from, a set."""
    names, waiting = set(), list(operations)
    while waiting:
        operation = waiting.pop()
        if operation.name not in names:
            names.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs]
    return names


def hidden_calls(operations):
    """Returns the names of operations that run functions whose insides the graph doesn't show."""
    return [operation.name for operation in operations if operation.type in _CALLS]


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


def tensors_between(source, target):
    """Returns the tensors that every path from `source` to `target` passes, `source` first.

    Only tensors of rank 3 and 4 whose first axis is the batch's open one are given. A tensor lies
    on every path if the paths to it, times the paths from it, are as many as there are in all.
    """
    to = {source.op: 1}
    order = [source.op]
    for operation in _operations_between(source.op, target.op):
        to[operation] = sum(
            to.get(tensor.op, 0) for tensor in operation.inputs if tensor.op is not operation
        )
        order.append(operation)
    beyond = {target.op: 1}
    for operation in reversed(order):
        for tensor in operation.inputs:
            if tensor.op in to:
                beyond[tensor.op] = beyond.get(tensor.op, 0) + beyond.get(operation, 0)
    return [
        operation.outputs[0]
        for operation in order
        if to[operation] * beyond.get(operation, 0) == to.get(target.op)
        and operation.outputs[0].shape.rank in (3, 4)
        and operation.outputs[0].shape[0] is None
    ]


def masks_between(source, target):
    """Returns where other numbers are put in the place of some on the way between two tensors.

    Returns:
        list, in graph order, of `(masked, unmasked)`, tensors of one shape.
    """
    between = _operations_between(source.op, target.op)
    passed, found = {source.op, *between}, []
    for operation in between:
        if operation.type in _MASKS:
            (masked,), shape = operation.outputs, operation.outputs[0].shape.as_list()
            unmasked = [tensor for tensor in operation.inputs[1:] if tensor.op in passed]
            if len(unmasked) == 1 and unmasked[0].shape.as_list() == shape:
                found.append((masked, unmasked[0]))
    return found


def _operations_between(source, target):
    """Returns the operations on paths from `source` to `target` by values, in graph order."""
    before, waiting = {target}, [target]
    while waiting:
        operation = waiting.pop()
        if operation is source or operation.type in _SHAPE_READERS:
            continue
        news = {tensor.op for tensor in operation.inputs} - before
        before |= news
        waiting.extend(news)
    after, found = {source}, []
    for operation in source.graph.get_operations():
        if operation not in before or operation is source or operation.type in _SHAPE_READERS:
            continue
        if any(tensor.op in after for tensor in operation.inputs):
            after.add(operation)
            found.append(operation)
    return found


def gradients(outputs, sources, **options):
    """Returns `tf.gradients`, all None where an operation between has no gradient."""
    try:
        return tf.gradients(outputs, sources, **options)
    except LookupError:
        return [None] * len(sources)


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


def layer_path(operation_name, model_name):
    """Returns the path of the layer that added an operation, from the operation's name.

    Keras 3 appends `_1`, `_2`, ... to each name in the path; one such suffix is stripped from
    each. tf.keras 2 leaves the names alone, which shows in the path's first, the model's own.
    """
    parts = operation_name.split("/")[:-1] or [operation_name]
    if parts[0] == model_name:
        return "/".join(parts)
    return "/".join(re.sub(r"_\d+$", "", part) for part in parts)
