"""A real fit of models with several inputs or outputs, with the callback."""

import numpy as np
import pytest
import tensorflow as tf
from support.event_files import images_of, scalars_of
from support.several_inputs import as_dict, model_of
from tensorflow import keras
from zoo.blocks import encoder, patches

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet

pytestmark = pytest.mark.every_stack

layers = keras.layers
CLASS_NAMES = ["red", "green", "blue"]


def as_list(image, table):
    return [image, table]


@pytest.fixture(scope="module")
def data():
    """Images whose class is the brightest color, and tables; 24 of each, float32."""
    generator = np.random.default_rng(5)
    labels = np.arange(24) % 3
    images = generator.random((24, 24, 24, 3)) * 0.5
    images[np.arange(24), ..., labels] += 0.5
    return images.astype("float32"), generator.normal(size=(24, 5)).astype("float32"), labels


def captions(log_dir, step):
    series = images_of(log_dir / "attention")
    return [series[f"attention/probe_{index}"][step][1] for index in range(len(series))]


def check_captions(log_dir, step, predictions):
    """Holds that the captions of a step name the predictions."""
    for text, scores in zip(captions(log_dir, step), predictions, strict=True):
        name, confidence = CLASS_NAMES[int(np.argmax(scores))], float(np.max(scores))
        assert f": {name} " in text
        shown = float(text.split(f": {name} ")[1].split()[0].rstrip("."))
        assert shown == pytest.approx(confidence, abs=0.006)


@pytest.mark.parametrize("structure", [as_dict, as_list])
def test_a_fit_with_an_image_and_a_table(data, tmp_path, structure):
    images, tables, labels = data
    model = model_of(structure)
    inputs = structure(images[:5], tables[:5])
    probes = ProbeSet(inputs, labels=labels[:5], class_names=CLASS_NAMES)
    callback = AttentionRolloutCallback(probes, tmp_path, batch_size=2)
    before = model(structure(images[:5], tables[:5]))
    model.fit(structure(images, tables), labels, epochs=2, verbose=0, callbacks=[callback])
    scalars = scalars_of(tmp_path / "attention")
    assert {tuple(series) for series in scalars.values()} == {(-1, 0, 1)}
    check_captions(tmp_path, -1, before)
    check_captions(tmp_path, 1, model(structure(images[:5], tables[:5])))
    attention_model = AttentionModel(model)
    _, attentions = attention_model(inputs)
    np.testing.assert_allclose([np.sum(a, axis=-1) for a in attentions], 1, atol=1e-5)
    rollout = attention_model.rollout(inputs)
    assert rollout.shape == (5, 3, 3)
    np.testing.assert_allclose(rollout, attention_model.heatmap(attentions), atol=1e-6)


def test_probes_named_by_input_layers_fit_a_model_of_a_list(data, tmp_path):
    images, tables, labels = data
    model = model_of(as_list)
    probes = ProbeSet(as_dict(images[:2], tables[:2]), class_names=CLASS_NAMES)
    callback = AttentionRolloutCallback(probes, tmp_path)
    model.fit([images, tables], labels, verbose=0, callbacks=[callback])
    check_captions(tmp_path, 0, model([images[:2], tables[:2]]))


def test_what_the_table_says_reaches_the_predictions(data, tmp_path):
    images, tables, labels = data
    model = model_of(as_dict)
    twice = as_dict(np.repeat(images[:1], 2, axis=0), np.stack([tables[0], tables[0] * -9]))
    callback = AttentionRolloutCallback(ProbeSet(twice, class_names=CLASS_NAMES), tmp_path)
    model.fit(as_dict(images, tables), labels, verbose=0, callbacks=[callback])
    predictions = model(twice)
    assert np.abs(predictions[0] - predictions[1]).max() > 0.02
    check_captions(tmp_path, 0, predictions)


class Classifier(keras.Model):
    """A subclassed model of a dict, which declares no inputs."""

    def __init__(self):
        super().__init__()
        self.inner = model_of(as_dict)

    def call(self, inputs, training=False):
        return self.inner({key: inputs[key] for key in ("image", "table")}, training=training)


def test_a_subclassed_model_of_a_dict_is_described_by_the_probes(data, tmp_path):
    images, tables, labels = data
    model = Classifier()
    model.compile("sgd", "sparse_categorical_crossentropy")
    probes = ProbeSet(as_dict(images[:3], tables[:3]), class_names=CLASS_NAMES)
    callback = AttentionRolloutCallback(probes, tmp_path)
    model.fit(as_dict(images, tables), labels, verbose=0, callbacks=[callback])
    check_captions(tmp_path, 0, model(as_dict(images[:3], tables[:3])))


@pytest.mark.one_stack
@pytest.mark.parametrize("output", ["classes", 1, -1])
def test_one_of_two_outputs_is_captioned(data, tmp_path, output):
    images, tables, labels = data
    model = model_of(as_dict, outputs=2)
    probes = ProbeSet(as_dict(images[:3], tables[:3]), class_names=CLASS_NAMES)
    callback = AttentionRolloutCallback(probes, tmp_path, output=output)
    targets = {"classes": labels, "amount": tables[:, :1]}
    model.fit(as_dict(images, tables), targets, epochs=2, verbose=0, callbacks=[callback])
    assert list(scalars_of(tmp_path / "attention")["attention/entropy"]) == [-1, 0, 1]
    check_captions(tmp_path, 1, model(as_dict(images[:3], tables[:3]))["classes"])


@pytest.mark.one_stack
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {},
            r"`output` must be the index, key or name of one of the model's outputs. Received: "
            r"output=None. The model has: 0: amount \(None, 1\); 1: classes \(None, 3\). Pass",
        ),
        ({"output": "clases"}, r"Received: output='clases'. The model has: 0: amount"),
        ({"output": "amount"}, r"`probes` must be of 2 classes, as the model's output has"),
    ],
)
def test_an_output_to_be_chosen_is_asked_for_before_the_first_step(data, tmp_path, options, text):
    images, tables, labels = data
    model = model_of(as_dict, outputs=2)
    trained = []
    watcher = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_: trained.append(1))
    probes = ProbeSet(as_dict(images[:3], tables[:3]), class_names=CLASS_NAMES)
    callback = AttentionRolloutCallback(probes, tmp_path, **options)
    targets = {"classes": labels, "amount": tables[:, :1]}
    with pytest.raises(ValueError, match=text):
        model.fit(as_dict(images, tables), targets, verbose=0, callbacks=[callback, watcher])
    assert trained == []


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (lambda image, table: image, r"`probes` must be a dict with the keys 'image', 'table'"),
        (lambda image, table: {"image": image}, r"`probes` must be a dict.*Missing: \['table'\]"),
        (
            lambda image, table: {"image": image, "table": table[:, 1:]},
            r"`probes\['table'\]` must be of shape \(None, 5\)\. Received.*=\(3, 4\)",
        ),
        (
            lambda image, table: {"image": image[:, 1:], "table": table},
            r"`probes\['image'\]` must be of shape \(None, 24, 24, 3\).*Resize the images",
        ),
    ],
)
def test_probes_of_another_structure_are_refused_at_train_begin(data, tmp_path, inputs, text):
    images, tables, labels = data
    callback = AttentionRolloutCallback(ProbeSet(inputs(images[:3], tables[:3])), tmp_path)
    with pytest.raises(ValueError, match=text):
        model_of(as_dict).fit(as_dict(images, tables), labels, verbose=0, callbacks=[callback])


@pytest.mark.one_stack
def test_inputs_may_be_passed_to_the_callback_as_they_are(data, tmp_path):
    images, tables, labels = data
    callback = AttentionRolloutCallback(as_dict(images[:2], tables[:2]), tmp_path)
    model = model_of(as_dict)
    model.fit(as_dict(images, tables), labels, verbose=0, callbacks=[callback])
    assert len(captions(tmp_path, 0)) == 2


class Year(layers.Layer):
    """Looks a year from 2000 to 2029 up in a table, and adds what it finds to the tokens."""

    def build(self, _):
        self.table = self.add_weight(shape=(30, 16), initializer="random_normal", name="table")

    def call(self, inputs):
        tokens, years = inputs
        return tokens + tf.gather(self.table, years - 2000)


@pytest.mark.one_stack
def test_values_that_a_model_asks_for_are_those_of_the_probes(data, tmp_path):
    images, _, labels = data
    image = keras.Input((24, 24, 3), name="image")
    year = keras.Input((1,), dtype="int32", name="year")
    tokens = encoder(Year(name="lookup")([patches(image, 16), year]))
    scores = layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model({"image": image, "year": year}, scores)
    model.compile("sgd", "sparse_categorical_crossentropy")
    inputs = {"image": images, "year": np.full((24, 1), 2010)}
    callback = AttentionRolloutCallback({key: a[:2] for key, a in inputs.items()}, tmp_path)
    model.fit(inputs, labels, verbose=0, callbacks=[callback])
    assert list(scalars_of(tmp_path / "attention")["attention/entropy"]) == [-1, 0]
    assert AttentionModel(model, inputs=inputs).layout.readout_text() == "all patches"
    with pytest.raises(ValueError, match="Pass an example of what it takes as `inputs`"):
        AttentionModel(model)
