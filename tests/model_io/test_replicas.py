"""A function on several devices: what it gives, and that each device does its part."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.model_io.replicas import Replicas, local_strategy

pytestmark = pytest.mark.one_stack

TWO_DEVICES = """
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_attnviz.model_io.replicas import Replicas
traces = []

def function(parts):
    doubled = parts[0] * 2
    traces.append(doubled.device)
    return [doubled, tf.repeat(doubled.device, tf.shape(doubled)[0])]

replicas = Replicas(function, batch_size=5)
for size in (5, 2, 1, 5):
    values, devices = replicas([np.arange(size, dtype="float32")])
    print(values.tolist(), [device.decode()[-5:] for device in devices])
print(replicas.count, len(traces))
"""


def test_one_device_gives_what_the_function_gives():
    replicas = Replicas(lambda parts: [parts[0] + 1, tf.reduce_sum(parts[1], 1)], batch_size=4)
    assert replicas.count == 1
    for size in (4, 3, 1):
        first = np.arange(size, dtype="float32")
        second = np.arange(size * 2, dtype="int64").reshape(size, 2)
        plus, sums = replicas([first, second])
        np.testing.assert_array_equal(plus, first + 1)
        np.testing.assert_array_equal(sums, second.sum(axis=1))


@pytest.mark.one_stack
def test_two_devices_share_each_batch_and_trace_once():
    finished = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    full = "[0.0, 2.0, 4.0, 6.0, 8.0] ['CPU:0', 'CPU:0', 'CPU:0', 'CPU:1', 'CPU:1']"
    expected = [full, "[0.0, 2.0] ['CPU:0', 'CPU:0']", "[0.0] ['CPU:0']", full, "2 2"]
    assert finished.stdout.splitlines() == expected


def test_the_scope_of_the_caller_is_kept():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        assert local_strategy() is strategy
    assert local_strategy() is tf.distribute.get_strategy()
