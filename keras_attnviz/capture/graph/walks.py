"""Walks through a graph: all ancestors of operations, and neighbors level by level."""

import math


def sources_of(operation):
    """Returns the operations that an operation reads, one for each of its inputs."""
    return [tensor.op for tensor in operation.inputs]


def ancestors(operations, *, following=sources_of):
    """Returns operations and all operations that they are computed from, each once.

    Args:
        operations: iterable of operations. They are among those returned.
        following: function from an operation to the list of operations that the walk goes on to.
            The walk stops at an operation for which the list is empty.

    Returns:
        list of operations in the order of the walk, depth first.
    """
    found, waiting = {}, list(operations)
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found[operation] = None
            waiting += following(operation)
    return list(found)


def levels(start, following, *, count=math.inf):
    """Yields the items that are 0, 1, 2, ... steps away from some items, one list for each level.

    Args:
        start: list of items, tensors for example.
        following: function from an item to an iterable of the items one step away. It is called
            after the item's level was yielded.
        count: the most levels that are yielded, the start among them.
    """
    level, number = start, 0
    while level and number < count:
        yield level
        level = [item for each in level for item in following(each)]
        number += 1


def stripped(tensor, types):
    """Returns the nearest tensor, at or before `tensor`, whose operation is of none of `types`.

    Args:
        tensor: symbolic tensor.
        types: set of operation types. Operations of these types are passed along their first input.
    """
    while tensor.op.type in types:
        tensor = tensor.op.inputs[0]
    return tensor
