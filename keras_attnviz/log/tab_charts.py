"""The metrics that the Attention tab charts: what the setup says of each."""

from keras_attnviz.capture.gates import BRANCH

_SHARE, _OPEN = [0.0, 1.0], [0.0, None]
_HEADS, _LAYERS, _PROBES, _GATES = ["layer", "head"], ["layer"], ["probe"], ["gate"]


def _described(name, title, axes, limits, description, unit=""):
    """Returns what the setup says of a metric."""
    return {
        "name": name,
        "title": title,
        "unit": unit,
        "axes": axes,
        "range": limits,
        "description": description,
    }


CHARTED = (
    _described(
        "entropy", "Entropy", _HEADS, _SHARE, "1: attention spread over all tokens; 0: on one."
    ),
    _described(
        "distance",
        "Attention distance",
        _HEADS,
        _OPEN,
        "How far a patch looks, on the average.",
        "px",
    ),
    _described(
        "drift",
        "Drift from the baseline",
        _PROBES,
        _OPEN,
        "Jensen-Shannon divergence of the heatmap from that before training.",
    ),
    _described(
        "drift_from_last",
        "Drift from the epoch logged before",
        _PROBES,
        _OPEN,
        "Jensen-Shannon divergence of the heatmap from the one logged before.",
    ),
    _described(
        "layer_drift",
        "Change of layers and heads",
        _HEADS,
        _OPEN,
        "Jensen-Shannon divergence of each head from the baseline.",
    ),
    _described(
        "sinks",
        "Sink share",
        _LAYERS,
        _OPEN,
        "Share of attention on patches that receive more than ten times uniform.",
    ),
    _described(
        "artifact_tokens",
        "Artifact tokens",
        _LAYERS,
        _OPEN,
        "How many patches receive more than ten times uniform.",
    ),
    _described(
        "non_patch_share",
        "Attention on class token and registers",
        _HEADS,
        _SHARE,
        "Share of the patches' attention on tokens that are no patches.",
    ),
    _described(
        "head_diversity",
        "Head diversity",
        _LAYERS,
        _SHARE,
        "Jensen-Shannon divergence between two heads, mean over pairs. 0: all alike.",
    ),
    _described(
        "dead_heads",
        "Dead heads",
        _LAYERS,
        _OPEN,
        "How many heads are uniform, or look at no patch.",
    ),
    _described(
        "duplicate_heads",
        "Duplicate heads",
        _LAYERS,
        _OPEN,
        "How many heads do what another one does already.",
    ),
)
CHARTED_WITH_MASKS = (
    _described(
        "localization",
        "Attention on the object",
        _PROBES,
        _OPEN,
        "1: no more than the object's area would get by chance.",
        "times its area",
    ),
    _described(
        "head_localization",
        "Heads on the object",
        _HEADS,
        _OPEN,
        "The same for each layer and head.",
        "times its area",
    ),
    _described(
        "localization_mass",
        "Share on the object",
        _PROBES,
        _SHARE,
        "Share of the heatmap that lies on the object.",
    ),
    _described(
        "localization_auc",
        "Object told from background",
        _PROBES,
        _SHARE,
        "Area under the ROC curve. 0.5: by chance.",
    ),
    _described(
        "localization_hit",
        "Highest value on the object",
        _PROBES,
        _SHARE,
        "The pointing game. 1: a hit.",
    ),
)
CHARTED_OF_VIDEOS = (
    _described(
        "frame_share",
        "Frames",
        ["probe", "frame"],
        _SHARE,
        "Share of the heatmap that lies in each frame. Those of a video sum to 1.",
    ),
)
CHARTED_OF_GATES = (
    _described(
        "gate_mean",
        "Gates, mean",
        _GATES,
        _SHARE,
        "Mean of each gate's values. 1: it lets everything through; 0: nothing.",
    ),
    _described(
        "gate_saturation",
        "Gates, saturated",
        _GATES,
        _SHARE,
        "Share of each gate's values that is within 0.05 of 0 or 1.",
    ),
    _described(
        "gate_drift",
        "Gates, drift from the baseline",
        _GATES,
        _OPEN,
        "Mean absolute difference of each gate's values from those before training.",
    ),
    _described(
        "gate_distribution",
        "Gates, distribution",
        ["gate", "bin"],
        _SHARE,
        "Share of each gate's values in 20 bins from 0 to 1.",
    ),
)
CHARTED_OF_BRANCHES = (
    _described(
        "branch_share",
        "Branches",
        ["gate", "branch"],
        _SHARE,
        "Weight of each branch, mean over its channels. Those of a gate sum to 1.",
    ),
)
# Those that are measured of each method's heatmaps.
OF_METHODS = frozenset(
    [
        "drift",
        "drift_from_last",
        "frame_share",
        "localization",
        "localization_mass",
        "localization_auc",
        "localization_hit",
    ]
)


def described(methods, *, masks, maps=True, gates=(), videos=False):
    """Returns what the setup says of all metrics, a list of dicts.

    Args:
        methods: the names of the methods, in order.
        masks: whether the probes have masks.
        maps: whether the model has attention maps.
        gates: sequence of `Gate`.
        videos: whether the heatmaps are of videos.
    """
    charted = [*CHARTED, *(CHARTED_WITH_MASKS if masks else ())]
    charted += CHARTED_OF_VIDEOS if videos else ()
    if not maps:
        charted = [metric for metric in charted if metric["name"] in OF_METHODS]
    if gates:
        charted += CHARTED_OF_GATES
    if any(gate.kind == BRANCH for gate in gates):
        charted += CHARTED_OF_BRANCHES
    found = []
    for metric in charted:
        if metric["name"] in OF_METHODS:
            found += [
                {**metric, "name": name_of(metric["name"], method, methods), "method": method}
                for method in methods
            ]
        else:
            found.append(metric)
    return found


def name_of(name, method, methods):
    """Returns the name of a metric of a method's heatmaps; the first method's is the plain one."""
    return name if method == next(iter(methods)) else f"{name}/{method}"
