"""A Keras layer that computes attention rollout, for people who build their own models."""

import tensorflow as tf
from tensorflow import keras

from keras_attnviz._checks import check_choice, check_ratio, message
from keras_attnviz.methods.rollout import FUSIONS, attention_rollout, check_start_layer
from keras_attnviz.methods.token_layout import TokenLayout


@keras.utils.register_keras_serializable("keras_attnviz")
class AttentionRollout(keras.layers.Layer):
    """Computes attention rollout on the patch grid from the attention maps of all layers.

    It has no weights. Unless `dtype` is given, it computes in float32 and returns float32, even
    under a mixed precision policy.

    Call arguments:
        attentions: list, bottom layer first, of float tensors `[batch, heads, tokens, tokens]`
            whose rows sum to 1, such as `keras.layers.MultiHeadAttention` returns with
            `return_attention_scores=True`; or one such tensor.

    Args:
        grid: `(height, width)` of the patch grid; patches are in row order.
        prefix: number of tokens before the patches: class token, distillation token, registers.
        suffix: number of tokens after the patches.
        readout: indices of the tokens that the model's head reads; see `TokenLayout`.
        head_fusion: see `attention_rollout`.
        discard_ratio: see `attention_rollout`.
        residual: see `attention_rollout`.
        start_layer: see `attention_rollout`.
        **options: `name`, `dtype` and `trainable` of a Keras layer.

    Returns:
        tensor `[batch, grid_height, grid_width]` in the layer's compute dtype, values >= 0.
        Together with the values of the prefix and suffix tokens, which are left out, they sum to 1.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range; or, when built, attention maps are not square or
            don't have the layout's number of tokens.

    Example:
        >>> tokens, first = attention_layer(tokens, tokens, return_attention_scores=True)
        >>> heatmap = AttentionRollout((14, 14))([first, second])  # [batch, 14, 14]

    References:
        See `attention_rollout`.
    """

    def __init__(
        self,
        grid,
        *,
        prefix=1,
        suffix=0,
        readout=None,
        head_fusion="mean",
        discard_ratio=0.0,
        residual=0.5,
        start_layer=0,
        **options,
    ):
        super().__init__(**{"dtype": "float32", **options})
        self.layout = TokenLayout(prefix=prefix, grid=grid, readout=readout, suffix=suffix)
        check_choice("head_fusion", head_fusion, FUSIONS)
        check_ratio("discard_ratio", discard_ratio)
        check_ratio("residual", residual)
        self.head_fusion, self.discard_ratio = head_fusion, float(discard_ratio)
        self.residual, self.start_layer = float(residual), start_layer

    def build(self, input_shape):
        """Checks the maps' shapes."""
        shapes = _shapes(input_shape)
        check_start_layer(self.start_layer, len(shapes))
        tokens = self.layout.tokens
        for shape in shapes:
            if len(shape) != 4 or any(side not in (None, tokens) for side in shape[2:]):
                must = f"[batch, heads, {tokens}, {tokens}], as {self.layout} has {tokens} tokens"
                remedy = "Pass `grid`, `prefix` and `suffix` of these maps."
                raise ValueError(message("attentions", must, shape, remedy))
        self.built = True

    def call(self, attentions):
        """Returns the heatmaps."""
        if not isinstance(attentions, (list, tuple)):
            attentions = [attentions]
        values = attention_rollout(
            attentions,
            head_fusion=self.head_fusion,
            discard_ratio=self.discard_ratio,
            residual=self.residual,
            start_layer=self.start_layer,
            query=self.layout.query_weights(),
        )
        return tf.cast(self.layout.to_grid(values), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Returns `(batch, grid_height, grid_width)`."""
        return (_shapes(input_shape)[0][0], *self.layout.grid)

    def get_config(self):
        """Returns the arguments, for `from_config`."""
        layout = self.layout
        return super().get_config() | {
            "grid": list(layout.grid),
            "prefix": layout.prefix,
            "suffix": layout.suffix,
            "readout": list(layout.readout) if layout.readout_is_given else None,
            "head_fusion": self.head_fusion,
            "discard_ratio": self.discard_ratio,
            "residual": self.residual,
            "start_layer": self.start_layer,
        }


def _shapes(input_shape):
    """Returns the shapes of all maps as tuples; for a list of one, Keras 2 passes a bare shape."""
    is_one = isinstance(input_shape, tf.TensorShape) or not isinstance(
        input_shape[0], (list, tuple, tf.TensorShape)
    )
    return [tuple(shape) for shape in ([input_shape] if is_one else input_shape)]
