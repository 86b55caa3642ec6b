"""The folder that keeps downloaded and converted files between runs."""

import os
from pathlib import Path

VARIABLE = "KERAS_ATTNVIZ_CACHE"


def cache_dir():
    """Returns the cache folder as a `Path`; it may not exist yet.

    The folder is `~/.keras/keras_attnviz`, unless the environment variable `KERAS_ATTNVIZ_CACHE`
    names another one.
    """
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".keras" / "keras_attnviz"
