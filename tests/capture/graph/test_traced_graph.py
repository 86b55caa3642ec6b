"""One call as a graph: what is recorded of it, and functions cut out of it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.capture.graph.operations import hidden_calls
from keras_attnviz.capture.graph.traced_graph import functions_inlined, trace_call

pytestmark = pytest.mark.every_stack

IMAGES = np.float32([[1, -1, 2], [0.5, 0.25, 0]])
SPECS = [tf.TensorSpec([None, 3])]


def first(outputs):
    return outputs[0]


@pytest.fixture
def scale():
    return tf.Variable(2.0)


@pytest.fixture
def graph(scale):
    return trace_call(lambda images: [tf.tanh(images * scale), images], SPECS, select=first)


def test_the_output_is_the_selected_one(graph):
    assert graph.output.op.type == "Tanh"
    assert [tensor.shape.as_list() for tensor in graph.inputs] == [[None, 3]]


def test_operations_are_those_of_the_call(graph):
    types = [operation.type for operation in graph.operations]
    assert types[-2:] == ["Mul", "Tanh"]
    assert graph.inputs[0].op not in graph.operations
    with graph.as_default():
        added = tf.exp(graph.output)
    assert added.op in graph.all_operations()
    assert added.op not in graph.operations


def test_functions_see_later_values_of_variables(graph, scale):
    run, experiment = graph.function([graph.output]), graph.experiment([graph.output])
    scale.assign(3.0)
    for function in (run, experiment):
        np.testing.assert_allclose(function(tf.constant(IMAGES))[0], np.tanh(3 * IMAGES), rtol=1e-6)


def test_what_lies_below_a_fed_tensor_is_cut_off(graph):
    (product,) = (each.outputs[0] for each in graph.operations if each.type == "Mul")
    function = graph.function({"tanh": graph.output}, feeds=[product])
    found = function(tf.constant(IMAGES), tf.zeros([1, 3]))
    np.testing.assert_array_equal(found["tanh"], [[0, 0, 0]])
    (other,) = graph.cut([product], [graph.output])(tf.zeros([1, 3]))
    np.testing.assert_array_equal(other, [[0, 0, 0]])


def test_captures_are_the_handles_of_variables(graph, scale):
    assert any(outer is scale.handle for _, outer in graph.captures())


def test_python_control_flow_is_converted():
    def call(images):
        if tf.reduce_sum(images) > 0:
            images = images + 1.0
        return [images]

    graph = trace_call(call, SPECS, select=first)
    (found,) = graph.function([graph.output])(tf.constant(IMAGES))
    np.testing.assert_array_equal(found, IMAGES + 1)


def test_functions_inside_are_inlined():
    inner = tf.function(tf.exp)

    def call(images):
        return [inner(images)]

    assert hidden_calls(trace_call(call, SPECS, select=first).operations)
    with functions_inlined():
        assert not hidden_calls(trace_call(call, SPECS, select=first).operations)
    assert not tf.config.functions_run_eagerly()


def test_is_frozen(graph):
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'output'"):
        graph.output = None
