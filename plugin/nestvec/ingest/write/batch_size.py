"""How many rows a request has: halved when one does not succeed in time, doubled after successes."""

from __future__ import annotations

from threading import Lock
from typing import Final

_SUCCESSES_TO_GROW: Final = 4


class BatchSize:
    """The present number of rows of a request, at most ``limit``. Threads may share it."""

    def __init__(self, limit: int) -> None:
        self.limit = self.rows = limit
        self._successes = 0
        self._lock = Lock()

    def succeeded(self) -> None:
        """Note a request that succeeded: after some, requests have twice as many rows."""
        with self._lock:
            self._successes += 1
            if self._successes >= _SUCCESSES_TO_GROW:
                self._successes = 0
                self.rows = min(self.limit, 2 * self.rows)

    def failed(self, rows: int) -> None:
        """Note a request of ``rows`` rows that was too much."""
        with self._lock:
            self._successes = 0
            self.rows = max(1, min(self.rows, rows) // 2)
