"""Measures the callback's share of an epoch of the demo."""

import tempfile
import time

from keras_attnviz import AttentionRolloutCallback
from keras_attnviz.cli.demo import run_demo


def measure():
    """Returns `(share, seconds)`: the callback's share of the demo's first epoch, and its length.

    The epoch counts from its first training step, so it excludes the trace and the baseline.
    """
    begun, ended, spent = [], [], []
    begin, end = AttentionRolloutCallback.on_epoch_begin, AttentionRolloutCallback.on_epoch_end

    def timed_begin(self, epoch, logs=None):
        begin(self, epoch, logs)
        begun.append(time.perf_counter())

    def timed_end(self, epoch, logs=None):
        start = time.perf_counter()
        end(self, epoch, logs)
        ended.append(time.perf_counter())
        spent.append(ended[-1] - start)

    AttentionRolloutCallback.on_epoch_begin = timed_begin
    AttentionRolloutCallback.on_epoch_end = timed_end
    try:
        with tempfile.TemporaryDirectory() as log_dir:
            run_demo(log_dir=log_dir, epochs=1)
    finally:
        AttentionRolloutCallback.on_epoch_begin = begin
        AttentionRolloutCallback.on_epoch_end = end
    seconds = ended[0] - begun[0]
    return spent[0] / seconds, seconds


if __name__ == "__main__":
    print(*measure())
