"""Evidence: what explanation methods compute heatmaps from."""

import dataclasses

GATES, GRADIENTS, LAYER_GRADIENTS, VALUES = "gates", "gradients", "layer_gradients", "values"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The attention maps of one batch, and what they are weighted by.

    Each list but `gates` has one tensor per layer, bottom layer first,
    `[batch, heads, queries, keys]`, or `[batch, groups, heads, queries, keys]` if an image has
    several groups.

    Args:
        predictions: tensor, the model's predictions.
        attentions: list of tensors, rows sum to 1.
        gradients: list of tensors, the gradient of the class's score with respect to each map;
            None if not requested.
        layer_gradients: list of tensors, the gradient of each layer's own score, which the model's
            head gives that layer's tokens; see `logits_by_layer`. If the head doesn't fit the
            layers, the gradients of the model's score. None if not requested.
        values: list of float32 tensors, each map times the norms of its values; see
            `value_norms`. None if not requested.
        gates: list of float32 tensors, the values of each of the model's gates; see `GateSource`.
            None if not requested.
    """

    predictions: object
    attentions: list
    gradients: list | None = None
    layer_gradients: list | None = None
    values: list | None = None
    gates: list | None = None
