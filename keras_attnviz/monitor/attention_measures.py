"""Attention measures: entropy, distance, single heads and token maps of probes; TensorFlow."""

import numpy as np
import tensorflow as tf

from keras_attnviz._templates import templated
from keras_attnviz.methods.rollout import placed_rollout
from keras_attnviz.metrics.attention import attention_entropy, distance_between, pairs_of
from keras_attnviz.monitor.grid_cells import Cells
from keras_attnviz.monitor.health import health_measures

# The largest number of cells in a single head's map; and of rows, and columns, in a token map,
# which goes from every patch to every patch.
_HEAD_CELLS, _TOKEN_CELLS = 1600, 400


class Measures:
    """Computes what the tab shows of attention maps, with pure graph functions.

    Args:
        attention_model: the `AttentionModel` that gives the maps.
        image_size: `(height, width)` of the images, or of the frames of videos, in pixels.
        rollout_options: dict of options of `AttentionModel.rollout`.

    Attributes:
        head_cells: `Cells` of the maps of single heads.
        token_cells: `Cells` of the maps from every patch to every patch.
    """

    def __init__(self, attention_model, *, image_size, rollout_options):
        self._model, self._options = attention_model, rollout_options
        self._layout = attention_model.layout
        self._patches = slice(
            self._layout.prefix, self._layout.prefix + int(np.prod(self._layout.grid))
        )
        grid, self._frames = self._layout.grid, attention_model.frames or 1
        self._frame_grid = (grid[0] // self._frames, grid[1])
        self._pitch = [p / c for p, c in zip(image_size, self._frame_grid, strict=True)]
        self.head_cells = Cells.at_most(grid, _HEAD_CELLS, frames=self._frames)
        self.token_cells = Cells.at_most(grid, _TOKEN_CELLS, frames=self._frames)

    def measured(self, attentions, *, details=True):
        """Returns the measures of each image, a dict of float32 tensors.

        The heads of all layers follow one another, bottom layer first.

        Args:
            attentions: list of attention maps, bottom layer first.
            details: whether single heads and maps from every patch are measured too.

        Returns:
            `entropy` `[batch, heads]`, see `attention_entropy`; what `health_measures` returns; and
            with details:

            - `heads` `[batch, heads, cells]`, what the read-out tokens attend to, in multiples of
              uniform attention, and `others` `[batch, heads]` in [0, 1], their share on tokens that
              are not patches. If a layer has no read-out tokens among its queries, these are means
              over its patches.
            - `distance` `[batch, heads]`, the mean attention distance in pixels. In videos, only
              positions within the frame count: the same position in another frame is at distance 0.
              The distance is NaN in layers whose queries are not patches.
            - `tokens` `[batch, cells, cells]`, where the patches of each cell attend, by rollout,
              in multiples of uniform attention. Pooling layers, in which no patch attends, are left
              out.
        """
        stack = self._model.stack
        layers = [
            self._of_layer(
                placement,
                attention,
                stack.readout_weights(layer) if details else None,
                **(self._pairs(placement) if details else {}),
            )
            for layer, (placement, attention) in enumerate(
                zip(stack.placements, attentions, strict=True)
            )
        ]
        found = {name: tf.concat([each[name] for each in layers], axis=1) for name in layers[0]}
        if details:
            found["tokens"] = self._tokens(attentions)
        return found

    @templated
    def _of_layer(
        self, placement, attention, readout, *, distances=None, is_query=None, is_key=None
    ):
        """Returns the measures of a layer but `tokens`, a dict, see `measured`.

        Args:
            placement: the layer's `Placement`.
            attention: its map.
            readout: float array `[1, groups * queries]`, the weights of the read-out tokens; None
                without details.
            distances: with details, what `_pairs` returns, also for the next two.
            is_query: float tensor.
            is_key: float tensor.
        """
        found = {
            "entropy": _entropy(attention),
            **health_measures(
                placement, attention, self.received(placement, attention), self._layout
            ),
        }
        if readout is not None:
            rows = placement.head_rows(readout, attention)[:, :, 0]
            on_patches = tf.reduce_sum(rows[..., self._patches], axis=-1)
            others = tf.reduce_sum(rows, axis=-1) - on_patches
            found["heads"] = self._pooled(rows, self.head_cells)
            found["others"] = tf.clip_by_value(others, 0.0, 1.0)
            found["distance"] = _distance(attention, distances, is_query, is_key)
        return found

    def received(self, placement, attention):
        """Returns what each token receives from a patch on average, head by head.

        If a layer has no patches among its queries, this is the mean over all its queries.

        Args:
            placement: the layer's `Placement`.
            attention: its map.

        Returns:
            float32 `[batch, heads, tokens]`, rows sum to 1.
        """
        weights = placement.query_weights(self._layout.patch_weights())
        return placement.head_rows(weights, attention)[:, :, 0]

    def _tokens(self, attentions):
        """Returns where the patches of each cell attend, see `measured`."""
        placements = list(self._model.placements)
        start = self._options.get("start_layer", 0) % len(placements)
        pairs = [
            pair
            for pair in list(zip(attentions, placements, strict=True))[start:]
            if not pair[1].is_pooling
        ]
        rows = self._cell_rows(self.token_cells)
        if not pairs:
            rows = tf.repeat(tf.constant(rows)[tf.newaxis], tf.shape(attentions[0])[0], axis=0)
            return self._pooled(rows, self.token_cells)
        options = {name: value for name, value in self._options.items() if name != "start_layer"}
        rollout = placed_rollout(*map(list, zip(*pairs, strict=True)), query=rows, **options)
        return self._pooled(rollout, self.token_cells)

    def full(self, attentions, layer):
        """Returns where the patches of each cell attend in each head of one layer.

        Returns:
            float32 `[batch, heads, cells, cells]` in multiples of uniform attention. Rows are zero
            if the layer leaves the patches as they are.
        """
        placement = self._model.placements[layer]
        rows = self._cell_rows(self.token_cells)
        weights = np.zeros((len(rows), placement.groups * placement.queries), np.float32)
        if not placement.is_pooling:
            weights = placement.slot_weights(rows)
        return self._pooled(placement.head_rows(weights, attentions[layer]), self.token_cells)

    def _cell_rows(self, cells):
        """Returns the mean of each cell's patches as weights over tokens, `[cells, tokens]`."""
        rows = np.zeros((cells.count, self._layout.tokens), np.float32)
        rows[:, self._patches] = cells.means().T
        return rows

    def _pooled(self, rows, cells):
        """Returns shares `[..., tokens]` as cells, in multiples of uniform attention."""
        values = rows[..., self._patches]
        if cells.factor > 1:
            values = tf.matmul(values, cells.means())
        return values * self._layout.tokens

    @templated
    def _pairs(self, placement):
        """Returns the `pairs_of` distances in a layer, which layers of equal placement share."""
        shape = [placement.groups, placement.queries, placement.keys]
        keys = self._centers(placement.key_slots, placement.groups * placement.keys)
        queries = np.full((placement.groups * placement.queries, 2), np.nan, np.float32)
        if not placement.is_pooling:
            queries = self._centers(placement.query_slots, len(queries))
        queries = queries.reshape(shape[0], shape[1], 1, 2)
        between = tf.constant(queries) - keys.reshape(shape[0], 1, shape[2], 2)
        found = pairs_of(tf.norm(between, axis=-1)[:, tf.newaxis])
        return dict(zip(("distances", "is_query", "is_key"), found, strict=True))

    def _centers(self, slots, count):
        """Returns the center of each slot's patches in pixels, `[count, 2]`; NaN if it has none."""
        grid = np.tile(np.indices(self._frame_grid).reshape(2, -1), self._frames).T
        centers = np.float32((grid + 0.5) * self._pitch)
        of_patches = slots[self._patches]
        is_slot = of_patches >= 0
        sums, members = np.zeros((count, 2)), np.zeros((count, 1))
        np.add.at(sums, of_patches[is_slot], centers[is_slot])
        np.add.at(members, of_patches[is_slot], 1)
        return np.float32(np.where(members > 0, sums / np.maximum(members, 1), np.nan))


def _entropy(attention):
    """Returns the entropy of a layer's heads, mean over groups and queries, `[batch, heads]`."""
    if attention.shape.rank == 4:
        return attention_entropy(attention)
    shape = tf.shape(attention)
    by_group = attention_entropy(tf.reshape(attention, [-1, *tf.unstack(shape[2:])]))
    return tf.reduce_mean(tf.reshape(by_group, shape[:3]), axis=1)


def _distance(attention, distances, is_query, is_key):
    """Returns a layer's attention distances, mean over groups with patches, `[batch, heads]`."""
    if attention.shape.rank == 4:
        attention = attention[:, tf.newaxis]
    by_group = distance_between(attention, distances, is_query, is_key)
    is_known = tf.cast(tf.math.is_finite(by_group), tf.float32)
    total = tf.reduce_sum(tf.where(is_known > 0, by_group, 0.0), axis=1)
    return total / tf.reduce_sum(is_known, axis=1)
