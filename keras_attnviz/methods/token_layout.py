"""The layout of a token sequence: class token, patches, registers, and which the head reads."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import check_count, is_integer, message

# A class token, a distillation token and up to seven registers.
MAX_PREFIX = 9


@dataclasses.dataclass(frozen=True)
class TokenLayout:
    """The layout of a token sequence: prefix tokens, patches, suffix tokens.

    Tokens that are not patches are called further tokens, for example class, distillation and
    register tokens. They come before the patches (the prefix) or after them (the suffix).

    Args:
        prefix: number of tokens before the patches (class token, distillation token, registers).
        grid: `(height, width)` of the patch grid; patches are in row order.
        readout: indices of the query tokens whose output the model's head reads; several are
            weighted equally. The default is the class token: `(0,)`, or the last token if there is
            only a suffix. Without prefix and suffix, it is all patches. `AttentionModel` measures
            a read-out that is not given.
        suffix: number of tokens after the patches.

    Attributes:
        readout_is_given: whether `readout` was given.

    Raises:
        TypeError: `prefix` or `suffix` is not an integer, or `grid` or `readout` is not a sequence
            of integers.
        ValueError: `prefix` or `suffix` is negative, `grid` is not two positive integers, or
            `readout` is empty or names tokens that don't exist.
    """

    prefix: int
    grid: tuple
    readout: tuple | None = None
    suffix: int = 0
    readout_is_given: bool = dataclasses.field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self):
        check_count("prefix", self.prefix, minimum=0)
        check_count("suffix", self.suffix, minimum=0)
        must = "(height, width), positive integers"
        grid = _integers("grid", self.grid, must)
        if len(grid) != 2 or min(grid) <= 0:
            raise ValueError(message("grid", must, self.grid))
        tokens = self.prefix + grid[0] * grid[1] + self.suffix
        must = f"one or more token indices in [0, {tokens}), as a tuple"
        is_given = self.readout is not None
        usual = _usual_readout(self.prefix, tokens, self.suffix)
        readout = _integers("readout", self.readout if is_given else usual, must)
        if not readout or not all(0 <= token < tokens for token in readout):
            raise ValueError(message("readout", must, self.readout))
        object.__setattr__(self, "prefix", int(self.prefix))
        object.__setattr__(self, "suffix", int(self.suffix))
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "readout", readout)
        object.__setattr__(self, "readout_is_given", is_given)

    @property
    def patches(self):
        """Number of patches, height times width of the grid."""
        return self.grid[0] * self.grid[1]

    @property
    def tokens(self):
        """Number of tokens: prefix, patches and suffix."""
        return self.prefix + self.patches + self.suffix

    def further_tokens(self):
        """Returns the indices of the tokens that are not patches, integer array, ascending."""
        return np.delete(np.arange(self.tokens), np.arange(self.patches) + self.prefix)

    def with_readout(self, readout):
        """Returns a layout of the same tokens with another read-out, None if it isn't known.

        Raises:
            TypeError: `readout` is not a sequence of integers.
            ValueError: `readout` is empty or names tokens that don't exist.
        """
        return TokenLayout(self.prefix, self.grid, readout, self.suffix)

    def query_weights(self):
        """Returns the read-out as weights over query tokens, list `[tokens]` with sum 1."""
        members = set(self.readout)
        return [1.0 / len(members) if token in members else 0.0 for token in range(self.tokens)]

    def patch_weights(self):
        """Returns equal weights on all patches, list `[tokens]` with sum 1."""
        patches = [1.0 / self.patches] * self.patches
        return [0.0] * self.prefix + patches + [0.0] * self.suffix

    def to_grid(self, values):
        """Returns the patches' values on the grid.

        Args:
            values: tensor `[..., tokens]`.

        Returns:
            tensor `[..., grid_height, grid_width]` of the same dtype. Prefix and suffix
            tokens are left out.
        """
        values = tf.convert_to_tensor(values)
        patches = values[..., self.prefix : self.prefix + self.patches]
        return tf.reshape(patches, tf.concat([tf.shape(values)[:-1], self.grid], axis=0))

    def __str__(self):
        return _text(self, f", readout={_short(self)}")

    def readout_text(self):
        """Returns the read-out in words: "class token", "all patches" or token numbers."""
        patches = range(self.prefix, self.prefix + self.patches)
        if set(self.readout) == set(patches):
            return "all patches"
        if len(set(self.readout)) == self.tokens:
            return "all tokens"
        if self.readout == (0,) and self.prefix:
            return "class token"
        if self.readout == (self.tokens - 1,) and self.suffix and not self.prefix:
            return "class token"
        if self.readout == (0, 1) and self.prefix > 1:
            return "class and distillation token"
        return f"tokens {_short(self)}"


def _usual_readout(prefix, tokens, suffix):
    """Returns the class token, or all patches if there are no further tokens."""
    if prefix:
        return (0,)
    return (tokens - 1,) if suffix else range(tokens)


def _integers(name, values, must):
    """Returns a sequence of integers as a tuple of Python integers; raises if it isn't one."""
    is_sequence = np.iterable(values) and not isinstance(values, (str, bytes))
    members = tuple(values) if is_sequence else ()
    if not is_sequence or not all(is_integer(member) for member in members):
        raise TypeError(message(name, must, values))
    return tuple(int(member) for member in members)


def candidate_layouts(tokens):
    """Returns up to four layouts for `tokens` tokens, the squarest grid first."""
    layouts = []
    for prefix in range(min(MAX_PREFIX, tokens - 1) + 1):
        patches = tokens - prefix
        height = max(side for side in range(1, int(patches**0.5) + 1) if patches % side == 0)
        layouts.append(TokenLayout(prefix, (height, patches // height)))
    return sorted(layouts, key=lambda layout: layout.grid[1] / layout.grid[0])[:4]


def advice(candidates):
    """Returns the advice to pass one of the candidates; it names only read-outs that were given."""
    listed = "; ".join(str(c) if c.readout_is_given else _text(c, "") for c in candidates)
    return f"Pass the right one as `layout`. Candidates: {listed}."


def _text(layout, readout):
    suffix = f", suffix={layout.suffix}" if layout.suffix else ""
    return f"TokenLayout(prefix={layout.prefix}, grid={layout.grid}{readout}{suffix})"


def _short(layout):
    """Returns the read-out as text; a run of many tokens becomes a range."""
    first, last = layout.readout[0], layout.readout[-1]
    if len(layout.readout) > 3 and layout.readout == tuple(range(first, last + 1)):
        return f"range({first}, {last + 1})"
    return str(layout.readout)
