"""Interleaved timing: functions run in turns, so that a busy machine slows all of them alike."""

import ctypes
import gc
import pathlib
import re
import statistics
import subprocess
import sys
import time

from benchmarks.common.paths import ROOT


def interleaved(functions, *, rounds, warmups=1):
    """Runs functions in turns.

    Args:
        functions: dict from name to function without arguments.
        rounds: how often each is timed.
        warmups: runs of each before, not timed.

    Returns:
        dict from name to the list of its seconds, one a round.
    """
    for _ in range(warmups):
        for function in functions.values():
            function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            gc.collect()
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(seconds, name, reference):
    """Returns the median over rounds of one function's time over another's."""
    pairs = zip(seconds[name], seconds[reference], strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)


def printed_by(module, *arguments):
    """Returns the numbers that a module, run in a process of its own, prints on its last line."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [float(word) for word in result.stdout.splitlines()[-1].split()]


def peak_megabytes(function):
    """Returns the largest resident set of this process before and during a call, in MB (Linux)."""
    gc.collect()
    # Give back what building the model has freed, then start a new peak.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _highest_resident_set()
    function()
    return before, _highest_resident_set()


def _highest_resident_set():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
