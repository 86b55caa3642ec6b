import numpy as np
import pytest
import tensorflow as tf

from keras_attnviz.model_io.outputs import (
    class_name,
    class_predictions,
    class_probabilities,
    classes_to_explain,
    probabilities,
)

pytestmark = pytest.mark.one_stack

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


@pytest.mark.parametrize(
    ("asked", "labels", "expected"),
    [
        ("predicted", None, [-1, -1, -1]),
        ("label", [2, 0, 1], [2, 0, 1]),
        (2, None, [2, 2, 2]),
        ([0, 2, 1], None, [0, 2, 1]),
        (np.array([1, 1, 0]), [2, 0, 1], [1, 1, 0]),
    ],
)
def test_the_class_to_explain_is_one_for_all_or_each_probes_own(asked, labels, expected):
    found = classes_to_explain(asked, 3, labels=labels)
    assert found.dtype == np.int32
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        ("label", ValueError, "The probes have no labels"),
        ([0, 1], ValueError, "one index for each probe, at least 0"),
        ([0, -1, 1], ValueError, "at least 0"),
        ([0.0, 1.0, 2.0], TypeError, "one index for each probe"),
        (True, TypeError, "the index of a class"),
    ],
)
def test_what_is_no_class_to_explain(asked, error, text):
    with pytest.raises(error, match=text):
        classes_to_explain(asked, 3)


@pytest.mark.parametrize("activation", [None, "Softmax", "Sigmoid"])
@pytest.mark.parametrize("outputs", [[[0.2, 0.8]], [[2.0, -1.0]], [[0.3]]])
def test_probabilities_are_the_same_in_a_graph(activation, outputs):
    signature = [tf.TensorSpec([None, len(outputs[0])], tf.float64)]
    run = tf.function(
        lambda given: probabilities(given, activation=activation), input_signature=signature
    )
    expected = class_probabilities(outputs, activation=activation)
    np.testing.assert_allclose(run(np.float64(outputs)), expected, rtol=1e-12)
