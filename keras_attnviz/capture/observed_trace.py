"""The observed trace: a traced model, and what runs of a few images through it show."""

import dataclasses
import math
import typing
from collections.abc import Callable

import tensorflow as tf

from keras_attnviz.capture.graph.operation_types import ADDITIONS
from keras_attnviz.capture.tokens.row_gradient import row_gradient
from keras_attnviz.capture.trace import Trace
from keras_attnviz.model_io.calling import refusal_told

# An attention map has one, two or three key axes: tokens, or height and width, or with frames.
_MAX_KEY_AXES = 3
# How many entries of an axis are compared from run to run.
_SAMPLE = 48


class ObservedMap(typing.NamedTuple):
    """What a run shows of an attention map.

    Args:
        shape: the map's shape, a tuple of integers.
        deviations: list of floats, at least 0. `deviations[n - 1]` is the largest distance from 1
            of a sum over the last `n` axes.
        sample: float32 array, the entries of evenly spaced queries and keys.
    """

    shape: tuple
    deviations: list
    sample: object


class ObservedGate(typing.NamedTuple):
    """What a run shows of a gate.

    Args:
        factor: the shape of the gate as it enters the product, a tuple of integers.
        features: the shape of the feature map.
        sample: float32 array `[batch, entries]`, evenly spaced values.
        ends: `(lowest, highest)` value, floats.
    """

    factor: tuple
    features: tuple
    sample: object
    ends: tuple


class Observation(typing.NamedTuple):
    """What one run of some images shows.

    Args:
        predictions: tensor, the predictions.
        maps: list of `ObservedMap`, one for each site of the trace.
        gates: list of `ObservedGate`, one for each gate site of the trace.
        shapes: dict from the names of feature maps, tokens, queries and keys to their shapes.
        held: dict from the names of some more tensors to their values.
    """

    predictions: object
    maps: list
    gates: list
    shapes: dict
    held: dict


@dataclasses.dataclass(frozen=True, eq=False)
class ObservedTrace(Trace):
    """A `Trace` of which more is known, because one image was run through it.

    Args:
        one: flat list of the model's inputs, the image.
        seen: the `Observation` of that run.
        observe: function from a flat list of inputs to another `Observation`.
        row_gradients: dict from indices of sites to their `RowGradient`.
    """

    one: list
    seen: Observation
    observe: Callable
    row_gradients: dict

    @property
    def maps(self):
        """The `ObservedMap` of each of `sites`, a list."""
        return self.seen.maps

    @property
    def entries(self):
        """The number of entries of each map of the image, a list."""
        return [math.prod(seen.shape) for seen in self.maps]

    def shape_of(self, tensor):
        """Returns a tensor's shape for one image, or None where it was not observed."""
        return self.seen.shapes.get(tensor.name)

    def values_of(self, tensors, inputs):
        """Returns the values of symbolic tensors for some inputs, a list of tensors."""
        if inputs is self.one and all(tensor.name in self.seen.held for tensor in tensors):
            return [self.seen.held[tensor.name] for tensor in tensors]
        return list(self.experiment(list(tensors))(*inputs))

    def row_gradient(self, index):
        """Returns the `RowGradient` of site `index`."""
        if index not in self.row_gradients:
            self.row_gradients[index] = row_gradient(self, self.sites[index])
        return self.row_gradients[index]


def observed(trace, inputs):
    """Returns the `ObservedTrace` of a `Trace`, after a run of one image.

    One run shows all that is looked at, because the function takes longer to build than to run.

    Args:
        trace: a `Trace`.
        inputs: flat list of the model's inputs, one image.

    Raises:
        ValueError: the model doesn't take these values.
    """
    # Mostly, the last map is the one whose rows the head reads.
    last = len(trace.sites) - 1
    gradients = {last: row_gradient(trace, trace.sites[last])} if trace.sites else {}
    held = [tensor for gradient in gradients.values() for tensor in gradient.frontier]
    streams = {tensor.name: tensor for tensor in _streams(trace)}
    with trace.as_default():
        fetches = Observation(
            predictions=trace.predictions,
            maps=[ObservedMap(*_of_map(site.weights)) for site in trace.sites],
            gates=[ObservedGate(*_of_gate(site)) for site in trace.gates],
            shapes={name: tf.shape(tensor) for name, tensor in streams.items()},
            held={tensor.name: tensor for tensor in held},
        )
    run = trace.experiment(fetches)

    def observe(inputs):
        with refusal_told(trace.signature, inputs):
            return _in_python(run(*inputs))

    fields = {field.name: getattr(trace, field.name) for field in dataclasses.fields(Trace)}
    return ObservedTrace(
        **fields, one=inputs, seen=observe(inputs), observe=observe, row_gradients=gradients
    )


def _streams(trace):
    """Returns the tensors whose shapes matter: feature maps, tokens, queries and keys."""
    for site in trace.sites:
        yield from site.operands
    if trace.sites:
        yield from trace.feature_maps(trace.sites[-1])
        for operation in trace.operations:
            if operation.type in ADDITIONS and operation.outputs[0].shape.rank in (3, 4):
                yield operation.outputs[0]


def _of_map(weights):
    """Returns the fields of `ObservedMap`, symbolic."""
    rank = weights.shape.rank
    shape = tf.shape(weights)
    steps = tf.concat([tf.ones([rank - 2], tf.int32), tf.maximum(1, shape[-2:] // _SAMPLE)], axis=0)
    sample = tf.strided_slice(weights, [0] * rank, shape, steps)
    as_floats = tf.cast(weights, tf.float32)
    axes = range(1, min(_MAX_KEY_AXES, (rank - 1) // 2) + 1)
    sums = [tf.reduce_sum(as_floats, axis=list(range(-count, 0))) for count in axes]
    deviations = [tf.reduce_max(tf.abs(total - 1)) for total in sums]
    return shape, deviations, tf.cast(sample, tf.float32)


def _of_gate(site):
    """Returns the fields of `ObservedGate`, symbolic."""
    values = tf.cast(site.factor if site.is_plain else site.values, tf.float32)
    flat = tf.reshape(values, [tf.shape(values)[0], -1])
    step = tf.maximum(1, tf.shape(flat)[1] // _SAMPLE**2)
    ends = (tf.reduce_min(values), tf.reduce_max(values))
    return tf.shape(site.factor), tf.shape(site.features), flat[:, ::step], ends


def _in_python(found):
    """Returns an `Observation` with shapes and numbers in place of tensors."""
    return found._replace(
        maps=[
            ObservedMap(_as_tuple(shape), [float(each) for each in deviations], sample.numpy())
            for shape, deviations, sample in found.maps
        ],
        gates=[
            ObservedGate(
                _as_tuple(factor), _as_tuple(features), sample.numpy(), tuple(map(float, ends))
            )
            for factor, features, sample, ends in found.gates
        ],
        shapes={name: _as_tuple(shape) for name, shape in found.shapes.items()},
    )


def _as_tuple(shape):
    return tuple(shape.numpy().tolist())
