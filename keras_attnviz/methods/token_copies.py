"""Copies of a token: one that stands in several groups of a map, and the way there and back."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Copies:
    """Goes from tokens to what stands in the groups for them, and back.

    Args:
        tokens: number of tokens, each of which stands in one group at least.
        further: integer array `[further]`, which token each further copy is of.
    """

    tokens: int
    further: np.ndarray

    def owners(self):
        """Returns for each copy the token that it is of, `[copies]`, those of `further` last."""
        return np.append(np.arange(self.tokens), self.further)

    def means(self):
        """Returns the matrix that takes the mean of each token's copies, `[tokens, copies]`."""
        is_owner = self.owners() == np.arange(self.tokens)[:, np.newaxis]
        return np.float32(is_owner / is_owner.sum(axis=1, keepdims=True))

    def spread(self, rows):
        """Returns weights over tokens as weights over copies, a token's in equal parts.

        Args:
            rows: float32 tensor or array `[..., tokens]`.

        Returns:
            float32 tensor `[..., copies]` of the same sums.
        """
        if not len(self.further):
            return rows
        owners = self.owners()
        return tf.gather(rows, owners, axis=-1) / np.float32(np.bincount(owners)[owners])

    def gathered(self, rows):
        """Returns weights over copies as weights over tokens, the sum of a token's.

        Args:
            rows: float32 tensor `[..., copies]`.

        Returns:
            float32 tensor `[..., tokens]` of the same sums.
        """
        if not len(self.further):
            return rows
        of_tokens = tf.one_hot(self.further, self.tokens)
        further = tf.einsum("...c,ct->...t", rows[..., self.tokens :], of_tokens)
        return rows[..., : self.tokens] + further
