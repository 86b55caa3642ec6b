"""Numbers by which a change of variables is noticed, read at the speed of memory."""

import numpy as np
import tensorflow as tf

# Vectors of more values are summed too.
_LONGEST = 4096


class Fingerprints:
    """Weighted sums of the bits of variables: of each row of a matrix, or of a vector's values.

    The bits of two neighbors of a row, one number of 64 bits, are multiplied with an odd random
    number of their place and summed modulo 2^64. A change of any one value changes that, always.
    Of changes of several values of a row, two that swap places say, one in 2^30 is missed, and one
    in 250 where they are as simple as 1 and 2. Vectors of up to 4,096 values are kept as they are.

    Args:
        variables: list of TensorFlow variables; texts are not taken.

    Raises:
        TypeError: a variable of texts or of resources.
    """

    def __init__(self, variables):
        self._variables = list(variables)
        for variable in self._variables:
            if not has_fingerprint(variable):
                raise TypeError(f"no fingerprint of a variable of {variable.dtype.name}")
        self._sums = tf.function(lambda: [_sums(variable) for variable in self._variables])

    def __call__(self):
        """Returns the fingerprints as they are now, a list of integer arrays."""
        return [each.numpy() for each in self._sums()]

    def are_equal(self, some, others):
        """Tells whether two fingerprints are the same."""
        return all(map(np.array_equal, some, others))


def has_fingerprint(variable):
    """Tells whether a variable's values are bits that can be summed."""
    return variable.dtype not in (tf.string, tf.resource, tf.variant)


def _sums(variable):
    """Returns a variable's fingerprint, a tensor of integers."""
    values = tf.convert_to_tensor(variable)
    bits = _bits(values)
    count = values.shape.num_elements()
    if count is None or (values.shape.rank < 2 and count <= _LONGEST):
        return bits
    width = values.shape[-1]
    rows = tf.reshape(bits, [-1, width])
    if bits.dtype == tf.int32 and width % 2 == 0:
        rows = tf.bitcast(tf.reshape(bits, [-1, width // 2, 2]), tf.int64)
    rows = tf.cast(rows, tf.int64)
    return tf.reduce_sum(rows * _odd_numbers(rows.shape[-1]), axis=1)


def _odd_numbers(count):
    """Returns odd random numbers, the same at each call, an int64 array `[count]`."""
    return np.random.default_rng(0).integers(-(2**63), 2**63, count) | 1


def _bits(values):
    if values.dtype == tf.bool:
        return tf.cast(values, tf.int32)
    if values.dtype.size == 8:
        return tf.bitcast(values, tf.int64)
    if values.dtype.size == 4:
        return tf.bitcast(values, tf.int32)
    if values.dtype.size == 2:
        return tf.cast(tf.bitcast(values, tf.uint16), tf.int32)
    return tf.cast(tf.bitcast(values, tf.uint8), tf.int32)
