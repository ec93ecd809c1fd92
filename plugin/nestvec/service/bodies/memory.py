"""How many bytes of bodies the service holds at once, in all and for each client."""

from __future__ import annotations

from typing import Final, Self

from nestvec.service.batching.admission import ClientShares
from nestvec_schemas.errors import Overloaded

UNCOUNTED_BYTES: Final = 64 << 10
"""Of each body: the requests of a query or two are never refused for what others hold."""


class BodyMemory:
    """Counts the bytes of bodies, at most ``max_bytes``, of which each client has its share."""

    def __init__(self, max_bytes: int) -> None:
        self._shares = ClientShares(max_bytes)

    def apply(self, max_bytes: int) -> None:
        """Hold at most ``max_bytes`` from now on; what is held remains."""
        self._shares.limit = max_bytes

    @property
    def total(self) -> int:
        """Bytes of all bodies."""
        return self._shares.total

    def body(self, client: str) -> HeldBody:
        """A body of a client, of which nothing has arrived: a context manager, held until it ends."""
        return HeldBody(self, client)

    def check(self, client: str, size: int) -> None:
        """Raise Overloaded if the client may not hold ``size`` bytes more now."""
        shares, client_bytes = self._shares, self._shares.amount_of(client)
        if client_bytes + size > shares.share(client):
            raise Overloaded(
                "the service has no memory for the body: of all bodies in progress it holds at most "
                f"{shares.limit} bytes, of those of a client as many as remain free",
                value=f"{size} bytes more, {client_bytes} held for this client, {self.total} in all",
                next_step="Try again when a request of yours has been answered, or send fewer texts in one.",
            )

    def add(self, client: str, size: int) -> None:
        """Count ``size`` bytes more. Raises Overloaded."""
        self.check(client, size)
        self._shares.take(client, size)

    def remove(self, client: str, size: int) -> None:
        """Count ``size`` bytes fewer."""
        self._shares.give_back(client, size)


class HeldBody:
    """What has arrived of one body."""

    def __init__(self, memory: BodyMemory, client: str) -> None:
        self._memory, self._client = memory, client
        self._size = self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.remove(self._client, self._counted)
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
