"""Free memory of the machine or device that runs a model."""

import math
import os
import pathlib

import tensorflow as tf

_MEMINFO = pathlib.Path("/proc/meminfo")
_CONTROL_GROUP = pathlib.Path("/sys/fs/cgroup")


def free_memory():
    """Returns the number of bytes that are free on the first GPU, or without one in main memory.

    A limit of the process's control group counts, as containers have it. Infinite where it isn't
    known.
    """
    on_gpu = _of_gpu()
    if on_gpu is not None:
        return on_gpu
    known = (_available(), _of_control_group())
    return min(found for found in (*known, math.inf) if found is not None)


def _of_gpu():
    """Returns the free bytes of the first GPU, None without a GPU."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return None
    from tensorflow.python.client import device_lib

    name = gpus[0].name
    limits = {device.name: device.memory_limit for device in device_lib.list_local_devices()}
    used = tf.config.experimental.get_memory_info(name.removeprefix("/device:"))["current"]
    return limits[name] - used if name in limits else math.inf


def _available():
    """Returns the bytes of main memory that a program can take, None if it isn't known."""
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        # Not on Linux: half of the memory that the machine has.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _of_control_group():
    """Returns the bytes that the process's control group leaves, None without a limit."""
    try:
        limit, used = (
            (_CONTROL_GROUP / name).read_text().strip() for name in ("memory.max", "memory.current")
        )
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
