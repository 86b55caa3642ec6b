"""Where the repository is, and where results go."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def results_file(time, suffix=""):
    """Returns the path of a new JSON file, named by a `datetime`; makes its folder."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS / f"{time:%Y%m%d-%H%M%S}{suffix}.json"
