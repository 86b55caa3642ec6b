"""A stack of attention layers over the same tokens: what every explanation method works on."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz.methods.rollout import placed_rollout
from keras_attnviz.methods.token_layout import TokenLayout


@dataclasses.dataclass(frozen=True, eq=False)
class LayerStack:
    """Attention layers over the same tokens, bottom layer first, and which tokens the head reads.

    It knows geometry alone, no model and no attention values. Its methods are given the attention
    maps of a batch: a list with one float tensor per layer, `[batch, heads, queries, keys]`, or
    `[batch, groups, heads, queries, keys]` if an image has several groups.

    Args:
        layout: the `TokenLayout`.
        placements: tuple of `Placement`, one per layer, over the layout's tokens.
        heads: tuple of integers, each layer's number of heads.
        query: float32 array, the weights that rollout starts from: `[tokens]`, or `[queries]` if
            the top layer pools by learned queries. They sum to 1.
        frames: number of frames of a video, which the layout's grid holds below one another; None
            for images.
    """

    layout: TokenLayout
    placements: tuple
    heads: tuple
    query: np.ndarray
    frames: int | None = None

    def rollout(self, attentions, **options):
        """Returns attention rollout over all tokens, float32 `[batch, tokens]`, rows sum to 1.

        Args:
            attentions: list of attention maps.
            **options: `head_fusion`, `discard_ratio`, `residual` and `start_layer`, as in
                `attention_rollout`.

        Raises:
            TypeError: an option is unknown or has the wrong type.
            ValueError: the number of maps isn't the number of layers, or an option is out of range.
        """
        return placed_rollout(attentions, self.placements, query=self.query, **options)

    def token_maps(self, attentions, **options):
        """Returns each layer's attention among all tokens, with heads fused.

        Args:
            attentions: list of attention maps.
            **options: `head_fusion` and `discard_ratio`, as in `fuse_heads`.

        Returns:
            list, bottom layer first, of float32 tensors `[batch, tokens, tokens]`, rows sum to 1.
            A token that a layer leaves unchanged has a row with a 1 on the diagonal. A pooling
            layer's map is `[batch, queries, tokens]`.

        Raises:
            TypeError: an option is unknown or has the wrong type.
            ValueError: the number of maps isn't the number of layers, or an option is out of range.
        """
        return [
            placement.token_map(attention, **options)
            for placement, attention in zip(self.placements, attentions, strict=True)
        ]

    def readout_weights(self, layer):
        """Returns weights over a layer's queries, float32 `[1, groups * queries]`, sum 1.

        They lie on the tokens that the head reads. If none of these is a query of the layer, they
        are spread over all patches.
        """
        placement = self.placements[layer]
        if placement.is_pooling:
            return self.query[np.newaxis]
        return placement.query_weights(self.layout.query_weights(), self.layout.patch_weights())

    def to_heatmap(self, values):
        """Returns the patches' values as heatmaps.

        Args:
            values: tensor `[batch, tokens]`.

        Returns:
            tensor `[batch, grid_height, grid_width]` of the same dtype; for videos
            `[batch, frames, grid_height, grid_width]`.
        """
        grid = self.layout.to_grid(values)
        if self.frames is None:
            return grid
        height, width = self.layout.grid
        return tf.reshape(grid, [-1, self.frames, height // self.frames, width])
