"""The modules of `benchmarks/`, which is a folder of scripts and no package."""

import importlib
import sys
from pathlib import Path


def benchmark_module(name):
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.append(folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
