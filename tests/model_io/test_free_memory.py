"""Free memory: what the system says, and what a container's limit leaves."""

import pytest

from keras_attnviz.model_io import free_memory as module
from keras_attnviz.model_io.free_memory import free_memory

pytestmark = pytest.mark.one_stack


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A made-up system with 4 GB free and no limit; returns its folder."""
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    4000000 kB\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    monkeypatch.setattr(module, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(module, "_CONTROL_GROUP", tmp_path)
    return tmp_path


def test_what_the_system_says_is_available(system):
    assert free_memory() == 4000000 * 1024


@pytest.mark.parametrize(("limit", "left"), [(3000, 2000), (900, 0), (10**12, 4000000 * 1024)])
def test_the_limit_of_a_container_counts(system, limit, left):
    (system / "memory.max").write_text(f"{limit}\n")
    assert free_memory() == left


def test_a_system_without_these_files_has_a_number(system):
    for path in system.iterdir():
        path.unlink()
    assert 0 < free_memory() < float("inf")


def test_this_machine_has_memory():
    assert 1e8 < free_memory() < 1e14
