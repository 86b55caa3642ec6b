"""The setup record of the Attention tab: what stays the same over all epochs of a training.

docs/log-format.md lists its fields.
"""

from keras_attnviz.methods.registry import method_of
from keras_attnviz.monitor.gate_measures import BINS
from keras_attnviz.tb_plugin import metadata

# The method that also has maps from every patch to every patch.
ROLLOUT = "rollout"


def setup_of(
    monitor, probes, colors, *, layers, head_cells, series, full_probes, full_every_epochs
):
    """Returns the setup, a dict for JSON with its fields in the log's order.

    Args:
        monitor: the `ProbeMonitor`, with details.
        probes: the `ProbeSet`.
        colors: the `ColorScale` that the tab starts with.
        layers: list of dicts, see `layers_of`.
        head_cells: the `Cells` of the heads' maps.
        series: list of dicts, the entries of the charted metrics.
        full_probes: indices of the probes whose whole attention is logged.
        full_every_epochs: number of epochs from one logging of whole attention to the next.
    """
    model, sheet = monitor.attention_model, monitor.sheet
    grid = list(sheet.grid(monitor.grid or (1, 1)))
    return {
        "version": metadata.FORMAT_VERSION,
        "model": model.model.name,
        "grid": grid,
        "head_grid": list(sheet.grid(head_cells.grid)),
        **_tokens(monitor, grid),
        "frames": monitor.frames,
        "layers": layers,
        "gates": [_gate(gate) for gate in model.gates],
        "gate_bins": BINS,
        **_methods(monitor),
        "rollout": monitor.options,
        **_probes(probes),
        "colors": _colors(colors, monitor.heatmap_names),
        "series": series,
        "full": {"probes": list(full_probes), "every_epochs": full_every_epochs}
        if full_probes
        else None,
    }


def layers_of(monitor):
    """Returns the setup's entries for layers: attention layers, then spatial gates.

    Args:
        monitor: the `ProbeMonitor`, with details.

    Returns:
        List of dicts, bottom layer first.
    """
    layers = [_layer(found) for found in monitor.attention_model.maps]
    return layers + [_spatial(gate) for gate in monitor.gate_measures.gates if gate.is_spatial]


def _tokens(monitor, grid):
    """Returns the fields of tokens; without attention maps, each cell of the grid is a token."""
    measures, layout = monitor.attention_measures, monitor.attention_model.layout
    if measures is None:
        return {"token_grid": grid, "prefix": 0, "suffix": 0, "readout": "", "uniform": 1.0}
    return {
        "token_grid": list(monitor.sheet.grid(measures.token_cells.grid)),
        "prefix": layout.prefix,
        "suffix": layout.suffix,
        "readout": layout.readout_text(),
        "uniform": 1 / layout.tokens,
    }


def _methods(monitor):
    """Returns the fields of methods, which include the mean of the gates."""
    return {
        "methods": monitor.heatmap_names,
        "token_methods": [name for name in monitor.methods if name == ROLLOUT],
        "method_titles": {name: method_of(name).title for name in monitor.heatmap_names},
        "absolute_methods": [name for name in monitor.heatmap_names if not method_of(name).unit],
    }


def _probes(probes):
    """Returns the fields of probes and classes."""
    labels = [None] * len(probes) if probes.labels is None else map(int, probes.labels)
    named = zip(probes.names, labels, strict=True)
    return {
        "probes": [{"name": name, "label": label} for name, label in named],
        "class_names": probes.class_names and list(probes.class_names),
    }


def _colors(colors, methods):
    """Returns the color scale, with the limits of the methods that have their own."""
    limits = {name: method_of(name).color_limit for name in methods}
    return {
        "limit": colors.limit,
        "limits": {name: limit for name, limit in limits.items() if limit},
        "map": colors.color_map,
        "opacity": colors.opacity,
    }


def _layer(found):
    """Returns the setup's entry for an `AttentionMap`."""
    return {
        "path": found.layer,
        "kind": found.kind,
        "heads": found.heads,
        "trainable": found.trainable,
    }


def _gate(gate):
    """Returns the setup's entry for a `Gate`."""
    return {
        "path": gate.layer,
        "kind": gate.kind,
        "channels": gate.channels,
        "grid": list(gate.grid),
        "trainable": gate.trainable,
    }


def _spatial(gate):
    """Returns the setup's entry for a spatial `Gate` as a layer."""
    return {
        "path": gate.layer,
        "kind": "spatial gate",
        "heads": 1,
        "trainable": gate.trainable,
        "is_absolute": True,
    }
