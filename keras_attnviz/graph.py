"""Attention maps, feature maps and the head's input, found among the operations of a graph."""

import dataclasses
import re

import tensorflow as tf

# Operations that an attention map may pass on its way to the product with the values, and its
# scores on their way from the product of queries and keys: casts, shape changes, masks, dropout,
# scaling.
_SHAPING = frozenset(
    ["ExpandDims", "Reshape", "Split", "SplitV", "Squeeze", "StridedSlice", "Transpose", "Unpack"]
)
_SCALING = frozenset(["Cast", "Identity", "Mul", "RealDiv", "Select", "SelectV2", "StopGradient"])
_ADDING = frozenset(["Add", "AddV2", "BiasAdd"])
_MASKING = _ADDING | frozenset(["Maximum", "Minimum", "Sub", "Tanh"])
_MAX_STEPS = 9
_PRODUCTS = frozenset(["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "MatMul"])
_CONVOLUTIONS = frozenset(["Conv2D", "DepthwiseConv2dNative"])
_POOLINGS = frozenset(["AvgPool", "MaxPool"])
# Operations that read a tensor's shape, not its values.
_SHAPE_READERS = frozenset(["OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"])
# Operations between a head's last matrix product and the predictions.
_AFTER_THE_HEAD = frozenset(
    ["AddV2", "BiasAdd", "Cast", "Identity", "LogSoftmax", "Reshape", "Sigmoid", "Softmax"]
)
_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])


@dataclasses.dataclass(frozen=True)
class AttentionSite:
    """An attention map in a graph.

    Args:
        weights: the softmax output, symbolic, `[..., queries, keys]`, before any dropout.
        scores: what the softmax reads, of the same shape.
        output: the product of weights and values, symbolic.
        operands: the two factors of the product that gave the scores, symbolic; empty where it
            was not found.
        layer: path of the layer that computes it, from the operation's name.
    """

    weights: object
    scores: object
    output: object
    operands: tuple
    layer: str


class Dependence:
    """Which of some tensors each operation's values are computed from; shapes don't count.

    Args:
        operations: all operations of a graph, in their order.
        sources: tensors.
    """

    def __init__(self, operations, sources):
        bits = {}
        for index, source in enumerate(sources):
            bits[source.op.name] = bits.get(source.op.name, 0) | 1 << index
        self._bits = {}
        for operation in operations:
            value = bits.get(operation.name, 0)
            if operation.type not in _SHAPE_READERS:
                for tensor in operation.inputs:
                    value |= self._bits.get(tensor.op.name, 0)
            self._bits[operation.name] = value

    def of(self, tensor):
        """Returns the indices of the sources that `tensor` is computed from, as a set."""
        bits = self._bits.get(tensor.op.name, 0)
        return {index for index in range(bits.bit_length()) if bits >> index & 1}


def find_attention(operations, model_name, dependence):
    """Returns the attention maps among a model's operations, in their order, as `AttentionSite`s.

    An attention map is a softmax of rank 3 or more that, perhaps through casts, masks, dropout,
    shape changes or a mixing of heads, is multiplied with values, which are computed and no mere
    weights. A classification or segmentation head ends in a softmax too, but
    multiplies nothing with it.

    Args:
        operations: the operations that one call of the model has added.
        model_name: the model's name.
        dependence: a `Dependence` on the model's inputs.
    """
    names = {operation.name for operation in operations}
    sites = []
    for operation in operations:
        scores = _softmax_scores(operation)
        if scores is None or (operation.outputs[0].shape.rank or 0) < 3:
            continue
        product = _product_with_values(operation.outputs[0], names)
        if product is not None:
            operands = _score_operands(scores, dependence)
            path = layer_path(operation.name, model_name)
            sites.append(
                AttentionSite(operation.outputs[0], scores, product.outputs[0], operands, path)
            )
    return sites


def _softmax_scores(operation):
    """Returns what a softmax reads, or None where the operation ends no softmax.

    Beside the operation `Softmax` there are written-out forms: exponentials divided by their sum,
    and the exponential of a log-softmax, or of scores minus their log-sum-exp.
    """
    if operation.type == "Softmax":
        return operation.inputs[0]
    if operation.type == "RealDiv":
        numerator, denominator = (tensor.op for tensor in operation.inputs)
        total = _ancestor(denominator, ["Sum"])
        summed = total and _ancestor(total.inputs[0].op, ["Exp"])
        is_softmax = (
            numerator.type == "Exp" and summed and numerator.inputs[0].name == summed.inputs[0].name
        )
        return _before_shift(numerator.inputs[0]) if is_softmax else None
    if operation.type == "Exp" and operation.inputs[0].op.type == "Sub":
        scores, shift = operation.inputs[0].op.inputs
        return scores if _ancestor(shift.op, ["Log"]) else None
    if operation.type == "Exp" and operation.inputs[0].op.type == "LogSoftmax":
        return operation.inputs[0].op.inputs[0]
    return None


def _before_shift(tensor):
    """Returns the scores before their maximum was subtracted, or `tensor` itself."""
    if tensor.op.type == "Sub" and _ancestor(tensor.op.inputs[1].op, ["Max"]):
        return tensor.op.inputs[0]
    return tensor


def _ancestor(operation, types, steps=4):
    """Returns the nearest operation of one of `types` at or before `operation`, or None."""
    frontier = [operation]
    for _ in range(steps + 1):
        found = [item for item in frontier if item.type in types]
        if found:
            return found[0]
        frontier = [tensor.op for item in frontier for tensor in item.inputs]
    return None


def _product_with_values(tensor, names):
    """Returns the operation that multiplies `tensor` with values, or None."""
    passed = _SHAPING | _SCALING | _ADDING
    frontier = [tensor]
    for _ in range(_MAX_STEPS + 1):
        following = []
        for item in frontier:
            for consumer in item.consumers():
                if consumer.name not in names:
                    continue
                if consumer.type in _PRODUCTS and not any(map(_is_weight, consumer.inputs)):
                    return consumer
                if consumer.type in passed or _mixes_heads(consumer):
                    following.extend(consumer.outputs)
        frontier = following
    return None


def _score_operands(scores, dependence):
    """Returns the two factors of the product that `scores` come from, or an empty tuple.

    A product of two things that are computed from the inputs goes first; a relative position
    bias may be the product of queries and weights, and a pooling head's queries are weights.
    """
    frontier, found = [scores], ()
    for _ in range(_MAX_STEPS + 1):
        following = []
        for tensor in frontier:
            operation = tensor.op
            if _mixes_heads(operation):
                following.extend(item for item in operation.inputs if dependence.of(item))
            elif operation.type in _PRODUCTS:
                if all(dependence.of(item) for item in operation.inputs):
                    return tuple(operation.inputs)
                found = found or tuple(operation.inputs)
            elif operation.type in _SHAPING | _SCALING | _MASKING:
                following.extend(item for item in operation.inputs if dependence.of(item))
        frontier = following
    return found


def _mixes_heads(operation):
    """Tells whether an operation mixes the heads with weights of shape `[heads, heads]`."""
    if operation.type == "Conv2D":
        kernel = operation.inputs[1].shape
        return kernel.rank == 4 and kernel[:2].as_list() == [1, 1] and kernel[2] == kernel[3]
    if operation.type not in _PRODUCTS or len(operation.inputs) != 2:
        return False
    weights = [tensor.shape for tensor in operation.inputs if _is_weight(tensor)]
    return any(shape.rank == 2 and shape[0] == shape[1] for shape in weights)


def _is_weight(tensor):
    """Returns whether a tensor is a variable, perhaps cast or reshaped."""
    operation = tensor.op
    while operation.type in ("Cast", "Identity", "Reshape", "Transpose"):
        operation = operation.inputs[0].op
    return operation.type in ("Const", "ReadVariableOp")


def hidden_calls(operations):
    """Returns the names of operations that run functions whose insides the graph doesn't show."""
    return [operation.name for operation in operations if operation.type in _CALLS]


def feature_maps(operations, before):
    """Returns the outputs of convolutions and patch extractions that precede tensor `before`.

    Each is a symbolic tensor `[batch, height, width, channels]`, or channels first as its
    operation's `data_format` says; `spatial_axes` tells which axes are height and width.
    """
    outputs = []
    for operation in operations:
        if operation is before.op:
            break
        if operation.type in _CONVOLUTIONS or operation.type == "ExtractImagePatches":
            outputs.append(operation.outputs[0])
    return outputs


def mixes_positions(tensor):
    """Tells whether a tensor is the output of a convolution or pooling whose windows overlap."""
    operation = tensor.op
    if operation.type in _CONVOLUTIONS:
        window = operation.inputs[1].shape.as_list()[:2]
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


def spatial_axes(tensor):
    """Returns the axes of height and width of a convolution's output, or of an image."""
    attributes = tensor.op.node_def.attr
    return (2, 3) if attributes["data_format"].s == b"NCHW" else (1, 2)


def position_axes(tensor):
    """Returns the axes of positions: height and width, or tokens where there are three axes."""
    return spatial_axes(tensor) if tensor.shape.rank == 4 else (1,)


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


def cut(source, feeds, fetches, captures):
    """Returns a function cut out of a graph.

    This does what `WrappedFunction.prune` does, which copies operation by operation in Python and
    takes ten times as long.

    Args:
        source: a `tf.Graph`.
        feeds: symbolic tensors, the function's arguments.
        fetches: structure of symbolic tensors, what it returns.
        captures: dict from the names of placeholders to the tensors outside that they stand for.
    """
    flat = tf.nest.flatten(fetches)
    fed = {tensor.name for tensor in feeds} | set(captures)
    names = _needed_operations([tensor.op for tensor in flat if tensor.name not in fed], fed)
    graph_def = tf.compat.v1.GraphDef()
    whole = source.as_graph_def()
    graph_def.node.extend(node for node in whole.node if node.name in names)
    for node in graph_def.node:
        node.attr.pop("_class", None)  # It may ask for the device of a node that is cut off.
    graph_def.library.CopyFrom(whole.library)
    graph_def.versions.CopyFrom(whole.versions)
    operations = [source.get_operation_by_name(name) for name in names]
    read = {tensor.name for operation in operations for tensor in operation.inputs}

    def call(*arguments):
        given = {tensor.name: value for tensor, value in zip(feeds, arguments, strict=True)}
        capture = tf.compat.v1.get_default_graph().capture
        given.update({name: capture(outer) for name, outer in captures.items() if name in read})
        computed = [tensor.name for tensor in flat if tensor.name not in given]
        found = tf.graph_util.import_graph_def(
            graph_def,
            input_map={name: value for name, value in given.items() if name in read},
            return_elements=computed,
            name="",
        )
        given.update(zip(computed, found, strict=True))
        return tf.nest.pack_sequence_as(fetches, [given[tensor.name] for tensor in flat])

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in feeds]
    return tf.compat.v1.wrap_function(call, specs)


def _needed_operations(operations, fed):
    """Returns the names of `operations` and of all that they need but the tensors `fed`."""
    names, waiting = set(), list(operations)
    while waiting:
        operation = waiting.pop()
        if operation.name not in names:
            names.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs if tensor.name not in fed]
            waiting += operation.control_inputs
    return names


def head_input(predictions):
    """Returns the tensor that the model's last matrix product reads, or `predictions` itself.

    What the predictions depend on is asked of the head's input, not of the predictions, because
    a softmax can hide a dependence and a head's kernel is often initialized with zeros.
    """
    tensor = predictions
    while tensor.op.type in _AFTER_THE_HEAD:
        tensor = tensor.op.inputs[0]
    return tensor.op.inputs[0] if tensor.op.type == "MatMul" else predictions


def last_activation(predictions):
    """Returns `"Softmax"` or `"Sigmoid"` where the model ends in one, else None."""
    tensor = predictions
    while tensor.op.type in ("Cast", "Identity", "Reshape"):
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
