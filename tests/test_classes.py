import numpy as np
import pytest

from keras_attnviz.classes import class_name, class_predictions

LN3 = np.log(3)


@pytest.mark.parametrize(
    ("outputs", "activation", "classes", "confidences"),
    [
        ([[0.2, 0.8], [0.9, 0.1]], "Softmax", [1, 0], [0.8, 0.9]),
        ([[0.2, 0.8], [0.9, 0.1]], None, [1, 0], [0.8, 0.9]),
        # Logits: softmax of (0, ln 3) is (1/4, 3/4).
        ([[0.0, LN3], [LN3, 0.0]], None, [1, 0], [0.75, 0.75]),
        # An untrained head's zero logits are no probabilities of zero.
        ([[0.0, 0.0]], None, [0], [0.5]),
        ([[0.3, 0.6]], "Sigmoid", [1], [0.6]),
        # One output is class 1 of a binary classifier.
        ([[0.8], [0.1]], "Sigmoid", [1, 0], [0.8, 0.9]),
        ([[LN3], [-LN3]], None, [1, 0], [0.75, 0.75]),
    ],
)
def test_predicted_class_and_confidence(outputs, activation, classes, confidences):
    predicted, shares = class_predictions(np.array(outputs, np.float32), activation=activation)
    np.testing.assert_array_equal(predicted, classes)
    np.testing.assert_allclose(shares, confidences, rtol=1e-6)


def test_other_ranks_are_no_class_predictions():
    assert class_predictions(np.zeros((2, 5, 5)), activation=None) is None


def test_class_name():
    assert class_name(1, ("cat", "dog")) == "dog"
    assert class_name(1, None) == "class 1"
