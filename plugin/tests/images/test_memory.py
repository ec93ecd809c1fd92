from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from nestvec.images.memory import ImageMemory, Lane, MemoryBudget, image_memory


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await work

    asyncio.run(bounded())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_needs_memory_waits_until_it_is_free() -> None:
    async def check() -> None:
        budget = MemoryBudget(100)
        await budget.acquire(60, "a")
        waiting = asyncio.create_task(budget.acquire(60, "a"))
        await settle()
        assert not waiting.done()
        budget.release(60)
        await waiting
        assert (budget.taken, budget.holders) == (60, 1)
        budget.shrink(60, 10)
        await budget.acquire(90, "b")
        assert budget.taken == 100

    run(check())


def test_what_exceeds_the_budget_is_alone() -> None:
    async def check() -> None:
        budget = MemoryBudget(100)
        await budget.acquire(10, "a")
        huge = asyncio.create_task(budget.acquire(150, "a"))
        small = asyncio.create_task(budget.acquire(1, "a"))
        await settle()
        assert not huge.done() and not small.done(), "the huge one is not passed by"
        budget.release(10)
        await huge
        await settle()
        assert not small.done()
        budget.release(150)
        await small

    run(check())


def test_clients_have_their_turns() -> None:
    async def check() -> None:
        budget, order = MemoryBudget(100, max_holders=1), []

        async def hold(name: str) -> None:
            await budget.acquire(10, name[0])
            order.append(name)
            budget.release(10)

        await budget.acquire(10, "x")
        tasks = [asyncio.create_task(hold(f"a{number}")) for number in range(5)]
        await settle()
        tasks += [asyncio.create_task(hold(name)) for name in ("b0", "c0", "b1")]
        await settle()
        budget.release(10)
        await asyncio.gather(*tasks)
        assert order == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]
        assert (budget.taken, budget.holders) == (0, 0)

    run(check())


def test_who_gives_up_waiting_takes_nothing() -> None:
    async def check() -> None:
        budget = MemoryBudget(100)
        await budget.acquire(100, "a")
        gone, granted, last = (asyncio.create_task(budget.acquire(100, "b")) for _ in range(3))
        await settle()
        gone.cancel()
        await settle()
        budget.release(100)
        granted.cancel()  # at the moment when it is granted
        await settle()
        assert last.done() and not last.cancelled()
        budget.release(100)
        assert (budget.taken, budget.holders) == (0, 0)

    run(check())


def test_memory_is_free_when_the_thread_is_done_not_when_nobody_waits() -> None:
    async def check() -> None:
        started, end = threading.Event(), threading.Event()

        def decode() -> None:
            started.set()
            end.wait(100)

        with ThreadPoolExecutor(1) as executor:
            lane = Lane(MemoryBudget(100, 2), executor)
            running = asyncio.create_task(lane.run(50, "a", decode))
            queued = asyncio.create_task(lane.run(40, "a", decode))
            await asyncio.to_thread(started.wait, 100)
            running.cancel()
            queued.cancel()
            await asyncio.gather(running, queued, return_exceptions=True)
            await settle()
            assert (lane.budget.taken, lane.budget.holders) == (50, 1)
            end.set()
            while lane.budget.taken:
                await asyncio.sleep(0.01)
            assert lane.budget.holders == 0

    run(check())


def test_pixels_count_until_they_are_gone() -> None:
    async def check() -> None:
        memory: ImageMemory = image_memory(100)
        pixels = np.zeros((2, 2, 3), np.uint8)
        memory.count_until_gone(pixels, 12)
        view = pixels[:1]
        del pixels
        await settle()
        assert memory.pixels.taken == 12, "a view refers to them"
        del view
        gc.collect()
        await settle()
        assert (memory.pixels.taken, memory.pixels.holders) == (0, 0)

    run(check())


def test_services_of_one_loop_share_their_memory() -> None:
    async def memory() -> ImageMemory:
        assert image_memory(100) is image_memory(100)
        assert image_memory(100) is not image_memory(200)
        return image_memory(100)

    assert asyncio.run(memory()) is not asyncio.run(memory())


def test_a_fetch_that_fails_gives_its_memory_back() -> None:
    async def check() -> None:
        memory = image_memory(100)
        with pytest.raises(OSError):
            async with memory.fetching(80, "a") as keep:
                keep(30)
                assert memory.fetched.taken == 30
                raise OSError
        assert (memory.fetched.taken, memory.fetched.holders) == (0, 0)

    run(check())


def test_small_images_do_not_wait_for_large_ones() -> None:
    async def check() -> None:
        memory, end = image_memory(800), threading.Event()
        large = [asyncio.create_task(memory.lane(700).run(700, "a", end.wait)) for _ in range(3)]
        await settle()
        assert memory.large.budget.taken == 700
        assert await memory.lane(100).run(100, "b", lambda: "small") == "small"
        assert await memory.headers.run(0, "b", lambda: "header") == "header"
        assert memory.lane(101) is memory.large
        end.set()
        await asyncio.gather(*large)

    run(check())


class Picture:
    """Something that a weak reference can watch."""


def test_the_bytes_of_an_image_that_fails_are_freed_without_the_garbage_collector() -> None:
    def decode(picture: Picture) -> None:
        raise ValueError("not an image")

    async def main() -> bool:
        with ThreadPoolExecutor(1) as executor:
            lane, picture = Lane(MemoryBudget(100, 2), executor), Picture()
            watched = weakref.ref(picture)
            work = partial(decode, picture)
            del picture
            try:
                await lane.run(1, "client", work)
            except ValueError:
                del work
            # The thread lets go of its last piece of work when it takes another.
            await lane.run(1, "client", lambda: None)
            return watched() is None

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main())
    finally:
        gc.enable()
