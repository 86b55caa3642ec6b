"""Graphs of a few operations."""

import tensorflow as tf


def traced(function, *shapes):
    """Returns the inputs, the outputs of `function` for them, and all operations of the graph."""
    with tf.Graph().as_default() as whole:
        inputs = [tf.compat.v1.placeholder(tf.float32, shape) for shape in shapes]
        return inputs, function(*inputs), whole.get_operations()
