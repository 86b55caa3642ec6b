"""Copies of a token: one that stands in several groups of a map, and the way there and back."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Copies:
    """Converts between tokens and their copies in the groups.

    Args:
        tokens: number of tokens. Each has at least one copy.
        further: integer array `[further]`, the token of each further copy.
    """

    tokens: int
    further: np.ndarray

    def owners(self):
        """Returns the token of each copy, `[copies]`, with the further copies last."""
        return np.append(np.arange(self.tokens), self.further)

    def means(self):
        """Returns the matrix that averages each token's copies, float32 `[tokens, copies]`."""
        is_owner = self.owners() == np.arange(self.tokens)[:, np.newaxis]
        return np.float32(is_owner / is_owner.sum(axis=1, keepdims=True))

    def spread(self, rows):
        """Returns weights over tokens as weights over copies; a token's copies get equal parts.

        Args:
            rows: float32 tensor or array `[..., tokens]`.

        Returns:
            float32 tensor `[..., copies]` with the same sums.
        """
        if not len(self.further):
            return rows
        owners = self.owners()
        return tf.gather(rows, owners, axis=-1) / np.float32(np.bincount(owners)[owners])

    def gathered(self, rows):
        """Returns weights over copies as weights over tokens; a token gets its copies' sum.

        Args:
            rows: float32 tensor `[..., copies]`.

        Returns:
            float32 tensor `[..., tokens]` with the same sums.
        """
        if not len(self.further):
            return rows
        of_tokens = tf.one_hot(self.further, self.tokens)
        further = tf.einsum("...c,ct->...t", rows[..., self.tokens :], of_tokens)
        return rows[..., : self.tokens] + further
