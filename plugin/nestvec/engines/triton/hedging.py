"""When a second server is given a batch that the first is late with: few batches, and no others.

The tail at scale (Dean and Barroso, 2013): a copy of a request after the 95th percentile of its usual time
costs some 5 % more work and cuts the tail. The share is bounded here, as under overload every call is late.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

_KEPT: Final = 128
_MIN_SAMPLES: Final = 8
_FACTOR: Final = 1.5
_UNKNOWN_SECONDS: Final = 1.0
"""The delay while too few calls of a size were answered."""
_MIN_DELAY: Final = 0.02
_SHARE: Final = 0.05
_MAX_SAVED: Final = 5.0
_OVERDUE: Final = 4.0
_MIN_OVERDUE_SECONDS: Final = 1.0


class HedgeDelays:
    """How long calls take, by model and size, and how many hedges may be sent."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], deque[float]] = {}
        self._saved = 1.0

    def call_started(self) -> None:
        """Another call, which earns a part of a hedge."""
        self._saved = min(_MAX_SAVED, self._saved + _SHARE)

    def call_answered(self, model: str, work: int, seconds: float) -> None:
        """A call of ``work`` tokens took ``seconds``."""
        recent = self._seconds.setdefault((model, work.bit_length()), deque(maxlen=_KEPT))
        recent.append(seconds)

    def delay(self, model: str, work: int) -> float:
        """Seconds after which a call of ``work`` tokens is late."""
        recent = self._seconds.get((model, work.bit_length()), ())
        if len(recent) < _MIN_SAMPLES:
            return _UNKNOWN_SECONDS
        return max(_MIN_DELAY, _FACTOR * float(np.percentile(recent, 95)))

    def overdue(self, delay: float) -> float:
        """Seconds after which a server that has answered nothing since is taken out, for such a delay."""
        return max(_MIN_OVERDUE_SECONDS, _OVERDUE * delay)

    def take(self) -> bool:
        """Whether a hedge may be sent now; counts it."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
