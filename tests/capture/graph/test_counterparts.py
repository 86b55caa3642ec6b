"""Counterparts: which parts of a graph are built alike, and which aren't."""

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.capture.graph.counterparts import counterpart
from keras_attnviz.capture.graph.operations import Dependence
from keras_attnviz.capture.graph.traced_graph import trace_call

pytestmark = pytest.mark.every_stack

WIDE = 4


class Blocks(tf.Module):
    """Two blocks, `stream + f(stream)`, with variables of their own.

    Args:
        changes: dict of what the second block does differently.
    """

    def __init__(self, **changes):
        random = np.random.default_rng(0)
        self.weights = [tf.Variable(np.float32(random.normal(size=(WIDE, WIDE)))) for _ in range(2)]
        self.orders = [tf.Variable([0, 2, 1, 3]) for _ in range(2)]
        self.changes = changes
        if "weights" in changes:
            self.weights[1].assign(changes["weights"])
        if "order" in changes:
            self.orders[1].assign(changes["order"])
        self.streams, self.results = [], []

    def __call__(self, tokens):
        self.streams, self.results = [tf.tanh(tokens)], []
        for number in (0, 1):
            changes = self.changes if number else {}
            stream = self.streams[-1]
            found = tf.matmul(stream, self.weights[number])
            found = tf.gather(found, self.orders[number], axis=1) * changes.get("constant", 0.5)
            found = changes.get("function", tf.nn.relu)(found)
            if "beside" in changes:
                found = found + tf.sin(tokens)
            self.results.append(found)
            self.streams.append(stream + found)
        return self.streams[-1]


def found_in(**changes):
    blocks = Blocks(**changes)
    spec = tf.TensorSpec([None, 4, WIDE], tf.float32)
    graph = trace_call(blocks, [spec], select=lambda outputs: outputs)
    reads = Dependence(graph.all_operations(), graph.inputs)
    first, second = blocks.results
    place = counterpart(graph, first, blocks.streams[0], second, reads_inputs=reads)
    return None if place is None else place.name, blocks.streams[1].name


def test_alike_blocks_have_a_counterpart():
    found, expected = found_in()
    assert found == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"constant": 0.25},
        {"function": tf.tanh},
        {"order": [0, 1, 2, 3]},
        {"weights": np.zeros((WIDE, WIDE), np.float32)},
        {"beside": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_blocks_that_differ_have_none(changes):
    assert found_in(**changes)[0] is None


def test_other_values_of_weights_are_alike():
    found, expected = found_in(weights=np.ones((WIDE, WIDE), np.float32))
    assert found == expected


def test_a_source_on_no_way_has_no_counterpart():
    blocks = Blocks()
    graph = trace_call(
        blocks, [tf.TensorSpec([None, 4, WIDE], tf.float32)], select=lambda outputs: outputs
    )
    reads = Dependence(graph.all_operations(), graph.inputs)
    first, second = blocks.results
    assert counterpart(graph, first, blocks.streams[2], second, reads_inputs=reads) is None
