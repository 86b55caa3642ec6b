"""Trains a convolutional network with BAM after each stage and shows where each stage looks.

    python examples/convnet_attention.py
    keras-attnviz board logs

Without `--data`, it uses the demo's photographs of solar cells, which need the extra `demo`.
`--backbone small` is a small ResNet that learns from scratch in a few minutes on two cores.
`resnet50` and the others are Keras' networks; Keras downloads their ImageNet weights on the first
run, and inserting BAM after each stage keeps those weights. At the end, the script draws the
stages' maps before and after training to `stages.png`.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from tensorflow import keras

from keras_attnviz import (
    AttentionRolloutCallback,
    BottleneckAttention,
    ProbeSet,
    read_log,
    with_stage_attention,
)

layers = keras.layers
BACKBONES = {
    "resnet50": ("ResNet50", "resnet"),
    "efficientnet_b0": ("EfficientNetB0", "efficientnet"),
    "mobilenet_v2": ("MobileNetV2", "mobilenet_v2"),
}


def main(*, data, backbone, weights, image_size, epochs, batch_size, log_dir, picture):
    train, validation = (
        keras.utils.image_dataset_from_directory(
            folder,
            image_size=(image_size, image_size),
            batch_size=batch_size,
            seed=0,
            shuffle=part == "train",
        )
        for part, folder in folders(data).items()
    )
    names = train.class_names
    features, preprocess = built(backbone, weights, image_size)
    gated = with_stage_attention(
        features, lambda stage: BottleneckAttention(ratio=8, momentum=0.9, name=f"bam_{stage}")
    )
    outputs = layers.Dense(len(names), activation="softmax")(
        layers.GlobalAveragePooling2D()(gated.output)
    )
    model = keras.Model(gated.input, outputs)
    rate = 1e-3 if backbone == "small" else 1e-4
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    probes = ProbeSet.from_directory(
        folders(data)["validation"], image_size=image_size, per_class=4, preprocess=preprocess
    )
    model.fit(
        train.map(lambda images, labels: (preprocess(images), labels)).prefetch(1),
        validation_data=validation.map(lambda images, labels: (preprocess(images), labels)),
        epochs=epochs,
        callbacks=[
            keras.callbacks.TensorBoard(log_dir),
            AttentionRolloutCallback(probes, log_dir, per_layer_logs=False),
        ],
    )
    draw(read_log(log_dir), probes, picture)
    print(f"The stages' maps before and after training: {picture}")


def folders(data):
    """Returns the folders of the training and the validation pictures."""
    if data is None:
        from keras_attnviz.cli.elpv import write_class_folders

        data = write_class_folders("solar_cells", per_class=500, validation_per_class=150, seed=5)
    return {"train": Path(data) / "train", "validation": Path(data) / "validation"}


def built(backbone, weights, image_size):
    """Returns a network that turns pictures into feature maps, and its preprocessing."""
    if backbone == "small":
        return small_resnet(image_size), lambda images: images / 127.5 - 1
    name, module = BACKBONES[backbone]
    network = getattr(keras.applications, name)(
        include_top=False, weights=weights, input_shape=(image_size, image_size, 3)
    )
    return network, getattr(keras.applications, module).preprocess_input


def small_resnet(image_size, widths=(16, 32, 64, 128)):
    """Returns a residual network with four stages of two blocks each."""
    images = keras.Input((image_size, image_size, 3))
    features = convolved(images, widths[0], strides=2)
    for number, width in enumerate(widths):
        for block in range(2):
            strides = 2 if block == 0 and number > 0 else 1
            shortcut = features
            if strides > 1:
                shortcut = layers.Conv2D(width, 1, strides=strides)(features)
            branch = convolved(features, width, strides=strides)
            branch = layers.Conv2D(width, 3, padding="same", use_bias=False)(branch)
            branch = layers.BatchNormalization(momentum=0.9)(branch)
            features = layers.Activation("relu")(layers.Add()([shortcut, branch]))
    return keras.Model(images, features, name="small_resnet")


def convolved(features, width, *, strides):
    features = layers.Conv2D(width, 3, strides=strides, padding="same", use_bias=False)(features)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(features))


def draw(log, probes, path):
    """Draws the stages' maps of some probes before the first epoch and after the last."""
    stages = [layer["path"].rsplit("/", 1)[-1] for layer in log.setup["layers"]]
    chosen = range(0, len(probes.names), max(1, len(probes.names) // 4))
    moments = [(log.steps[0], "before"), (log.steps[-1], "after")]
    figure, axes = plt.subplots(
        len(chosen),
        1 + 2 * len(stages),
        figsize=(1.7 * (1 + 2 * len(stages)), 1.8 * len(chosen)),
        layout="constrained",
        squeeze=False,
    )
    for row, probe in zip(axes, chosen, strict=True):
        row[0].imshow(probes.display[probe])
        row[0].set_title(probes.names[probe], fontsize=7)
        cells = iter(row[1:])
        for step, moment in moments:
            for stage, maps in zip(stages, log.heads(step, probe), strict=True):
                cell = next(cells)
                cell.imshow(maps[0], cmap="inferno", vmin=0, vmax=1)
                cell.set_title(f"{stage}, {moment}", fontsize=7)
        for cell in row:
            cell.axis("off")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="directory with train/ and validation/ of class folders")
    parser.add_argument("--backbone", choices=["small", *BACKBONES], default="small")
    parser.add_argument("--weights", default="imagenet", help="of a backbone of Keras, or none")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--log-dir", default="logs")
    parser.add_argument("--picture", default="stages.png")
    arguments = vars(parser.parse_args())
    if arguments["weights"] == "none":
        arguments["weights"] = None
    main(**arguments)
