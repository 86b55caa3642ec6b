"""`AttentionAlarm` in real fits, and its texts read back from the event file."""

import warnings

import numpy as np
import pytest
from support.event_files import events_of, scalars_of, starts_of
from support.small_models import small_classifier
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.util import tensor_util
from tensorflow import keras

from keras_attnviz import AttentionAlarm, AttentionRolloutCallback
from keras_attnviz.log.event_writer import AttentionWriter

TAG = "attention/alarm"


def texts_of(run):
    """Returns a dict from tag to a dict from step to text, of what the Text tab shows."""
    found = {}
    for event in events_of(run):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == text_metadata.PLUGIN_NAME:
                text = tensor_util.make_ndarray(value.tensor).item().decode()
                found.setdefault(value.tag, {})[event.step] = text
    return found


class Logged(keras.callbacks.Callback):
    """Puts given values into the logs, one an epoch, as `AttentionRolloutCallback` does."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def plain_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(callbacks, *, epochs=4, model=None):
    """Returns the warnings of a fit, and its history."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = model or plain_model()
        history = model.fit(
            np.zeros((2, 1)), np.zeros(2), epochs=epochs, verbose=0, callbacks=callbacks
        )
    texts = [str(each.message) for each in caught if each.category is RuntimeWarning]
    return [text for text in texts if "larm" in text], history.history


@pytest.mark.parametrize(
    ("condition", "options", "name", "values", "text"),
    [
        (
            "attention_entropy",
            {"below": 0.2},
            "attention_entropy",
            [0.2, np.nan, 0.1, 0.05],
            "attention_entropy: `attention_entropy` is 0.1 after epoch 3, below 0.2.",
        ),
        (
            "loss_of_mine",
            {"above": 2, "below": 1},
            "loss_of_mine",
            [1, 2, 2.5, 0],
            "loss_of_mine: `loss_of_mine` is 2.5 after epoch 3, above 2.",
        ),
        (
            "collapse",
            {},
            "attention_collapsed_layers",
            [0, 0, 2, 3],
            "collapse: `attention_collapsed_layers` is 2 after epoch 3, above 0. These layers",
        ),
        (
            "shortcut",
            {},
            "attention_localization_lift_right",
            [1.0, 1.5, 0.75, 0.5],
            "shortcut: `attention_localization_lift_right` is 0.75 after epoch 3, below 1. The pr",
        ),
        (
            "shortcut",
            {"below": 0.8},
            "attention_localization_lift_right",
            [0.9, np.nan, 0.75, 0.5],
            "shortcut: `attention_localization_lift_right` is 0.75 after epoch 3, below 0.8. The",
        ),
    ],
)
@pytest.mark.parametrize("stop", [False, True])
def test_it_warns_once_and_stops_on_request(condition, options, name, values, text, stop):
    alarm = AttentionAlarm(condition, **options, stop_training=stop)
    told, history = fit([Logged(name, values), alarm])
    assert len(told) == 1
    assert told[0].startswith(f"Attention alarm: {text}")
    assert told[0].endswith("Training ends here.") == stop
    assert len(history["loss"]) == (3 if stop else 4)


def test_each_training_is_warned_of():
    alarm = AttentionAlarm("attention_entropy", below=0.2)
    for _ in range(2):
        told, _ = fit([Logged("attention_entropy", [0.1] * 4), alarm])
        assert len(told) == 1


@pytest.mark.parametrize("values", [[0.5] * 4, [np.nan] * 4])
def test_nothing_is_said_where_nothing_is_wrong(values):
    alarm = AttentionAlarm("attention_entropy", below=0.2, above=0.9)
    assert fit([Logged("attention_entropy", values), alarm])[0] == []


def test_a_missing_value_is_told_once_and_training_goes_on():
    told, history = fit([AttentionAlarm("shortcut"), Logged("attention_entropy", [0.5] * 4)])
    assert len(told) == 1
    assert told[0] == (
        "AttentionAlarm('shortcut') watches nothing: the logs must hold "
        "'attention_localization_lift_right'. Received: none. Put AttentionAlarm after "
        "AttentionRolloutCallback in the list of callbacks, and give the probes `masks` and "
        "`labels`."
    )
    assert len(history["loss"]) == 4
    told, _ = fit([Logged("attention_entropy", [0.5] * 4), AttentionAlarm("collapse")])
    assert "Received: attention_entropy. Put AttentionAlarm after" in told[0]


def test_a_real_fit_is_stopped_and_the_text_is_in_its_log(faces, masked_probes, tmp_path):
    attention = AttentionRolloutCallback(masked_probes, tmp_path)
    alarm = AttentionAlarm("attention_entropy", below=1.0, attention=attention, stop_training=True)
    with pytest.warns(RuntimeWarning, match="Attention alarm: attention_entropy: .* below 1"):
        history = small_classifier().fit(*faces, epochs=3, verbose=0, callbacks=[attention, alarm])
    entropy = history.history["attention_entropy"]
    assert len(entropy) == 1
    text = (
        f"attention_entropy: `attention_entropy` is {entropy[0]:.4g} after epoch 1, below 1. "
        "Training ends here."
    )
    run = tmp_path / "attention"
    assert texts_of(run) == {TAG: {0: text}}
    # One file: TensorBoard follows the newest file of a run, and a session's start hides the rest.
    assert len(list(run.glob("*tfevents*"))) == 1
    assert starts_of(run) == [-1]
    assert list(scalars_of(run)["attention/entropy"]) == [-1, 0]


@pytest.mark.one_stack
def test_a_shortcut_of_a_real_fit_is_told(faces, masked_probes, tmp_path):
    attention = AttentionRolloutCallback(masked_probes, tmp_path)
    # Of a small network that has just begun, about 1 either way.
    alarms = [
        AttentionAlarm("shortcut", below=5, attention=attention),
        AttentionAlarm("collapse", attention=attention),
    ]
    with pytest.warns(
        RuntimeWarning, match="shortcut: `attention_localization_lift_affinity_right` is"
    ):
        small_classifier().fit(*faces, epochs=2, verbose=0, callbacks=[attention, *alarms])
    (text,) = texts_of(tmp_path / "attention")[TAG].values()
    assert text.startswith("shortcut: ")


@pytest.mark.one_stack
def test_a_log_that_cannot_take_it_is_told(masked_probes, tmp_path):
    # Its own training hasn't begun, so no log is open.
    attention = AttentionRolloutCallback(masked_probes, tmp_path)
    alarm = AttentionAlarm("attention_entropy", below=0.2, attention=attention)
    told, history = fit([Logged("attention_entropy", [0.1] * 4), alarm])
    assert len(told) == 2
    assert told[1].startswith(
        "The alarm could not be written into the attention log: RuntimeError: no attention log is"
    )
    assert len(history["loss"]) == 4


def test_texts_are_read_back(tmp_path):
    writer = AttentionWriter(str(tmp_path), first_step=0)
    writer.text(2, "attention/alarm", "**käse** `a/b`")
    writer.close()
    assert texts_of(tmp_path / "attention") == {"attention/alarm": {2: "**käse** `a/b`"}}


@pytest.mark.parametrize(
    ("condition", "options", "error", "text"),
    [
        (3, {}, TypeError, r"`condition` must be a text\. Received: condition=3"),
        (
            "colapse",
            {},
            ValueError,
            r"`condition` must be one of 'collapse', 'shortcut', or have a bound\. "
            r"Received: condition='colapse'\. Give `below` or `above`",
        ),
        ("loss", {"below": "1"}, TypeError, r"`below` must be a number or None"),
        ("loss", {"above": True}, TypeError, r"`above` must be a number or None"),
        ("loss", {"below": 2, "above": 1}, ValueError, r"`below` must be at most `above`, 1"),
        ("collapse", {"attention": "logs"}, TypeError, r"`attention` must be an AttentionRollout"),
        ("collapse", {"stop_training": 1}, TypeError, r"`stop_training` must be True or False"),
    ],
)
def test_bad_arguments_are_refused_at_once(condition, options, error, text):
    with pytest.raises(error, match=text):
        AttentionAlarm(condition, **options)
