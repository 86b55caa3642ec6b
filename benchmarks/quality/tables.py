"""Markdown tables of what was measured of explanation methods."""

import numpy as np

# Figures of each picture, in the order of the columns; some pictures lack the last two.
FIGURES = {
    "auc": "AUC",
    "hit": "hit",
    "mass": "mass",
    "lift": "lift",
    "deletion": "deletion",
    "insertion": "insertion",
}


def by_method(rows, costs, names):
    """Returns the table of the last epoch, one line a method.

    Each cell holds the mean over seeds, the standard deviation over seeds, and, in brackets, the
    standard error over objects of the mean over seeds.

    Args:
        rows: list of dicts, see `localization.measured`.
        costs: dict from method to its time over the forward pass.
        names: dict from figure to the object of each picture that it was measured on.
    """
    last = max(row["epoch"] for row in rows)
    lines = [
        f"| method | {' | '.join(FIGURES.values())} | cost |",
        "|---" * (len(FIGURES) + 2) + "|",
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method and row["epoch"] == last]
        cells = [cell(np.array([row[figure] for row in mine]), names[figure]) for figure in FIGURES]
        cost = f"{costs[method]:.2f}" if method in costs else ""
        lines.append(f"| {method} | {' | '.join(cells)} | {cost} |")
    return "\n".join(lines)


def cell(values, names):
    """Returns mean, deviation over seeds and standard error over objects, as text.

    Args:
        values: float array `[seeds, pictures]`.
        names: the object of each picture; pictures of one object are not independent.
    """
    by_seed = values.mean(axis=1)
    deviation = by_seed.std(ddof=1) if len(by_seed) > 1 else 0.0
    return f"{by_seed.mean():.3f} ± {deviation:.3f} ({error_over_objects(values, names):.3f})"


def error_over_objects(values, names):
    """Returns the standard error of the mean of `[seeds, pictures]`, objects drawn at random."""
    by_picture, names = values.mean(axis=0), np.array(names)
    objects = [by_picture[names == name] for name in sorted(set(names))]
    # A ratio of sums: objects don't all have the same number of pictures.
    residuals = [(part - by_picture.mean()).sum() for part in objects]
    count = len(objects)
    return float((count / (count - 1) * np.sum(np.square(residuals))) ** 0.5 / len(by_picture))


def by_epoch(rows):
    """Returns the table of AUC and hit at each epoch, means over seeds, one line a method."""
    epochs = sorted({row["epoch"] for row in rows})
    heads = ["before training", *[f"epoch {epoch}" for epoch in epochs[1:]]]
    lines = [f"| AUC / hit | {' | '.join(heads)} |", "|---" * (len(epochs) + 1) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for epoch in epochs:
            mine = [row for row in rows if (row["method"], row["epoch"]) == (method, epoch)]
            auc, hit = (np.mean([row[figure] for row in mine]) for figure in ("auc", "hit"))
            cells.append(f"{auc:.3f} / {hit:.2f}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    accuracies = [np.mean([r["accuracy"] for r in rows if r["epoch"] == epoch]) for epoch in epochs]
    cells = " | ".join(f"{accuracy:.2f}" for accuracy in accuracies)
    return "\n".join([*lines, f"| accuracy | {cells} |"])
