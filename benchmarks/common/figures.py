"""Rows of figures: printed as a table, and written as JSON with time and machine."""

import datetime
import json
import platform

import tensorflow as tf

from benchmarks.common.paths import results_file


def row(what, value, limit=None, *, at_least=False):
    """Returns a row; `limit` is the largest value allowed, or the smallest with `at_least`."""
    held = None if limit is None else (value >= limit if at_least else value <= limit)
    return {"what": what, "value": value, "limit": limit, "held": held}


def show(rows):
    """Prints rows, which it returns."""
    for entry in rows:
        limit = entry.get("limit")
        verdict = "" if limit is None else f"{limit:>6g}  {'held' if entry['held'] else 'MISSED'}"
        print(f"{entry['what']:<78} {entry['value']:>9.3f}  {verdict}".rstrip(), flush=True)
    return rows


def publish(rows, *, suffix="", **versions):
    """Prints rows and writes them as JSON; `versions` are those of further libraries."""
    write(show(rows), suffix=suffix, **versions)


def write(rows, *, suffix="", **versions):
    """Writes rows as JSON; `versions` are those of further libraries."""
    now = datetime.datetime.now().astimezone()
    machine = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        **versions,
    }
    path = results_file(now, suffix)
    path.write_text(json.dumps({"time": now.isoformat(), **machine, "rows": rows}, indent=1))
    print(f"written to {path}")
