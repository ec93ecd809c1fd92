"""Memory for images, over all requests of a service: who needs some waits for it, clients in turn."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary, finalize

T = TypeVar("T")


@dataclass(frozen=True)
class Caller:
    """For whom images are loaded."""

    client: str = ""
    """Clients share memory and decoders in turn."""
    deadline: float = math.inf
    """When loading must end, in the event loop's time."""


class _Waiter(NamedTuple):
    size: int
    granted: asyncio.Future[None]


class MemoryBudget:
    """At most ``max_bytes`` are taken at a time, by at most ``max_holders``; more is taken by one alone.

    Belongs to one event loop. Clients that wait are served in turn, the requests of each in their order.
    """

    def __init__(self, max_bytes: int, max_holders: int | None = None) -> None:
        self._max_bytes, self._max_holders = max_bytes, max_holders
        self._waiting: dict[str, deque[_Waiter]] = {}
        self.taken = 0
        """Bytes that are taken."""
        self.holders = 0

    async def acquire(self, size: int, client: str) -> None:
        """Take ``size`` bytes, once they are free and it is the client's turn."""
        if not self._waiting and self._has_room(size):
            self.add(size)
            return
        waiter = _Waiter(size, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(client, deque()).append(waiter)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self.release(size)
            else:
                self._forget(client, waiter)
            raise

    def release(self, size: int) -> None:
        """Give back what was taken."""
        self.taken -= size
        self.holders -= 1
        self._grant()

    def add(self, size: int) -> None:
        """Take ``size`` bytes at once, whether they are free or not."""
        self.taken += size
        self.holders += 1

    def shrink(self, size: int, smaller: int) -> None:
        """Keep only ``smaller`` of ``size`` bytes that are taken."""
        self.taken -= size - smaller
        self._grant()

    def _has_room(self, size: int) -> bool:
        if self._max_holders is not None and self.holders >= self._max_holders:
            return False
        return self.taken + size <= self._max_bytes or not self.taken

    def _grant(self) -> None:
        while self._waiting:
            client, queue = next(iter(self._waiting.items()))
            if not self._has_room(queue[0].size):
                return
            waiter = queue.popleft()
            del self._waiting[client]
            if queue:  # the others have their turn first
                self._waiting[client] = queue
            self.add(waiter.size)
            waiter.granted.set_result(None)

    def _forget(self, client: str, waiter: _Waiter) -> None:
        queue = self._waiting[client]
        queue.remove(waiter)
        if not queue:
            del self._waiting[client]
        self._grant()


@dataclass(frozen=True)
class Lane:
    """Threads that decode images, and the memory that they have for it."""

    budget: MemoryBudget
    executor: Executor

    async def run(self, size: int, client: str, function: Callable[[], T]) -> T:
        """The result of ``function`` on one of the threads, with ``size`` bytes.

        They are given back when the thread is done, even if the caller no longer waits for it.
        """
        await self.budget.acquire(size, client)
        try:
            future = self.executor.submit(function)
        except BaseException:
            self.budget.release(size)
            raise
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _release(loop, self.budget, size))
        answer = asyncio.wrap_future(future)
        # An error leads to this frame, and the future to the error: that circle would keep the image.
        del future, function
        try:
            return await answer
        finally:
            del answer


@dataclass(frozen=True)
class ImageMemory:
    """The memory that a service has for images."""

    fetched: MemoryBudget
    """For images as they are fetched, until they are decoded."""
    headers: Lane
    """Reads headers, which takes little of anything."""
    small: Lane
    large: Lane
    """Decode images. The small ones do not wait for the large."""
    max_small_bytes: int
    pixels: MemoryBudget
    """For decoded images in the encoder's size, until they are embedded."""

    def lane(self, size: int) -> Lane:
        """The lane of an image that takes ``size`` bytes to decode."""
        return self.small if size <= self.max_small_bytes else self.large

    @asynccontextmanager
    async def fetching(self, size: int, client: str) -> AsyncIterator[Callable[[int], None]]:
        """Hold ``size`` bytes for an image that is fetched; the function says how many it has in fact."""
        await self.fetched.acquire(size, client)
        reserved = size

        def keep(smaller: int) -> None:
            nonlocal reserved
            self.fetched.shrink(reserved, smaller)
            reserved = smaller

        try:
            yield keep
        finally:
            self.fetched.release(reserved)

    def count_until_gone(self, array: object, size: int) -> None:
        """Count ``size`` bytes in ``pixels`` until nothing refers to ``array`` any more."""
        self.pixels.add(size)
        finalize(array, _release, asyncio.get_running_loop(), self.pixels, size).atexit = False


def _release(loop: asyncio.AbstractEventLoop, budget: MemoryBudget, size: int) -> None:
    """Give memory back from any thread."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(budget.release, size)


# Shared by all services of a process: no more images are decoded at a time than there are cores to work on,
# and large ones leave half of the cores to the engine.
_CORES: Final = min(8, os.cpu_count() or 1)
_HEADERS: Final = ThreadPoolExecutor(_CORES, thread_name_prefix="nestvec-header")
_SMALL: Final = ThreadPoolExecutor(_CORES, thread_name_prefix="nestvec-decode")
_LARGE: Final = ThreadPoolExecutor(max(1, _CORES // 2), thread_name_prefix="nestvec-decode-large")

_memories: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, ImageMemory]] = WeakKeyDictionary()


def image_memory(max_bytes: int) -> ImageMemory:
    """The memory for images of the services on the running event loop that allow ``max_bytes`` for it."""
    memories = _memories.setdefault(asyncio.get_running_loop(), {})
    if max_bytes not in memories:
        memories[max_bytes] = ImageMemory(
            fetched=MemoryBudget(max_bytes),
            headers=Lane(MemoryBudget(max_bytes, _CORES), _HEADERS),
            small=Lane(MemoryBudget(max_bytes // 4, _CORES), _SMALL),
            large=Lane(MemoryBudget(max_bytes, max(1, _CORES // 2)), _LARGE),
            max_small_bytes=max_bytes // 8,
            pixels=MemoryBudget(max_bytes),
        )
    return memories[max_bytes]
