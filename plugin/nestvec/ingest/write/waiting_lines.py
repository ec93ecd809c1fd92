"""Lines about servers that a job waits for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from nestvec.ingest.write.patience import Waiting

_LINE_SECONDS: Final = 30.0
_REASON_LENGTH: Final = 200
_ABSENT_LENGTH: Final = 500


def write_to_stderr(line: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class WaitingLines:
    """Says what an ingest waits for: at once, then every half minute, and when somebody else is to blame."""

    def __init__(
        self, write: Callable[[str], None] = write_to_stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._said: tuple[str, float] | None = None

    def __call__(self, waiting: Waiting) -> None:
        """Write a line about a wait, if it is time for one."""
        now, party = self._clock(), waiting.fault.party
        if self._said and self._said[0] == party and now - self._said[1] < _LINE_SECONDS:
            return
        self._said = (party, now)
        self._write(_describe(waiting))


def _describe(waiting: Waiting) -> str:
    fault, minutes = waiting.fault, waiting.remaining / 60
    left = f"{minutes:.0f} min" if minutes >= 2 else f"{waiting.remaining:.0f} s"
    reason = " ".join(fault.reason.split())
    if fault.absent:
        return f"{reason[:1].upper()}{_cut(reason[1:], _ABSENT_LENGTH)} Trying again for up to {left}."
    who = "The embedding service" if fault.party == "service" else "Milvus"
    return f"{who} did not take a request ({_cut(reason, _REASON_LENGTH)}); trying again for up to {left}."


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
