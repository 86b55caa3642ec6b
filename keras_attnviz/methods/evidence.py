"""Evidence: what explanation methods are computed from."""

import dataclasses

GATES, GRADIENTS, LAYER_GRADIENTS, VALUES = "gates", "gradients", "layer_gradients", "values"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Attention maps of one batch, and what weights them.

    All lists are of one tensor a layer, bottom layer first, `[batch, heads, queries, keys]`, or
    `[batch, groups, heads, queries, keys]` where an image has several groups.

    Args:
        predictions: tensor, the model's predictions.
        attentions: list of tensors, rows sum to 1.
        gradients: list of tensors, the gradient of the class's score with respect to each map, or
            None where it was not asked for.
        layer_gradients: the same of each layer's own score, which the model's head gives that
            layer's tokens, see `logits_by_layer`; of the model's score where there is none.
        values: list of float32 tensors, each map times the norms of its values, see
            `value_norms`, or None where it was not asked for.
        gates: list of float32 tensors, the values of the model's gates, see `GateSource`, or None
            where they were not asked for.
    """

    predictions: object
    attentions: list
    gradients: list | None = None
    layer_gradients: list | None = None
    values: list | None = None
    gates: list | None = None
