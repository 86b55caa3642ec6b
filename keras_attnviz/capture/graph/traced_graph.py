"""Traced graphs: one call of a function as a TensorFlow graph, and functions cut out of it."""

import contextlib
import dataclasses

import tensorflow as tf

from keras_attnviz.capture.graph.subgraph import cut, unoptimized


@dataclasses.dataclass(frozen=True, eq=False)
class TracedGraph:
    """The graph of one call of a function, and functions cut out of it.

    Args:
        wrapped: the `WrappedFunction` of the call. It owns the graph and keeps its variables.
        inputs: list of symbolic tensors, the arguments of the call.
        output: symbolic tensor, the result of the call.
        operations: list of the operations that the call added, in the graph's order.
    """

    wrapped: object
    inputs: list
    output: object
    operations: list

    def function(self, outputs, *, feeds=()):
        """Returns a function cut out of the graph.

        Args:
            outputs: structure of symbolic tensors.
            feeds: symbolic tensors that the function takes after the call's inputs. The graph
                below them is cut off.

        Returns:
            function from tensors to a structure of tensors like `outputs`.
        """
        return self.cut([*self.inputs, *feeds], outputs)

    def cut(self, feeds, fetches):
        """Returns a function from some tensors of the graph, and variables, to others.

        Args:
            feeds: list of symbolic tensors, the function's arguments.
            fetches: structure of symbolic tensors, the function's results.
        """
        captures = {inner.name: outer for inner, outer in self.captures()}
        return cut(self.wrapped.graph, feeds, fetches, captures, order=self.order)

    def order(self, operations):
        """Returns which operations of a function wait for which others, see `cut`."""
        return {}

    def captures(self):
        """Returns pairs `(inner, outer)` of the graph's captures, such as handles of variables."""
        return [(inner, outer) for outer, inner in self.wrapped.graph.captures]

    def all_operations(self):
        """Returns all operations of the graph, including those added after the call."""
        return self.wrapped.graph.get_operations()

    def experiment(self, outputs, *, feeds=()):
        """Returns the same as `function`, for few calls: it starts faster and runs slower."""
        return unoptimized(self.function(outputs, feeds=feeds))

    def part(self, feeds, fetches):
        """Returns the same as `cut`, for few calls, see `experiment`."""
        return unoptimized(self.cut(feeds, fetches))

    def as_default(self):
        """Returns the context in which operations are added to this graph."""
        return self.wrapped.graph.as_default()


def trace_call(call, specs, *, select):
    """Returns the `TracedGraph` of one call of a function.

    AutoGraph converts the function, so that Python control flow works as it does in `fit`.

    Args:
        call: function from symbolic tensors to a structure of them.
        specs: list of `tf.TensorSpec`, one for each argument of `call`.
        select: function from what `call` returns to the one tensor that is the graph's output.
            AutoGraph leaves it alone, and it adds no operations.
    """
    context = tf.__internal__.autograph.control_status_ctx()
    converted = tf.__internal__.autograph.tf_convert(call, context)
    calls = []

    def traced(*inputs):
        operations = tf.compat.v1.get_default_graph().get_operations
        before = len(operations())
        outputs = converted(*inputs)
        added = operations()[before:]
        output = select(outputs)
        calls.append((output, added))
        return output

    # Unlike the result of tf.function, this one can be cut into functions of parts.
    wrapped = tf.compat.v1.wrap_function(traced, specs)
    output, operations = calls[-1]
    return TracedGraph(wrapped, wrapped.inputs[: len(specs)], output, operations)


@contextlib.contextmanager
def functions_inlined():
    """Lets functions decorated with `tf.function` be traced as if they were not."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
