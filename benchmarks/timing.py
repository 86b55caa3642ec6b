"""Interleaved timing: what is compared runs in turns, so that a busy machine slows all alike."""

import gc
import resource
import statistics
import subprocess
import sys
import time


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


def peak_megabytes(script, argument):
    """Returns what a script prints last: its peak memory, from a process of its own."""
    command = [sys.executable, script, argument]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout.split()[-1])


def own_peak_megabytes():
    """Returns the largest resident set of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
