"""Deduplication of the log: writes unchanged parts once, and refers to them afterwards."""

import dataclasses
import hashlib

import numpy as np

from keras_attnviz.tb_plugin.metadata import kept_tag
from keras_attnviz.tb_plugin.packing import PackingError, pack, unpack


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The parts of a record, for example layers, compared with those of earlier steps.

    Args:
        since: list with each part's step since which it has been the same.
        is_kept: whether all parts must also be written as kept parts at this step.
        kept: step of the kept parts that this step refers to, or None.
        changed: list of the indices of the parts that must be written at this step.
    """

    since: list
    is_kept: bool
    kept: int | None
    changed: list

    def header(self, changed):
        """Returns the header's fields of a blob that holds only these parts, a dict."""
        return {} if self.kept is None else {"layers": changed, "kept": self.kept}


class Deduplicator:
    """Compares the parts of a tag's records over the steps of one log file, by 128-bit digests.

    Parts that stay the same from one step to the next are kept once, and later records refer to
    them. A new record is kept only when a further part starts to stay the same.
    """

    def __init__(self):
        self._last = self._kept = self._kept_step = self._since = None

    def compare(self, step, parts):
        """Returns the `Comparison` of a step's parts with those of earlier steps.

        Args:
            step: integer, above all earlier steps.
            parts: list of lists of arrays, with as many parts as before.
        """
        parts = [[_digest(array) for array in part] for part in parts]
        is_as_last, is_as_kept = (
            [False] * len(parts)
            if others is None
            else [part == other for part, other in zip(parts, others, strict=True)]
            for others in (self._last, self._kept)
        )
        since = [step if not same else self._since[i] for i, same in enumerate(is_as_last)]
        is_kept = any(last and not kept for last, kept in zip(is_as_last, is_as_kept, strict=True))
        if is_kept:
            self._kept, self._kept_step = parts, step
            is_as_kept = [True] * len(parts)
        self._last, self._since = parts, since
        changed = [i for i, same in enumerate(is_as_kept) if not same]
        kept = self._kept_step if len(changed) < len(parts) else None
        return Comparison(since, is_kept, kept, changed)


def write_layers(writer, step, tag, arrays, compared, *, rows):
    """Writes one blob for each probe, with the layers that have changed.

    Args:
        writer: `AttentionWriter`.
        step: integer.
        tag: text.
        arrays: dict from name to array `[probes, rows of all layers, ...]`.
        compared: the layers' `Comparison`.
        rows: list of slices, each layer's rows.
    """

    def blobs(layers, fields):
        taken = np.concatenate([np.arange(rows[i].stop)[rows[i]] for i in layers])
        for probe in range(len(next(iter(arrays.values())))):
            of_probe = {name: array[probe, taken] for name, array in arrays.items()}
            yield pack(of_probe, step=step, **fields)

    every_layer = range(len(rows))
    if compared.is_kept:
        writer.blobs(step, kept_tag(tag), list(blobs(every_layer, {})))
    changed = compared.changed
    if changed:
        found = list(blobs(changed, compared.header(changed)))
    else:
        found = [_nothing(step, compared)] * len(next(iter(arrays.values())))
    writer.blobs(step, tag, found)


def write_blobs(writer, step, tag, arrays, deduplicator):
    """Writes blobs; a blob that has not changed holds no arrays.

    Args:
        writer: `AttentionWriter`.
        step: integer.
        tag: text.
        arrays: list of dicts from name to array, one per blob.
        deduplicator: the tag's `Deduplicator`.
    """
    compared = deduplicator.compare(step, [list(each.values()) for each in arrays])
    if compared.is_kept:
        writer.blobs(step, kept_tag(tag), [pack(each, step=step) for each in arrays])
    changed, nothing = set(compared.changed), _nothing(step, compared)
    blobs = [pack(a, step=step) if i in changed else nothing for i, a in enumerate(arrays)]
    writer.blobs(step, tag, blobs)


def _digest(array):
    """Returns the digest of an array's bytes."""
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()


def _nothing(step, compared):
    """Returns a record without arrays, which refers to the kept record for everything."""
    return pack({}, step=step, **compared.header([]))


def reference(data, *, layers):
    """Returns the reference in a blob, `(kept, changed)`, or None for a whole blob.

    Args:
        data: bytes, a packed record.
        layers: number of layers that the blob may hold.

    Returns:
        The step of the kept record, and a list of the layers that the blob itself holds.

    Raises:
        PackingError: the header holds something else, or the bytes are not a record.
    """
    _, fields = unpack(data)
    if "layers" not in fields:
        return None
    kept, changed = fields.get("kept"), fields["layers"]
    is_valid = isinstance(changed, list) and all(map(_is_integer, [kept, *changed]))
    if not is_valid or any(not 0 <= layer < layers for layer in changed):
        raise PackingError(
            f"A record's header must name the step of a kept record and layers below {layers}. "
            f"Received: kept={str(kept)[:50]}, layers={str(changed)[:50]}."
        )
    if len(set(changed)) < len(changed):
        raise PackingError(f"A record's header names a layer twice: {str(changed)[:50]}.")
    return kept, changed


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)
