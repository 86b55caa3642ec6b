"""Keras callbacks: one logs the attention during training, the other warns and can stop it."""

from keras_attnviz.callbacks.attention_alarm import AttentionAlarm
from keras_attnviz.callbacks.attention_rollout_callback import AttentionRolloutCallback

__all__ = ["AttentionAlarm", "AttentionRolloutCallback"]
