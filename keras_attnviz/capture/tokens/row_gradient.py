"""Row gradients: how strongly the predictions depend on each row of an attention map."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.frozen_split import split
from keras_attnviz.capture.graph.logits import before_activation
from keras_attnviz.capture.graph.operation_types import CASTS
from keras_attnviz.capture.graph.paths import gradients_or_none
from keras_attnviz.capture.graph.walks import stripped


@dataclasses.dataclass(frozen=True, eq=False)
class RowGradient:
    """The gradient of the predictions at an attention map, as a part of the graph.

    Args:
        strength: symbolic float32 tensor, the largest absolute gradient over the last axis of the
            map, which has size 1. None where there is no gradient.
        frontier: list of symbolic tensors that it is computed from, together with `stand_ins`.
        stand_ins: list of symbolic tensors, weights that hold nothing but zeros. Zeros hide what
            the predictions depend on after the first training step, so random numbers stand in.
    """

    strength: object
    frontier: list
    stand_ins: list

    def random(self):
        """Returns random numbers, all positive, for the stand-ins, a list of tensors."""
        generator = np.random.default_rng(0)
        values = [generator.uniform(0.5, 1.5, tensor.shape) for tensor in self.stand_ins]
        return [tf.constant(v, t.dtype) for t, v in zip(self.stand_ins, values, strict=True)]


def row_gradient(trace, site):
    """Returns the `RowGradient` of an attention map.

    Args:
        trace: a `Trace`, whose graph gets further operations.
        site: one of its `AttentionSite`s.
    """
    zeros = _zero_weights(trace, site)
    with trace.as_default():
        strength = _strength(before_activation(trace.predictions), site.weights)
    if strength is None:
        return RowGradient(None, [], zeros)
    # What comes after the map is run again with the stand-ins.
    after = [tensor for user in site.output.consumers() for tensor in user.outputs]
    found = split(
        trace.all_operations(), [strength], inputs=trace.inputs, changing=[*after, *zeros]
    )
    return RowGradient(strength, [*found.clean, *found.frontier], zeros)


def _strength(output, attention):
    """Returns `RowGradient.strength` for a weighted sum of `output`, or None.

    The weights differ, because a plain sum of a normalization layer's output is constant.
    """
    flat = tf.reshape(tf.cast(output, tf.float32), [-1])
    weights = tf.cos(tf.cast(tf.range(tf.size(flat)), tf.float32))
    (gradient,) = gradients_or_none(flat * weights, [attention])
    if gradient is None:
        return None
    gradient = tf.cast(gradient, tf.float32)
    gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
    return tf.reduce_max(tf.abs(gradient), axis=-1, keepdims=True)


def _zero_weights(trace, site):
    """Returns the weights above an attention map that hold nothing but zeros, symbolic."""
    captured = {inner.name: outer for inner, outer in trace.captures()}
    above = itertools.dropwhile(lambda each: each is not site.weights.op, trace.operations)
    found = {}
    for operation in above:
        if operation.type != "ReadVariableOp" or not operation.outputs[0].dtype.is_floating:
            continue
        read = operation.outputs[0]
        handle = captured.get(stripped(operation.inputs[0], CASTS).name)
        if handle is None:
            continue
        value = tf.raw_ops.ReadVariableOp(resource=handle, dtype=read.dtype)
        if not tf.reduce_any(value != 0):
            read.set_shape(value.shape)
            found[read.name] = read
    return list(found.values())
