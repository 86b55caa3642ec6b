"""A small Vision Transformer for the tests, and weight files in vit-keras's layout."""

from pathlib import Path

import numpy as np

from keras_attnviz.networks.pretrained import ARCHITECTURES, Architecture

SMALL = Architecture(
    patch_size=8, num_layers=2, hidden_size=32, num_heads=4, mlp_dim=48, dropout=0.0
)


def weight_arrays(architecture, **options):
    """Returns random float32 arrays with the names and shapes of Flax's checkpoints."""
    generator = np.random.default_rng(0)
    shapes = weight_shapes(architecture, **options)
    return {
        name: generator.normal(0, 0.3, shape).astype("float32") for name, shape in shapes.items()
    }


def weight_shapes(architecture, *, grid=4, classes=None, pre_logits=False):
    """Returns the shapes of a checkpoint's arrays by name."""
    hidden, heads, mlp = architecture.hidden_size, architecture.num_heads, architecture.mlp_dim
    patch = architecture.patch_size
    shapes = {
        "cls": (1, 1, hidden),
        "embedding/kernel": (patch, patch, 3, hidden),
        "embedding/bias": (hidden,),
        "Transformer/posembed_input/pos_embedding": (1, 1 + grid * grid, hidden),
        "Transformer/encoder_norm/scale": (hidden,),
        "Transformer/encoder_norm/bias": (hidden,),
    }
    for block in range(architecture.num_layers):
        prefix = f"Transformer/encoderblock_{block}"
        attention = f"{prefix}/MultiHeadDotProductAttention_1"
        for name in ("query", "key", "value"):
            shapes[f"{attention}/{name}/kernel"] = (hidden, heads, hidden // heads)
            shapes[f"{attention}/{name}/bias"] = (heads, hidden // heads)
        shapes[f"{attention}/out/kernel"] = (heads, hidden // heads, hidden)
        shapes[f"{attention}/out/bias"] = (hidden,)
        for name, (rows, columns) in (("Dense_0", (hidden, mlp)), ("Dense_1", (mlp, hidden))):
            shapes[f"{prefix}/MlpBlock_3/{name}/kernel"] = (rows, columns)
            shapes[f"{prefix}/MlpBlock_3/{name}/bias"] = (columns,)
        for name in ("LayerNorm_0", "LayerNorm_2"):
            shapes[f"{prefix}/{name}/scale"] = shapes[f"{prefix}/{name}/bias"] = (hidden,)
    if pre_logits:
        shapes["pre_logits/kernel"], shapes["pre_logits/bias"] = (hidden, hidden), (hidden,)
    if classes:
        shapes["head/kernel"], shapes["head/bias"] = (hidden, classes), (classes,)
    return shapes


def write_weights(path, architecture=SMALL, **options):
    """Writes `weight_arrays` as an .npz file; returns its path."""
    np.savez(path, **weight_arrays(architecture, **options))
    return path


def write_published_weights(keras_home, *, best_class):
    """Writes ViT-B/32 weights where vit-keras keeps them, in its layout.

    The values repeat after a few thousand, so that the file is small. The model predicts
    `best_class` for any picture.
    """
    random = np.random.default_rng(0)
    arrays = {}
    for key, shape in weight_shapes(ARCHITECTURES["vit_b32"], grid=2, classes=1000).items():
        # A prime number, so that the rows of a matrix differ.
        arrays[key] = np.resize(random.normal(0, 0.01, 4099), shape)
        if key.endswith("scale"):
            arrays[key] += 1
    arrays["head/bias"][best_class] = 8
    path = Path(keras_home) / "weights" / "ViT-B_32_imagenet21k+imagenet2012.npz"
    path.parent.mkdir(parents=True)
    np.savez_compressed(path, **{key: array.astype("float32") for key, array in arrays.items()})
