"""Pictures to predictions and heatmaps, one by one or a whole data set.

Public names are imported on first use, because `explain` needs vit-keras and `RolloutModel`
doesn't.
"""

import importlib
import sys
import types

_HOMES = {
    "RolloutModel": "explain.rollout_model",
    "draw": "drawing.figure",
    "explain": "explain.explain_pictures",
    "explain_dataset": "explain.explain_dataset",
    "explain_folder": "explain.explain_folder",
    "open_model": "explain.explain_pictures",
}

__all__ = sorted(_HOMES)


class _Room(types.ModuleType):
    """This package. If a function and a module share a name, the name means the function."""

    def __setattr__(self, name, value):
        # Importing `explain.explain_dataset` sets that module as an attribute of this package.
        if name in _HOMES and isinstance(value, types.ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_attnviz.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
