"""Size estimate of the Attention tab's log, printed before training starts."""

import math

LARGE = 5e6  # bytes per logged epoch; smaller logs are not mentioned


def epoch_bytes(monitor, probes):
    """Returns the size of an epoch's records in bytes, without their headers and the metrics.

    The maps of frozen layers are written only once, so later epochs take at most this much.

    Args:
        monitor: the `ProbeMonitor`, with details.
        probes: number of probes.
    """
    measures = monitor.attention_measures
    cells = math.prod(monitor.sheet.grid(monitor.grid or (1, 1)))
    heat = len(monitor.heatmap_names) * (cells + 4)
    of_tokens = 0
    if measures is not None:
        cells, tokens = (
            math.prod(monitor.sheet.grid(each.grid))
            for each in (measures.head_cells, measures.token_cells)
        )
        of_tokens = tokens * (tokens + 4) if "rollout" in monitor.methods else 0
    heads = (_heads(monitor) + len(monitor.gate_measures.spatial)) * (cells + 8)
    return probes * (heat + heads + of_tokens)


def full_bytes(monitor, probes):
    """Returns the size of whole attention in bytes, without headers; see `epoch_bytes`."""
    cells = math.prod(monitor.sheet.grid(monitor.attention_measures.token_cells.grid))
    return probes * _heads(monitor) * cells * (cells + 4)


def size_lines(monitor, *, probes, every_epochs, full_probes, full_every_epochs, epochs):
    """Returns the lines to print about large logs, a list of texts.

    Args:
        monitor: the `ProbeMonitor`, with details.
        probes: number of probes.
        every_epochs: number of epochs from one logged epoch to the next.
        full_probes: number of probes whose whole attention is logged.
        full_every_epochs: number of epochs from one logging of whole attention to the next.
        epochs: number of epochs of the training, or None if it isn't known.
    """
    lines = []
    each = epoch_bytes(monitor, probes)
    if each > LARGE:
        total = _total(each, None if epochs is None else 1 + math.ceil(epochs / every_epochs))
        lines.append(
            f"Attention tab: up to {each / 1e6:.1f} MB each logged epoch for {probes} probes{total}"
            ". Fewer probes or a larger `every_epochs` make it less, `attention_tab=False` leaves "
            "it out."
        )
    if full_probes:
        each = full_bytes(monitor, full_probes)
        total = _total(each, None if epochs is None else 1 + epochs // full_every_epochs)
        lines.append(
            f"Whole attention of {full_probes} probes: up to {each / 1e6:.1f} MB, before the "
            f"training and after every {full_every_epochs} epochs{total}."
        )
    return lines


def _heads(monitor):
    """Returns the number of heads in all attention layers."""
    return sum(found.heads for found in monitor.attention_model.maps)


def _total(each, times):
    """Returns the part of a line about the whole training; empty if `times` is None."""
    return "" if times is None else f", {each * times / 1e6:.1f} MB in all"
