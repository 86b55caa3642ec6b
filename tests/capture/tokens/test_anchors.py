"""Tensors on which the tokens of an attention map are looked for, the nearest first."""

import numpy as np
from support.traces import HEIGHT, WIDTH, Attention, columns_first, traced
from tensorflow import keras

from keras_attnviz.capture.tokens.anchors import Anchors

PATCHES = HEIGHT * WIDTH


def test_the_lowest_map_is_looked_for_on_feature_maps_and_then_on_the_image():
    trace, inputs = traced(Attention())
    (feature_map,) = trace.feature_maps(trace.sites[0])
    found = list(Anchors(trace, inputs).candidates(0))
    assert [anchor.tensor.name for anchor in found] == [feature_map.name, trace.inputs[0].name]
    assert {anchor.images for anchor in found} == {frozenset([0])}
    assert {anchor.grid for anchor in found} == {None}


def test_maps_above_are_looked_for_on_the_stream_above_the_last_one():
    rearranged = [keras.layers.Lambda(columns_first, name=f"columns_{index}") for index in (0, 1)]
    layers = [Attention(), rearranged[0], Attention(), rearranged[1], Attention(), Attention()]
    trace, inputs = traced(*layers)
    anchors = Anchors(trace, inputs)
    nearest = []
    for index in range(4):
        assert anchors.of(index) is None
        nearest.append(next(iter(anchors.candidates(index))))
        anchors.keep(index, nearest[-1])
        assert anchors.of(index) is nearest[-1]
        assert trace.sites_of(nearest[-1].tensor) == set(range(index))
    # On the grid of the feature map: where its positions stand, column by column, and so again.
    columns = np.arange(PATCHES).reshape(WIDTH, HEIGHT).T.ravel()
    assert {anchor.grid for anchor in nearest[1:]} == {(HEIGHT, WIDTH)}
    found = [anchor.positions.tolist() for anchor in nearest[1:]]
    assert found == [list(range(PATCHES)), columns.tolist(), columns[columns].tolist()]


def test_candidates_can_be_gone_through_again_and_are_measured_once():
    trace, inputs = traced(Attention(), Attention())
    anchors = Anchors(trace, inputs)
    anchors.keep(0, next(iter(anchors.candidates(0))))
    candidates = anchors.candidates(1)
    first, again = next(iter(candidates)), list(candidates)
    assert again[0] is first
    assert [id(anchor) for anchor in candidates] == [id(anchor) for anchor in again]
