"""How many requests of a client are worked on at once: they share the event loop and its threads fairly."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from nestvec.service.batching.unread import UnreadBytes
from nestvec.service.request_context import current_context, deadline_exceeded

_SMALL_INPUTS: Final = 64
_SMALL_AT_ONCE: Final = 8
_LARGE_AT_ONCE: Final = max(4, os.cpu_count() or 1)


@dataclass
class _Line:
    """The requests of one client and one size that are worked on or wait for that."""

    at_work: int = 0
    returning: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Those that were worked on before: their inputs are embedded."""
    new: deque[asyncio.Future[None]] = field(default_factory=deque)


class ClientTurns:
    """The turns of all clients: of one client, some requests are worked on, the rest wait in their order.

    Requests that wait for the engine need no turn. Small ones do not wait for large ones. Belongs to one
    event loop.
    """

    def __init__(self, small: int = _SMALL_AT_ONCE, large: int = _LARGE_AT_ONCE) -> None:
        """``small`` and ``large`` are how many of one client are worked on at once."""
        self._limits = {False: small, True: large}
        self._lines: dict[tuple[str, bool], _Line] = {}

    def take_now(self, client: str, *, large: bool) -> bool:
        """Take a turn if the client has one to spare."""
        line = self._lines.setdefault((client, large), _Line())
        if line.at_work >= self._limits[large]:
            return False
        line.at_work += 1
        return True

    async def take(self, client: str, *, large: bool, returning: bool) -> None:
        """Wait for a turn."""
        if self.take_now(client, large=large):
            return
        line = self._lines[client, large]
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = line.returning if returning else line.new
        queue.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self.give_back(client, large=large)  # the turn came and nobody uses it
            elif waiting in queue:  # a turn that ended meanwhile may have passed over it
                queue.remove(waiting)
            raise

    def give_back(self, client: str, *, large: bool) -> None:
        """End a turn, and give it to the next request that waits."""
        key = client, large
        line = self._lines[key]
        for queue in (line.returning, line.new):
            while queue:
                waiting = queue.popleft()
                if not waiting.done():
                    waiting.set_result(None)
                    return
        line.at_work -= 1
        if not line.at_work:
            del self._lines[key]


class Turn:
    """The turn of one request, which it has from ``start`` to ``stop`` unless it is paused."""

    def __init__(
        self, turns: ClientTurns, client: str, *, large: bool, unread: UnreadBytes | None = None
    ) -> None:
        """It waits while the client has too many bytes ``unread``."""
        self._turns, self._client, self._large = turns, client, large
        self._unread = unread or UnreadBytes()
        self._has_it = self._had_it = False

    async def start(self) -> None:
        """Wait for the turn. Raises DeadlineExceeded."""
        if self._has_it:
            return
        if self._unread.is_over(self._client) or not self._turns.take_now(self._client, large=self._large):
            await self._wait()
        if self._has_it:  # taken meanwhile by another task of the request
            self._turns.give_back(self._client, large=self._large)
        self._has_it = self._had_it = True

    async def _wait(self) -> None:
        context, stage = current_context(), ""
        try:
            async with asyncio.timeout_at(context.deadline):
                while True:
                    stage = "its client left earlier responses unread"
                    await self._unread.until_read(self._client)
                    stage = "it waited for other requests of its client"
                    await self._turns.take(self._client, large=self._large, returning=self._had_it)
                    if not self._unread.is_over(self._client):
                        return
                    self._turns.give_back(self._client, large=self._large)
        except TimeoutError:
            raise deadline_exceeded(context, stage) from None

    def stop(self) -> None:
        """Give the turn to the next request."""
        if self._has_it:
            self._has_it = False
            self._turns.give_back(self._client, large=self._large)

    def paused(self, inputs: int = 0) -> TurnPause:
        """Leave the turn to others while the request waits for something.

        With many ``inputs``, its response is large, however small its body.
        """
        return TurnPause(self, inputs)

    def pause(self, inputs: int = 0) -> bool:
        """See ``paused``; False if the request does not have its turn."""
        if not self._has_it:
            return False
        self.stop()
        self._large |= inputs > _SMALL_INPUTS
        return True


class TurnPause:
    """The time without a turn. Every request has one, which a generator would make three times as long."""

    __slots__ = ("_inputs", "_is_paused", "_turn")

    def __init__(self, turn: Turn | None, inputs: int) -> None:
        """Without a ``turn``, nothing happens."""
        self._turn, self._inputs, self._is_paused = turn, inputs, False

    async def __aenter__(self) -> None:
        self._is_paused = self._turn is not None and self._turn.pause(self._inputs)

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._is_paused and self._turn is not None and error is None:
            await self._turn.start()


_current: ContextVar[Turn | None] = ContextVar("nestvec_turn", default=None)


def set_current_turn(turn: Turn) -> None:
    """Make ``turn`` that of the current task's request."""
    _current.set(turn)


def turn_paused(inputs: int = 0) -> TurnPause:
    """Leave the turn of the current request, of ``inputs`` inputs, to others for the length of the block."""
    return TurnPause(_current.get(), inputs)
