"""What a user passes, in the order of the structure that a model takes."""

from keras_attnviz._checks import message
from keras_attnviz._structures import Shape, is_sequence, mapped, members, shape_of


def arranged(structure, inputs, name):
    """Returns the members of `inputs` as a flat list in the order of `structure`'s.

    Args:
        structure: a `tf.TensorSpec`, or a dict, list or tuple, also nested, of them.
        inputs: arrays or tensors in that structure, or in one that stands for it, see
            `InputSignature.flatten`.
        name: how errors name the argument.

    Raises:
        ValueError: another structure, missing or unknown keys.
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
    """Tells whether `inputs` is one array in a list, not a list of images."""
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
