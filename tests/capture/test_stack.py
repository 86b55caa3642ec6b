import pytest

from keras_attnviz.capture.stack import stacks
from keras_attnviz.capture.tokens.geometry import plain_geometry

pytestmark = pytest.mark.one_stack


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        # One stack.
        ({0: [], 1: [0], 2: [0, 1]}, [[0, 1, 2]]),
        # Two towers, one after the other or in turns.
        ({0: [], 1: [0], 2: [], 3: [2]}, [[0, 1], [2, 3]]),
        ({0: [], 1: [], 2: [0], 3: [1]}, [[0, 2], [1, 3]]),
        # What reads both towers is a stack of its own, and so goes on.
        ({0: [], 1: [], 2: [0, 1], 3: [0, 1, 2]}, [[0], [1], [2, 3]]),
        # Two branches over a shared trunk.
        ({0: [], 1: [0], 2: [0]}, [[0, 1], [2]]),
        # What is not among the maps, 7, doesn't count.
        ({0: [7], 1: [0, 7]}, [[0, 1]]),
        ({0: [], 1: [0, 7]}, [[0, 1]]),
    ],
)
def test_stacks_of_layers(below, expected):
    geometries = [plain_geometry(index, (1, 2, 6, 6), 0, (2, 3)) for index in below]
    found = stacks(geometries, below.__getitem__)
    assert [[each.index for each in stack] for stack in found] == expected
