"""Worker fits: runs fits in separate processes, on one device, several devices or several workers.

    python -m support.worker_fit FOLDER PLAN

PLAN is a JSON list with one entry `[name, kind, kill]` per start. A start writes into
`FOLDER/name`: the log into `logs`, and the result of each process's fit into `<role>.json`. `kind`
is one of `KINDS`. `kill` is null, or `[role, moment, epoch]` to kill the process of that role at a
moment of `Killing`. For each start, a line of JSON is printed with how each process ended. No
process runs longer than `SECONDS`.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import traceback

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_attnviz import AttentionRolloutCallback, ProbeSet
from keras_attnviz.model_io.workers import Agreement
from support.killed_fit import Killing
from support.small_models import small_vit

EPOCHS = 3
SECONDS = 100
# For each kind, the roles of its processes. Servers run until they are ended.
KINDS = {
    "one": ["chief-0"],
    "mirrored": ["chief-0"],
    "workers": ["worker-0", "worker-1"],
    "servers": ["chief-0", "worker-0", "ps-0"],
}


def classifier():
    """Returns a classifier that trains the same on one device as on several."""
    model = keras.Sequential(
        [
            small_vit(image_size=16, patch_size=8, layers=1),
            keras.layers.Flatten(),
            # Each device has its own moving averages of this layer, even if they aren't trained.
            keras.layers.BatchNormalization(
                moving_mean_initializer=keras.initializers.Constant(0.1), trainable=False
            ),
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
    strategy = strategy_of(kind)  # before TensorFlow computes anything
    with strategy.scope():
        model = classifier()
    images = np.random.default_rng(0).random((64, 16, 16, 3)).astype("float32")
    labels = (images[:, :8].mean(axis=(1, 2, 3)) > images[:, 8:].mean(axis=(1, 2, 3))).astype(int)
    # Endless, with a given number of steps: parameter servers accept nothing else.
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16).repeat()
    callbacks = [AttentionRolloutCallback(ProbeSet(images[:3]), folder / "logs")]
    if len(KINDS[kind]) > 1:
        moment = kill[1:] if kill and kill[0] == role else ["", 0]
        killing = Killing(*moment)
        if kind == "servers":  # Keras refuses batch callbacks here
            killing = keras.callbacks.LambdaCallback(on_epoch_end=killing.on_epoch_end)
        callbacks += [killing, keras.callbacks.BackupAndRestore(str(folder / "backup"))]
    options = {"epochs": EPOCHS, "steps_per_epoch": 4, "verbose": 0, "shuffle": False}
    given = {"logs": model.fit(dataset, callbacks=callbacks, **options).history}
    agreement, index = Agreement(strategy), int(role[-1])
    given["from_chief"] = agreement.from_chief([index, index + 0.1, float("nan")])
    (folder / f"{role}.json").write_text(json.dumps(given, default=float))


def serve():
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    tf.distribute.Server(
        resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id
    ).join()


def run_role(folder, kind, role, cluster, kill):
    """Runs the process of a role."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    job, index = role.split("-")
    if len(KINDS[kind]) > 1:
        task = {"type": job, "index": int(index)}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    if kind == "servers" and job != "chief":
        serve()
    fit(folder, kind, role, kill)
    # If a worker ends before the others, they see it as lost.
    others = [folder / f"{other}.json" for other in KINDS[kind] if kind == "workers"]
    while not all(path.exists() for path in others):
        time.sleep(0.1)


def end_with(parent):
    """Ends this process when its parent has ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def addresses_of(roles):
    """Returns a cluster with a free address for each role, as in `TF_CONFIG`."""
    cluster = {}
    with contextlib.ExitStack() as taken:
        for role in roles:
            found = taken.enter_context(socket.socket())
            found.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{found.getsockname()[1]}"
            cluster.setdefault(role.split("-")[0], []).append(address)
    return cluster


def start(folder, kind, kill):
    """Starts the processes of a kind, waits for them, and returns how each ended."""
    cluster, children = addresses_of(KINDS[kind]), {}
    for role in KINDS[kind]:
        # TensorFlow is imported once, and runs only in the children.
        children[role] = os.fork()
        if children[role] == 0:
            try:
                run_role(folder, kind, role, cluster, kill)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
    ended, deadline = {}, time.monotonic() + SECONDS
    awaited = {"chief-0"} if kind == "servers" else set(children)
    while not awaited <= set(ended) and time.monotonic() < deadline:
        for role in set(children) - set(ended):
            pid, status = os.waitpid(children[role], os.WNOHANG)
            if pid:
                ended[role] = os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    for role in set(children) - set(ended):
        os.kill(children[role], signal.SIGKILL)
        os.waitpid(children[role], 0)
        ended[role] = "awaited in vain" if role in awaited else "ended"
    return ended


def main(folder, plan):
    for name, kind, kill in json.loads(plan):
        folder_of_run = pathlib.Path(folder) / name
        folder_of_run.mkdir(exist_ok=True)
        print(json.dumps(start(folder_of_run, kind, kill)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
