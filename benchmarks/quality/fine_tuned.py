"""The ViT-S/14 fine-tuned on the composites; its weights are saved after every epoch."""

import hashlib
import json
import os
import tempfile

import numpy as np
from tensorflow import keras

from keras_attnviz.cli.demo import ARCHITECTURE, BATCH_SIZE, LEARNING_RATE, TRAINABLE_BLOCKS
from keras_attnviz.networks.cache import cache_dir
from keras_attnviz.networks.classifier import build_classifier

BLOCK = "Transformer_encoderblock_{}"


def fine_tuned(train, tune, *, seed, epochs):
    """Yields the classifier before training and after each epoch.

    It is trained as `keras-attnviz fit` trains, with the demo's settings. There is no dropout, so
    the frozen blocks give the same at every step, and are evaluated once.

    Args:
        train: `Composites` to train on.
        tune: `Composites` whose accuracy is printed.
        seed: integer, of the head's weights and of the shuffling.
        epochs: number of passes over `train`.

    Yields:
        pairs of an epoch, 0 before training, and the same Keras model with that epoch's weights.
    """
    size = train.images.shape[1]
    keras.utils.set_random_seed(seed)
    classes = len(np.unique(train.labels))
    model = build_classifier(
        ARCHITECTURE, classes=classes, image_size=size, trainable_blocks=TRAINABLE_BLOCKS
    )
    described = {
        "images": hashlib.sha256(train.images.tobytes() + train.labels.tobytes()).hexdigest(),
        "seed": seed,
        "settings": [ARCHITECTURE, TRAINABLE_BLOCKS, BATCH_SIZE, LEARNING_RATE, keras.__version__],
    }
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
    files = [cache_dir() / "localization" / f"{key}-{epoch}.npz" for epoch in range(epochs + 1)]
    if not all(file.exists() for file in files):
        _train(model, train, tune, files)
    for epoch, file in enumerate(files):
        with np.load(file) as arrays:
            for number, variable in enumerate(model.trainable_variables):
                variable.assign(arrays[str(number)])
        yield epoch, model


def _train(model, train, tune, files):
    """Writes the trained variables before training and after each epoch, one file each."""
    front, back = _parts(model)
    features = [front.predict(split.images / np.float32(1), verbose=0) for split in (train, tune)]
    back.compile(
        optimizer=keras.optimizers.AdamW(LEARNING_RATE),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )

    def keep(epoch, logs):
        if logs:
            print(f"epoch {epoch}: accuracy {logs['val_accuracy']:.3f} on the tune split")
        _save(files[epoch], model.trainable_variables)

    keep(0, None)
    back.fit(
        features[0],
        train.labels,
        validation_data=(features[1], tune.labels),
        epochs=len(files) - 1,
        batch_size=BATCH_SIZE,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: keep(epoch + 1, logs))
        ],
    )


def _parts(model):
    """Returns the frozen and the trained part of a classifier as two models, layers shared."""
    vit = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    frozen = sum(layer.name.startswith(BLOCK.format("")) for layer in vit.layers)
    frozen -= TRAINABLE_BLOCKS
    names = [layer.name for layer in vit.layers]
    last = names.index(BLOCK.format(frozen - 1))
    pixels = keras.Input(model.input_shape[1:])
    rescaled = model.layers[0](pixels)
    front = keras.Model(vit.input, vit.layers[last].output[0])
    tokens = keras.Input(front.output_shape[1:])
    output = tokens
    for layer in vit.layers[last + 1 :]:
        output = layer(output)
        output = output[0] if isinstance(output, (tuple, list)) else output
    head = model.layers[-1]
    return keras.Model(pixels, front(rescaled)), keras.Model(tokens, head(output))


def _save(path, variables):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        written = os.path.join(scratch, path.name)
        np.savez(written, **{str(number): each.numpy() for number, each in enumerate(variables)})
        os.replace(written, path)
