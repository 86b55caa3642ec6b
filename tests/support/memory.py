"""How much memory something takes at its highest."""

import contextlib
import pathlib

import pytest

_STATUS, _RESET = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


@contextlib.contextmanager
def at_most(megabytes):
    """Fails where the process grows by more than that, even for a moment; skips beyond Linux."""
    if not _STATUS.exists():
        pytest.skip("needs /proc")
    with contextlib.suppress(OSError):
        _RESET.write_text("5", encoding="ascii")  # the highest so far is forgotten
    before = _kilobytes("VmRSS")
    if _kilobytes("VmHWM") > before + 20_000:
        pytest.skip("this system doesn't forget how high memory has been")
    yield
    assert _kilobytes("VmHWM") - before < 1000 * megabytes


def _kilobytes(name):
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
