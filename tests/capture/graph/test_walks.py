"""Walks through graphs of a few operations."""

import pytest
import tensorflow as tf
from support.small_graphs import traced

from keras_attnviz.capture.graph.walks import ancestors, levels, sources_of, stripped

pytestmark = pytest.mark.every_stack


def diamond(images):
    """Returns a tensor, two that are computed from it, and their product."""
    below = tf.tanh(images, "below")
    left, right = tf.exp(below, "left"), tf.abs(below, "right")
    return below, left, right, tf.multiply(left, right, "top")


def names(operations):
    return [operation.name for operation in operations]


def test_ancestors_are_all_that_an_operation_is_computed_from_each_once():
    (images,), (*_, top), _ = traced(diamond, [None, 4])
    assert names(ancestors([top.op])) == ["top", "right", "below", images.op.name, "left"]


def test_ancestors_of_several_operations():
    (images,), (below, left, right, _), _ = traced(diamond, [None, 4])
    expected = {images.op.name, "below", "left", "right"}
    assert set(names(ancestors([left.op, right.op, below.op]))) == expected
    assert ancestors([]) == []


def test_a_walk_stops_where_nothing_is_followed():
    _, (below, _, _, top), _ = traced(diamond, [None, 4])

    def following(operation):
        return [] if operation is below.op else sources_of(operation)

    assert names(ancestors([top.op], following=following)) == ["top", "right", "below", "left"]


def test_levels_are_reached_step_by_step():
    (images,), (*_, top), _ = traced(diamond, [None, 4])
    found = [names(level) for level in levels([top.op], sources_of)]
    assert found == [["top"], ["left", "right"], ["below"] * 2, [images.op.name] * 2]
    assert [names(level) for level in levels([top.op], sources_of, count=2)] == found[:2]


def test_levels_are_not_looked_up_before_they_are_asked_for():
    asked = []
    walk = levels([0], lambda item: asked.append(item) or [item + 1])
    assert (next(walk), asked) == ([0], [])
    assert (next(walk), asked) == ([1], [0])


def test_stripped_of_some_operations():
    def function(images):
        logits = tf.tanh(images)
        return logits, tf.cast(tf.reshape(logits, [-1]), tf.float16)

    _, (logits, last), _ = traced(function, [None, 4])
    assert stripped(last, {"Cast", "Reshape"}) is logits
    assert stripped(last, {"Reshape"}) is last
