"""How soon a client is refused again: its many refusals are spread, so that others are not delayed."""

from __future__ import annotations

import asyncio
from typing import Final

_PER_SECOND: Final = 50.0
_BURST_SECONDS: Final = 1.0
_MAX_SECONDS: Final = 5.0
"""Soon enough for Milvus to show the error to its user."""

_MAX_WAITING: Final = 4096
_MAX_CLIENTS: Final = 4096


class RefusalPacer:
    """Spreads the refusals of each client: 50 at once, then 50 a second, none later than 5 seconds."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        """When the newest refusal of each client would be sent without a burst."""
        self._waiting = 0

    async def wait(self, client: str, deadline: float) -> None:
        """Wait until a refusal of a client may be sent, at most until ``deadline``."""
        now = asyncio.get_running_loop().time()
        seconds = min(self.delay(client, now), deadline - now)
        # Refusals whose clients are gone wait too: there must not be too many.
        if seconds <= 0 or self._waiting >= _MAX_WAITING:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting -= 1

    def delay(self, client: str, now: float) -> float:
        """Seconds from the time ``now`` until another refusal of a client may be sent."""
        if len(self._due) > _MAX_CLIENTS:
            self._due = {name: due for name, due in self._due.items() if due > now}
        due = max(self._due.get(client, now), now) + 1 / _PER_SECOND
        due = self._due[client] = min(due, now + _BURST_SECONDS + _MAX_SECONDS)
        return max(0.0, due - now - _BURST_SECONDS)
