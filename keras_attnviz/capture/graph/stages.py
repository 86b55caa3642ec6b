"""Stages of a graph: an order of its operations in which one large tensor is alive at a time.

TensorFlow runs whatever can be run. What reads a large tensor of one stage, such as the attention
map of a layer, may then wait until the end, and the tensor waits with it. So each stage begins when
all that reads the large tensor of the stage below has been reduced to something smaller; and what
is computed of a large tensor, and is as large as it is, waits for what came before.
"""

from keras_attnviz.capture.graph.operation_types import (
    FORM_CHANGES,
    LINEAR,
    MASKS,
    SHAPE_READERS,
)

# Operations whose result is as large as what they read.
_AS_LARGE = FORM_CHANGES | LINEAR | MASKS
_AS_LARGE |= {"DivNoNan", "Exp", "Greater", "IsFinite", "Log", "Relu", "Softmax", "Square", "Xlogy"}


def waits(operations, stages):
    """Returns which operations have to wait for which others.

    Args:
        operations: list of the operations of a function, in the graph's order.
        stages: list of `(operation, tensor)`, the lowest first: the operation with which a stage
            begins, and its large tensor.

    Returns:
        dict from the name of an operation to a list of names. No operation waits for one that is
        computed from it.
    """
    names = {operation.name for operation in operations}
    stages = [(first, each) for first, each in stages if {first.name, each.op.name} <= names]
    if len(stages) < 2:
        return {}
    starts = {operation.name: number for number, (operation, _) in enumerate(stages)}
    sources = {tensor.op.name for _, tensor in stages}
    # The highest stage that an operation belongs to, and whether its result is large.
    stage_of, large, done, found = {}, set(), [[] for _ in stages], {}
    for operation in operations:
        below = [tensor.op.name for tensor in operation.inputs]
        stage = max((stage_of.get(name, -1) for name in below), default=-1)
        stage = stage_of[operation.name] = max(stage, starts.get(operation.name, -1))
        reads = any(name in large and stage_of[name] == stage for name in below)
        if operation.name in sources:
            large.add(operation.name)
        elif reads and operation.type in _AS_LARGE:
            large.add(operation.name)
            if sources & set(below) and done[stage]:
                found[operation.name] = list(done[stage])
        elif reads and operation.type not in SHAPE_READERS:
            done[stage].append(operation.name)
    for (operation, _), waiting in zip(stages[1:], done[:-1], strict=True):
        found.setdefault(operation.name, []).extend(waiting)
    return found
