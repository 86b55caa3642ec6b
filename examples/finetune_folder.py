"""Fine-tunes a vit-keras model on a folder of pictures and logs its attention.

    python examples/finetune_folder.py --data my_pictures
    keras-attnviz board logs

The folder holds one subfolder of JPEG or PNG pictures per class. This is plain Keras; this package
adds only the probes and the callback. vit-keras downloads the ImageNet weights (330 MB) on the
first run.
"""

import argparse

from tensorflow import keras
from vit_keras import vit

from keras_attnviz import AttentionRolloutCallback, ProbeSet


def main(*, data, model_name, image_size, epochs, batch_size, log_dir):
    train, validation = keras.utils.image_dataset_from_directory(
        data,
        image_size=(image_size, image_size),
        batch_size=batch_size,
        validation_split=0.2,
        subset="both",
        seed=0,
    )
    class_names = train.class_names

    backbone = getattr(vit, model_name)(
        image_size=image_size, pretrained=True, include_top=False, pretrained_top=False
    )
    model = keras.Sequential(
        [
            backbone,
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(11, activation="gelu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(len(class_names), activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-5),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )

    probes = ProbeSet.from_directory(
        data, image_size=image_size, per_class=2, preprocess=vit.preprocess_inputs
    )
    model.fit(
        train.map(preprocessed).prefetch(1),
        validation_data=validation.map(preprocessed).prefetch(1),
        epochs=epochs,
        callbacks=[
            keras.callbacks.TensorBoard(log_dir),
            AttentionRolloutCallback(probes, log_dir, per_layer_logs=False),
        ],
    )


def preprocessed(images, labels):
    return vit.preprocess_inputs(images), labels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="directory of class folders")
    models = ["vit_b16", "vit_b32", "vit_l16", "vit_l32"]
    parser.add_argument("--model", dest="model_name", choices=models, default="vit_b16")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--log-dir", default="logs")
    main(**vars(parser.parse_args()))
