import numpy as np
import tensorflow as tf
from support.rollout_oracle import random_attentions

from keras_attnviz import affinity_refined


def test_two_layers_by_hand():
    maps = [tf.constant([[[1.0, 0.0], [0.5, 0.5]]]), tf.constant([[[0.0, 1.0], [0.5, 0.5]]])]
    # The mean of the maps is [[1/2, 1/2], [1/2, 1/2]].
    np.testing.assert_allclose(affinity_refined(tf.constant([[0.2, 0.6]]), maps), [[0.4, 0.4]])
    # The first alone: [0.2, (0.2 + 0.6) / 2].
    np.testing.assert_allclose(affinity_refined(tf.constant([[0.2, 0.6]]), maps[:1]), [[0.2, 0.4]])


def test_equals_the_oracle():
    attentions = random_attentions(2, layers=4, batch=3, tokens=6)
    attention = np.random.default_rng(3).random((3, 6))
    maps = [layer.mean(axis=1) for layer in attentions]
    expected = [
        np.mean([layer[image].astype(float) for layer in maps], axis=0) @ attention[image]
        for image in range(3)
    ]
    np.testing.assert_allclose(affinity_refined(attention, maps), expected, rtol=1e-5)
