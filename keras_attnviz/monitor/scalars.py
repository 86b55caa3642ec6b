"""Scalars of a snapshot: a table with the name and the value of each number.

Start here to find where a number logged as `attention/<name>` comes from, or to add one. Two kinds
are elsewhere: faithfulness, which runs the model again, is in `probe_faithfulness`, and the charts
of the Attention tab are in `log.tab_charts`.
"""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from keras_attnviz.capture.gates import BRANCH
from keras_attnviz.metrics.attention import entropy_collapse, jensen_shannon_divergence
from keras_attnviz.metrics.localization import LOCALIZATIONS
from keras_attnviz.metrics.rank_correlation import rank_correlation
from keras_attnviz.monitor.gate_measures import gate_drift
from keras_attnviz.monitor.health import mean_of_numbers
from keras_attnviz.monitor.snapshot import Moment

_FRAME = "frame_share/"
_RIGHT, _WRONG = "/right", "/wrong"  # predictions


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A row of the table: one number, or one for each layer, method, frame or gate.

    Args:
        name: the name, with placeholders `{}` for the items of a tuple from `each`.
        each: function from `Contents` to a list of tuples, one for each number of the row. The
            list is empty if the row doesn't exist.
        values: function from a `Moment` to that many numbers, an array or a list, or to a single
            number.
        needs_baseline: whether the row is left out while the baseline isn't known.
    """

    name: str
    each: Callable
    values: Callable
    needs_baseline: bool = False

    def names(self, contents):
        """Returns the names of the row's numbers, a list."""
        return [self.name.format(*items) for items in self.each(contents)]


def scalar_names(contents):
    """Returns the names of all scalars of snapshots with some `Contents`, in Keras' logs' order."""
    return [name for scalar in _IN_LOGS for name in scalar.names(contents)]


def snapshot_scalars(snapshot, *, baseline, last):
    """Returns a snapshot's scalars, a dict from name to float, in the order of event files.

    Args:
        snapshot: `Snapshot`.
        baseline: the `Snapshot` before training, or None, which leaves out drift from it.
        last: the `Snapshot` logged before, or None if this one is the first.
    """
    contents, moment = snapshot.contents, Moment(snapshot, baseline, last)
    found = {}
    for scalar in _IN_EVENT_FILES:
        names = scalar.names(contents)
        if names and not (scalar.needs_baseline and baseline is None):
            values = np.atleast_1d(scalar.values(moment))
            found |= zip(names, map(float, values), strict=True)
    return found


def overall(names):
    """Returns the names that don't belong to a single layer or frame."""
    return [name for name in names if "/layer_" not in name and not name.startswith(_FRAME)]


# Functions for `each`: one number if there are attention maps, one for each layer, and so on.
def _with_maps(contents):
    return [()] if contents.layers else []


def _layers(contents):
    return [(layer,) for layer in range(contents.layers)]


def _with_heatmaps(contents):
    return [()] if contents.heatmaps else []


def _further_heatmaps(contents):
    return [(name,) for name in contents.heatmaps[1:]]


def _frames(contents):
    return [(frame,) for frame in range(contents.frames)]


def _with_gates(contents):
    return [()] if contents.gates else []


def _gates(contents):
    return [(gate,) for gate in range(len(contents.gates))]


def _branches(contents):
    """Returns each branch of each gate that has branches."""
    return [
        (index, branch)
        for index, gate in enumerate(contents.gates)
        if gate.kind == BRANCH
        for branch in range(gate.channels)
    ]


def _localized(contents):
    """Returns heatmap (empty for the first), measure, and which predictions, as in the names."""
    if not contents.has_masks:
        return []
    heatmaps = ["", *(f"/{name}" for name in contents.heatmaps[1:])]
    which = ["", *((_RIGHT, _WRONG) if contents.has_labels else ())]
    return list(itertools.product(heatmaps, LOCALIZATIONS, which))


def _collapsed_layers(moment):
    before = None if moment.baseline is None else moment.baseline.entropy
    return np.sum(entropy_collapse(moment.snapshot.entropy, baseline=before))


def _mean_health(name):
    """Returns the function from a moment to the mean over layers of a `layer_health` value."""
    return lambda moment: mean_of_numbers(moment.snapshot.health[name])


def _drift(moment, reference):
    """Returns the divergence of the first method's heatmaps, mean over probes, in [0, 1]."""
    maps = [
        item.first_heatmap.reshape(len(item.first_heatmap), -1)
        for item in (moment.snapshot, reference)
    ]
    return np.mean(jensen_shannon_divergence(*maps))


def _agreements(moment):
    """Returns the rank correlation of each further method's heatmaps with the first one's."""
    first, *others = (
        maps.reshape(len(maps), -1).astype(np.float32) for maps in moment.snapshot.heatmaps.values()
    )
    return [np.mean(rank_correlation(first, maps)) for maps in others]


def _localizations(moment):
    """Returns means over all probes, or over the probes that are predicted right or wrong."""
    snapshot = moment.snapshot
    first = next(iter(snapshot.localization))
    found = []
    for heatmap, measure, which in _localized(snapshot.contents):
        values = snapshot.localization[heatmap.removeprefix("/") or first][measure]
        if which:
            values = values[snapshot.is_right if which == _RIGHT else ~snapshot.is_right]
        found.append(mean_of_numbers(values))
    return found


def _frame_shares(moment):
    return next(iter(moment.snapshot.frame_share.values())).mean(axis=0)


def _by_gate(name):
    """Returns the function from a moment to the mean over probes of a measure by gate."""
    return lambda moment: moment.snapshot.measures[name].mean(axis=0)


def _mean_over(by_gate):
    """Returns the function from a moment to the mean over gates of what `by_gate` returns."""
    return lambda moment: np.mean(by_gate(moment))


def _gate_drifts(moment):
    snapshot, baseline = moment.snapshot, moment.baseline
    return gate_drift(snapshot.measures, snapshot.gates, baseline.measures)


def _branch_shares(moment):
    measures, gates = moment.snapshot.measures, moment.snapshot.gates
    shares = [
        measures[f"gate_profile/{index}"].mean(axis=0)
        for index, gate in enumerate(gates)
        if gate.kind == BRANCH
    ]
    return np.concatenate(shares)


# The table. docs/log.md has the range and the meaning of each row.
ENTROPY = (
    Scalar("entropy", _with_maps, lambda moment: moment.snapshot.entropy.mean()),
    Scalar("entropy/layer_{}", _layers, lambda moment: moment.snapshot.entropy),
)
FROM_BASELINE = Scalar(
    "drift_from_baseline",
    _with_heatmaps,
    lambda moment: _drift(moment, moment.baseline),
    needs_baseline=True,
)
FROM_LAST = Scalar(
    "drift_from_last", _with_heatmaps, lambda moment: _drift(moment, moment.last_or_this)
)
AGREEMENT = Scalar("agreement/{}", _further_heatmaps, _agreements)
HEALTH = (
    Scalar("collapsed_layers", _with_maps, _collapsed_layers),
    Scalar("non_patch_share", _with_maps, _mean_health("non_patch_share")),
    Scalar("head_diversity", _with_maps, _mean_health("head_diversity")),
    Scalar("sink_share", _with_maps, _mean_health("sink_share")),
    Scalar(
        "artifact_tokens",
        _with_maps,
        lambda moment: np.max(moment.snapshot.health["artifact_tokens"]),
    ),
)
LOCALIZATION = Scalar("localization/{1}{0}{2}", _localized, _localizations)
FRAME_SHARE = Scalar(_FRAME + "{}", _frames, _frame_shares)
GATES = (
    Scalar("gate_mean", _with_gates, _mean_over(_by_gate("gate_means"))),
    Scalar("gate_saturation", _with_gates, _mean_over(_by_gate("gate_saturation"))),
    Scalar("gate_drift", _with_gates, _mean_over(_gate_drifts), needs_baseline=True),
    Scalar("gate_mean/layer_{}", _gates, _by_gate("gate_means")),
    Scalar("gate_saturation/layer_{}", _gates, _by_gate("gate_saturation")),
    Scalar("gate_drift/layer_{}", _gates, _gate_drifts, needs_baseline=True),
    Scalar("branch_share/layer_{}/{}", _branches, _branch_shares),
)

# A new row goes into both: Keras' logs and the event files have always had different orders.
_IN_LOGS = (
    *ENTROPY,
    FROM_BASELINE,
    FROM_LAST,
    AGREEMENT,
    *HEALTH,
    LOCALIZATION,
    FRAME_SHARE,
    *GATES,
)
_IN_EVENT_FILES = (
    *ENTROPY,
    *HEALTH,
    FROM_LAST,
    AGREEMENT,
    FROM_BASELINE,
    *GATES,
    FRAME_SHARE,
    LOCALIZATION,
)
