"""Placements of attention maps among tokens: windows, pixel groups, pooled keys, pooling layers."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz._templates import templated
from keras_attnviz.methods.rollout import fuse_heads
from keras_attnviz.methods.token_copies import Copies
from keras_attnviz.methods.weighting import sink_damping


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """The token that each row and column of an attention map stands for.

    Args:
        groups: number of groups (windows, for example) per image.
        queries: number of queries per group.
        keys: number of keys per group.
        query_slots: integer array `[tokens]`: for each token the number `group * queries + query`
            of its row, -1 if the layer leaves the token unchanged. None for a pooling layer,
            whose queries are learned and stand for no token.
        key_slots: integer array `[tokens]`: for each token the number `group * keys + key` of
            its column, -1 if the layer doesn't read the token. Tokens that share a key, because
            keys were pooled or tokens merged, share its attention equally.
        copies: integer array `[further]`. A token in several groups, for example a class token in
            each frame, has further slots at the end of `query_slots` and `key_slots`. `copies`
            holds the token's index for each of them. The results of its rows are averaged.
    """

    groups: int
    queries: int
    keys: int
    query_slots: np.ndarray | None
    key_slots: np.ndarray
    copies: np.ndarray = dataclasses.field(default_factory=lambda: np.array([], int))

    @property
    def is_pooling(self):
        """Whether the queries are learned and stand for no token."""
        return self.query_slots is None

    def key(self):
        """Returns a hashable value that is the same for equal placements."""
        arrays = (self.query_slots, self.key_slots, self.copies)
        return (
            self.groups,
            self.queries,
            self.keys,
            *(None if array is None else tuple(map(int, array)) for array in arrays),
        )

    @property
    def _copies(self):
        return Copies(len(self.key_slots) - len(self.copies), self.copies)

    def tokens_with(self, is_chosen):
        """Returns the tokens, ascending, that have a chosen slot; `is_chosen` is bool `[slots]`."""
        return np.unique(self._copies.owners()[is_chosen])

    @templated
    def fused(self, attention, *, head_fusion="mean", discard_ratio=0.0):
        """Returns the map with heads fused, `[batch, groups, queries, keys]`, rows sum to 1.

        Keys that stand for no token, for example padding, are left out. `attention` is a tensor
        `[batch, heads, queries, keys]` or `[batch, groups, heads, queries, keys]`; the options are
        as in `fuse_heads`.
        """
        attention = tf.convert_to_tensor(attention)
        shape = tf.shape(attention)
        if attention.shape.rank == 5:
            # Put an image's groups below one another, so that discarding compares all of them.
            attention = tf.transpose(attention, [0, 2, 1, 3, 4])
            attention = tf.reshape(
                attention, [shape[0], shape[2], self.groups * self.queries, self.keys]
            )
        fused = fuse_heads(attention, head_fusion=head_fusion, discard_ratio=discard_ratio)
        fused = tf.reshape(fused, [shape[0], self.groups, self.queries, self.keys])
        return self._of_tokens(fused)

    def token_map(self, attention, **options):
        """Returns the attention among all tokens, float32 `[batch, tokens, tokens]`.

        A token that the layer leaves unchanged has a row with a 1 on the diagonal. A pooling layer
        has one row for each query instead.
        """
        return self._token_map(self.fused(attention, **options))

    @templated
    def _token_map(self, fused):
        """Returns the attention among all tokens of a map with fused heads."""
        sides = ((self.query_slots, self.queries), (self.key_slots, self.keys))
        if self.groups == 1 and all(_is_range(slots, count) for slots, count in sides):
            return fused[:, 0]
        rows = tf.reshape(fused, [-1, self.groups * self.queries, self.keys])
        slots = np.arange(self.groups * self.queries) if self.is_pooling else self.query_slots
        placed = tf.gather(rows, np.maximum(slots, 0), axis=1)
        placed = tf.gather(placed, np.maximum(self.key_slots, 0) % self.keys, axis=2)
        is_same_group = (slots // self.queries)[:, np.newaxis] == self.key_slots // self.keys
        placed = placed * tf.constant(is_same_group * self._shares(), tf.float32)
        if self.is_pooling:
            return self._copies.gathered(placed)
        is_query = (self.query_slots >= 0)[:, np.newaxis]
        placed = self._copies.gathered(tf.where(is_query, placed, tf.eye(len(self.query_slots))))
        return tf.matmul(self._copies.means(), placed) if len(self.copies) else placed

    def rows_through(self, rows, attention, *, residual, **options):
        """Returns the weights over the layer's input tokens.

        Args:
            rows: float32 tensor `[batch, rows, tokens]`, weights over the layer's output tokens;
                for a pooling layer `[batch, rows, queries]`, weights over its queries.
            attention: see `fused`.
            residual: float in [0, 1), the weight of the residual connection. A pooling layer has
                none.
            **options: as in `fuse_heads`.

        Returns:
            float32 tensor `[batch, rows, tokens]` with the same row sums.
        """
        return self._through(rows, self.fused(attention, **options), residual=residual)

    @templated
    def _through(self, rows, fused, *, residual):
        """Returns the weights over the layer's input tokens, for a map with fused heads."""
        if self.is_pooling:
            return self._copies.gathered(self._read(rows, fused))
        rows = self._copies.spread(rows)
        # A row that discarding has emptied keeps only its residual.
        total = residual + (1 - residual) * tf.reduce_sum(fused, axis=-1)
        total = tf.reshape(total, [-1, 1, self.groups * self.queries])
        weights = tf.math.divide_no_nan(
            (1 - residual) * _sums_by_slot(rows, self.query_slots, self.groups * self.queries),
            total,
        )
        kept = tf.math.divide_no_nan(residual, total)
        if not _is_range(self.query_slots, self.groups * self.queries):
            kept = tf.gather(kept, np.maximum(self.query_slots, 0), axis=-1)
            kept = tf.where(self.query_slots >= 0, kept, 1.0)
        kept = rows * kept
        return self._copies.gathered(self._read(weights, fused) + kept)

    @templated
    def relevance_through(self, rows, weights):
        """Returns relevance one layer down: each token's own, plus a share from its readers.

        Args:
            rows: float32 tensor `[batch, rows, tokens]`, relevance of the layer's output tokens;
                for a pooling layer `[batch, rows, queries]`, relevance of its queries, which stand
                for no input token.
            weights: float tensor in the shape of an attention map, see `fused`, at least 0. Its
                mean over heads is not normalized: rows may have any sum.

        Returns:
            float32 tensor `[batch, rows, tokens]`.
        """
        mean = self._mean_of_heads(weights)
        if self.is_pooling:
            return self._copies.gathered(self._read(rows, mean))
        spread = self._copies.spread(rows)
        by_slot = _sums_by_slot(spread, self.query_slots, self.groups * self.queries)
        return rows + self._copies.gathered(self._read(by_slot, mean))

    @templated
    def damped(self, attention, patches, *, limit=2.0):
        """Returns an attention map in which no patch receives far more than the others.

        Args:
            attention: see `fused`.
            patches: bool array `[tokens]`, which tokens are patches.
            limit: as in `sink_damping`. It damps what the patches' keys receive on average over
                heads and over the patches' queries.

        Returns:
            float32 tensor in the shape of `attention`, rows sum to at most 1.
        """
        attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
        queries = self.query_weights(np.float32(patches)).reshape(self.groups, self.queries, 1)
        received = tf.reduce_sum(self._mean_of_heads(attention) * queries, axis=2)
        received = tf.reshape(received, [-1, self.groups * self.keys])
        is_patch = np.asarray(patches)[self._copies.owners()]
        keys = np.unique(self.key_slots[is_patch & (self.key_slots >= 0)])
        factors = sink_damping(tf.gather(received, keys, axis=1), limit=limit)
        others = np.ones(self.groups * self.keys, np.float32)
        others[keys] = 0
        factors = tf.matmul(factors, tf.one_hot(keys, len(others))) + others
        groups = [self.groups] if attention.shape.rank == 5 else []
        return attention * tf.reshape(factors, [-1, *groups, 1, 1, self.keys])

    @templated
    def received(self, weights):
        """Returns what each token receives per query, float32 `[batch, tokens]`.

        Args:
            weights: float tensor in the shape of an attention map, see `fused`. The result is its
                mean over heads and over all queries of the layer.
        """
        mean = self._mean_of_heads(weights)
        slots = self.groups * self.queries
        rows = tf.fill([tf.shape(mean)[0], 1, slots], 1 / slots)
        return self._copies.gathered(self._read(rows, mean)[:, 0])

    @templated
    def head_rows(self, weights, attention):
        """Returns what weighted queries attend to, for each head.

        Args:
            weights: float array `[rows, groups * queries]`, each row's weights over the queries.
            attention: see `fused`.

        Returns:
            float32 tensor `[batch, heads, rows, tokens]`; each row's sum is that of `weights`. Keys
            that stand for no token are left out.
        """
        attention = tf.cast(tf.convert_to_tensor(attention), tf.float32)
        if attention.shape.rank == 4:
            attention = attention[:, tf.newaxis]
        attention = self._of_tokens(attention)
        weights = np.asarray(weights, np.float32).reshape(-1, self.groups, self.queries)
        # Eight times as fast as an einsum, which first transposes the maps.
        weights = weights.transpose(1, 0, 2)[np.newaxis, :, np.newaxis]
        by_key = tf.transpose(tf.matmul(tf.constant(weights), attention), [0, 2, 3, 1, 4])
        heads = attention.shape[2] or tf.shape(attention)[2]
        by_key = tf.reshape(by_key, [-1, heads, weights.shape[-2], self.groups * self.keys])
        return self._copies.gathered(self._by_token(by_key))

    def slot_weights(self, rows):
        """Returns weights over tokens as weights over queries, float32 `[rows, groups * queries]`.

        Args:
            rows: float array `[rows, tokens]`. Weight on tokens that are not queries of the layer
                is left out.
        """
        is_slot = self.query_slots >= 0
        weights = np.zeros((len(rows), self.groups * self.queries), np.float32)
        rows = np.asarray(self._copies.spread(np.float32(rows)))
        for row, of_slots in zip(rows, weights, strict=True):
            np.add.at(of_slots, self.query_slots[is_slot], row[is_slot])
        return weights

    def query_weights(self, *candidates):
        """Returns weights over queries, float32 `[1, groups * queries]`, sum 1.

        Args:
            *candidates: float arrays `[tokens]`, at least 0. The first with any weight on the
                layer's queries is used. If there is none, all queries weigh the same.
        """
        for candidate in () if self.is_pooling else candidates:
            weights = self.slot_weights(np.float32(candidate)[np.newaxis])
            if weights.any():
                return weights / weights.sum()
        slots = self.groups * self.queries
        return np.full((1, slots), 1 / slots, np.float32)

    def _mean_of_heads(self, weights):
        """Returns the mean over heads of a map, float32 `[batch, groups, queries, keys]`."""
        weights = tf.cast(tf.convert_to_tensor(weights), tf.float32)
        if weights.shape.rank == 4:
            weights = weights[:, tf.newaxis]
        return tf.reduce_mean(weights, axis=2)

    def _of_tokens(self, attention):
        """Returns attention `[batch, groups, ..., keys]` without keys that stand for no token."""
        is_token = np.zeros(self.groups * self.keys, np.float32)
        is_token[self.key_slots[self.key_slots >= 0]] = 1
        if is_token.all():
            return attention
        between = [1] * (attention.shape.rank - 3)
        attention = attention * is_token.reshape(self.groups, *between, self.keys)
        return tf.math.divide_no_nan(attention, tf.reduce_sum(attention, axis=-1, keepdims=True))

    def _read(self, weights, fused):
        """Returns the attention of weighted queries, `[batch, rows, tokens]`."""
        rows = weights.shape[1] or tf.shape(weights)[1]
        weights = tf.reshape(weights, [-1, rows, self.groups, self.queries])
        by_key = tf.matmul(tf.transpose(weights, [0, 2, 1, 3]), fused)
        by_key = tf.transpose(by_key, [0, 2, 1, 3])
        return self._by_token(tf.reshape(by_key, [-1, rows, self.groups * self.keys]))

    def _by_token(self, by_key):
        """Returns values by key, `[..., groups * keys]`, as values by token, `[..., tokens]`."""
        if _is_range(self.key_slots, self.groups * self.keys):
            return by_key
        return tf.gather(by_key, np.maximum(self.key_slots, 0), axis=-1) * self._shares()

    def _shares(self):
        """Returns each token's share of its key's attention, float32 `[tokens]`."""
        is_read = self.key_slots >= 0
        counts = np.bincount(self.key_slots[is_read], minlength=self.groups * self.keys)
        counts = np.maximum(counts, 1)[np.maximum(self.key_slots, 0)]
        return np.where(is_read, 1 / counts, 0).astype(np.float32)


def _sums_by_slot(rows, slots, count):
    """Returns the sum over each slot's tokens of `[batch, rows, tokens]`, `[..., count]`."""
    if _is_range(slots, count):
        return rows
    is_slot = slots >= 0
    taken = tf.transpose(tf.boolean_mask(rows, is_slot, axis=2), [2, 0, 1])
    return tf.transpose(tf.math.unsorted_segment_sum(taken, slots[is_slot], count), [1, 2, 0])


def _is_range(slots, count):
    """Returns whether tokens and slots are the same, in the same order."""
    return np.array_equal(slots, np.arange(count))
