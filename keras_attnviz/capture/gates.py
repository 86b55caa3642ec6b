"""Gates of a model: their kinds and their values."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_attnviz.capture.graph.positions import axes_of_positions

SPATIAL, CHANNEL, FULL, BRANCH = "spatial", "channel", "channel and spatial", "branch"
# Where a hard sigmoid has reached 0 and 1, with room for slopes below the usual 1 / 6.
_FAR = 1e3


@dataclasses.dataclass(frozen=True)
class Gate:
    """One gate that was found: attention as a factor on the features of a convolutional network.

    Args:
        layer: path of the layer that multiplies with it.
        kind: `"channel"`, one value for each channel; `"spatial"`, one for each position;
            `"channel and spatial"`, one for each channel at each position; `"branch"`, weights of
            branches, whose sum is 1.
        channels: number of channels of the feature map, or number of branches.
        grid: `(height, width)` of the feature map. Where the model sees the frames of a video as a
            batch, the height is that of all frames below one another.
        frames: number of frames that the model sees as a batch; 1 where there are none.
        trainable: whether training can change the gate, because it is computed from weights that
            are not frozen.
    """

    layer: str
    kind: str
    channels: int
    grid: tuple
    trainable: bool = True
    frames: int = 1

    @property
    def is_spatial(self):
        """Whether it shows where the model looks."""
        return self.kind in (SPATIAL, FULL)


class GateSource:
    """The gates of a traced model, and the function to their values.

    Args:
        trace: an `ObservedTrace`, of one random image.

    Attributes:
        gates: tuple of `Gate`, in the graph's order.
        indices: tuple of their numbers among the gate sites of the trace.
    """

    def __init__(self, trace):
        sites = _gate_sites(trace)
        pairs = zip(trace.gates, trace.seen.gates, strict=True)
        seen = {site.values.name: gate for site, gate in pairs}
        described = [
            _gate(trace, site, seen[site.values.name].factor, seen[site.values.name].features)
            for site in sites
        ]
        self._sites = [site for site, gate in zip(sites, described, strict=True) if gate]
        self.gates = tuple(_named_apart([gate for gate in described if gate]))
        places = {site.values.name: place for place, site in enumerate(trace.gates)}
        self.indices = tuple(places[site.values.name] for site in self._sites)
        self._is_first = [_is_channels_first(site) for site in self._sites]

    def symbolic(self):
        """Returns each gate's values, symbolic. Call it while the trace is the default graph.

        Returns:
            list of float32 tensors with values in [0, 1]: `[batch, channels]` of channels,
            `[batch, height, width]` of positions, `[batch, height, width, channels]` of both,
            `[batch, branches]` of branches, means over their channels. Where the frames of a video
            are a batch, channels and branches are means over frames, and positions stand below one
            another.
        """
        found = []
        for site, gate, is_first in zip(self._sites, self.gates, self._is_first, strict=True):
            if gate.kind == BRANCH:
                axes = list(range(1, site.values.shape.rank - 1))
                values = tf.reduce_mean(tf.cast(site.values, tf.float32), axis=axes)
            else:
                values = site.factor
                if not site.is_plain:
                    values = tf.reshape(site.values, tf.shape(site.factor))
                values = tf.cast(_channels_last(values, is_first), tf.float32)
            if gate.kind == CHANNEL:
                values = values[:, 0, 0]
            elif gate.kind == SPATIAL:
                values = values[..., 0]
            found.append(_of_video(values, gate) if gate.frames > 1 else values)
        return found


def _of_video(values, gate):
    """Returns a gate's values on frames, `[batch * frames, ...]`, as values on videos."""
    if gate.is_spatial:
        return tf.reshape(values, [-1, *gate.grid, *values.shape[3:]])
    return tf.reduce_mean(tf.reshape(values, [-1, gate.frames, values.shape[-1]]), axis=1)


def _gate_sites(trace):
    """Returns the sites that are gates: a clipped linear function must be clipped at 0 and 1."""
    tried = [site for site in trace.gates if site.source is not None]
    if not tried:
        return trace.gates
    sources = [site.source for site in tried]
    inputs = trace.one
    ends = trace.experiment([site.values for site in tried], feeds=sources)
    with trace.as_default():
        zeros = [tf.zeros_like(source) for source in sources]
    zeros = trace.experiment(zeros)(*inputs)
    below, above = (ends(*inputs, *(each + end for each in zeros)) for end in (-_FAR, _FAR))
    hard = {
        site.values.name
        for site, low, high in zip(tried, below, above, strict=True)
        if np.allclose(low, 0, atol=1e-3) and np.allclose(high, 1, atol=1e-2)
    }
    return [site for site in trace.gates if site.source is None or site.values.name in hard]


def _gate(trace, site, factor, features):
    """Returns the `Gate` of a site whose factor and features have the given shapes, or None."""
    found = _gate_of_batch(trace, site, factor, features)
    frames = [video.frames for video in trace.signature.videos.values()]
    if found is None or factor[0] == 1 or factor[0] not in frames:
        return found
    grid = (factor[0] * found.grid[0], found.grid[1])
    return dataclasses.replace(found, grid=grid, frames=factor[0])


def _gate_of_batch(trace, site, factor, features):
    """Returns the `Gate` of a site as if its first axis counted images, or None."""
    trainable = trace.is_trained(site.values)
    if site.is_branch:
        branches = site.values.shape[-1]
        # Where branches have an axis for themselves, the others are the axes of the feature map.
        grid = features[-3:-1]
        return Gate(site.layer, BRANCH, branches, grid, trainable)
    is_first = _is_channels_first(site)
    factor, features = (_moved(shape, is_first) for shape in (factor, features))
    over_positions = factor[1:3] != (1, 1)
    over_channels = factor[3] > 1
    if not (over_positions or over_channels):
        return None
    kind = FULL if over_positions and over_channels else SPATIAL if over_positions else CHANNEL
    return Gate(site.layer, kind, features[3], features[1:3], trainable)


def _is_channels_first(site):
    """Returns whether a gate's feature map has its channels before height and width.

    The gate's shape shows it where one or two axes have size 1. Otherwise the last convolution or
    pooling before the feature map does.
    """
    single = [axis for axis in (1, 2, 3) if site.factor.shape[axis] == 1]
    if single in ([2, 3], [1]):
        return True
    if single in ([1, 2], [3]):
        return False
    return axes_of_positions(site.features) == (2, 3)


def _channels_last(tensor, is_first):
    return tf.transpose(tensor, [0, 2, 3, 1]) if is_first else tensor


def _moved(shape, is_first):
    return (shape[0], *shape[2:], shape[1]) if is_first else shape


def _named_apart(gates):
    """Returns the gates with distinct layer names: the kind is added, then a number."""
    found = []
    for gate in gates:
        alike = [other for other in gates if other.layer == gate.layer]
        name = gate.layer
        if len(alike) > 1:
            kinds = [other.kind for other in alike]
            name = f"{name}/{gate.kind.split()[0] if gate.kind != FULL else 'gate'}"
            if kinds.count(gate.kind) > 1:
                name += f"_{sum(f.kind == gate.kind and f.layer.startswith(name) for f in found)}"
        found.append(dataclasses.replace(gate, layer=name))
    return found


def last_of_each_resolution(gates):
    """Returns the indices of the last gate of each resolution, in order."""
    return sorted({gate.grid: index for index, gate in enumerate(gates)}.values())
