"""Fits in processes of their own: on one device, on several, or on several workers.

    python worker_fit.py FOLDER KIND [KILLS]

KIND is one of `KINDS`. Each process writes what its fit has given into `FOLDER/<role>.json`; the
log is in `FOLDER/logs`. KILLS is a JSON list, one entry a start: `[role, moment, epoch]` with a
moment of `killed_fit.Killing`; the process of that role is killed there, the others are ended, and
all are started again. Printed is how each process of the last start has ended.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import time

import numpy as np
import tensorflow as tf
from conftest import small_vit
from killed_fit import Killing
from tensorflow import keras

from keras_attnviz import AttentionRolloutCallback, ProbeSet

EPOCHS = 3
# Of each kind the roles of its processes; the first one's log is the one that counts.
KINDS = {
    "one": ["chief-0"],
    "mirrored": ["chief-0"],
    "workers": ["worker-0", "worker-1"],
    "servers": ["chief-0", "worker-0", "ps-0"],
}
SECONDS = 150


def data():
    images = np.random.default_rng(0).random((64, 16, 16, 3)).astype("float32")
    labels = (images[:, :8].mean(axis=(1, 2, 3)) > images[:, 8:].mean(axis=(1, 2, 3))).astype(int)
    return images, labels


def classifier():
    """Returns a classifier that trains the same on one device as on several."""
    still = keras.layers.BatchNormalization(
        moving_mean_initializer=keras.initializers.Constant(0.1), trainable=False
    )
    model = keras.Sequential(
        [
            small_vit(image_size=16, patch_size=8, layers=1),
            keras.layers.Flatten(),
            # Devices have their own of its variables, which are averaged when they are read.
            still,
            keras.layers.Dense(2, "softmax"),
        ]
    )
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def strategy_of(kind):
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, parts)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    if kind == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if kind == "servers":
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        return tf.distribute.ParameterServerStrategy(resolver)
    return tf.distribute.get_strategy()


def fit(folder, kind, role, kill):
    images, labels = data()
    strategy = strategy_of(kind)
    with strategy.scope():
        model = classifier()
    callbacks = [AttentionRolloutCallback(ProbeSet(images[:3]), folder / "logs")]
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    steps = None
    if kind == "servers":
        dataset, steps = dataset.repeat(), 4
    history = model.fit(
        dataset, epochs=EPOCHS, steps_per_epoch=steps, verbose=0, callbacks=callbacks
    )
    (folder / f"{role}.json").write_text(json.dumps(history.history, default=float))


def serve():
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    server = tf.distribute.Server(
        resolver.cluster_spec(),
        job_name=resolver.task_type,
        task_index=resolver.task_id,
        protocol="grpc",
    )
    server.join()


def free_port():
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def child(folder, kind, role, cluster, kill):
    """Runs one role, and doesn't return."""
    try:
        job, index = role.split("-")
        if len(KINDS[kind]) > 1:
            task = {"type": job, "index": int(index)}
            os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
        if kind == "servers" and job != "chief":
            serve()
        fit(folder, kind, role, kill)
        # Where one worker ends before the others have, they see it as lost.
        waiting = [name for name in KINDS[kind] if kind == "workers"]
        while not all((folder / f"{name}.json").exists() for name in waiting):
            time.sleep(0.1)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def run(folder, kind, kill):
    roles = KINDS[kind]
    cluster = {}
    for role in roles:
        cluster.setdefault(role.split("-")[0], []).append(f"127.0.0.1:{free_port()}")
    children = {}
    for role in roles:
        pid = os.fork()
        if not pid:
            child(folder, kind, role, cluster, kill)
        children[role] = pid
    ended, deadline = {}, time.monotonic() + SECONDS
    while len(ended) < len(children) and time.monotonic() < deadline:
        for role, pid in children.items():
            if role not in ended:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    ended[role] = os.waitstatus_to_exitcode(status)
                    print(role, ended[role], time.monotonic() - deadline + SECONDS, flush=True)
        if kind == "servers" and "chief-0" in ended:
            break
        time.sleep(0.05)
    for role, pid in children.items():
        if role not in ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return ended


def main(folder, kind, kills="[]"):
    print(run(pathlib.Path(folder), kind, None))


if __name__ == "__main__":
    main(*sys.argv[1:])
