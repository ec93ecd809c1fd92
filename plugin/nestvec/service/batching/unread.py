"""What clients leave unread: while it is too much, no more is worked on for them."""

from __future__ import annotations

import asyncio
import math

CLIENT_PART = 4
"""A client may leave this fraction, 1/4, of what all may."""


class UnreadBytes:
    """Counts the bytes of responses that each client leaves unread. Belongs to one event loop."""

    def __init__(self) -> None:
        self._client_limit: float = math.inf
        self._by_client: dict[str, int] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    @property
    def client_limit(self) -> float:
        """Bytes beyond which a client's requests wait, set by what knows the connections."""
        return self._client_limit

    @client_limit.setter
    def client_limit(self, size: float) -> None:
        self._client_limit = size
        for client in list(self._waiting):
            self._wake(client)

    def add(self, client: str, size: int) -> None:
        """A client has ``size`` bytes more to read, or fewer if negative."""
        unread = self._by_client.get(client, 0) + size
        if unread:
            self._by_client[client] = unread
        else:
            self._by_client.pop(client, None)
        self._wake(client)

    def _wake(self, client: str) -> None:
        if not self.is_over(client):
            for waiting in self._waiting.pop(client, ()):
                if not waiting.done():
                    waiting.set_result(None)

    def is_over(self, client: str) -> bool:
        """Whether a client leaves too many unread."""
        return self._by_client.get(client, 0) > self._client_limit

    async def until_read(self, client: str) -> None:
        """Wait until it does not."""
        while self.is_over(client):
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(client, []).append(waiting)
            try:
                await waiting
            finally:
                queue = self._waiting.get(client, [])
                if waiting in queue:  # cancelled
                    queue.remove(waiting)
