"""A stack of attention layers over the same tokens: what every explanation method works on."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz.methods.rollout import placed_rollout
from keras_attnviz.methods.token_layout import TokenLayout


@dataclasses.dataclass(frozen=True, eq=False)
class LayerStack:
    """Attention layers over the same tokens, bottom layer first, and which tokens the head reads.

    It knows geometry alone, no model and no attention values: methods pass the attention maps of a
    batch, a list with one float tensor a layer, `[batch, heads, queries, keys]`, or
    `[batch, groups, heads, queries, keys]` where an image has several groups.

    Args:
        layout: the `TokenLayout`.
        placements: tuple of `Placement`, one a layer, over the layout's tokens.
        heads: tuple of integers, each layer's number of heads.
        query: float32 array, the weights that rollout starts from: `[tokens]`, or `[queries]`
            where the top layer pools by learned queries. They sum to 1.
        frames: number of frames of a video, which stand below one another on the layout's grid;
            None for images.
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
            **options: those of `attention_rollout`: `head_fusion`, `discard_ratio`, `residual`,
                `start_layer`.

        Raises:
            TypeError: an unknown option, or one of the wrong type.
            ValueError: another number of maps, or an option out of its range.
        """
        return placed_rollout(attentions, self.placements, query=self.query, **options)

    def token_maps(self, attentions, **options):
        """Returns each layer's attention among all tokens, heads fused.

        Args:
            attentions: list of attention maps.
            **options: `head_fusion` and `discard_ratio`, as in `fuse_heads`.

        Returns:
            list, bottom layer first, of float32 tensors `[batch, tokens, tokens]`, rows sum to 1.
            Rows of tokens that a layer leaves as they are hold a 1 on the diagonal; a pooling
            layer's map is `[batch, queries, tokens]`.

        Raises:
            TypeError: an unknown option, or one of the wrong type.
            ValueError: another number of maps, or an option out of its range.
        """
        return [
            placement.token_map(attention, **options)
            for placement, attention in zip(self.placements, attentions, strict=True)
        ]

    def readout_weights(self, layer):
        """Returns weights over a layer's queries, float32 `[1, groups * queries]`, their sum 1.

        They are those of the tokens that the head reads; where the layer has none of these among
        its queries, those of all patches.
        """
        placement = self.placements[layer]
        if placement.is_pooling:
            return self.query[np.newaxis]
        return placement.query_weights(self.layout.query_weights(), self.layout.patch_weights())

    def to_heatmap(self, values):
        """Returns values of all tokens as heatmaps of the patches.

        Args:
            values: tensor `[batch, tokens]`.

        Returns:
            tensor `[batch, grid_height, grid_width]` of the same dtype, of videos
            `[batch, frames, grid_height, grid_width]`.
        """
        grid = self.layout.to_grid(values)
        if self.frames is None:
            return grid
        height, width = self.layout.grid
        return tf.reshape(grid, [-1, self.frames, height // self.frames, width])
