"""The probe pass that computes once what training can't change, held against a full pass."""

import logging
import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.full_pass import in_full
from support.fuzzing import FACTOR
from support.small_models import KERAS_3, small_classifier
from tensorflow import keras
from zoo import gated

from keras_attnviz import AttentionModel, AttentionRolloutCallback, ProbeSet
from keras_attnviz.methods.registry import token_values
from keras_attnviz.monitor.probe_faithfulness import ProbeFaithfulness
from keras_attnviz.monitor.probe_monitor import ProbeMonitor

pytestmark = pytest.mark.every_stack

METHODS = ["rollout", "affinity"]


def classifier():
    """Returns a small classifier of three blocks: one to train above two that are frozen."""
    return small_classifier(layers=3)


def blocks_of(model):
    """Returns the layers of a small classifier that are frozen and unfrozen, bottom first."""
    backbone = model.layers[0]
    return [layer for layer in backbone.layers if "encoderblock" in layer.name]


def frozen(model, count):
    """Freezes all below the last blocks, `count` of them; returns the model."""
    backbone = model.layers[0]
    for layer in backbone.layers:
        layer.trainable = False
    for layer in blocks_of(model)[count:]:
        layer.trainable = True
    backbone.layers[-1].trainable = count < 3
    # Keras 2 trains what was trainable when the model was compiled.
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    return model


def measured(attention_model):
    """Returns a function from evidence to predictions, maps and heatmaps."""

    def compute(evidence):
        found = {f"map/{n}": each for n, each in enumerate(evidence.attentions)}
        found |= {m: token_values(m, evidence, attention_model.stack, {}) for m in METHODS}
        return {"predictions": evidence.predictions, **found}

    return compute


def pass_of(attention_model, batches, **options):
    """Returns a `FixedPass` of predictions, maps and heatmaps."""
    found = attention_model.fixed_pass(measured(attention_model), batches, methods=METHODS)
    found._limit = options.get("kept_bytes", found._limit)
    return found


@pytest.fixture(scope="module")
def batches(faces):
    images = faces[0]
    return [([images[:3]], np.full(3, -1, np.int32)), ([images[100:102]], np.full(2, -1, np.int32))]


@pytest.fixture(scope="module")
def two_frozen(batches):
    """A model with two frozen blocks, and its pass; a test may leave it with other weights."""
    model = frozen(classifier(), 2)
    return model, pass_of(AttentionModel(model), batches)


def given(fixed):
    return [{name: values.numpy() for name, values in batch.items()} for batch in fixed()]


def assert_same(found, expected):
    """Holds two passes equal, bit by bit."""
    for batch, other in zip(found, expected, strict=True):
        assert list(batch) == list(other)
        for name, values in batch.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)


def assert_as_in_full(fixed):
    """Holds what is given equal to a pass in full: bit by bit, where something is kept."""
    found, expected = given(fixed), in_full(fixed)
    if fixed.share < 1:
        assert_same(found, expected)
        return
    for batch, other in zip(found, expected, strict=True):
        for name, values in batch.items():
            np.testing.assert_allclose(values, other[name], 1e-4, 1e-6, err_msg=name)


def train(model, faces):
    model.fit(faces[0][:32], faces[1][:32], epochs=1, verbose=0)


def test_a_frozen_backbone_is_run_once_and_nothing_differs(faces, batches):
    model = frozen(classifier(), 2)
    attention_model = AttentionModel(model)
    fixed = pass_of(attention_model, batches)
    before = given(fixed)
    assert_same(before, in_full(fixed))
    share = fixed.share
    assert 0 < share < 0.6
    # The tokens that go into the last block, and sums over them: little more than those.
    tokens = 5 * 37 * 32 * 4
    assert tokens <= fixed.kept < 40 * tokens
    train(model, faces)
    after = given(fixed)
    assert_same(after, in_full(fixed))
    np.testing.assert_array_equal(after[0]["map/1"], before[0]["map/1"])
    assert np.abs(after[0]["map/2"] - before[0]["map/2"]).max() > 0
    # As the model itself, and as an attention model that knows of no split.
    predictions, maps = AttentionModel(model)(faces[0][:3])
    np.testing.assert_allclose(after[0]["predictions"], predictions, rtol=1e-5)
    np.testing.assert_allclose(after[0]["map/2"], maps[2], rtol=1e-5, atol=1e-7)


@pytest.mark.one_stack
def test_the_frozen_part_is_not_run_again(two_frozen, monkeypatch):
    _, fixed = two_frozen
    given(fixed)
    calls = []
    whole, tail = fixed._whole, fixed._tail
    monkeypatch.setattr(fixed, "_whole", lambda *a: calls.append("whole") or whole(*a))
    monkeypatch.setattr(fixed, "_tail", lambda *a: calls.append("tail") or tail(*a))
    given(fixed)
    assert calls == ["tail", "tail"]


def test_with_everything_trainable_there_is_no_split(batches):
    fixed = pass_of(AttentionModel(classifier()), batches)
    given(fixed)
    assert fixed.share == 1
    assert fixed.kept == 0
    assert fixed.traces == 1
    assert_as_in_full(fixed)


def test_with_the_head_alone_trainable_little_is_left(batches):
    model = classifier()
    model.layers[0].trainable = False
    fixed = pass_of(AttentionModel(model), batches)
    assert_as_in_full(fixed)
    given(fixed)
    assert fixed.share < 0.05


@pytest.mark.parametrize("change", ["set_weights", "one_value", "assign", "negate"])
def test_other_values_of_frozen_variables_are_noticed(two_frozen, change, caplog):
    model, fixed = two_frozen
    before = given(fixed)
    kernel = max(blocks_of(model)[0].weights, key=lambda each: np.prod(each.shape))
    if change == "set_weights":
        model.set_weights([1.5 * weights for weights in model.get_weights()])
    elif change == "negate":
        kernel.assign(-kernel)
    else:
        values = tf.convert_to_tensor(kernel).numpy()
        values.flat[values.size // 2] += 1.0
        kernel.assign(values if change == "one_value" else 2 * values)
    with caplog.at_level(logging.DEBUG, "keras_attnviz"):
        after = given(fixed)
    assert "Frozen variables have changed" in caplog.text
    assert_same(after, in_full(fixed))
    assert np.abs(after[0]["predictions"] - before[0]["predictions"]).max() > 0


def test_layers_that_are_unfrozen_are_run_again(faces, batches):
    model = frozen(classifier(), 3)
    fixed = pass_of(AttentionModel(model), batches)
    given(fixed)
    before = fixed.share
    frozen(model, 1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    train(model, faces)
    assert_as_in_full(fixed)
    assert fixed.share > before


def test_moving_averages_of_trainable_layers_may_change(faces, batches):
    inputs, features = gated.stem()
    features = keras.layers.BatchNormalization(name="norm")(features)
    model = gated.head(inputs, gated.spatial(features, "gate"))
    for layer in model.layers:
        layer.trainable = layer.name == "norm"
    attention_model = AttentionModel(model)
    compute = lambda evidence: {"p": evidence.predictions, "gate": evidence.gates[0]}  # noqa: E731
    fixed = attention_model.fixed_pass(compute, batches, methods=[])
    before = given(fixed)
    norm = model.get_layer("norm")
    norm.moving_mean.assign(norm.moving_mean + 1.0)
    after = given(fixed)
    assert_same(after, in_full(fixed))
    assert np.abs(after[0]["gate"] - before[0]["gate"]).max() > 0


@pytest.mark.skipif(KERAS_3, reason="Keras 3 doesn't know modules")
def test_variables_of_modules_that_are_no_layers_are_trained(faces, batches):
    class Scaled(keras.Model):
        def __init__(self):
            super().__init__()
            self.model = classifier()
            self.scale = tf.Module()
            self.scale.factor = tf.Variable(1.0)

        def call(self, images):
            return self.scale.factor * self.model(images)

    model = Scaled()
    model(faces[0][:1])
    model.model.trainable = False
    fixed = pass_of(AttentionModel(model, self_check=False), batches)
    given(fixed)
    kept = dict(fixed._kept)
    model.scale.factor.assign(2.0)
    assert_as_in_full(fixed)
    assert fixed.share < 0.1
    assert fixed._kept[0] is kept[0]


@pytest.mark.one_stack
def test_what_takes_too_much_memory_is_not_kept(batches):
    model = frozen(classifier(), 2)
    fixed = pass_of(AttentionModel(model), batches)
    given(fixed)
    everything = fixed.kept
    short = pass_of(AttentionModel(model), batches, kept_bytes=everything - 1)
    assert_same(given(short), in_full(short))
    assert 0 < short.kept < everything
    # What wasn't kept is computed in full at each call, and what was kept is not.
    kept, runs, whole = short.kept, [], short._whole
    short._whole = lambda *a: runs.append(len(a[0])) or whole(*a)
    assert_same(given(short), in_full(short))
    assert short.kept == kept
    assert 0 < len(runs) < len(batches)
    none = pass_of(AttentionModel(model), batches, kept_bytes=10)
    assert_as_in_full(none)
    assert none.kept == 0


def test_gradients_are_those_of_a_full_pass(faces, batches):
    model = frozen(classifier(), 2)
    attention_model = AttentionModel(model)

    def compute(evidence):
        return {"relevance": token_values("relevance", evidence, attention_model.stack, {})}

    fixed = attention_model.fixed_pass(compute, batches, methods=["relevance"])
    for _ in range(2):
        assert_as_in_full(fixed)
        train(model, faces)


def test_a_fit_logs_the_same_with_and_without(faces, tmp_path, monkeypatch):
    def history(log_dir):
        model = frozen(classifier(), 2)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        callback = AttentionRolloutCallback(ProbeSet(faces[0][[0, 100]]), log_dir)
        return model.fit(*faces, epochs=2, verbose=0, shuffle=False, callbacks=[callback]).history

    found = history(tmp_path / "split")
    monkeypatch.setattr("keras_attnviz.capture.graph.fixed_pass._WORTH", 0.0)
    whole = history(tmp_path / "whole")
    assert found.keys() == whole.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.one_stack
def test_what_is_frozen_is_told(faces):
    def line_of(model):
        callback = AttentionRolloutCallback(ProbeSet(faces[0][:2]), "unused")
        with pytest.raises(RuntimeError, match="no training has started"):
            callback.plan_line()
        return ProbeMonitor(model, callback.probes, **callback._monitor_options).plan_line()

    assert line_of(classifier()) == (
        "Probes: 0 of 3 attention layers are frozen; 100% of the operations of their pass are run "
        "again at each epoch."
    )
    line = line_of(frozen(classifier(), 2))
    share = re.fullmatch(r"Probes: 2 of 3 attention layers are frozen; (\d+)% of .*", line)[1]
    assert 20 < int(share) < 70


@pytest.mark.one_stack
def test_what_is_frozen_is_told_as_it_is_now(faces):
    model = frozen(classifier(), 2)
    callback = AttentionRolloutCallback(ProbeSet(faces[0][:2]), "unused")
    monitor = ProbeMonitor(model, callback.probes, **callback._monitor_options)
    assert "2 of 3 attention layers are frozen" in monitor.plan_line()
    model.trainable = True
    for layer in model._flatten_layers():
        layer.trainable = True
    assert "0 of 3 attention layers are frozen; 100%" in monitor.plan_line()


@pytest.mark.one_stack
def test_nothing_is_kept_after_a_fit(faces, tmp_path):
    model = frozen(classifier(), 2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = AttentionRolloutCallback(ProbeSet(faces[0][:2]), tmp_path)
    held = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: held.append(callback._monitor._traced.fixed_pass.kept)
    )
    model.fit(*faces, epochs=1, verbose=0, callbacks=[callback, look])
    assert held[0] > 0
    assert callback._monitor._traced.fixed_pass.kept == 0


def random_number(shape):
    return np.random.default_rng().normal(size=shape).astype("float32")


RANDOM = {
    "normal": tf.random.normal,
    "truncated_normal": tf.random.truncated_normal,
    "categorical": lambda shape: tf.random.categorical(tf.zeros([shape[0], 99]), 32, tf.int32),
    "NumPy": lambda shape: tf.numpy_function(random_number, [shape], tf.float32),
    "Python": lambda shape: tf.py_function(random_number, [shape], tf.float32),
    "condition": lambda shape: tf.cond(
        shape[0] > 0, lambda: tf.random.normal(shape), lambda: tf.zeros(shape)
    ),
}


@pytest.mark.parametrize("noise", RANDOM.values(), ids=RANDOM)
def test_random_operations_are_run_again(batches, noise):
    class Noise(keras.layers.Layer):
        def call(self, inputs):
            numbers = tf.cast(noise(tf.shape(inputs)), tf.float32)
            return inputs + tf.ensure_shape(numbers, inputs.shape)

    backbone = classifier().layers[0]
    model = keras.Sequential([backbone, Noise(), keras.layers.Dense(2)])
    model(batches[0][0][0])
    model.trainable = False
    compute = lambda evidence: {"p": evidence.predictions, "map": evidence.attentions[0]}  # noqa: E731
    fixed = AttentionModel(model, self_check=False).fixed_pass(compute, batches, methods=[])
    # The first pass is of another function, whose random numbers have the same seed.
    _, first, second = given(fixed), given(fixed), given(fixed)
    assert 0 < fixed.share < 0.1
    np.testing.assert_array_equal(first[0]["map"], second[0]["map"])
    assert np.abs(first[0]["p"] - second[0]["p"]).max() > 0


@pytest.mark.skipif(not hasattr(keras.layers.Dense, "enable_lora"), reason="no LoRA")
def test_lora_that_is_enabled_during_a_fit_is_seen(faces):
    model = frozen(classifier(), 0)
    probes = ProbeSet(faces[0][:2])
    callback = AttentionRolloutCallback(probes, "unused")
    monitor = ProbeMonitor(model, probes, **callback._monitor_options)
    before, trace = monitor.snapshot(), monitor.attention_model
    faithfulness = ProbeFaithfulness(monitor, 1)
    first = faithfulness.scalars(before)
    np.testing.assert_array_equal(monitor.snapshot().confidences, before.confidences)
    assert monitor.attention_model is trace
    dense = next(each for each in blocks_of(model)[0]._flatten_layers() if is_dense(each))
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.random.default_rng(0).normal(0, 9, (2, 32)))
    after = monitor.snapshot()
    assert np.abs(after.confidences - before.confidences).max() > 1e-4
    afresh = ProbeMonitor(model, probes, **callback._monitor_options).snapshot()
    np.testing.assert_allclose(after.confidences, afresh.confidences, rtol=1e-6)
    assert_maps(after, afresh)
    assert faithfulness.scalars(after) != pytest.approx(first, rel=1e-4)
    # Then it is trained.
    dense.lora_kernel_b.assign(-dense.lora_kernel_b)
    assert np.abs(monitor.snapshot().confidences - after.confidences).max() > 1e-4


@pytest.mark.one_stack
def test_another_model_during_a_fit_is_no_step_of_the_log(faces):
    model = classifier()
    callback = AttentionRolloutCallback(ProbeSet(faces[0][:2]), "unused")
    monitor = ProbeMonitor(model, callback.probes, **callback._monitor_options)
    before = monitor.snapshot()
    monitor.model = small_classifier(layers=2)
    for _ in range(2):
        with pytest.raises(ValueError, match="`model` must be a model with the attention maps"):
            monitor.snapshot()
    monitor.model = model
    assert_maps(monitor.snapshot(), before)


@pytest.mark.one_stack
def test_a_trace_that_fails_once_is_tried_again(faces, monkeypatch):
    models = []
    for _ in range(2):
        keras.backend.clear_session()  # so that their layers have the same names
        models.append(classifier())
    callback = AttentionRolloutCallback(ProbeSet(faces[0][:2]), "unused")
    monitor = ProbeMonitor(models[0], callback.probes, **callback._monitor_options)
    monitor.snapshot()
    monitor.model = models[1]
    wrap, failed = tf.compat.v1.wrap_function, []

    def fail_once(*arguments, **options):
        if not failed:
            failed.append(True)
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return wrap(*arguments, **options)

    monkeypatch.setattr(tf.compat.v1, "wrap_function", fail_once)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        monitor.snapshot()
    afresh = ProbeMonitor(monitor.model, callback.probes, **callback._monitor_options)
    found = monitor.snapshot()
    np.testing.assert_allclose(found.confidences, afresh.snapshot().confidences, rtol=1e-6)


def is_dense(layer):
    return isinstance(layer, keras.layers.Dense) and layer.kernel.shape[0] == 32


def assert_maps(found, expected):
    for method, heat in found.heatmaps.items():
        np.testing.assert_allclose(heat, expected.heatmaps[method], rtol=1e-5, atol=1e-6)


class Averages(keras.callbacks.Callback):
    """Swaps moving averages of the weights in at each epoch's end, as for an evaluation."""

    def __init__(self):
        super().__init__()
        self.averages = None

    def on_epoch_end(self, epoch, logs=None):
        weights = self.model.get_weights()
        before = self.averages or weights
        pairs = zip(before, weights, strict=True)
        self.averages = [0.5 * each + 0.5 * other for each, other in pairs]
        self.model.set_weights(self.averages)


@pytest.mark.parametrize("case", ["averages", "restored", "phases"])
def test_whatever_a_fit_does_to_the_weights_is_seen(faces, batches, tmp_path, case):
    model = frozen(classifier(), 2)
    fixed = pass_of(AttentionModel(model), batches)
    given(fixed)
    looks = []

    def look(epoch, logs):
        looks.append(epoch)
        assert_as_in_full(fixed)

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=look, on_epoch_begin=look)]
    options = {"verbose": 0, "epochs": 2}
    if case == "averages":
        callbacks = [Averages(), *callbacks]
    if case == "restored":
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt_at(1))
        with pytest.raises(KeyboardInterrupt):
            model.fit(*faces, callbacks=[backup, stop], **options)
        model.set_weights([0 * each for each in model.get_weights()])
        given(fixed)
        callbacks = [keras.callbacks.BackupAndRestore(tmp_path / "backup"), *callbacks]
    model.fit(*faces, callbacks=callbacks, **options)
    if case == "phases":
        frozen(model, 0)
        model.fit(*faces, callbacks=callbacks, **options)
        assert fixed.share > 0.9
        frozen(model, 3)
        model.fit(*faces, callbacks=callbacks, **options)
        assert fixed.share < 0.1
    assert len(looks) == {"averages": 4, "restored": 2, "phases": 12}[case]


def interrupt_at(epoch):
    def act(begun, logs):
        if begun == epoch:
            raise KeyboardInterrupt

    return act


def test_copies_of_variables_on_several_devices(faces, batches):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = frozen(classifier(), 2)
    fixed = pass_of(AttentionModel(model), batches)
    given(fixed)
    train(model, faces)
    assert_as_in_full(fixed)
    assert 0 < fixed.share < 0.6
    kernel = blocks_of(model)[0].weights[0]
    kernel.assign(kernel + 1.0)
    assert_as_in_full(fixed)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision(faces, batches, dtype):
    keras.mixed_precision.set_global_policy(dtype)
    try:
        model = frozen(classifier(), 2)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    fixed = pass_of(AttentionModel(model), batches)
    given(fixed)
    train(model, faces)
    assert_as_in_full(fixed)
    assert 0 < fixed.share < 0.6


class Changes(RuleBasedStateMachine):
    """Random sequences of what happens to a model between two epochs."""

    model = fixed = None

    @initialize()
    def begin(self):
        cls = type(self)
        if cls.model is None:
            cls.model = classifier()
            images = np.random.default_rng(0).random((2, 24, 24, 3)).astype("float32")
            cls.fixed = pass_of(AttentionModel(cls.model), [([images], np.full(2, -1, np.int32))])
            cls.start = cls.model.get_weights()
        cls.model.set_weights(cls.start)

    @rule(count=st.integers(0, 3))
    def freeze(self, count):
        frozen(self.model, count)

    @rule(trainable=st.booleans())
    def switch_all(self, trainable):
        self.model.trainable = trainable

    @rule(which=st.integers(0, 10**6), value=st.floats(-1, 1, width=32))
    def change_one_value(self, which, value):
        variable = self.model.weights[which % len(self.model.weights)]
        values = tf.convert_to_tensor(variable).numpy()
        values.flat[which % values.size] = value
        variable.assign(values)

    @rule(which=st.integers(0, 10**6), change=st.sampled_from([np.negative, np.flip, np.square]))
    def change_one_variable(self, which, change):
        variable = self.model.weights[which % len(self.model.weights)]
        variable.assign(change(tf.convert_to_tensor(variable).numpy()))

    @rule(factor=st.sampled_from([-1.0, 0.5, 0.99, 1.01]))
    def scale(self, factor):
        self.model.set_weights([factor * weights for weights in self.model.get_weights()])

    @rule()
    def restore(self):
        self.model.set_weights(self.start)

    @rule()
    def look(self):
        assert_as_in_full(self.fixed)

    @invariant()
    def nothing_is_stale(self):
        if self.fixed is not None:
            assert_as_in_full(self.fixed)


Changes.TestCase.settings = settings(
    max_examples=40 * FACTOR,
    stateful_step_count=8,
    deadline=None,
    derandomize=FACTOR == 1,
    suppress_health_check=list(HealthCheck),
)
TestSequencesOfChanges = pytest.mark.one_stack(Changes.TestCase)


@pytest.mark.one_stack
def test_one_tensor_under_two_names(batches):
    model = frozen(classifier(), 2)

    def compute(evidence):
        return {
            "predictions": evidence.predictions,
            "first": evidence.attentions[0],
            "again": evidence.attentions[0],
            "predicted": evidence.predictions,
        }

    fixed = AttentionModel(model).fixed_pass(compute, batches, methods=[])
    (found, _) = given(fixed)
    np.testing.assert_array_equal(found["first"], found["again"])
    np.testing.assert_array_equal(found["predictions"], found["predicted"])
    assert_as_in_full(fixed)
