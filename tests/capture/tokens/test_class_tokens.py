"""Which keys belong to a token that a query comes from, and not to registers beside it."""

import pytest
import tensorflow as tf
from support.traces import HEIGHT, PLAIN, WIDE, WIDTH, Attention, traced
from tensorflow import keras

from keras_attnviz.capture.tokens.class_tokens import querying_keys
from keras_attnviz.capture.tokens.score_gradients import ScoreGradients

REGISTERS = 2
KEYS = REGISTERS + HEIGHT * WIDTH


def behind_registers(tokens):
    """Returns the tokens behind two constant ones."""
    return tf.concat([tf.zeros_like(tokens[:, :REGISTERS]) + 1.0, tokens], axis=1)


def learned(tokens):
    """Returns one token that is computed from no other."""
    return tf.zeros([tf.shape(tokens)[0], 1, WIDE]) + tf.range(1.0, WIDE + 1)


@pytest.mark.parametrize(
    ("queries", "querying"),
    [
        (lambda tokens: tokens[:, :1], [0]),
        (lambda tokens: tokens[:, 1:2], [1]),
        (lambda tokens: tokens[:, :1] + tokens[:, 1:2], [0, 1]),
        (learned, []),
    ],
    ids=["the first", "the second", "both", "none"],
)
def test_keys_of_tokens_that_queries_come_from(queries, querying):
    trace, inputs = traced(keras.layers.Lambda(behind_registers), Attention(queries=queries))
    gradients = ScoreGradients(
        trace, trace.sites[0], (1, 2, 1, KEYS), order=PLAIN, key_axes=1, inputs=inputs
    )
    (feature_map,) = trace.feature_maps(trace.sites[0])
    sides = [gradients.at(feature_map, side) for side in ("queries", "keys")]
    assert None not in sides
    assert querying_keys(trace, inputs, *sides, range(REGISTERS)) == querying
