"""Which large request works on the event loop: one at a time, a slice at a time, with queries in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

SLICE_INPUTS: Final = 256
"""Inputs that are worked on between two turns of the event loop: in a millisecond or two."""

SMALL_INPUTS: Final = 64
"""Inputs of a request that waits for nobody."""


class LoopSlices:
    """Lets one large request go on in each turn of the event loop, in the order in which they ask.

    A query needs some ten turns of the loop. Without this, in each of them every large request would work.
    Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def next(self, inputs: int) -> None:
        """Wait until a request of ``inputs`` inputs may work for a slice; a small one may at once."""
        if inputs <= SMALL_INPUTS:
            return
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            loop.call_soon(self._go_on)
        await waiting

    def _go_on(self) -> None:
        while self._waiting and self._waiting[0].done():  # its request is gone
            self._waiting.popleft()
        if self._waiting:
            self._waiting[0].set_result(None)
            asyncio.get_running_loop().call_soon(self._go_on)


def slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items, a slice at a time."""
    for start in range(0, len(items), SLICE_INPUTS):
        yield items[start : start + SLICE_INPUTS]
