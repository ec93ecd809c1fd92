"""How many requests of a client start in one turn of the event loop: a burst leaves room for others."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

_PER_TURN: Final = 2


class RequestStarts:
    """Starts two requests of each client in a turn of the event loop.

    A query needs some ten turns of the loop. If hundreds of requests arrive at once, each of them would have
    its first step in the first of these. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._started: dict[str, int] = {}
        """How many of each client were started in this turn."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def start_now(self, client: str) -> bool:
        """Start a request if its client has a start to spare in this turn."""
        count = self._started.get(client, 0)
        if count >= _PER_TURN or client in self._waiting:
            return False
        if not self._started and not self._waiting:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._started[client] = count + 1
        return True

    async def start(self, client: str) -> None:
        """Wait until a request may start."""
        if self.start_now(client):
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(waiting)
        await waiting

    def _next_turn(self) -> None:
        self._started.clear()
        for client, queue in list(self._waiting.items()):
            while queue and self._started.get(client, 0) < _PER_TURN:
                waiting = queue.popleft()
                if not waiting.done():  # else its request is gone
                    waiting.set_result(None)
                    self._started[client] = self._started.get(client, 0) + 1
            if not queue:
                del self._waiting[client]
        if self._started or self._waiting:
            asyncio.get_running_loop().call_soon(self._next_turn)
