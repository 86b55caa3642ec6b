"""Argument checks with one wording: what must be, what was received, what to do."""

import numbers


def received(name, value):
    """Returns "`name=value`" with the value shortened to one readable line."""
    text = repr(value)
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape) > 0:
        text = f"<{type(value).__name__} of shape {tuple(shape)}, dtype {value.dtype}>"
    return f"{name}={text if len(text) <= 200 else text[:197] + '...'}"


def message(name, must, value, remedy=""):
    """Returns the wording shared by all errors about one argument."""
    return f"`{name}` must be {must}. Received: {received(name, value)}. {remedy}".rstrip()


def check_choice(name, value, choices):
    """Raises a `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(message(name, f"one of {listed}", value))


def check_ratio(name, value):
    """Raises unless `value` is a Python or NumPy real number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(message(name, "a number in [0, 1)", value))
    if not 0 <= value < 1:
        raise ValueError(message(name, "in [0, 1)", value))


def is_integer(value):
    """Returns whether `value` is a Python or NumPy integer; a bool is not one."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_count(name, value, minimum=1):
    """Raises unless `value` is an integer of at least `minimum`."""
    if not is_integer(value):
        raise TypeError(message(name, f"an integer of at least {minimum}", value))
    if value < minimum:
        raise ValueError(message(name, f"at least {minimum}", value))


def image_size_pair(value, name="image_size"):
    """Returns `(height, width)` for an image size given as one integer or as a pair."""
    pair = (value, value) if is_integer(value) else value
    valid = (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(is_integer(side) and side > 0 for side in pair)
    )
    if not valid:
        must = "a positive integer or a pair (height, width) of positive integers"
        raise ValueError(message(name, must, value))
    return tuple(int(side) for side in pair)
