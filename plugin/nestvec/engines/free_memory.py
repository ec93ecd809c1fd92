"""Gives freed memory back to the system: glibc keeps that of a large graph for what may come."""

from __future__ import annotations

import ctypes
import sys
import threading


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
