"""Validation of logs: checks setups and records against the format and against each other."""

import json

import numpy as np

from keras_attnviz.tb_plugin.metadata import FORMAT_VERSION
from keras_attnviz.tb_plugin.packing import PackingError, unpack

_STEPS = np.iinfo(np.int32)
_GATES = ("channel", "spatial", "channel and spatial", "branch")
# The page draws a row for each gate and a column for each bin; more would be too thin to see.
_MOST_GATES, _MOST_BINS = 1000, 1000
# The page draws a line for each.
_MOST_FRAMES = 1000
_EPOCH_ARRAYS = {"classes": "int32", "confidence": "float32", "label_confidence": "float32"}


class UnreadableError(ValueError):
    """Data of the log can't be read; the message has the reason."""


class NewerFormatError(UnreadableError):
    """The data has a format that only later versions of this package can read."""


def check_version(version):
    """Raises a `NewerFormatError` if this package is too old to read a version of the format."""
    if version > FORMAT_VERSION:
        raise NewerFormatError(
            f"the log has format {version}, and this keras-attnviz reads up to format "
            f"{FORMAT_VERSION}; update the keras-attnviz that TensorBoard runs with"
        )


def read_setup(data):
    """Returns the setup, a dict, from the bytes of its JSON.

    Raises:
        NewerFormatError: the setup has a newer format.
        UnreadableError: the bytes are something else, or were cut off.
    """
    try:
        setup = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"no JSON: {error}") from error
    if not isinstance(setup, dict) or not _is_count(setup.get("version")):
        raise UnreadableError("not a JSON object with a `version`")
    check_version(setup["version"])
    wrong = [name for name, valid in _PARTS.items() if not valid(setup.get(name))]
    if wrong:
        raise UnreadableError(f"missing or malformed: {', '.join(wrong)}")
    return setup


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_grid(value):
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))


def _is_list(value, valid):
    return isinstance(value, list) and all(map(valid, value))


def _is_text(value):
    return isinstance(value, str)


def _has_text(name):
    return lambda entry: isinstance(entry, dict) and isinstance(entry.get(name), str)


def _is_layer(entry):
    return _has_text("path")(entry) and _is_count(entry.get("heads"))


def _is_gate(entry):
    return (
        _has_text("path")(entry)
        and entry.get("kind") in _GATES
        and _is_count(entry.get("channels"))
        and _is_grid(entry.get("grid"))
    )


def _are_gates(value):
    return _is_list(value, _is_gate) and len(value) <= _MOST_GATES


def _is_full(value):
    def is_index(entry):
        return isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0

    return value is None or (isinstance(value, dict) and _is_list(value.get("probes"), is_index))


def _is_series(entry):
    axes = ([], ["probe"], ["layer"], ["layer", "head"])
    axes += (["gate"], ["gate", "bin"], ["gate", "branch"], ["probe", "frame"])
    return _has_text("name")(entry) and entry.get("axes") in axes


# What the server relies on, or the page can't do without.
_PARTS = {
    "grid": _is_grid,
    "head_grid": _is_grid,
    "token_grid": _is_grid,
    "layers": lambda value: _is_list(value, _is_layer),
    "methods": lambda value: _is_list(value, _is_text),
    "probes": lambda value: _is_list(value, _has_text("name")),
    "series": lambda value: _is_list(value, _is_series),
    "full": _is_full,
    # Logs of earlier versions don't have these.
    "gates": lambda value: value is None or _are_gates(value),
    "gate_bins": lambda value: value is None or (_is_count(value) and value <= _MOST_BINS),
    "absolute_methods": lambda value: value is None or _is_list(value, _is_text),
    "frames": lambda value: value is None or (_is_count(value) and value <= _MOST_FRAMES),
}


def check_epoch(data, *, step, setup):
    """Raises an `UnreadableError` unless `data` is an epoch's record for the step and setup."""
    arrays, fields = _record(data, step)
    count = len(setup["probes"])
    _check_since(fields, step, len(setup["layers"]))
    for name, dtype in _EPOCH_ARRAYS.items():
        _check_array(arrays, name, dtype, (count,))
    layers = len(setup["layers"])
    heads = max((layer["heads"] for layer in setup["layers"]), default=0)
    gates = setup.get("gates") or []
    branches = [gate["channels"] for gate in gates if gate.get("kind") == "branch"]
    sizes = {"probe": count, "layer": layers, "head": heads, "gate": len(gates)}
    sizes |= {"bin": setup.get("gate_bins"), "branch": max(branches, default=0)}
    sizes["frame"] = setup.get("frames")
    for series in setup["series"]:
        name = f"series/{series['name']}"
        if name in arrays:
            _check_array(arrays, name, "float32", tuple(sizes[axis] for axis in series["axes"]))


def read_heat(data, *, step, setup):
    """Returns `(heat, highest)` of a record: uint8 `[probes, cells]` and float32 `[probes]`.

    Raises:
        UnreadableError: `data` is not a record, or doesn't fit the step and the setup.
    """
    arrays, _ = _record(data, step)
    count, cells = len(setup["probes"]), setup["grid"][0] * setup["grid"][1]
    _check_array(arrays, "heat", "uint8", (count, cells))
    _check_array(arrays, "heat/highest", "float32", (count,))
    return arrays["heat"], arrays["heat/highest"]


def is_record(data):
    """Returns whether bytes are a readable packed record."""
    try:
        _unpack(data)
    except UnreadableError:
        return False
    return True


def _record(data, step):
    arrays, fields = _unpack(data)
    if not _STEPS.min <= step <= _STEPS.max:
        raise UnreadableError("the step does not fit int32")
    if fields.get("step") != step:
        raise UnreadableError(f"the record says step {str(fields.get('step'))[:50]}")
    return arrays, fields


def _check_since(fields, step, layers):
    """Raises an `UnreadableError` unless an epoch's `since`, if any, has a step per layer."""

    def is_step(value):
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and _STEPS.min <= value <= step

    # Logs of version 1 don't have it.
    if "since" in fields and not _is_list(fields["since"], is_step):
        raise UnreadableError("`since` must list steps up to the record's step")
    if "since" in fields and len(fields["since"]) != layers:
        raise UnreadableError(f"`since` is of {len(fields['since'])} layers, not {layers}")


def _unpack(data):
    if not isinstance(data, bytes):
        raise UnreadableError("not one string of bytes")
    try:
        return unpack(data)
    except PackingError as error:
        raise UnreadableError(str(error).rstrip(".")) from error


def _check_array(arrays, name, dtype, shape):
    if name not in arrays:
        raise UnreadableError(f"no array {name!r}")
    array = arrays[name]
    if array.dtype.name != dtype or array.shape != shape:
        wanted = f"{dtype} {list(shape)}"
        raise UnreadableError(f"{name!r} is {array.dtype} {list(array.shape)}, not {wanted}")
