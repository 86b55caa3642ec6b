"""Attention flow: the maximum flow through a network of attention, computed in NumPy and SciPy."""

import numpy as np

# SciPy's algorithm needs integer capacities.
_UNIT = 2**20
_MOST_EDGES = 500_000


def attention_flow(attentions, *, query=0, residual=0.5):
    """Returns the maximum flow from the top layer's query tokens to each input token.

    Each layer's tokens are nodes of a network. The capacity of an edge to a token one layer down is
    the attention to it, residual connection included. This is a reference for small models: the
    time grows with layers and the fourth power of tokens. 30 tokens and 4 layers take a second.

    Args:
        attentions: sequence, bottom layer first, of arrays `[batch, heads, tokens, tokens]` whose
            rows (last axis, keys) sum to 1; heads are averaged.
        query: a token index, or weights `[tokens]` that sum to 1: the capacity into each token of
            the top layer.
        residual: float in [0, 1); the weight of the residual connection.

    Returns:
        float32 array `[batch, tokens]` in [0, 1], with no fixed sum.

    Raises:
        ImportError: SciPy isn't installed.
        ValueError: the network has more than 500,000 edges.

    References:
        Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers", arXiv 2005.00928,
        section 3. The maximum flow is by Dinic's algorithm in `scipy.sparse.csgraph`.
    """
    maps = [np.mean(np.asarray(layer, np.float64), axis=1) for layer in attentions]
    tokens = maps[0].shape[-1]
    mixed = [residual * np.eye(tokens) + (1 - residual) * layer for layer in maps]
    weights = np.eye(tokens)[query] if np.ndim(query) == 0 else np.asarray(query, np.float64)
    return flow_through(mixed, weights)


def flow_through(transitions, weights):
    """Returns the flow from a source, through the top layer's rows, to each input token.

    Args:
        transitions: list, bottom layer first, of arrays `[batch, rows, columns]`: the capacity from
            each row to each column. A layer's columns are the rows of the layer below.
        weights: array `[rows]`, the capacity into each row of the top layer.

    Returns:
        float32 array `[batch, columns]`, over the columns of the bottom layer.

    Raises:
        ValueError: the network has more than 500,000 edges.
    """
    edges = sum(layer[0].size for layer in transitions)
    if edges > _MOST_EDGES:
        raise ValueError(
            f"Attention flow must be of at most {_MOST_EDGES} pairs of tokens in all layers. "
            f"Received: {edges}. Use a smaller image, fewer layers, or another method."
        )
    flows = [_flow(image, weights) for image in zip(*transitions, strict=True)]
    return np.stack(flows).astype(np.float32)


def _flow(transitions, weights):
    """Returns the flows of one image, float64 `[columns]`."""
    maximum_flow, csr_array = _scipy()
    sizes = [transitions[0].shape[1], *(layer.shape[0] for layer in transitions)]
    begins = np.cumsum([0, *sizes])
    source = begins[-1]
    blocks = [(begins[level + 1], begins[level], layer) for level, layer in enumerate(transitions)]
    blocks.append((source, begins[-2], weights[np.newaxis]))
    rows, columns, values = (
        np.concatenate(parts) for parts in zip(*(_entries(*block) for block in blocks), strict=True)
    )
    graph = csr_array((values, (rows, columns)), shape=(source + 1, source + 1))
    flows = [maximum_flow(graph, source, sink).flow_value for sink in range(sizes[0])]
    return np.array(flows) / _UNIT


def _entries(row, column, block):
    """Returns the row numbers, column numbers and capacities of a block's edges."""
    rows, columns = np.nonzero(block)
    capacities = np.round(np.asarray(block)[rows, columns] * _UNIT).astype(np.int32)
    return rows + row, columns + column, capacities


def _scipy():
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow
    except ImportError as error:
        raise ImportError(
            "Attention flow needs SciPy. Install it with: pip install 'keras-attnviz[flow]'."
        ) from error
    return maximum_flow, csr_array
