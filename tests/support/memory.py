"""Memory: a limit on how much a block of code may take at its peak."""

import contextlib
import pathlib

import pytest

_STATUS, _RESET = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


@contextlib.contextmanager
def at_most(megabytes):
    """Fails if the process grows by more, even for a moment; skips on systems other than Linux."""
    if not _STATUS.exists():
        pytest.skip("needs /proc")
    with contextlib.suppress(OSError):
        _RESET.write_text("5", encoding="ascii")  # resets the peak
    before = _kilobytes("VmRSS")
    if _kilobytes("VmHWM") > before + 20_000:
        pytest.skip("this system doesn't forget how high memory has been")
    yield
    assert _kilobytes("VmHWM") - before < 1000 * megabytes


def _kilobytes(name):
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
