"""Small models of vit-keras."""

from tensorflow import keras
from vit_keras import vit as vit_keras


def small(**options):
    return vit_keras.build_model(
        image_size=(32, 24),
        patch_size=8,
        num_layers=2,
        hidden_size=16,
        num_heads=2,
        mlp_dim=32,
        name="small",
        classes=3,
        **options,
    )


def vit():
    return small(include_top=True, representation_size=None, activation="softmax")


def transfer_learning():
    """The most common form in notebooks: a bare Vision Transformer inside a `Sequential`."""
    return keras.Sequential(
        [
            small(include_top=False),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(8, "gelu"),
            keras.layers.Dense(3, "softmax"),
        ]
    )
