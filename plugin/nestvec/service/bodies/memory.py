"""How many bytes of bodies the service holds at once, in all and for each client."""

from __future__ import annotations

from collections import Counter
from typing import Final, Self

from nestvec_schemas.errors import Overloaded

UNCOUNTED_BYTES: Final = 64 << 10
"""Of each body: the requests of a query or two are never refused for what others hold."""


class BodyMemory:
    """Counts the bytes of bodies, which are at most ``max_bytes``.

    A client may hold as many as remain free with them. So it cannot hold more than half of all, and two
    cannot hold more than two thirds: whatever they do, another finds room.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: Counter[str] = Counter()
        self.total = 0

    def body(self, client: str) -> HeldBody:
        """A body of a client, of which nothing has arrived: a context manager, held until it ends."""
        return HeldBody(self, client)

    def check(self, client: str, size: int) -> None:
        """Raise Overloaded if the client may not hold ``size`` bytes more now."""
        if self._held[client] + size > self._max_bytes - self.total - size:
            raise Overloaded(
                "the service has no memory for the body: of all bodies in progress it holds at most "
                f"{self._max_bytes} bytes, of those of a client as many as remain free",
                value=f"{size} bytes more, {self._held[client]} held for this client, {self.total} in all",
                next_step="Try again when a request of yours has been answered, or send fewer texts in one.",
            )

    def add(self, client: str, size: int) -> None:
        """Count ``size`` bytes more, or fewer if it is negative. Raises Overloaded."""
        if size > 0:
            self.check(client, size)
        self._held[client] += size
        self.total += size
        if self._held[client] <= 0:
            del self._held[client]


class HeldBody:
    """What has arrived of one body."""

    def __init__(self, memory: BodyMemory, client: str) -> None:
        self._memory, self._client = memory, client
        self._size = self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.add(self._client, -self._counted)
        self._counted = 0

    def expect(self, size: int) -> None:
        """Raise Overloaded if a body of ``size`` bytes would not fit now; nothing is counted."""
        if size > UNCOUNTED_BYTES:
            self._memory.check(self._client, size - UNCOUNTED_BYTES)

    def arrived(self, size: int) -> None:
        """``size`` bytes more have arrived. Raises Overloaded."""
        self._size += size
        more = max(0, self._size - UNCOUNTED_BYTES) - self._counted
        if more:
            self._memory.add(self._client, more)
            self._counted += more
