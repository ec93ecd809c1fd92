from __future__ import annotations

import asyncio

from nestvec.service.batching.loop_slices import SLICE_INPUTS, LoopSlices, slices


def test_one_large_request_works_in_a_turn_of_the_loop_and_a_small_one_in_each() -> None:
    async def main() -> None:
        loop_slices, turns = LoopSlices(), 0
        large: list[tuple[int, str]] = []
        small: list[int] = []

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def large_request(name: str) -> None:
            for _ in range(3):
                await loop_slices.next(2048)
                large.append((turns, name))

        async def small_request() -> None:
            await loop_slices.next(4)
            small.append(turns)

        counting = asyncio.create_task(count_turns())
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(large_request(name))
            for _ in range(3):
                group.create_task(small_request())
        counting.cancel()
        assert len(set(small)) == 1
        assert len({turn for turn, _ in large}) == len(large) == 9
        assert "".join(name for _, name in large) == "abcabcabc"

    asyncio.run(main())


def test_a_request_that_is_gone_takes_no_turn() -> None:
    async def main() -> None:
        loop_slices, done = LoopSlices(), list[str]()

        async def request(name: str) -> None:
            await loop_slices.next(2048)
            done.append(name)

        tasks = [asyncio.create_task(request(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await request("d")
        assert "".join(done) == "acd"

    asyncio.run(main())


def test_slices_are_all_of_the_items() -> None:
    items = list(range(2 * SLICE_INPUTS + 1))
    assert [len(part) for part in slices(items)] == [SLICE_INPUTS, SLICE_INPUTS, 1]
    assert [item for part in slices(items) for item in part] == items
