"""Stages: large tensors of a graph are alive one after the other."""

import pytest
import tensorflow as tf

from keras_attnviz.capture.graph.stages import waits

pytestmark = pytest.mark.one_stack


def graph_of(*, layers=3):
    """Returns operations of layers that each square a large map, and stages of them."""
    with tf.Graph().as_default() as whole:
        stream, stages = tf.compat.v1.placeholder(tf.float32, [None, 8, 4], name="stream"), []
        for layer in range(layers):
            with tf.name_scope(f"layer{layer}"):
                scores = tf.matmul(stream, stream, transpose_b=True, name="scores")
                weights = tf.nn.softmax(scores, name="map")
                stages.append((scores.op, weights))
                tf.reduce_mean(weights, axis=-1, name="mean")
                tf.reduce_sum(tf.math.xlogy(weights, weights, name="entropies"), -1, name="entropy")
                stream = tf.matmul(weights, stream, name="output")
        tf.multiply(stages[0][1], stages[-1][1], name="both")
    return whole.get_operations(), stages


def test_each_layer_waits_until_the_map_below_is_reduced():
    operations, stages = graph_of()
    found = waits(operations, stages)
    below = {"layer0/mean", "layer0/entropy", "layer0/output"}
    assert set(found["layer1/scores"]) == below
    assert set(found["layer2/scores"]) == {name.replace("0", "1") for name in below}
    assert "layer0/scores" not in found


def test_what_is_as_large_as_a_map_waits_for_what_came_before():
    operations, stages = graph_of()
    assert waits(operations, stages)["layer0/entropies"] == ["layer0/mean"]


def test_nothing_waits_for_what_is_computed_from_it():
    operations, stages = graph_of()
    before = {operation.name: {i.op.name for i in operation.inputs} for operation in operations}
    for name, waiting in waits(operations, stages).items():
        before[name] |= set(waiting)
    done = set()
    while len(done) < len(before):
        ready = {name for name, needed in before.items() if needed <= done} - done
        assert ready, "a circle"
        done |= ready


def test_one_layer_needs_no_order():
    assert waits(*graph_of(layers=1)) == {}


def test_layers_that_are_not_in_the_function_are_left_out():
    operations, stages = graph_of()
    part = [operation for operation in operations if not operation.name.startswith("layer1")]
    assert set(waits(part, stages)["layer2/scores"]) >= {"layer0/mean", "layer0/entropy"}
