"""Logit lens: class scores of each layer, by the model's head put on the layer's tokens."""

from keras_attnviz.capture.graph.logits import before_activation
from keras_attnviz.capture.graph.paths import gradients_or_none, tensors_between
from keras_attnviz.capture.graph.subgraph import repeated


def logits_by_layer(trace, chosen):
    """Returns each layer's own class scores, and the tokens that they are computed from, symbolic.

    The head, with its normalization, pooling and weights, is put on the tokens that each of the
    layers returns.

    Args:
        trace: a `Trace`, whose graph gets further operations.
        chosen: sequence of indices of its `sites`, ascending.

    Returns:
        `(logits, tokens)`, two lists of symbolic tensors, one for each of `chosen`. None where
        layers and head don't fit together: a layer returns tokens of another shape than the head
        takes, because a stage merges them for example; layers are not built alike; or the head
        reads more than the last layer's tokens.

    References:
        Bousselham et al. 2024, arXiv 2404.03214, section 3.
    """
    logits = before_activation(trace.predictions)
    ends = _ends(trace, chosen, logits)
    if ends is None:
        return None
    *tokens, top = ends
    return [logits if each is top else repeated(logits, top, each) for each in tokens], tokens


def gradients_by_layer(scores, tokens, sites):
    """Returns the gradient of each layer's own score with respect to that layer's map.

    Args:
        scores: list of symbolic tensors `[batch]`, one for each layer, each computed from the
            layer's entry of `tokens`.
        tokens: list of symbolic tensors, the tokens that the layers return.
        sites: list of `AttentionSite`, bottom first.

    Returns:
        list of symbolic tensors, None where there is no gradient.
    """
    # One call is enough, because no gradient passes through the tokens of a lower layer.
    at_tokens = gradients_or_none(scores, tokens, stop_gradients=tokens)
    return [
        None
        if gradient is None
        else gradients_or_none([end], [site.weights], grad_ys=[gradient])[0]
        for end, gradient, site in zip(tokens, at_tokens, sites, strict=True)
    ]


def _ends(trace, chosen, logits):
    """Returns the tokens that each of the chosen layers returns, then the tokens of the head.

    A layer's tokens are the last tensor that all of its attention passes before the next layer
    begins. For the topmost layer, the layers below show how far after the attention that is. None
    where the tokens can't be found.
    """
    top = max(trace.sites_of(logits))
    indices = sorted({*chosen, top})
    ways = [tensors_between(trace.sites[index].output, logits) for index in indices]
    if indices == [top]:
        return ways[0][-1:] * 2 or None
    lengths = {
        sum(max(trace.sites_of(tensor)) == index for tensor in way)
        for index, way in zip(indices[:-1], ways, strict=False)
    }
    count = min(lengths)
    ends = [way[count - 1 : count] for way in ways]
    kinds = {tuple(tensor.op.type for tensor in way[:count]) for way in ways}
    shapes = {tuple(tensor.shape) for end in ends for tensor in end}
    if count == 0 or any(len(found) > 1 for found in (lengths, kinds, shapes)):
        return None
    ends = [end for (end,) in ends]
    names = [{tensor.name for tensor in way} for way in ways]
    if not all(ends[-1].name in passed for passed in names):
        return None
    return [*(ends[indices.index(index)] for index in chosen), ends[-1]]
