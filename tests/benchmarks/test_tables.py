"""Means, spreads and errors in the quality benchmark's tables, by hand."""

import numpy as np
import pytest

from benchmarks.quality import tables

pytestmark = pytest.mark.one_stack


def row(method, seed, epoch, auc):
    figures = {"auc": auc, "hit": [1.0, 0.0], "mass": [0.2, 0.4], "lift": [2.0, 4.0]}
    # After the last epoch, of other pictures.
    figures |= {"deletion": [0.3] * 4, "insertion": [0.6 + seed / 10] * 4} if epoch else {}
    return {"method": method, "seed": seed, "epoch": epoch, "accuracy": 0.5 + epoch / 10} | figures


ROWS = [
    row("a", 0, 0, [0.5, 0.5]),
    row("a", 0, 1, [0.6, 0.8]),
    row("a", 1, 0, [0.5, 0.3]),
    row("a", 1, 1, [0.8, 1.0]),
]


def test_the_last_epoch_is_told_with_its_spread():
    # Seeds 0.7 and 0.9; pictures, over seeds, 0.7 and 0.9, of two objects.
    names = dict.fromkeys(["auc", "hit", "mass", "lift"], ("x", "y"))
    names |= dict.fromkeys(["deletion", "insertion"], ("x", "y", "y", "z"))
    lines = tables.by_method(ROWS, {"a": 1.234}, names).splitlines()
    assert lines[0] == "| method | AUC | hit | mass | lift | deletion | insertion | cost |"
    assert lines[1].count("|") == lines[0].count("|")
    assert lines[2:] == [
        "| a | 0.800 ± 0.141 (0.100) | 0.500 ± 0.000 (0.500) | 0.300 ± 0.000 (0.100) "
        "| 3.000 ± 0.000 (1.000) | 0.300 ± 0.000 (0.000) | 0.650 ± 0.071 (0.000) | 1.23 |"
    ]


def test_epochs_are_told_side_by_side():
    assert tables.by_epoch(ROWS).splitlines() == [
        "| AUC / hit | before training | epoch 1 |",
        "|---|---|---|",
        "| a | 0.450 / 0.50 | 0.800 / 0.50 |",
        "| accuracy | 0.50 | 0.60 |",
    ]


def test_the_error_is_that_of_independent_objects():
    values = np.random.default_rng(0).random((3, 50))
    one_each = tables.error_over_objects(values, [str(n) for n in range(50)])
    assert one_each == pytest.approx(values.mean(axis=0).std(ddof=1) / 50**0.5)
    # The same picture twice tells nothing new.
    twice = np.concatenate([values, values], axis=1)
    names = [str(n) for n in range(50)] * 2
    assert tables.error_over_objects(twice, names) == pytest.approx(one_each)
