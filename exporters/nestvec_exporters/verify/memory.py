"""How long a text can be compared on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_DEFAULT_AVAILABLE: Final = 8 << 30
"""Bytes of memory that are assumed where the system does not say."""

_COPIES: Final = 4
"""Arrays of (heads, tokens, tokens) float32 that a graph's attention keeps at a time, with room to spare."""

_MAX_SHARE: Final = 0.5
"""Of the available memory."""


def available_bytes() -> int:
    """Memory that can be used without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return _DEFAULT_AVAILABLE
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return _DEFAULT_AVAILABLE if kilobytes is None else int(kilobytes) << 10


def longest_that_fits(max_tokens: int, heads: int, available: int | None = None) -> int:
    """The most tokens, up to ``max_tokens``, whose attention fits into memory: halved until it does.

    ``heads`` is the number of attention heads, 0 for an encoder without attention.
    """
    usable = _MAX_SHARE * (available_bytes() if available is None else available)
    tokens = max_tokens
    while heads and tokens > 1 and _COPIES * 4 * heads * tokens * tokens > usable:
        tokens //= 2
    return tokens
