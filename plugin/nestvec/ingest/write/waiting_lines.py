"""Lines on standard error about servers that a job waits for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from nestvec.ingest.write.patience import Waiting

_LINE_SECONDS: Final = 30.0
_REASON_LENGTH: Final = 200


class WaitingLines:
    """Says what an ingest waits for: at once, then every half minute, and when somebody else is to blame."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: tuple[str, float] | None = None

    def __call__(self, waiting: Waiting) -> None:
        """Write a line about a wait, if it is time for one."""
        now, party = self._clock(), waiting.fault.party
        if self._said and self._said[0] == party and now - self._said[1] < _LINE_SECONDS:
            return
        self._said = (party, now)
        sys.stderr.write(f"{_describe(waiting)}\n")
        sys.stderr.flush()


def _describe(waiting: Waiting) -> str:
    who = "The embedding service" if waiting.fault.party == "service" else "Milvus"
    reason = " ".join(waiting.fault.reason.split())
    reason = reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}…"
    minutes = waiting.remaining / 60
    left = f"{minutes:.0f} min" if minutes >= 2 else f"{waiting.remaining:.0f} s"
    return f"{who} did not take a request ({reason}); trying again for up to {left}."
