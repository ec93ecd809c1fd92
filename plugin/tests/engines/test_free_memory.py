from __future__ import annotations

from pathlib import Path

import pytest

from nestvec.engines import free_memory
from nestvec.engines.free_memory import available_memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a machine with 2,000 kB available, and of a container."""
    monkeypatch.setattr(free_memory, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "_GROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal:   9000 kB\nMemFree:   100 kB\nMemAvailable:   2000 kB\n")
    return tmp_path


def test_memory_of_the_machine(system: Path) -> None:
    assert available_memory() == 2000 * 1024
    (system / "memory.max").write_text("max\n")
    (system / "memory.current").write_text("5000\n")
    assert available_memory() == 2000 * 1024


def test_memory_of_the_container(system: Path) -> None:
    (system / "memory.max").write_text("90000\n")
    (system / "memory.current").write_text("50000\n")
    assert available_memory() == 40000
    (system / "memory.stat").write_text("anon 20000\nactive_file 1\ninactive_file 30000\n")
    assert available_memory() == 70000, "the system drops what it keeps of files"


def test_memory_that_nothing_says(system: Path) -> None:
    (system / "meminfo").unlink()
    assert available_memory() is None
