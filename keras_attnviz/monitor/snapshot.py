"""Snapshot: attention, gates and predictions of the probes at one moment."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Contents:
    """What all snapshots of a model contain; it is known before the first one is taken.

    Args:
        layers: number of attention layers.
        heatmaps: tuple of the names of all heatmaps, of which the first stands for all.
        gates: tuple of `Gate`.
        frames: number of frames of the heatmaps of videos, 0 for images.
        has_masks: whether the probes have masks, for localization.
        has_labels: whether the probes have labels.
    """

    layers: int
    heatmaps: tuple
    gates: tuple
    frames: int
    has_masks: bool
    has_labels: bool


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The probes' attention and predictions at one moment.

    The heads of all layers follow one another, bottom layer first.

    Args:
        heatmaps: dict from the name of a method to its heatmaps, float32 `[probes, grid_height,
            grid_width]`, as a multiple of uniform attention, at least 0. The frames of a video
            stand below one another.
        entropy: float32 array `[layers]` in [0, 1], mean over probes, heads and queries.
        classes: integer array `[probes]`, or None if the outputs are not class predictions.
        confidences: float array `[probes]` in [0, 1], or None.
        label_confidences: float array `[probes]` in [0, 1], of the true classes, or None.
        measures: dict from the name of a measure to its float32 array `[probes, ...]`: `entropy`,
            the results of `health_measures` and `GateMeasures`, and, if details are measured,
            `heads`, `others`, `distance` and `tokens`, see `Measures`.
        is_right: bool array `[probes]`, whether the predicted class is the true one, or None.
        health: the `layer_health`, a dict of float32 arrays `[layers]`.
        gates: tuple of `Gate`; their measures are in `measures`.
        localization: dict from the name of a method to the `localizations` of its heatmaps, a
            dict of float32 arrays `[probes]`, empty without masks.
        frame_share: dict from the name of a method to the `frame_importance` of its heatmaps,
            float32 `[probes, frames]`; empty for images.
    """

    heatmaps: dict
    entropy: np.ndarray
    classes: np.ndarray | None
    confidences: np.ndarray | None
    label_confidences: np.ndarray | None = None
    measures: dict = dataclasses.field(default_factory=dict)
    is_right: np.ndarray | None = None
    health: dict = dataclasses.field(default_factory=dict)
    gates: tuple = ()
    localization: dict = dataclasses.field(default_factory=dict)
    frame_share: dict = dataclasses.field(default_factory=dict)

    @property
    def contents(self):
        """The `Contents` of this snapshot."""
        return Contents(
            layers=len(self.entropy),
            heatmaps=tuple(self.heatmaps),
            gates=self.gates,
            frames=next((shares.shape[1] for shares in self.frame_share.values()), 0),
            has_masks=any(self.localization.values()),
            has_labels=self.is_right is not None,
        )

    @property
    def first_heatmap(self):
        """The heatmaps of the first method, whose drift is measured."""
        return next(iter(self.heatmaps.values()))

    def without_pattern(self):
        """Returns a list of `(method, probes)` with heatmaps that are constant or not finite."""
        found = []
        for method, heat in self.heatmaps.items():
            spread = np.ptp(heat.reshape(len(heat), -1), axis=1)
            probes = np.flatnonzero(~(np.isfinite(spread) & (spread > 0)))
            if len(probes):
                found.append((method, probes.tolist()))
        return found


@dataclasses.dataclass(frozen=True)
class Moment:
    """A snapshot and the earlier ones that it is compared with.

    Args:
        snapshot: `Snapshot`.
        baseline: the `Snapshot` before training, which may be the same, or None if it isn't known.
        last: the `Snapshot` that was logged before, or None if this is the first.
        head_masks: float array `[probes, cells]` in [0, 1], the share of each cell of a single
            head's map that the object covers; None without masks, or if it isn't needed.
    """

    snapshot: Snapshot
    baseline: Snapshot | None
    last: Snapshot | None
    head_masks: np.ndarray | None = None

    @property
    def last_or_this(self):
        """The last snapshot, or this one if it is the first."""
        return self.last or self.snapshot
