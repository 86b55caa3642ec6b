"""Small models: a seeded Vision Transformer for every stack of Keras, and classifiers."""

from tensorflow import keras
from vit_keras import vit
from zoo import plain_vit
from zoo.family import TF_KERAS, this_stack

KERAS_3 = hasattr(keras, "ops")
# With TF_USE_LEGACY_KERAS=1, vit-keras builds Keras 3 models, but TensorFlow's Keras is Keras 2.
HAS_VIT_KERAS = this_stack() != TF_KERAS


def small_vit(*, image_size=24, patch_size=4, include_top=False, activation="linear", layers=2):
    """Returns a small vit-keras model, or a similar one, with seeded random weights."""
    keras.utils.set_random_seed(7)
    build_model = vit.build_model if HAS_VIT_KERAS else plain_vit.build_model
    return build_model(
        image_size=image_size,
        patch_size=patch_size,
        num_layers=layers,
        hidden_size=32,
        num_heads=4,
        mlp_dim=64,
        name="small",
        classes=2,
        include_top=include_top,
        activation=activation,
    )


def small_classifier(**options):
    """Returns the usual transfer-learning model around `small_vit`, compiled."""
    model = keras.Sequential(
        [small_vit(**options), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    # Tracing a step of Adam takes as long as the rest of a small model's training.
    optimizer = keras.optimizers.SGD(0.01)
    accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[accuracy])
    # If the first step makes variables, for the optimizer or for named metrics, it is traced twice.
    model.optimizer.build(model.trainable_variables)
    return model


def pooled_model():
    """Returns a classifier of Keras layers, whose head is dead until its weights are set."""
    keras.utils.set_random_seed(9)
    images = keras.Input((16, 24, 3))
    tokens = keras.layers.Reshape((24, 8))(keras.layers.Conv2D(8, 4, 4)(images))
    for _ in range(2):
        tokens = keras.layers.Add()([tokens, keras.layers.MultiHeadAttention(2, 4)(tokens, tokens)])
    tokens = keras.layers.Dropout(0.5)(keras.layers.LayerNormalization()(tokens))
    pooled = keras.layers.GlobalAveragePooling1D()(tokens)
    dead = keras.initializers.Constant(-100)
    hidden = keras.layers.Dense(16, "relu", bias_initializer=dead)(pooled)
    model = keras.Model(images, keras.layers.Dense(2, "softmax")(hidden))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
