import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.capture.graph.subgraph import cut, unoptimized

pytestmark = pytest.mark.every_stack


class Whole:
    """A graph with a variable, a branch and an inner tensor, and functions cut out of it."""

    def __init__(self):
        self.weights = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
        self.offset = tf.Variable(1.0)

        def function(images, other):
            self.inner = tf.matmul(images, self.weights)
            self.parts = tf.split(self.inner, 2, axis=1)
            self.outer = tf.tanh(self.inner) + self.offset
            self.other = tf.cast(other, tf.float32) * 2.0
            return self.outer

        self.spec = tf.TensorSpec([None, 2])
        self.wrapped = tf.compat.v1.wrap_function(
            function, [self.spec, tf.TensorSpec([], tf.int32)]
        )
        self.inputs = self.wrapped.inputs[:2]

    def cut(self, feeds, fetches):
        captures = {inner.name: outer for outer, inner in self.wrapped.graph.captures}
        return cut(self.wrapped.graph, feeds, fetches, captures)


IMAGES = np.float32([[1, -1], [0.5, 0.25], [0, 2]])


@pytest.fixture
def whole():
    return Whole()


def expected(whole, images=IMAGES):
    return np.tanh(images @ whole.weights.numpy()) + whole.offset.numpy()


def test_values_are_those_of_the_whole_graph(whole):
    function = whole.cut(whole.inputs, [whole.outer, whole.inner, whole.other])
    outer, inner, other = function(tf.constant(IMAGES), tf.constant(3))
    np.testing.assert_array_equal(outer, whole.wrapped(tf.constant(IMAGES), tf.constant(3)))
    np.testing.assert_allclose(inner, IMAGES @ whole.weights.numpy(), rtol=1e-6)
    assert other.numpy() == 6


def test_fetches_keep_their_structure(whole):
    function = whole.cut(whole.inputs, {"a": [whole.inner], "b": whole.other})
    found = function(tf.constant(IMAGES), tf.constant(1))
    assert set(found) == {"a", "b"}
    assert found["a"][0].shape == (3, 2)


def test_the_batch_may_have_any_size(whole):
    function = whole.cut(whole.inputs, [whole.outer])
    for count in (1, 2, 5):
        images = np.random.default_rng(count).normal(size=(count, 2)).astype("float32")
        (found,) = function(tf.constant(images), tf.constant(0))
        np.testing.assert_allclose(found, expected(whole, images), rtol=1e-5, atol=1e-6)


def test_an_inner_tensor_can_be_fed(whole):
    function = whole.cut([whole.inner], [whole.outer])
    inner = np.float32([[0.5, 0], [2, 3]])
    (found,) = function(tf.constant(inner))
    np.testing.assert_allclose(found, np.tanh(inner) + 1, rtol=1e-6)


def test_what_lies_below_a_fed_tensor_is_cut_off(whole):
    function = whole.cut([whole.inner], [whole.outer])
    names = {operation.type for operation in function.graph.get_operations()}
    assert "MatMul" not in names
    (captured,) = function.captured_inputs
    assert captured is whole.offset.handle


def test_a_fed_input_that_is_not_needed_is_taken_all_the_same(whole):
    function = whole.cut([*whole.inputs, whole.inner], [whole.outer])
    inner = np.float32([[0.5, 0]])
    (found,) = function(tf.constant(IMAGES), tf.constant(0), tf.constant(inner))
    np.testing.assert_allclose(found, np.tanh(inner) + 1, rtol=1e-6)


def test_a_fed_tensor_can_be_fetched(whole):
    function = whole.cut(whole.inputs, [whole.inputs[0], whole.outer])
    images, outer = function(tf.constant(IMAGES), tf.constant(0))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_allclose(outer, expected(whole), rtol=1e-6)


def test_a_fed_tensor_that_nothing_reads_can_be_fetched(whole):
    function = whole.cut([*whole.inputs, whole.other], [whole.inner, whole.other])
    _, other = function(tf.constant(IMAGES), tf.constant(3), tf.constant(-1.0))
    assert other.numpy() == -1


def test_one_output_of_an_operation_can_be_fed(whole):
    left, right = whole.parts
    with whole.wrapped.graph.as_default():
        total = left + right
    function = whole.cut([whole.inputs[0], right], [total])
    (found,) = function(tf.constant(IMAGES), tf.constant([[10.0], [20.0], [30.0]]))
    left = (IMAGES @ whole.weights.numpy())[:, :1]
    np.testing.assert_allclose(found, left + np.array([[10], [20], [30]]), rtol=1e-6)


def test_variables_are_captured_by_reference(whole):
    function = whole.cut(whole.inputs, [whole.outer])
    whole.weights.assign([[0.0, 1.0], [1.0, 0.0]])
    whole.offset.assign(-3.0)
    (found,) = function(tf.constant(IMAGES), tf.constant(0))
    np.testing.assert_allclose(found, np.tanh(IMAGES[:, ::-1]) - 3, rtol=1e-6)


def test_in_another_function_variables_are_still_seen(whole):
    function = whole.cut(whole.inputs, [whole.outer])

    @tf.function(input_signature=[whole.spec])
    def doubled(images):
        return 2.0 * function(images, tf.constant(0))[0]

    np.testing.assert_allclose(doubled(IMAGES), 2 * expected(whole), rtol=1e-6)
    whole.offset.assign(7.0)
    np.testing.assert_allclose(doubled(IMAGES), 2 * expected(whole), rtol=1e-6)


def test_gradients_reach_the_arguments(whole):
    function = whole.cut(whole.inputs, [whole.outer])
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        (outer,) = function(images, tf.constant(0))
    slopes = 1 - np.tanh(IMAGES @ whole.weights.numpy()) ** 2
    gradient = tape.gradient(outer, images)
    np.testing.assert_allclose(gradient, slopes @ whole.weights.numpy().T, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_variables(whole):
    function = whole.cut(whole.inputs, [whole.outer])
    with tf.GradientTape() as tape:
        (outer,) = function(tf.constant(IMAGES), tf.constant(0))
    by_weights, by_offset = tape.gradient(outer, [whole.weights, whole.offset])
    slopes = 1 - np.tanh(IMAGES @ whole.weights.numpy()) ** 2
    np.testing.assert_allclose(by_weights, IMAGES.T @ slopes, rtol=1e-4, atol=1e-6)
    assert by_offset.numpy() == 6


def test_gradients_added_later_can_be_cut_out(whole):
    with whole.wrapped.graph.as_default():
        (gradient,) = tf.gradients(whole.outer, whole.inner)
    (found,) = whole.cut(whole.inputs, [gradient])(tf.constant(IMAGES), tf.constant(0))
    slopes = 1 - np.tanh(IMAGES @ whole.weights.numpy()) ** 2
    np.testing.assert_allclose(found, slopes, rtol=1e-4, atol=1e-6)


def cut_whole(function, *specs):
    """Returns all of `function`, cut out of its own graph."""
    wrapped = tf.compat.v1.wrap_function(function, list(specs))
    captures = {inner.name: outer for outer, inner in wrapped.graph.captures}
    return cut(wrapped.graph, wrapped.inputs[: len(specs)], [wrapped.outputs[0]], captures)


NUMBERS = tf.TensorSpec([None])


def test_control_dependences_are_kept():
    def checked(numbers):
        positive = tf.debugging.Assert(tf.reduce_all(numbers > 0), ["must be positive"])
        with tf.control_dependencies([positive]):
            return tf.identity(numbers)

    function = cut_whole(checked, NUMBERS)
    (found,) = function(tf.constant([1.0, 2.0]))
    np.testing.assert_array_equal(found, [1, 2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be positive"):
        function(tf.constant([1.0, -2.0]))


def test_functions_and_loops_inside_are_kept():
    square = tf.function(lambda numbers: numbers * numbers)

    def function(numbers):
        return tf.while_loop(lambda n: tf.reduce_max(n) < 100, lambda n: (square(n),), [numbers])[0]

    (found,) = cut_whole(function, NUMBERS)(tf.constant([2.0, 3.0]))
    # 4 and 9, 16 and 81, 256 and 6561.
    np.testing.assert_array_equal(found, [256, 6561])


def test_a_tensor_bound_to_the_device_of_what_is_cut_off():
    def function(numbers):
        below = numbers + 1.0
        with tf.compat.v1.colocate_with(below.op):
            return tf.constant(2.0) * tf.sqrt(numbers)

    wrapped = tf.compat.v1.wrap_function(function, [NUMBERS])
    (output,) = wrapped.outputs
    bound = [op for op in wrapped.graph.get_operations() if op.colocation_groups()]
    assert any(group.startswith(b"loc:@add") for op in bound for group in op.colocation_groups())
    (found,) = cut(wrapped.graph, wrapped.inputs, [output], {})(tf.constant([4.0, 9.0]))
    np.testing.assert_array_equal(found, [4, 6])


def rewriting_is_off():
    return tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)


def test_an_unoptimized_function_computes_the_same(whole):
    function = unoptimized(whole.cut(whole.inputs, [whole.outer]))
    (found,) = function(tf.constant(IMAGES), tf.constant(3))
    np.testing.assert_allclose(found, expected(whole), rtol=1e-6)


@pytest.mark.parametrize("before", [False, True])
def test_graphs_are_not_rewritten_during_a_call_alone(before):
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})
    try:
        assert unoptimized(rewriting_is_off)() is True
        assert rewriting_is_off() is before
        with pytest.raises(tf.errors.InvalidArgumentError, match="refused"):
            unoptimized(tf.debugging.assert_equal)(1, 2, "refused")
        assert rewriting_is_off() is before
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
