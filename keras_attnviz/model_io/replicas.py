"""Replicas: a function that runs on all local devices at once, each with its part of a batch."""

import numpy as np
import tensorflow as tf


def local_strategy():
    """Returns a `tf.distribute.Strategy` over this machine's devices of the fastest kind.

    With several GPUs, or with no GPU and several logical CPUs, this is a `MirroredStrategy` over
    them. Otherwise, and inside a strategy's scope, it is the current strategy; the default one uses
    a single device.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2 or tf.distribute.has_strategy():
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


class Replicas:
    """Runs a function on batches, each device of a strategy on its part of each batch.

    Every device always gets the same number of examples, so that the function is traced once. A
    short batch is filled up with its first example; the results of the filling are dropped.

    Args:
        function: function from a flat list of tensors to a flat list of tensors, batch first.
        batch_size: the most examples in a batch.
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
    """Returns an array filled up at the end with its first example to a number of examples."""
    array = np.asarray(array)
    missing = examples - len(array)
    return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array
