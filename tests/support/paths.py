"""Paths of the repository and its tests, also for processes that a test starts."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def environment(**variables):
    """Returns the environment of a process that imports `support` and `zoo` as the tests do."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | variables
