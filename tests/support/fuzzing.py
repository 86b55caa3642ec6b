"""Fuzzing: the number of inputs that fuzz tests try, and strategies for them."""

import collections
import contextlib
import functools
import json
import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# `make soak` sets it.
FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))
TRIED = collections.Counter()
_SECONDS = 300


def fuzzed(usual):
    """Returns a decorator of a Hypothesis test: `usual` inputs, or `FACTOR` times as many.

    The usual inputs are the same in each run; `make soak` has other inputs each time.
    """
    return settings(
        max_examples=FACTOR * usual,
        derandomize=FACTOR == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def counted(test):
    """Counts a test's inputs, and fails the test if one takes five minutes."""

    @functools.wraps(test)
    def wrapper(*args, **options):
        TRIED[f"{test.__module__}.{test.__name__}"] += 1
        with _time_limit():
            return test(*args, **options)

    return wrapper


@contextlib.contextmanager
def _time_limit():
    def stop(*_):
        pytest.fail(f"Not done after {_SECONDS} seconds.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def mutated(data):
    """Returns a strategy of bytes like `data`, with some changed, cut out, repeated or cut off."""
    places = st.integers(0, max(len(data) - 1, 0))
    byte = st.integers(0, 255)
    edits = st.one_of(
        st.tuples(st.just("set"), places, byte),
        st.tuples(st.just("flip"), places, st.integers(0, 7)),
        st.tuples(st.just("drop"), places, st.integers(1, 40)),
        st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=12)),
        st.tuples(st.just("repeat"), places, st.integers(1, 40)),
        st.tuples(st.just("end"), places, byte),
    )
    return st.lists(edits, min_size=1, max_size=8).map(functools.partial(_edited, data))


def _edited(data, edits):
    found = bytearray(data)
    for kind, place, what in edits:
        place = min(place, max(len(found) - 1, 0))
        if kind == "insert":
            found[place:place] = what
        elif kind == "drop":
            del found[place : place + what]
        elif kind == "repeat":
            found[place:place] = found[place : place + what]
        elif kind == "end":
            del found[place:]
        elif found:
            found[place] = what if kind == "set" else found[place] ^ 1 << what
    return bytes(found)


def hostile_json():
    """Returns a strategy of any JSON values, including huge numbers and odd texts."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.integers(-2, 20),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["__proto__", "rollout", "uint8", "layer"]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
        ),
        max_leaves=8,
    )


def changed_json(value):
    """Returns a strategy of JSON texts like `value`, with one to three parts replaced."""
    paths = st.sampled_from(list(_paths(value)))
    changes = st.lists(st.tuples(paths, hostile_json()), min_size=1, max_size=3)
    return changes.map(lambda chosen: json.dumps(functools.reduce(_replaced, chosen, value)))


def _paths(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from _paths(value[key], (*path, key))


def _replaced(value, change):
    path, new = change
    if not path:
        return new
    first, rest = path[0], path[1:]
    if isinstance(value, dict) and first in value:
        return {**value, first: _replaced(value[first], (rest, new))}
    if isinstance(value, list) and isinstance(first, int) and first < len(value):
        return [*value[:first], _replaced(value[first], (rest, new)), *value[first + 1 :]]
    return value
