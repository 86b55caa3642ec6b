"""Repeated blocks: attention maps that have the same tokens, in the same order, as one below.

Measuring each map of a deep model would take long. Mostly, the same block is repeated: the graph
shows that each map is computed from the tokens below it as the first one is, and that each block
hands its tokens on as the first one does. Then one measurement shows that the first block leaves
the tokens in their places, and so all of them do.

Where blocks differ, one experiment is enough for all of their maps. With the attention of all
layers held constant, some tokens of the residual stream below the first map are changed. In a map
of the same tokens, exactly the scores in the rows and columns of these tokens change.
"""

import itertools
import math
import re

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.counterparts import counterpart
from keras_attnviz.capture.graph.paths import tensors_between
from keras_attnviz.capture.graph.positions import position_axes
from keras_attnviz.capture.tokens.gradient_codes import are_in_place
from keras_attnviz.capture.tokens.position_gradients import token_gradients

# Less than this share of the largest change is rounding.
_NEGLIGIBLE = 1e-4


def alike(trace, index, shapes):
    """Returns the maps of repeated blocks above map `index`, each computed from all below it.

    Args:
        trace: a `Trace`.
        index: the lowest map's number.
        shapes: the shapes of all maps for one image.
    """
    pattern, found = _pattern(trace.sites[index].layer), []
    for other in range(index + 1, len(shapes)):
        if (
            shapes[other] == shapes[index]
            and _pattern(trace.sites[other].layer) == pattern
            and {index, *found} <= trace.sites_below(other)
        ):
            found.append(other)
    return found


def _pattern(path):
    """Returns a layer's path without numbers, which is the same for all blocks of a stack."""
    return re.sub(r"_?\d+", "", path)


def followers(trace, geometry, candidates, *, anchor, inputs):
    """Returns the maps that have the same rows and columns as another map, out of some candidates.

    Args:
        trace: an `ObservedTrace`.
        geometry: `MapGeometry` of the map below, all tokens in one group.
        candidates: indices of maps of the same shape above it.
        anchor: symbolic tensor below that map, from which its queries are computed.
        inputs: flat list of the model's inputs, one image.

    Returns:
        set of indices. The map of `geometry` is tested too, but is not among them.
    """
    indices = [geometry.index, *candidates]
    stream = _stream(trace, anchor, indices, geometry.queries.slots)
    if stream is None:
        return set()
    if _are_built_alike(trace, indices, stream, inputs):
        return set(candidates)
    experiment = _Experiment(trace, [trace.sites[index] for index in indices], stream, inputs)
    agreeing = set(range(len(indices)))
    for tokens, queries, keys in _changes(geometry):
        agreeing &= experiment.agreeing(tokens, queries, keys, geometry.order)
    return {indices[number] for number in agreeing - {0}} if 0 in agreeing else set()


def _stream(trace, anchor, indices, count):
    """Returns the last tensor of `count` tokens through which the maps are computed, or None."""
    first, second = indices[:2]
    through = [
        tensor
        for tensor in tensors_between(anchor, trace.sites[second].scores)
        if first not in trace.sites_of(tensor) and _count(trace, tensor) == count
    ]
    return through[-1] if through else None


def _are_built_alike(trace, indices, stream, inputs):
    """Returns whether maps are of one block repeated, which leaves tokens in their places.

    Args:
        trace: an `ObservedTrace`.
        indices: the maps' numbers, bottom first.
        stream: symbolic tensor, the tokens below the first block.
        inputs: flat list of the model's inputs, one image.
    """

    def below(tensor, other):
        return counterpart(trace, tensor, stream, other, reads_inputs=trace.reads_inputs)

    scores = [trace.sites[index].scores for index in indices]
    streams = [stream, *(below(scores[0], other) for other in scores[1:])]
    if None in streams or trace.shape_of(stream) is None:
        return False
    for lower, upper in itertools.pairwise(streams[1:]):
        source = below(streams[1], upper)
        if source is None or source.name != lower.name:
            return False
    found = token_gradients(trace, stream, streams[1], inputs)
    if found is None:
        return False
    _, gradient = found
    return are_in_place(gradient, _count(trace, stream))


def _count(trace, tensor):
    """Returns the number of a tensor's positions, or None where it isn't known."""
    shape = trace.shape_of(tensor) or tensor.shape.as_list()
    sizes = [shape[axis] for axis in position_axes(tensor)]
    return None if None in sizes else math.prod(sizes)


def _changes(geometry):
    """Yields which tokens are changed, and which queries and keys must change with them.

    First come the tokens of some keys, then tokens that may share a key with unchanged tokens.
    """
    random = np.random.default_rng(3)
    queries, keys = geometry.queries, geometry.keys
    for by_key in (True, False):
        if queries.slots == keys.slots and np.array_equal(queries.owners, keys.owners):
            tokens = random.permutation(queries.slots) < max(1, queries.slots // 2)
            yield tokens, tokens, tokens
            continue
        owners = _on_grid(keys, queries.grid)
        of_key = random.permutation(keys.slots) < max(1, keys.slots // 2)
        tokens, changed = np.zeros(queries.slots, bool), np.zeros(keys.slots, bool)
        tokens[queries.owners] = of_key[owners] if by_key else random.random(len(owners)) < 0.5
        changed[owners[tokens[queries.owners]]] = True
        yield tokens, tokens, changed


def _on_grid(side, grid):
    """Returns the owners of a side for the cells of a finer grid."""
    rows, columns = (
        np.arange(fine) * coarse // fine for fine, coarse in zip(grid, side.grid, strict=True)
    )
    return side.owners.reshape(side.grid)[np.ix_(rows, columns)].ravel()


class _Experiment:
    """Scores of some maps after changes of tokens below them, with attention held constant.

    Args:
        trace: a `Trace`.
        sites: the maps' `AttentionSite`s.
        stream: symbolic tensor `[1, tokens, channels]`, or with the tokens on two axes.
        inputs: flat list of the model's inputs, one image.
    """

    def __init__(self, trace, sites, stream, inputs):
        self._inputs, self._axes = inputs, position_axes(stream)
        operands = [list(site.operands) for site in sites]
        constant = [tensor for tensor in trace.mixing() if tensor is not stream]
        usual = trace.experiment([stream, constant, operands])(*inputs)
        self._stream, self._constant, self._usual = usual
        self._operands = trace.experiment(operands, feeds=[stream, *constant])
        flat = tf.nest.flatten(operands)
        self._scores = trace.experiment([site.scores for site in sites], feeds=flat)
        self._usual_scores = self._scores_of(self._usual)

    def agreeing(self, tokens, queries, keys, order):
        """Returns the numbers of the maps in which exactly the expected rows and columns change.

        Args:
            tokens: bool array `[tokens]`, the tokens that are changed.
            queries: bool array `[queries]`, the rows that must change.
            keys: bool array `[keys]`, the columns that must change.
            order: the axes of scores in the order `[batch, ..., *queries, *keys]`.
        """
        changed = self._operands(*self._inputs, self._with_other(tokens), *self._constant)
        of_operand = []
        for number in (0, 1):
            both = zip(changed, self._usual, strict=True)
            pairs = [(new[0], old[1]) if number == 0 else (old[0], new[1]) for new, old in both]
            of_operand.append(self._scores_of(pairs))
        found = set()
        for number, usual in enumerate(self._usual_scores):
            sides = [
                _changed_side(scores[number] - usual, order, queries, keys) for scores in of_operand
            ]
            if sorted(filter(None, sides)) == ["keys", "queries"]:
                found.add(number)
        return found

    def _with_other(self, tokens):
        """Returns the stream with some tokens replaced by random ones."""
        stream = self._stream.numpy()
        shape = [size if axis in self._axes else 1 for axis, size in enumerate(stream.shape)]
        random = np.random.default_rng(4).normal(size=stream.shape)
        other = stream + random * (stream.astype(float).std() + 1)
        return tf.constant(np.where(tokens.reshape(shape), other, stream), self._stream.dtype)

    def _scores_of(self, operands):
        scores = self._scores(*self._inputs, *tf.nest.flatten(operands))
        return [values.numpy().astype(float) for values in scores]


def _changed_side(change, order, queries, keys):
    """Returns the side on which exactly the expected slots have changed, or None."""
    change = np.abs(change.transpose(order))
    change = change.reshape(-1, len(queries), len(keys)).max(axis=0)
    is_changed = change > _NEGLIGIBLE * change.max()
    for side, axis, expected in (("queries", 1, queries), ("keys", 0, keys)):
        if np.array_equal(is_changed.any(axis=axis), expected):
            return side
    return None
