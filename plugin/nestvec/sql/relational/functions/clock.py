"""The clock at the moment of a call, where now() is that of the statement."""

from __future__ import annotations

import time


def wall_clock() -> int:
    """Microseconds since 1970 in UTC."""
    return time.time_ns() // 1000
