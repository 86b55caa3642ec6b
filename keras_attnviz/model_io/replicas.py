"""A function run on all local devices at once, each with its part of a batch."""

import numpy as np
import tensorflow as tf


def local_strategy():
    """Returns a `tf.distribute.Strategy` over this machine's devices of the fastest kind.

    A `MirroredStrategy` over all GPUs, or without one over all logical CPUs, where there are
    several; else the strategy in whose scope the caller is, by default that of a single device.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2 or tf.distribute.has_strategy():
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


class Replicas:
    """Runs a function on batches, on every device of a strategy its part of each.

    Every device always gets the same number of examples, so that the function is traced once;
    what a short batch lacks is filled up with its first example, and dropped from the results.

    Args:
        function: function from a flat list of tensors to a flat list of tensors, batch first.
        batch_size: the most examples of a batch.
        strategy: a `tf.distribute.Strategy`; `local_strategy()` unless given.

    Attributes:
        count: number of devices.
    """

    def __init__(self, function, *, batch_size, strategy=None):
        self._strategy = strategy or local_strategy()
        self.count = self._strategy.num_replicas_in_sync
        self._share = -(-batch_size // self.count)
        self._run = tf.function(
            lambda parts: self._strategy.run(function, args=(parts,)), reduce_retracing=True
        )

    def __call__(self, arrays):
        """Returns the results of a batch as a list of NumPy arrays, batch first.

        Args:
            arrays: flat list of arrays, batch first, at most `batch_size` examples each.
        """
        examples = len(arrays[0])
        filled = [_filled(array, self._share * self.count) for array in arrays]

        def part_of(context):
            start = context.replica_id_in_sync_group * self._share
            return [tf.constant(array[start : start + self._share]) for array in filled]

        parts = self._strategy.experimental_distribute_values_from_function(part_of)
        results = [self._strategy.experimental_local_results(each) for each in self._run(parts)]
        return [np.concatenate([part.numpy() for part in result])[:examples] for result in results]


def _filled(array, examples):
    """Returns an array with its first example repeated at the end up to a number of examples."""
    array = np.asarray(array)
    missing = examples - len(array)
    return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array
