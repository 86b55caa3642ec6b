"""Attention alarm: warns, and ends the fit on request, when attention goes wrong."""

import numbers
import warnings

from tensorflow import keras

from keras_attnviz._checks import message
from keras_attnviz.callbacks.attention_rollout_callback import AttentionRolloutCallback

TAG = "attention/alarm"
# For each condition: names in the logs, of which the first one found counts; its bound; and
# advice. Affinity comes first, because rollout's highest values are often artifact tokens.
_CONDITIONS = {
    "collapse": (
        ("attention_collapsed_layers",),
        {"above": 0},
        "These layers attend to only one or two tokens. A lower learning rate, a longer warm-up "
        "or more weight decay on queries and keys may help.",
    ),
    "shortcut": (
        ("attention_localization_lift_affinity_right", "attention_localization_lift_right"),
        {"below": 1.0},
        "The predictions are right, and less attention lies on the object than its area would get "
        "by chance: look at what the classes have in common beside it.",
    ),
}


class AttentionAlarm(keras.callbacks.Callback):
    """Warns when a logged value of the attention goes out of bounds.

    Put it after `AttentionRolloutCallback` in the list of callbacks: it reads the values that this
    callback puts into Keras' `logs`. It warns once in a training; use several alarms for several
    conditions. It skips a value that is not a number. If the logs don't hold the value, it warns
    once, and training goes on.

    Args:
        condition: `"collapse"`, `"shortcut"`, or the name of any value in the logs, such as
            `"attention_entropy"`. Collapse: the attention of a layer has collapsed, see
            `entropy_collapse`. Shortcut: the probes are predicted right, yet less attention lies
            on the object than its area would get by chance. It is measured by affinity if it is
            logged, else by the first method; the probes need `masks` and `labels`.
        below: number; the alarm warns of values below it. Default for `"shortcut"`: 1.0.
        above: number; the alarm warns of values above it. Default for `"collapse"`: 0.
        attention: the `AttentionRolloutCallback` whose log receives the alarm as a text, with the
            tag `attention/alarm`, for TensorBoard's Text tab; None writes no text.
        stop_training: whether the fit ends after that epoch.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value of the logs has neither `below` nor `above`, or `below` is above
            `above`.

    Example:
        >>> attention = AttentionRolloutCallback(probes, log_dir="logs")
        >>> model.fit(train, epochs=10, callbacks=[
        ...     attention,
        ...     AttentionAlarm("collapse", attention=attention, stop_training=True),
        ...     AttentionAlarm("attention_entropy", below=0.2),
        ... ])
    """

    def __init__(self, condition, *, below=None, above=None, attention=None, stop_training=False):
        super().__init__()
        _check_bounds(condition, below, above)
        if attention is not None and not isinstance(attention, AttentionRolloutCallback):
            raise TypeError(message("attention", "an AttentionRolloutCallback", attention))
        if not isinstance(stop_training, bool):
            raise TypeError(message("stop_training", "True or False", stop_training))
        self.condition, self._attention, self._stop_training = condition, attention, stop_training
        self._names, bounds, self._advice = _CONDITIONS.get(condition, ((condition,), {}, ""))
        if below is None and above is None:
            below, above = bounds.get("below"), bounds.get("above")
        self._below, self._above = below, above
        self._is_told = self._is_missing_told = False

    def on_train_begin(self, logs=None):
        """Forgets the warnings of an earlier training."""
        self._is_told = self._is_missing_told = False

    def on_epoch_end(self, epoch, logs=None):
        """Checks the value of the epoch."""
        logs = logs or {}
        name = next((name for name in self._names if name in logs), None)
        if name is None:
            self._tell_missing(logs)
        elif not self._is_told and self._crossed(logs[name]):
            self._is_told = True
            self._tell(epoch, name, logs[name])

    def _crossed(self, value):
        """Returns the bound that the value has crossed, in words; empty if it has crossed none."""
        if self._below is not None and value < self._below:
            return f"below {self._below:g}"
        if self._above is not None and value > self._above:
            return f"above {self._above:g}"
        return ""

    def _tell(self, epoch, name, value):
        """Warns, writes the text, and ends the training on request."""
        end = " Training ends here." if self._stop_training else ""
        fact = f"`{name}` is {value:.4g} after epoch {epoch + 1}, {self._crossed(value)}."
        text = " ".join(filter(None, [f"{self.condition}: {fact}", self._advice])) + end
        _warn(f"Attention alarm: {text}")
        if self._stop_training:
            self.model.stop_training = True
        if self._attention is None:
            return
        try:
            self._attention.write_text(epoch, TAG, text)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            _warn(f"The alarm could not be written into the attention log: {reason}.")

    def _tell_missing(self, logs):
        """Warns once that the logs don't hold the value."""
        if self._is_missing_told:
            return
        self._is_missing_told = True
        known = ", ".join(name for name in logs if name.startswith("attention_")) or "none"
        remedy = "Put AttentionAlarm after AttentionRolloutCallback in the list of callbacks"
        if self.condition == "shortcut":
            remedy += ", and give the probes `masks` and `labels`"
        _warn(
            f"AttentionAlarm({self.condition!r}) watches nothing: the logs must hold "
            f"{self._names[-1]!r}. Received: {known}. {remedy}."
        )


def _check_bounds(condition, below, above):
    if not isinstance(condition, str):
        raise TypeError(message("condition", "a text", condition))
    for name, value in (("below", below), ("above", above)):
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if value is not None and not is_number:
            raise TypeError(message(name, "a number or None", value))
    if below is None and above is None and condition not in _CONDITIONS:
        listed = ", ".join(map(repr, _CONDITIONS))
        remedy = "Give `below` or `above` for a value of the logs."
        raise ValueError(
            message("condition", f"one of {listed}, or have a bound", condition, remedy)
        )
    if below is not None and above is not None and below > above:
        raise ValueError(message("below", f"at most `above`, {above}", below))


def _warn(text):
    warnings.warn(text, RuntimeWarning, stacklevel=3)
