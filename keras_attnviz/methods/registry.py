"""The explanation methods by name: what each needs, and how it computes its heatmap."""

import dataclasses
import inspect
import numbers
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_choice, check_count, check_ratio, is_integer, message
from keras_attnviz.methods.affinity import affinity_refined
from keras_attnviz.methods.evidence import GRADIENTS, LAYER_GRADIENTS, VALUES
from keras_attnviz.methods.flow import flow_through
from keras_attnviz.methods.relevance import placed_legrad, placed_relevance
from keras_attnviz.methods.rollout import check_start_layer, placed_rollout
from keras_attnviz.methods.weighting import gradient_weighted


@dataclasses.dataclass(frozen=True)
class Method:
    """A way from attention maps to a heatmap.

    Args:
        title: the name that users see.
        tokens: function from `Evidence`, a `LayerStack` and options to a float32 tensor
            `[batch, tokens]`, at least 0.
        needs: names of the `Evidence` fields that it needs besides the attention maps.
        is_share: whether its values over all tokens sum to 1.
        color_limit: the value of the highest color, in times uniform, if its heatmaps are much
            flatter than those of other methods; None for the shared limit.
        unit: the unit of its values, as a color bar shows it.
    """

    title: str
    tokens: Callable
    needs: tuple = ()
    is_share: bool = True
    color_limit: float | None = None
    unit: str = "\N{MULTIPLICATION SIGN} uniform"


def token_values(method, evidence, stack, options):
    """Returns a method's value for each token, float32 `[batch, tokens]`.

    Args:
        method: name of one of `METHODS`.
        evidence: `Evidence` with what the method needs.
        stack: the `LayerStack` that the evidence belongs to.
        options: dict, the method's options.

    Raises:
        TypeError: the method doesn't have an option, or an option has the wrong type.
        ValueError: an option is out of range.
    """
    _check_options(method, options)
    return METHODS[method].tokens(evidence, stack, **options)


def _check_options(method, options):
    parameters = inspect.signature(METHODS[method].tokens).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return  # Rollout checks its own options.
    known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(
            f"The options of {method!r} must be among: {', '.join(known)}. Received: "
            f"{', '.join(unknown)}."
        )


def check_method(name, method):
    """Raises a `ValueError` unless `method` is one of `METHODS`."""
    check_choice(name, method, tuple(METHODS))


def needs_of(methods):
    """Returns the set of `Evidence` fields, by name, that the methods need besides the maps."""
    return {need for method in methods for need in METHODS[method].needs}


def times_uniform(method, values, layout):
    """Returns a method's values as heatmaps in times uniform, float32 `[batch, height, width]`.

    1 is what a patch would get if all tokens got the same. For methods whose values are not shares,
    it is what a patch would get if all patches got the same. Zero maps stay zero, and NaN stays
    NaN.

    Args:
        method: name of one of `METHODS`.
        values: float32 tensor `[batch, tokens]`.
        layout: the `TokenLayout`.
    """
    grid = layout.to_grid(values)
    if METHODS[method].is_share:
        return grid * layout.tokens
    mean = tf.reduce_mean(grid, axis=[-2, -1], keepdims=True)
    return tf.math.divide_no_nan(grid, mean)


def method_of(name):
    """Returns the `Method` of a heatmap by its name.

    The name is one of `METHODS`, `MEAN_OF_GATES`, or what `gate_name` returns.
    """
    if name.startswith(f"{MEAN_OF_GATES}/"):
        return dataclasses.replace(_GATES, title=name.removeprefix(f"{MEAN_OF_GATES}/"))
    return _GATES if name == MEAN_OF_GATES else METHODS[name]


def gate_name(gate):
    """Returns the name of one `Gate`'s heatmap, from its layer's path within the model."""
    return f"{MEAN_OF_GATES}/{gate.layer.split('/', 1)[-1]}"


def chosen_methods(methods):
    """Returns a dict from each method's name to its options, in order.

    Args:
        methods: sequence of names of `METHODS`, or a dict from names to dicts of options.

    Raises:
        TypeError: `methods` is anything else.
        ValueError: no method is named, or an unknown one.
    """
    must = f"names of methods, {', '.join(METHODS)}, or a dict from names to their options"
    if isinstance(methods, str) or not isinstance(methods, (list, tuple, dict)):
        raise TypeError(message("methods", must, methods))
    chosen = methods if isinstance(methods, dict) else {name: {} for name in methods}
    if not chosen or set(chosen) - set(METHODS):
        raise ValueError(message("methods", must, methods))
    if not all(isinstance(options, dict) for options in chosen.values()):
        raise TypeError(message("methods", must, methods))
    return {name: dict(options) for name, options in chosen.items()}


def _rollout(evidence, stack, **options):
    return stack.rollout(evidence.attentions, **options)


def _attention(evidence, stack, *, layer=-1, head=None):
    check_start_layer(layer, len(evidence.attentions), name="layer")
    attention, placement = evidence.attentions[layer], stack.placements[layer]
    rows = placement.head_rows(stack.readout_weights(layer), attention)[:, :, 0]
    if head is None:
        return tf.reduce_mean(rows, axis=1)
    heads = rows.shape[1] or stack.heads[layer]
    must = f"None or an integer in [0, {heads}), because the layer has {heads} heads"
    if not is_integer(head):
        raise TypeError(message("head", must, head))
    if not 0 <= head < heads:
        raise ValueError(message("head", must, head))
    return rows[:, head]


def _gradient_rollout(evidence, stack, *, residual=0.5, start_layer=0):
    weighted = list(map(gradient_weighted, evidence.attentions, evidence.gradients))
    return placed_rollout(
        weighted, stack.placements, query=stack.query, residual=residual, start_layer=start_layer
    )


def _relevance(evidence, stack, *, start_layer=0):
    check_start_layer(start_layer, len(evidence.attentions))
    return placed_relevance(
        evidence.attentions,
        evidence.gradients,
        stack.placements,
        query=stack.query,
        start_layer=start_layer,
    )


def _legrad(evidence, stack, *, start_layer=0):
    check_start_layer(start_layer, len(evidence.attentions))
    return placed_legrad(evidence.layer_gradients, stack.placements, start_layer=start_layer)


def _value_rollout(evidence, stack, **options):
    return placed_rollout(evidence.values, stack.placements, query=stack.query, **options)


def _corrected_rollout(evidence, stack, *, limit=2.0, **options):
    if isinstance(limit, bool) or not isinstance(limit, numbers.Real):
        raise TypeError(message("limit", "a number of at least 1", limit))
    if not limit >= 1:
        raise ValueError(message("limit", "at least 1", limit))
    patches = np.array(stack.layout.patch_weights()) > 0
    damped = [
        placement.damped(attention, patches, limit=limit)
        for placement, attention in zip(stack.placements, evidence.attentions, strict=True)
    ]
    return placed_rollout(damped, stack.placements, query=stack.query, **options)


def _affinity(evidence, stack, *, top_layers=2):
    check_count("top_layers", top_layers)
    count = min(top_layers, len(evidence.attentions))
    top = [_attention(evidence, stack, layer=-1 - layer) for layer in range(count)]
    patches = np.float32(stack.layout.patch_weights()) * stack.layout.patches
    maps = [
        layer
        for layer, placement in zip(
            stack.token_maps(evidence.attentions), stack.placements, strict=True
        )
        if not placement.is_pooling
    ]
    read = tf.add_n(top) / len(top) * patches
    return affinity_refined(read, maps) if maps else read


def _flow(evidence, stack, *, residual=0.5):
    check_ratio("residual", residual)
    transitions = []
    maps = stack.token_maps(evidence.attentions)
    for layer, placement in zip(maps, stack.placements, strict=True):
        mixed = residual * tf.eye(tf.shape(layer)[-1]) + (1 - residual) * layer
        transitions.append(layer if placement.is_pooling else mixed)
    weights = np.float64(stack.query)
    flows = tf.numpy_function(
        lambda *layers: flow_through(layers, weights), transitions, tf.float32
    )
    return tf.ensure_shape(flows, [None, stack.layout.tokens])


METHODS = {
    "rollout": Method("Rollout", _rollout),
    "attention": Method("Attention of one layer", _attention),
    "affinity": Method("Affinity", _affinity, is_share=False, color_limit=2.0),
    "corrected_rollout": Method("Rollout without sinks", _corrected_rollout),
    "value_rollout": Method("Value-weighted rollout", _value_rollout, (VALUES,)),
    "flow": Method("Attention flow", _flow, is_share=False),
    "gradient_rollout": Method("Gradient-weighted rollout", _gradient_rollout, (GRADIENTS,)),
    "relevance": Method("Relevance", _relevance, (GRADIENTS,), is_share=False),
    "legrad": Method("LeGrad", _legrad, (LAYER_GRADIENTS,), is_share=False),
}
# The mean of a model's spatial gates; its values are absolute.
MEAN_OF_GATES = "gates"
_GATES = Method("Mean of the gates", None, is_share=False, color_limit=1.0, unit="")
# The methods that are logged by default.
DEFAULT = ("rollout", "affinity")
