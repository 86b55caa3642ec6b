"""Training on several workers: variables read by one worker, and values that all agree on."""

import contextlib

import numpy as np
import tensorflow as tf


def has_workers(strategy):
    """Returns whether a strategy runs one program on several workers, each with its variables.

    Args:
        strategy: a `tf.distribute.Strategy`, or None.
    """
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


@contextlib.contextmanager
def own_variables(model):
    """Makes reads of a model's variables return this worker's values.

    A variable may have another value on each worker, a moving average of BatchNormalization for
    example. TensorFlow otherwise reads the mean over workers, and all must read it together.

    Args:
        model: a Keras model.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if not has_workers(strategy):
        yield
        return
    places = strategy.experimental_distribute_values_from_function(
        lambda context: context.replica_id_in_sync_group
    )
    first = strategy.experimental_local_results(places)[0]
    with tf.distribute.ReplicaContext(strategy, int(first)):
        yield


class Agreement:
    """Agreement among the workers of a training; without effect where there is only one worker.

    All workers must call the same methods in the same order, as with training steps.

    Args:
        strategy: the model's `tf.distribute.Strategy`.
    """

    def __init__(self, strategy):
        self._strategy = strategy if has_workers(strategy) else None
        self._sums = tf.function(self._sums_graph)

    def from_chief(self, values):
        """Returns the chief's values, a list of floats; each worker passes equally many."""
        return list(values) if self._strategy is None else self._reduced(values, of_all=False)

    def on_all(self, act, what_failed):
        """Calls a function on each worker. If it fails on one, all raise and none waits.

        Args:
            act: function without arguments.
            what_failed: beginning of the message on workers where the function didn't fail.

        Raises:
            Exception: the function's error, on the worker where it failed.
            RuntimeError: the function failed on another worker.
        """
        error = None
        try:
            act()
        except Exception as caught:
            error = caught
        has_failed = error is not None
        if self._strategy is not None:
            has_failed = self._reduced([has_failed], of_all=True)[0] > 0
        if error is not None:
            raise error
        if has_failed:
            raise RuntimeError(f"{what_failed} on another worker; see the error there.")

    def _reduced(self, values, *, of_all):
        found = self._sums(tf.constant(np.float64(values)), tf.constant(of_all))
        return self._strategy.experimental_local_results(found)[0].numpy().tolist()

    def _sums_graph(self, values, of_all):
        def summed(values):
            replica = tf.distribute.get_replica_context()
            counts = tf.logical_or(of_all, tf.equal(replica.replica_id_in_sync_group, 0))
            given = tf.where(counts, values, tf.zeros_like(values))
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, given)

        return self._strategy.run(summed, args=(values,))
