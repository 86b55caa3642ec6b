"""Structures of arrays: dicts, lists and tuples, also nested."""

import numpy as np
import tensorflow as tf


def mapped(function, structure):
    """Returns a structure of plain dicts, lists and tuples with `function` of each member."""
    if isinstance(structure, dict):
        return {key: mapped(function, member) for key, member in structure.items()}
    if is_sequence(structure):
        members = [mapped(function, member) for member in structure]
        return tuple(members) if isinstance(structure, tuple) else members
    return function(structure)


def is_sequence(value):
    """Tells whether `value` is a list or tuple of members; a shape is none."""
    return isinstance(value, (list, tuple)) and not isinstance(value, tf.TensorShape)


def members(structure, path=()):
    """Returns `(path, member)` of each member, in the order of `tf.nest`."""
    if isinstance(structure, dict):
        keyed = sorted(structure.items())
    elif is_sequence(structure):
        keyed = enumerate(structure)
    else:
        return [(path, structure)]
    return [found for key, member in keyed for found in members(member, (*path, key))]


def member_paths(structure, name):
    """Returns for each member how errors name it, `inputs['tokens']` say."""
    return [name + "".join(f"[{key!r}]" for key in path) for path, _ in members(structure)]


def shape_of(member):
    """Returns the shape of an array, tensor or spec, or of what NumPy makes of a list."""
    shape = getattr(member, "shape", None)
    return np.shape(member) if shape is None else shape


class Shape:
    """Stands for an array in an error's text."""

    def __init__(self, member):
        self._text = str(shape_of(member))

    def __repr__(self):
        return self._text
