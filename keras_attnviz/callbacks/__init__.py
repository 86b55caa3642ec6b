"""Keras callbacks: what logs a training, and what warns and stops."""

from keras_attnviz.callbacks.attention_alarm import AttentionAlarm
from keras_attnviz.callbacks.attention_rollout_callback import AttentionRolloutCallback

__all__ = ["AttentionAlarm", "AttentionRolloutCallback"]
