"""Structures of arrays: dicts, lists and tuples, possibly nested."""

import numpy as np
import tensorflow as tf

from keras_attnviz._checks import message


def mapped(function, structure):
    """Returns the structure, in plain containers, with `function` applied to each member."""
    if isinstance(structure, dict):
        return {key: mapped(function, member) for key, member in structure.items()}
    if is_sequence(structure):
        members = [mapped(function, member) for member in structure]
        return tuple(members) if isinstance(structure, tuple) else members
    return function(structure)


def is_sequence(value):
    """Returns whether `value` is a list or tuple of members; a `tf.TensorShape` is not."""
    return isinstance(value, (list, tuple)) and not isinstance(value, tf.TensorShape)


def members(structure, path=()):
    """Returns a list of `(path, member)`, in the order of `tf.nest`."""
    if isinstance(structure, dict):
        keyed = sorted(structure.items())
    elif is_sequence(structure):
        keyed = enumerate(structure)
    else:
        return [(path, structure)]
    return [found for key, member in keyed for found in members(member, (*path, key))]


def member_paths(structure, name):
    """Returns the name of each member in error messages, for example `inputs['tokens']`."""
    return [name + "".join(f"[{key!r}]" for key in path) for path, _ in members(structure)]


def shape_of(member):
    """Returns the shape of an array, tensor or spec, or of a list as a NumPy array."""
    shape = getattr(member, "shape", None)
    return np.shape(member) if shape is None else shape


class Shape:
    """Stands in for an array in an error message: its `repr` is the array's shape."""

    def __init__(self, member):
        self._text = str(shape_of(member))

    def __repr__(self):
        return self._text


def arranged(structure, inputs, name):
    """Returns the members of `inputs` as a flat list, in the order of `structure`.

    Args:
        structure: a `tf.TensorSpec`, or a dict, list or tuple of them, possibly nested.
        inputs: arrays or tensors in that structure, or in another one that
            `InputSignature.flatten` accepts in its place.
        name: how errors name the argument.

    Raises:
        ValueError: `inputs` has another structure, or keys are missing or unknown.
    """
    specs = members(structure)
    if not isinstance(inputs, (dict, list, tuple)) and len(specs) == 1:
        return [inputs]
    if isinstance(structure, dict):
        return _by_key(structure, inputs, name)
    named = {spec.name: spec for _, spec in specs if spec.name}
    if isinstance(inputs, dict) and len(named) == len(specs):
        by_name = dict(zip(sorted(named), _by_key(named, inputs, name), strict=True))
        return [by_name[spec.name] for _, spec in specs]
    if not is_sequence(structure):
        return [inputs[0] if _is_one_wrapped(inputs, structure) else inputs]
    if not isinstance(inputs, (list, tuple)) or len(inputs) != len(structure):
        named = ", ".join(spec.name or "/".join(map(str, path)) for path, spec in specs)
        must = f"a list or tuple of {len(structure)} members, for {named}"
        raise ValueError(message(name, must, mapped(Shape, inputs)))
    return [
        member
        for index, part in enumerate(structure)
        for member in arranged(part, inputs[index], f"{name}[{index}]")
    ]


def _is_one_wrapped(inputs, spec):
    """Returns whether `inputs` is one array wrapped in a list, rather than a list of images."""
    return len(inputs) == 1 and len(shape_of(inputs[0])) == spec.shape.rank


def _by_key(structure, inputs, name):
    keys = sorted(structure)
    if not isinstance(inputs, dict) or sorted(inputs, key=str) != keys:
        must = f"a dict with the keys {', '.join(map(repr, keys))}"
        given = set(inputs) if isinstance(inputs, dict) else set()
        missing, unknown = sorted(set(keys) - given), sorted(given - set(keys), key=str)
        remedy = f"Missing: {missing}. Unknown: {unknown}." if given else ""
        raise ValueError(message(name, must, mapped(Shape, inputs), remedy))
    return [
        member
        for key in keys
        for member in arranged(structure[key], inputs[key], f"{name}[{key!r}]")
    ]
