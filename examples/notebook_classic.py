"""Runs the classic vit-keras notebook on a folder of pictures and logs its attention.

    pip install '.[legacy]'
    python examples/notebook_classic.py --data my_pictures
    keras-attnviz board logs

For tf.keras 2: TensorFlow 2.15, tensorflow-addons and vit-keras 0.1. The folder holds one
subfolder of JPEG or PNG pictures per class. This package adds only the probes and the callback to
the notebook. vit-keras downloads the ImageNet weights (330 MB) on the first run; `--weights none`
does without them.
"""

import argparse

import tensorflow as tf
import tensorflow_addons as tfa
from vit_keras import vit

from keras_attnviz import AttentionRolloutCallback, ProbeSet


def main(*, data, weights, image_size, epochs, batch_size, log_dir):
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        preprocessing_function=vit.preprocess_inputs, horizontal_flip=True, validation_split=0.2
    )
    options = {
        "target_size": (image_size, image_size),
        "batch_size": batch_size,
        "class_mode": "categorical",
        "seed": 1,
    }
    train = generator.flow_from_directory(data, subset="training", **options)
    validation = generator.flow_from_directory(data, subset="validation", shuffle=False, **options)

    vit_model = vit.vit_b16(
        image_size=image_size,
        activation="softmax",
        pretrained=weights == "imagenet",
        include_top=False,
        pretrained_top=False,
    )
    model = tf.keras.Sequential(
        [
            vit_model,
            tf.keras.layers.Flatten(),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.Dense(11, activation=tfa.activations.gelu),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.Dense(train.num_classes, "softmax"),
        ],
        name="vision_transformer",
    )
    model.compile(
        optimizer=tfa.optimizers.RectifiedAdam(learning_rate=1e-4),
        loss=tf.keras.losses.CategoricalCrossentropy(label_smoothing=0.2),
        metrics=["accuracy"],
    )
    model.summary()

    probes = ProbeSet.from_directory(
        data, image_size=image_size, per_class=2, preprocess=vit.preprocess_inputs
    )
    model.fit(
        train,
        validation_data=validation,
        epochs=epochs,
        callbacks=[
            tf.keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=5),
            tf.keras.callbacks.TensorBoard(log_dir),
            AttentionRolloutCallback(probes, log_dir, per_layer_logs=False),
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="directory of class folders")
    parser.add_argument("--weights", choices=["imagenet", "none"], default="imagenet")
    parser.add_argument("--image-size", type=int, default=224, help="a multiple of 16")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--log-dir", default="logs")
    main(**vars(parser.parse_args()))
