"""Fingerprints: hashes that show whether variables have changed, at the speed of memory."""

import numpy as np
import tensorflow as tf

_ONE_ROW, _FARMHASH = np.array([1, -1], np.int32), b"farmhash64"


class Fingerprints:
    """64 bits for each variable, of all bits of its values and their places.

    They are TensorFlow's FarmHash, which runs on the CPU: one change in 2^64 is missed. Variables
    on a GPU stay there: the bits of each row's values are multiplied with odd random numbers and
    summed modulo 2^64, and the sums are hashed. A change of one value of a row always changes its
    sum; of changes of several values, about one in 2^32 is missed.

    Args:
        variables: list of TensorFlow variables, none of strings.

    Raises:
        TypeError: a variable holds strings or resources.
    """

    def __init__(self, variables):
        self._variables = list(variables)
        for variable in self._variables:
            if not has_fingerprint(variable):
                raise TypeError(f"no fingerprint of a variable of {variable.dtype.name}")

    def __call__(self):
        """Returns the fingerprints as they are now, a uint8 array `[variables, 8]`."""
        # One operation after the other: a graph of them takes longer to build than all its runs.
        hashes = [_hash(variable) for variable in self._variables]
        return tf.concat(hashes, axis=0).numpy() if hashes else np.zeros([0, 8], np.uint8)

    def are_equal(self, some, others):
        """Returns whether two fingerprints are the same."""
        return np.array_equal(some, others)


def has_fingerprint(variable):
    """Returns whether a variable's values are bits that can be hashed."""
    return variable.dtype not in (tf.string, tf.resource, tf.variant)


def _hash(variable):
    """Returns a variable's fingerprint, a uint8 tensor `[1, 8]`."""
    values = tf.convert_to_tensor(variable)
    if "GPU" in variable.device:
        # There is no hash on a GPU; it would fetch the weights.
        values = weighted_sums(values)
    return tf.raw_ops.Fingerprint(data=tf.reshape(values, _ONE_ROW), method=_FARMHASH)


def weighted_sums(values):
    """Returns the weighted sums of the bits of each row of a tensor, an int64 tensor `[rows]`."""
    width = values.shape[-1] if values.shape.rank else 1
    # Reshaped before they are integers: on a GPU, TensorFlow fetches int32 to reshape it.
    bits = _bits(tf.reshape(values, [-1, width or 1]))
    odd = np.random.default_rng(0).integers(-(2**63), 2**63, bits.shape[-1]) | 1
    return tf.reduce_sum(bits * odd, axis=1)


def _bits(rows):
    """Returns the bits of a matrix as an int64 matrix, up to 32 bits in each number."""
    if rows.dtype == tf.bool:
        return tf.cast(rows, tf.int64)
    if rows.dtype.size > 4:
        bits = tf.cast(tf.bitcast(rows, tf.int32), tf.int64)
        return tf.reshape(bits, [-1, bits.shape[1] * bits.shape[2]])
    integer = {4: tf.int32, 2: tf.uint16, 1: tf.uint8}[rows.dtype.size]
    return tf.cast(tf.bitcast(rows, integer), tf.int64)
