"""A training on several workers: variables read without the others, values that all agree on."""

import contextlib

import numpy as np
import tensorflow as tf


def has_workers(strategy):
    """Tells whether a strategy runs the same program on several workers, each with its variables.

    Args:
        strategy: a `tf.distribute.Strategy`, or None.
    """
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


@contextlib.contextmanager
def own_variables(model):
    """Lets a model's variables be read as this worker has them.

    Of a variable that each worker has its own value of, a moving average of BatchNormalization
    say, TensorFlow otherwise reads the mean over workers, for which all must read it at one time.

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
    """What the workers of a training tell one another; without effect where there is one only.

    All workers must call the same methods in the same order, as they do with training steps.

    Args:
        strategy: the model's `tf.distribute.Strategy`.
    """

    def __init__(self, strategy):
        self._strategy = strategy if has_workers(strategy) else None
        self._sums = tf.function(self._sums_graph)

    def from_chief(self, values):
        """Returns the chief's values, a list of floats; takes each worker's, equally many."""
        return list(values) if self._strategy is None else self._reduced(values, of_all=False)

    def on_all(self, act, what_failed):
        """Calls a function on each worker; where it fails on one, all raise and none waits.

        Args:
            act: function without arguments.
            what_failed: begin of a sentence, for the workers on which it hasn't failed.

        Raises:
            RuntimeError: it has failed on another worker. Where it fails, its own error.
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
            raise RuntimeError(f"{what_failed} on another worker; the error there tells why.")

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
