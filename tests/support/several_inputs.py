"""A small model of images and a table."""

from tensorflow import keras
from zoo.blocks import LearnedTokens, Take, encoder, patches

layers = keras.layers


def features(image, table):
    """Returns a small ViT's class token, concatenated with features of the table."""
    token = Take(0)(encoder(LearnedTokens()(patches(image, 16))))
    return layers.Concatenate()([token, layers.Dense(4, "relu")(table)])


def model_of(structure, *, outputs=1):
    """Returns a compiled classifier that takes images and a table in the given structure."""
    keras.utils.set_random_seed(3)
    image, table = keras.Input((24, 24, 3), name="image"), keras.Input((5,), name="table")
    joined = features(image, table)
    classes = layers.Dense(3, "softmax", name="classes")(joined)
    inputs = structure(image, table)
    if outputs == 1:
        model = keras.Model(inputs, classes)
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model
    amount = layers.Dense(1, name="amount")(joined)
    model = keras.Model(inputs, {"classes": classes, "amount": amount})
    model.compile("sgd", {"classes": "sparse_categorical_crossentropy", "amount": "mse"})
    return model


def as_dict(image, table):
    return {"image": image, "table": table}
