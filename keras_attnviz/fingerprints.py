"""Numbers by which a change of variables is noticed, read at the speed of memory."""

import numpy as np
import tensorflow as tf


class Fingerprints:
    """Sums of the bits of variables: those of each row of a matrix, those of a vector themselves.

    A change of any one value changes them. What keeps them is that several values of one row change
    so that their bits' sum, modulo 2^32, is the same: two that swap places, say.

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
    if values.shape.rank is not None and values.shape.rank < 2:
        return bits
    return tf.reduce_sum(tf.reshape(bits, [-1, tf.shape(values)[-1]]), axis=1)


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
