import itertools

import numpy as np
import pytest
from support.rollout_oracle import random_attentions

from keras_attnviz import attention_flow
from keras_attnviz.methods.flow import flow_through


def smallest_cut(mixed, weights, token):
    """Returns one image's largest flow to an input token as its smallest cut, over all cuts."""
    tokens, levels = len(weights), len(mixed) + 1
    nodes = [(level, each) for level in range(levels) for each in range(tokens)]
    inner = [node for node in nodes if node != (0, token)]
    smallest = np.inf
    for sides in itertools.product([False, True], repeat=len(inner)):
        with_source = {node for node, side in zip(inner, sides, strict=True) if side}
        cut = sum(weights[each] for each in range(tokens) if (levels - 1, each) not in with_source)
        for level, layer in enumerate(mixed):
            for above, below in itertools.product(range(tokens), repeat=2):
                if (level + 1, above) in with_source and (level, below) not in with_source:
                    cut += layer[above, below]
        smallest = min(smallest, cut)
    return smallest


def test_one_layer_is_the_row_by_hand():
    attention = np.array([[[[0.2, 0.8], [0.6, 0.4]]]])
    # Half of the residual: [0.6, 0.4] and [0.3, 0.7].
    np.testing.assert_allclose(attention_flow([attention]), [[0.6, 0.4]], atol=1e-5)
    np.testing.assert_allclose(attention_flow([attention], query=1), [[0.3, 0.7]], atol=1e-5)
    np.testing.assert_allclose(attention_flow([attention], residual=0.0), [[0.2, 0.8]], atol=1e-5)


def test_two_layers_are_limited_by_the_narrowest_way_by_hand():
    # To token 0: by token 0 min(0.5, 0.9), by token 1 min(0.5, 0.2).
    below = np.array([[[[0.9, 0.1], [0.2, 0.8]]]])
    above = np.array([[[[0.5, 0.5], [0.0, 1.0]]]])
    found = attention_flow([below, above], residual=0.0)
    np.testing.assert_allclose(found, [[0.5 + 0.2, 0.1 + 0.5]], atol=1e-5)


@pytest.mark.parametrize("residual", [0.0, 0.5])
def test_equals_the_smallest_cut(residual):
    attentions = random_attentions(3, layers=2, batch=2, heads=2, tokens=3)
    weights = np.array([0.25, 0.75, 0.0])
    found = attention_flow(attentions, query=weights, residual=residual)
    for image in range(2):
        mixed = [
            residual * np.eye(3) + (1 - residual) * layer[image].astype(float).mean(axis=0)
            for layer in attentions
        ]
        expected = [smallest_cut(mixed, weights, token) for token in range(3)]
        np.testing.assert_allclose(found[image], expected, atol=1e-5)


def test_too_many_edges_are_refused():
    with pytest.raises(ValueError, match=r"at most 500000 pairs of tokens.* Received: 640000"):
        flow_through([np.zeros((1, 800, 800))], np.ones(800))
