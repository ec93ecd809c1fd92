"""The memory that is available, and returning to the system what is freed: glibc keeps that of a graph."""

from __future__ import annotations

import ctypes
import re
import sys
import threading
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/proc/meminfo")
_GROUP: Final = Path("/sys/fs/cgroup")
"""That of the process itself, where it is in a container."""


def return_free_memory() -> None:
    """Have the C library return what is free, on a thread, as it takes a while. Only with glibc."""
    threading.Thread(target=_trim, name="nestvec-free-memory", daemon=True).start()


def _trim() -> None:
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return


def available_memory() -> int | None:
    """Bytes that the process may still use, of the machine and of its container; None where neither says."""
    amounts = []
    if (kilobytes := _number(_MEMORY, "MemAvailable:")) is not None:
        amounts.append(kilobytes * 1024)
    limit, used = _number(_GROUP / "memory.max"), _number(_GROUP / "memory.current")
    if limit is not None and used is not None:
        amounts.append(limit - used + (_number(_GROUP / "memory.stat", "inactive_file ") or 0))
    return min(amounts, default=None)


def _number(path: Path, label: str = "") -> int | None:
    """The number behind ``label`` at the start of a line; None if there is none, as for ``max``."""
    try:
        number = re.search(rf"^{label}\s*(\d+)", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(number[1]) if number else None
