import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from zoo.family import OLDEST_KERAS_3, this_stack

from keras_attnviz.model_io.outputs import select_output
from keras_attnviz.model_io.signature import InputSignature

# Keras 3 doubts keys that are not the names of their inputs, which are what is tested here.
pytestmark = [
    pytest.mark.every_stack,
    pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning"),
]


def image_input(shape=(24, 24, 3), name="image", dtype="float32"):
    return keras.Input(shape, name=name, dtype=dtype)


def table_input(name="table"):
    return keras.Input((5,), name=name)


def joined(*inputs):
    """Returns an output that depends on all inputs."""
    layers = keras.layers
    flat = [layers.Flatten()(tensor) for tensor in inputs]
    return layers.Dense(2)(flat[0] if len(flat) == 1 else layers.Concatenate()(flat))


def model_of(structure):
    return keras.Model(structure, joined(*tf.nest.flatten(structure)))


class Plain(keras.Model):
    """A subclassed model of one batch of images."""

    def __init__(self):
        super().__init__()
        self.flat, self.head = keras.layers.Flatten(), keras.layers.Dense(2)

    def build(self, input_shape):
        if isinstance(input_shape, (tuple, tf.TensorShape)):
            self.flat.build(input_shape)
            self.head.build((None, int(np.prod(input_shape[1:]))))
        super().build(input_shape)

    def call(self, inputs, training=False):
        return self.head(self.flat(inputs))


class Pair(Plain):
    """A subclassed model of images and token ids."""

    def call(self, inputs, training=False):
        ids = tf.cast(inputs["ids"], tf.float32)
        return self.head(tf.concat([self.flat(inputs["image"]), ids], axis=1))


def arrays(batch=2):
    generator = np.random.default_rng(3)
    return generator.random((batch, 24, 24, 3)), generator.random((batch, 5))


IMAGE, TABLE = arrays()


def shapes(signature):
    return [tuple(spec.shape) for spec in signature.specs]


def test_one_image_input():
    signature = InputSignature.of(model_of(image_input()))
    assert shapes(signature) == [(None, 24, 24, 3)]
    assert signature.specs[0].dtype == tf.float32
    assert (signature.images, signature.image_shape) == ((0,), (24, 24, 3))
    (tensor,) = signature.flatten(IMAGE)
    assert tensor.dtype == tf.float32
    np.testing.assert_array_equal(tensor, IMAGE.astype(np.float32))
    assert signature.pack([tensor]) is tensor


def test_a_batch_as_a_list_of_images_or_under_the_input_name():
    signature = InputSignature.of(model_of(image_input()))
    for given in (list(IMAGE), IMAGE.tolist(), {"image": IMAGE}, [IMAGE], (IMAGE,)):
        (tensor,) = signature.flatten(given)
        np.testing.assert_array_equal(tensor, IMAGE.astype(np.float32))


@pytest.mark.parametrize("structure", [list, lambda inputs: {"pixels": inputs[0]}])
def test_a_bare_array_stands_for_a_structure_of_one(structure):
    model = model_of(structure([image_input()]))
    signature = InputSignature.of(model)
    for given in (IMAGE, structure([IMAGE])):
        tensors = signature.flatten(given)
        np.testing.assert_array_equal(tensors[0], IMAGE.astype(np.float32))
        np.testing.assert_array_equal(model(signature.pack(tensors)), model(structure([IMAGE])))


@pytest.mark.parametrize("sequence", [list, tuple])
def test_several_inputs_in_a_sequence(sequence):
    model = model_of([table_input(), image_input()])
    signature = InputSignature.of(model)
    assert shapes(signature) == [(None, 5), (None, 24, 24, 3)]
    assert signature.names == ("table", "image")
    assert (signature.images, signature.image_shape) == ((1,), (24, 24, 3))
    tensors = signature.flatten(sequence([TABLE, IMAGE]))
    assert [tuple(tensor.shape) for tensor in tensors] == [(2, 5), (2, 24, 24, 3)]
    expected = model([TABLE.astype(np.float32), IMAGE.astype(np.float32)])
    np.testing.assert_array_equal(model(signature.pack(tensors)), expected)
    by_name = signature.flatten({"image": IMAGE, "table": TABLE})
    np.testing.assert_array_equal(model(signature.pack(by_name)), expected)


def test_several_inputs_in_a_dict():
    # The order of the keys is neither that of the inputs nor that of their names.
    model = model_of({"z": image_input(name="a"), "b": table_input(name="y")})
    signature = InputSignature.of(model)
    assert signature.names == ("b", "z")
    assert shapes(signature) == [(None, 5), (None, 24, 24, 3)]
    tensors = signature.flatten({"z": IMAGE, "b": TABLE})
    packed = signature.pack(tensors)
    assert type(packed) is dict
    np.testing.assert_array_equal(packed["z"], IMAGE.astype(np.float32))
    np.testing.assert_array_equal(packed["b"], TABLE.astype(np.float32))
    np.testing.assert_array_equal(model(packed), model({"z": IMAGE, "b": TABLE}))


def test_nested_inputs():
    views = [image_input(), image_input(name="other")]
    signature = InputSignature.of(model_of({"views": views, "table": table_input()}))
    assert signature.images == (1, 2)
    given = {"views": (IMAGE, IMAGE[::-1]), "table": TABLE}
    packed = signature.pack(signature.flatten(given))
    np.testing.assert_array_equal(packed["views"][1], IMAGE[::-1].astype(np.float32))
    with pytest.raises(ValueError, match=r"`x\['views'\]\[1\]` must be of shape \(None, 24, 24"):
        signature.flatten({"views": (IMAGE, IMAGE[:, 1:]), "table": TABLE}, name="x")


def test_dtypes_are_those_that_the_model_declares():
    inputs = {
        "a_mask": image_input((24, 24, 1), name="a_mask", dtype="bool"),
        "image": image_input(dtype="uint8"),
        "ids": keras.Input((None,), dtype="int32", name="ids"),
        "mask": keras.Input((None,), dtype="bool", name="mask"),
    }
    outputs = [keras.layers.Lambda(lambda x: tf.cast(x, tf.float32))(x) for x in inputs.values()]
    signature = InputSignature.of(keras.Model(inputs, outputs))
    given = {"image": IMAGE * 255, "ids": np.ones((2, 3)), "mask": np.ones((2, 3), int)}
    tensors = signature.flatten({"a_mask": IMAGE[..., :1] > 0, **given})
    assert [tensor.dtype for tensor in tensors] == [tf.bool, tf.int32, tf.uint8, tf.bool]
    assert shapes(signature)[1:] == [(None, None), (None, 24, 24, 3), (None, None)]
    assert signature.images == (2,)


def test_sequential_models():
    layers = keras.layers
    first = keras.Sequential([keras.Input((24, 24, 3)), layers.Flatten()])
    nested = keras.Sequential([model_of(image_input()), layers.Dense(1)])
    called = keras.Sequential([layers.Flatten()])
    called(IMAGE.astype(np.float32))
    for model in (first, nested, called):
        signature = InputSignature.of(model)
        assert shapes(signature) == [(None, 24, 24, 3)]
        assert InputSignature.of(model, image_shape=(24, 24, 3)).specs[0].shape[0] is None
    unbuilt = keras.Sequential([layers.Flatten()])
    assert InputSignature.declared(unbuilt) is None
    assert InputSignature.declared(keras.Sequential([])) is None
    assert shapes(InputSignature.of(unbuilt, image_shape=(8, 6, 1))) == [(None, 8, 6, 1)]


@pytest.mark.skipif(this_stack() == OLDEST_KERAS_3, reason="Keras 3.5 can't make such models")
def test_sequential_models_in_sequential_models_that_are_not_built():
    inner = keras.Sequential([keras.Sequential([model_of(image_input())])])
    for model in (keras.Sequential([inner]), keras.Sequential([inner, keras.layers.Flatten()])):
        assert shapes(InputSignature.of(model)) == [(None, 24, 24, 3)]


@pytest.mark.keras3  # Keras 2 allows a Sequential model one input only.
def test_a_sequential_model_takes_what_its_first_layer_takes():
    first = model_of({"b": table_input(), "z": image_input()})
    model = keras.Sequential([first, keras.layers.Dense(1)])
    signature = InputSignature.of(model)
    assert signature.names == ("b", "z")
    assert model(signature.pack(signature.flatten({"z": IMAGE, "b": TABLE}))).shape == (2, 1)


def test_a_subclassed_model_has_the_size_that_it_was_built_with_or_is_given():
    called, built = Plain(), Plain()
    called(IMAGE.astype(np.float32))
    built.build((None, 24, 24, 3))
    for model in (called, built):
        assert InputSignature.declared(model) is None
        assert shapes(InputSignature.of(model)) == [(None, 24, 24, 3)]
        assert shapes(InputSignature.of(model, image_shape=(8, 6, 1))) == [(None, 8, 6, 1)]
    assert shapes(InputSignature.of(Plain(), image_shape=(8, 6, 1))) == [(None, 8, 6, 1)]
    with pytest.raises(ValueError, match=r"image size must be known. Received: input shape \(None"):
        InputSignature.of(Plain())


@pytest.mark.parametrize("is_built", [False, True])
def test_a_subclassed_model_of_several_inputs_is_described_by_an_example(is_built):
    model, ids = Pair(), np.zeros((2, 7), np.int32)
    if is_built:
        model({"image": IMAGE.astype(np.float32), "ids": ids})
    signature = InputSignature.of(model, example={"image": IMAGE, "ids": ids})
    assert shapes(signature) == [(None, 7), (None, 24, 24, 3)]
    assert [spec.dtype for spec in signature.specs] == [tf.int32, tf.float32]
    packed = signature.pack(signature.flatten({"image": IMAGE, "ids": ids}))
    assert model(packed).shape == (2, 2)
    specs = {
        "image": tf.TensorSpec([4, 24, 24, 3], tf.uint8),
        "ids": tf.TensorSpec([None, None], tf.int64),
    }
    signature = InputSignature.of(model, example=specs)
    assert shapes(signature) == [(None, None), (None, 24, 24, 3)]
    assert [spec.dtype for spec in signature.specs] == [tf.int64, tf.uint8]


def test_an_example_gives_the_sides_that_are_left_open():
    inputs = {"image": image_input((None, None, 3)), "ids": keras.Input((None,), name="ids")}
    outputs = keras.layers.GlobalAveragePooling2D()(inputs["image"])
    model = keras.Model(inputs, [outputs, keras.layers.Reshape((-1, 1))(inputs["ids"])])
    example = {"image": IMAGE[:1], "ids": TABLE[:1]}
    signature = InputSignature.of(model, example=example)
    assert shapes(signature) == [(None, 5), (None, 24, 24, 3)]
    signature = InputSignature.of(model, image_shape=(24, 24, 3))
    assert shapes(signature) == [(None, None), (None, 24, 24, 3)]
    with pytest.raises(ValueError, match="image size must be known"):
        InputSignature.of(model)
    with pytest.raises(
        ValueError, match=r"`inputs\['image'\]` must be of shape \(None, None, None"
    ):
        InputSignature.of(model, example={"image": IMAGE[..., :1], "ids": TABLE})


def test_an_image_shape_is_for_those_images_that_it_fits():
    model = model_of([image_input(), image_input((8, 8, 1), name="small")])
    signature = InputSignature.of(model, image_shape=(8, 8, 1))
    assert shapes(signature) == [(None, 24, 24, 3), (None, 8, 8, 1)]
    assert signature.image_shape == (24, 24, 3)
    with pytest.raises(
        ValueError, match=r"`image_shape` must be a shape that the model takes, \(2"
    ):
        InputSignature.of(model, image_shape=(8, 8, 3))
    for bad in ((24, 24), 24):
        with pytest.raises(ValueError, match=r"`image_shape` must be"):
            InputSignature.of(model, image_shape=bad)


def test_a_model_without_images_is_refused():
    text = r"`model` must be a model of images .*Received: model='.*'. Its input has shape \(5,\)"
    with pytest.raises(ValueError, match=text):
        InputSignature.of(model_of(table_input()))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (IMAGE, r"`x` must be a dict with the keys 'b', 'z'. Received: x=\(2, 24, 24, 3\)"),
        ([IMAGE, TABLE], r"`x` must be a dict with the keys 'b', 'z'. Received: x=\[\(2, 24"),
        ({"z": IMAGE}, r"Received: x=\{'z': \(2, 24, 24, 3\)\}. Missing: \['b'\]. Unknown: \[\]"),
        ({"z": IMAGE, "b": TABLE, "c": TABLE}, r"Missing: \[\]. Unknown: \['c'\]"),
        ({"z": IMAGE, "c": TABLE}, r"Missing: \['b'\]. Unknown: \['c'\]"),
        (
            {"z": TABLE, "b": IMAGE},
            r"`x\['b'\]` must be of shape \(None, 5\). Received: x\['b'\]=\(2, 24, 24, 3\).$",
        ),
        ({"z": IMAGE[:, 1:], "b": TABLE}, r"`x\['z'\]`.*\(2, 23, 24, 3\). Resize the images"),
        ({"z": IMAGE[:1], "b": TABLE}, r"`x` must be of the same number of examples in each"),
    ],
)
def test_another_structure_than_the_dict_declared(given, text):
    model = model_of({"z": image_input(), "b": table_input()})
    with pytest.raises(ValueError, match=text):
        InputSignature.of(model).flatten(given, name="x")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (IMAGE, r"`inputs` must be a list or tuple of 2 members, for image, table. Received: inpu"),
        ([IMAGE], r"`inputs` must be a list or tuple of 2 members.*inputs=\[\(2, 24, 24, 3\)\]"),
        ([TABLE, IMAGE], r"`inputs\[0\]` must be of shape \(None, 24, 24, 3\)"),
        ({"image": IMAGE, "tabel": TABLE}, r"Missing: \['table'\]. Unknown: \['tabel'\]"),
    ],
)
def test_another_structure_than_the_list_declared(given, text):
    with pytest.raises(ValueError, match=text):
        InputSignature.of(model_of([image_input(), table_input()])).flatten(given)


def test_shapes_are_checked_of_one_input():
    signature = InputSignature.of(model_of(image_input()))
    with pytest.raises(ValueError, match=r"`images` must be of shape \(None, 24, 24, 3\). Receiv"):
        signature.flatten(IMAGE[:, 1:], name="images")
    with pytest.raises(ValueError, match=r"`inputs` must be a dict with the keys 'image'"):
        signature.flatten({"picture": IMAGE})


def test_inputs_within_a_graph_of_unknown_batch_size():
    signature = InputSignature.of(model_of({"z": image_input(), "b": table_input()}))

    @tf.function(input_signature=[signature.pack(signature.specs)])
    def order(inputs):
        return [tf.shape(tensor) for tensor in signature.flatten(inputs)]

    found = order({"z": tf.zeros([3, 24, 24, 3]), "b": tf.zeros([3, 5])})
    assert [shape.numpy().tolist() for shape in found] == [[3, 5], [3, 24, 24, 3]]


def test_inputs_for_a_probing_run():
    dtypes = {"image": "float32", "photo": "uint8", "wide": "int32"}
    inputs = {name: image_input(name=name, dtype=dtype) for name, dtype in dtypes.items()}
    inputs["ids"] = keras.Input((None,), dtype="int32", name="ids")
    inputs["padding_mask"] = keras.Input((None,), name="padding_mask")
    inputs["flag"] = keras.Input((), dtype="bool", name="flag")
    inputs["table"] = table_input()
    outputs = [keras.layers.Lambda(lambda x: tf.cast(x, tf.float32))(x) for x in inputs.values()]
    signature = InputSignature.of(keras.Model(inputs, outputs))
    found = dict(zip(signature.names, signature.random(2, seed=5), strict=True))
    again = dict(zip(signature.names, signature.random(2, seed=5), strict=True))
    for name, spec in zip(signature.names, signature.specs, strict=True):
        assert found[name].dtype == spec.dtype.as_numpy_dtype
        np.testing.assert_array_equal(found[name], again[name])
    assert found["image"].min() >= 0
    assert 0.9 < found["image"].max() < 1
    for name in ("photo", "wide"):
        assert (found[name].min(), found[name].max()) == (0, 255)
    for name, shape in (("ids", (2, 8)), ("padding_mask", (2, 8)), ("flag", (2,))):
        np.testing.assert_array_equal(found[name], np.ones(shape))
    assert found["table"].shape == (2, 5)
    assert len(np.unique(found["table"])) == 10
    signature.check(found)
    assert (signature.random(2, seed=6)[-1] != signature.random(2, seed=5)[-1]).any()


def test_a_probing_run_takes_from_an_example_what_is_no_picture():
    inputs = {"image": image_input(), "table": table_input()}
    inputs["bias"] = keras.Input((1, 2, 2), name="bias")
    inputs["flag"] = keras.Input((), dtype="bool", name="flag")
    tables = np.arange(15).reshape(3, 5)
    example = {
        "image": np.full((3, 24, 24, 3), 7.0),
        "table": tables,
        "bias": np.zeros((3, 1, 2, 2)),
        "flag": [False, True, False],
    }
    outputs = [keras.layers.Lambda(lambda x: tf.cast(x, tf.float32))(x) for x in inputs.values()]
    signature = InputSignature.of(keras.Model(inputs, outputs), example=example)
    for seed, rows in ((0, [0, 1]), (1, [2, 0]), (2, [1, 2])):
        found = dict(zip(signature.names, signature.random(2, seed=seed), strict=True))
        np.testing.assert_array_equal(found["table"], tables[rows])
        np.testing.assert_array_equal(found["flag"], np.array(example["flag"])[rows])
        np.testing.assert_array_equal(found["bias"], np.zeros((2, 1, 2, 2)))
        assert found["image"].max() < 1
        for name, spec in zip(signature.names, signature.specs, strict=True):
            assert found[name].dtype == spec.dtype.as_numpy_dtype


def test_inputs_that_are_left_out_are_refused():
    signature = InputSignature.of(model_of({"image": image_input(), "table": table_input()}))
    text = r"`inputs\['table'\]` must be an array\. Received: .*=None\. All inputs must be passed"
    with pytest.raises(ValueError, match=text):
        signature.flatten({"image": IMAGE, "table": None})
    with pytest.raises(ValueError, match="`inputs` must be arrays, none of them None"):
        InputSignature.of(Pair(), example={"image": IMAGE, "ids": None})


def test_specs_and_empty_arrays_are_no_example():
    model = model_of({"image": image_input(), "table": table_input()})
    for table in (tf.TensorSpec([None, 5]), TABLE[:0]):
        example = {"image": tf.TensorSpec([None, 24, 24, 3]), "table": table}
        found = InputSignature.of(model, example=example).random(1)[1]
        assert len(np.unique(found)) == 5


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_a_masked_image_are_no_mask(channels):
    name = "masked_image"
    (found,) = InputSignature.of(model_of(image_input((8, 8, channels), name))).random(1)
    assert len(np.unique(found)) > 8
    inputs = {"image": image_input(), name: image_input((8, 8, channels), name)}
    _, found = InputSignature.of(model_of(inputs)).random(1)
    assert (len(np.unique(found)) == 1) == (channels == 1)


A, B, C = (tf.fill([2, width], float(width)) for width in (1, 2, 3))


def test_the_only_output_needs_no_choice():
    for outputs in (A, [A], {"cls": A}, (A,), {"cls": A, "aux": None}):
        assert select_output(outputs) is A


@pytest.mark.parametrize(
    ("outputs", "output", "names", "expected"),
    [
        ([A, B], 1, None, B),
        ([A, B], -2, None, A),
        ([A, B], np.int64(1), ["cls", "reg"], B),
        ((A, B), "reg", ["cls", "reg"], B),
        ({"z": A, "b": B}, "z", ["b", "z"], A),
        ({"z": A, "b": B}, 0, None, B),  # in the order of keys
        ({"z": A, "b": B}, "dense", ["dense", "dense_1"], B),
        ({"z": A, "b": B}, "b", ["z", "b"], B),  # a key comes before a name
        ({"z": [A, C], "b": B}, "z/1", None, C),
        ({"z": A}, "z", None, A),
        (A, "predictions", ["predictions"], A),
        (A, 0, None, A),
    ],
)
def test_an_output_is_chosen(outputs, output, names, expected):
    assert select_output(outputs, output, names) is expected


@pytest.mark.parametrize(
    ("outputs", "output", "names", "text"),
    [
        (
            [A, B],
            None,
            ["cls", "reg"],
            r"`output` must be the index, key or name of one.*Received: output=None. The model "
            r"has: 0: cls \(None, 1\); 1: reg \(None, 2\). Pass the one of the class predictions.",
        ),
        (
            {"z": A, "b": B},
            "c",
            None,
            r"output='c'. The model has: 0: b \(None, 2\); 1: z \(None, 1\)",
        ),
        ([A, B], 2, None, r"output=2. The model has: 0: no name \(None, 1\); 1: no name"),
        ([A, B], -3, None, r"output=-3"),
        ([A, B], True, None, r"output=True"),
        ([A, B], "same", ["same", "same"], r"output='same'"),
        ([A, B], "reg", ["reg"], r"output='reg'"),
        (A, "cls", None, r"output='cls'"),
    ],
)
def test_an_output_that_is_not_there(outputs, output, names, text):
    with pytest.raises(ValueError, match=text):
        select_output(outputs, output, names)


@pytest.mark.parametrize("kind", [list, lambda outputs: dict(zip("zb", outputs, strict=True))])
def test_output_names_of_keras_are_in_the_order_of_outputs(kind):
    image = image_input()
    flat = keras.layers.Flatten()(image)
    outputs = [keras.layers.Dense(size, name=f"of_{size}")(flat) for size in (4, 2)]
    model = keras.Model(image, kind(outputs))
    found = model(tf.zeros([1, 24, 24, 3]))
    for size in (4, 2):
        assert select_output(found, f"of_{size}", model.output_names).shape == (1, size)
