import numpy as np
import pytest

from keras_attnviz._checks import check_count, check_ratio, image_size_pair

pytestmark = pytest.mark.one_stack

INTEGERS = (int, np.uint8, np.int32, np.int64)


@pytest.mark.parametrize("integer", INTEGERS)
def test_integers_of_python_and_numpy_are_counts(integer):
    check_count("count", integer(2))
    with pytest.raises(ValueError, match=r"`count` must be at least 3\. Received: count=.*2"):
        check_count("count", integer(2), minimum=3)


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float32(2), "2", None, np.array([2])])
def test_other_types_are_no_counts(value):
    with pytest.raises(TypeError, match="`count` must be an integer of at least 1"):
        check_count("count", value)


@pytest.mark.parametrize("real", [float, np.float16, np.float32, np.float64])
def test_reals_of_python_and_numpy_are_ratios(real):
    check_ratio("ratio", real(0.5))
    for value in (1, -0.5, np.nan):
        with pytest.raises(ValueError, match=r"`ratio` must be in \[0, 1\)"):
            check_ratio("ratio", real(value))


@pytest.mark.parametrize("value", [False, np.False_, "0.5", None, 0.5j, np.array([0.5])])
def test_other_types_are_no_ratios(value):
    with pytest.raises(TypeError, match=r"`ratio` must be a number in \[0, 1\)"):
        check_ratio("ratio", value)


@pytest.mark.parametrize("integer", INTEGERS)
def test_image_sizes_become_pairs_of_python_integers(integer):
    for value in (integer(8), (integer(8), integer(8)), [integer(8), 8]):
        pair = image_size_pair(value)
        assert pair == (8, 8)
        assert [type(side) for side in pair] == [int, int]


@pytest.mark.parametrize("value", [True, (8, True), 0, (8, -1), (8,), 8.0, (8, 8.0), "88", None])
def test_other_values_are_no_image_sizes(value):
    with pytest.raises(ValueError, match=r"`image_size` must be a positive integer or a pair"):
        image_size_pair(value)
