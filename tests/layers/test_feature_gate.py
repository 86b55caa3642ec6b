"""What holds for all layers that weigh feature maps, whatever they compute."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support import feature_oracles as oracles
from tensorflow import keras

from keras_attnviz import (
    BottleneckAttention,
    ConvBlockAttention,
    EfficientChannelAttention,
    SelectiveKernel,
    SqueezeExcite,
)

pytestmark = pytest.mark.every_stack

CHANNELS = 8
LAYERS = {
    SqueezeExcite: {"ratio": 2, "use_bias": True},
    EfficientChannelAttention: {"kernel_size": 5, "gamma": 3, "b": 0.5},
    BottleneckAttention: {"ratio": 2, "dilation": 2, "momentum": 0.9},
    ConvBlockAttention: {"ratio": 2, "kernel_size": 3, "use_bias": True},
    SelectiveKernel: {"dilations": (1, 2), "groups": 1, "ratio": 4, "smallest": 3},
}
each_layer = pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)


def random_layer(cls, **options):
    return oracles.randomized(cls(**LAYERS[cls], **options), CHANNELS)


@pytest.fixture
def features():
    return tf.constant(oracles.features(3, 5, 6, CHANNELS), tf.float32)


@each_layer
def test_channels_first_is_channels_last_transposed(cls, features):
    last = random_layer(cls)
    first = random_layer(cls, data_format="channels_first")
    first.set_weights(last.get_weights())
    answer = tf.transpose(first(tf.transpose(features, [0, 3, 1, 2])), [0, 2, 3, 1])
    np.testing.assert_allclose(answer, last(features), rtol=1e-5, atol=1e-5)


@each_layer
def test_batch_and_sides_may_be_unknown(cls, features):
    layer = random_layer(cls)
    called = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, CHANNELS])])
    for part in (features, features[:1, :4, :3]):
        np.testing.assert_allclose(called(part), layer(part), rtol=1e-5, atol=1e-5)
    model = keras.Sequential([keras.Input((None, None, CHANNELS)), layer])
    assert tuple(model.outputs[0].shape) == (None, None, None, CHANNELS)


@each_layer
def test_each_image_is_weighed_by_itself(cls, features):
    layer = random_layer(cls)
    alone = tf.concat([layer(features[index : index + 1]) for index in range(3)], axis=0)
    np.testing.assert_allclose(layer(features), alone, rtol=1e-5, atol=1e-5)


@each_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(cls, policy, features):
    layer = cls(**LAYERS[cls], dtype=policy)
    layer.build((None, None, None, CHANNELS))
    wide = cls(**LAYERS[cls])
    wide.build((None, None, None, CHANNELS))
    wide.set_weights(layer.get_weights())
    answer = layer(features)
    assert answer.dtype == layer.compute_dtype == policy.removeprefix("mixed_")
    assert all(array.dtype == np.float32 for array in layer.get_weights())
    np.testing.assert_allclose(tf.cast(answer, tf.float32), wide(features), rtol=0.1, atol=0.05)


@each_layer
def test_means_of_large_maps_do_not_overflow_in_half_precision(cls):
    layer = cls(**LAYERS[cls], dtype="mixed_float16")
    # The sum over positions is 4 million, float16 ends at 65504.
    assert np.isfinite(layer(tf.fill([1, 200, 200, CHANNELS], 100.0))).all()


@each_layer
def test_gradients_reach_features_and_all_weights(cls, features):
    layer = random_layer(cls)
    with tf.GradientTape() as tape:
        tape.watch(features)
        # In training, batch normalization takes away what some biases add.
        loss = tf.reduce_sum(layer(features, **inference(cls)) ** 2)
    # Keras 3 wraps TensorFlow's variables.
    variables = [getattr(weight, "_value", weight) for weight in layer.trainable_variables]
    gradients = tape.gradient(loss, [features, *variables])
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


def inference(cls):
    """Returns the argument of layers that know training from inference."""
    return {"training": False} if cls in (BottleneckAttention, SelectiveKernel) else {}


@pytest.mark.parametrize(
    "cls", [BottleneckAttention, SelectiveKernel], ids=lambda cls: cls.__name__
)
def test_normalization_learns_in_training_alone(cls, features):
    layer = random_layer(cls)

    def statistics():
        named = oracles.named_weights(layer).items()
        return {name: array for name, array in named if "moving" in name}

    before = statistics()
    layer(features, training=False)
    layer(features)
    layer.trainable = False
    layer(features, training=True)
    for name, array in statistics().items():
        np.testing.assert_array_equal(array, before[name])
    layer.trainable = True
    layer(features, training=True)
    assert before
    for name, array in statistics().items():
        assert np.abs(array - before[name]).max() > 0, name


@each_layer
def test_a_model_with_it_is_trained_saved_and_loaded(cls, tmp_path, features):
    images = keras.Input((None, None, CHANNELS))
    answer = cls(**LAYERS[cls], name="gate")(images)
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(answer))
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(features, np.ones((3, CHANNELS)), verbose=0)
    pairs = zip(before, model.get_weights(), strict=True)
    assert any(np.abs(one - two).max() > 0 for one, two in pairs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model.predict(features, verbose=0)
    np.testing.assert_array_equal(loaded.predict(features, verbose=0), expected)
    layer = loaded.get_layer("gate")
    assert type(layer) is cls
    assert layer.get_config() == model.get_layer("gate").get_config()
    assert (
        layer.get_config().items()
        >= {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in LAYERS[cls].items()
        }.items()
    )
    model.save_weights(tmp_path / "model.weights.h5")
    loaded.set_weights([np.zeros_like(array) for array in loaded.get_weights()])
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(loaded.predict(features, verbose=0), expected)


FRESH = """
import sys
import numpy as np
from tensorflow import keras
from keras_attnviz import (
    BottleneckAttention,
    ConvBlockAttention,
    EfficientChannelAttention,
    SelectiveKernel,
    SqueezeExcite,
)
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[2], model(np.load(sys.argv[2])))
"""


def test_a_new_process_loads_them_once_they_are_imported(tmp_path, features):
    images = answer = keras.Input((5, 6, CHANNELS))
    for cls, options in LAYERS.items():
        answer = cls(**options)(answer)
    model = keras.Model(images, answer)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "features.npy", features)
    paths = [tmp_path / "model.keras", tmp_path / "features.npy"]
    subprocess.run([sys.executable, "-c", FRESH, *paths], check=True)
    np.testing.assert_allclose(np.load(paths[1]), model(features), rtol=1e-5, atol=1e-6)


@each_layer
def test_names_of_weights_are_different_and_tell_the_part(cls):
    layer = cls(**LAYERS[cls], name="gate")
    layer(keras.Input((5, 6, CHANNELS)))
    names = [getattr(weight, "path", weight.name).removesuffix(":0") for weight in layer.weights]
    assert len(set(names)) == len(names)
    assert all(name.startswith("gate/") and name.count("/") == 2 for name in names)


@each_layer
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_shape_of_the_answer_is_told(cls, data_format):
    layer = cls(**LAYERS[cls], data_format=data_format)
    assert tuple(layer.compute_output_shape((None, 8, None, 8))) == (None, 8, None, 8)


GATES = {
    SqueezeExcite: {("Sigmoid", (None, 1, 1, CHANNELS))},
    EfficientChannelAttention: {("Sigmoid", (None, 1, 1, CHANNELS))},
    BottleneckAttention: {("Sigmoid", (None, None, None, CHANNELS))},
    ConvBlockAttention: {
        ("Sigmoid", (None, 1, 1, CHANNELS)),
        ("Sigmoid", (None, None, None, 1)),
    },
    SelectiveKernel: {("Softmax", (None, 1, 1, CHANNELS, 2))},
}


def consumers(operation):
    """Returns the operations that read another's output, beyond a selective kernel's transpose."""
    found = operation.outputs[0].consumers()
    is_turned = [consumer.type for consumer in found] == ["Transpose"]
    return consumers(found[0]) if is_turned else found


@each_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_in_the_graph_the_gate_goes_into_a_product(cls, policy):
    layer = cls(**LAYERS[cls], dtype=policy)
    spec = tf.TensorSpec([None, None, None, CHANNELS], layer.compute_dtype)
    graph = tf.function(layer).get_concrete_function(spec).graph
    gates = {
        (operation.type, tuple(operation.outputs[0].shape))
        for operation in graph.get_operations()
        if operation.type in ("Sigmoid", "Softmax")
        and {"Mul"} == {consumer.type for consumer in consumers(operation)}
    }
    assert gates == GATES[cls]


@each_layer
@pytest.mark.parametrize(
    ("data_format", "shape", "order"),
    [
        ("channels_last", (1, 6, CHANNELS), "height, width, channels"),
        ("channels_last", (1, 5, 6, None), "height, width, channels"),
        ("channels_first", (1, None, 5, 6), "channels, height, width"),
    ],
)
def test_what_is_no_feature_map_is_told(cls, data_format, shape, order):
    text = rf"`features` must be \[batch, {order}\] with a known number of channels. Received: "
    with pytest.raises(ValueError, match=text + r"features=\(1, .*Put the layer on a feature map"):
        cls(**LAYERS[cls], data_format=data_format).build(shape)


@each_layer
def test_an_unknown_data_format_is_told(cls):
    text = "`data_format` must be one of 'channels_last', 'channels_first'. Received: .*'NHWC'"
    with pytest.raises(ValueError, match=text):
        cls(data_format="NHWC")


@each_layer
def test_the_data_format_is_keras_own_unless_given(cls):
    assert cls().data_format == keras.backend.image_data_format()
