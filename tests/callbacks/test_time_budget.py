import pytest

from keras_attnviz.callbacks.time_budget import TimeBudget

pytestmark = pytest.mark.one_stack


def test_by_hand():
    budget = TimeBudget(0.1)
    assert budget.allows()  # nothing is known yet
    budget.trained(10)
    budget.logged(2)
    # Once more would make it 4 of 14 seconds.
    assert not budget.allows()
    assert budget.overhead == pytest.approx(2 / 12)
    budget.trained(25)
    assert not budget.allows()  # 4 of 39
    budget.trained(1)
    assert budget.allows()  # 4 of 40
    budget.restart()
    assert budget.overhead == 0


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1])
def test_the_share_is_kept_over_many_epochs(share):
    budget, logged = TimeBudget(share), 0
    for _ in range(1000):
        budget.trained(1)
        if budget.allows():
            budget.logged(0.2)
            logged += 1
    assert budget.overhead <= max(share, 0.2 / 1000.2)
    # And it is used: once more would not have fit in for long.
    assert logged >= min(1000, 0.9 * share / (1 - share + 1e-9) * 1000 / 0.2)


def test_without_a_limit_everything_is_allowed():
    budget = TimeBudget(None)
    budget.logged(100)
    assert budget.allows()


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (1.1, ValueError), (-1, ValueError), ("5%", TypeError), (True, TypeError)],
)
def test_bad_shares(value, error):
    with pytest.raises(error, match=r"`max_overhead` must be None or a number in \(0, 1\]"):
        TimeBudget(value)
