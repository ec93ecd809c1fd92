from __future__ import annotations

import asyncio
import time

import pytest

from nestvec.service.batching.turns import ClientTurns, Turn
from nestvec.service.batching.unread import UnreadBytes
from nestvec.service.request_context import RequestContext, set_current_context
from nestvec_schemas.errors import DeadlineExceeded


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_client_waits_for_itself_alone_in_the_order_of_its_requests() -> None:
    async def work() -> None:
        turns, done = ClientTurns(small=2), []

        async def request(client: str, number: int) -> Turn:
            turn = Turn(turns, client, large=False)
            await turn.start()
            done.append((client, number))
            return turn

        held = [asyncio.create_task(request("a", number)) for number in range(4)]
        await settle()
        other = asyncio.create_task(request("b", 0))
        await settle()
        assert done == [("a", 0), ("a", 1), ("b", 0)]
        held[0].result().stop()
        await settle()
        held[0].result().stop()  # again: it has none to give
        await settle()
        assert done[3:] == [("a", 2)]
        held[1].result().stop()
        await settle()
        assert done[4:] == [("a", 3)]
        for task in (held[2], held[3], other):
            task.result().stop()
        assert not turns._lines

    asyncio.run(work())


def test_a_request_with_results_comes_before_new_ones() -> None:
    async def work() -> None:
        turns, order = ClientTurns(small=1), []

        async def request(name: str, engine: asyncio.Event) -> None:
            turn = Turn(turns, "a", large=False)
            await turn.start()
            async with turn.paused():
                await engine.wait()
            order.append(name)
            turn.stop()

        busy, event, never = Turn(turns, "a", large=False), asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(request("first", event))
        await settle()
        await busy.start()
        new = [asyncio.create_task(request(f"new {number}", never)) for number in range(3)]
        event.set()
        await settle()
        assert order == []
        busy.stop()
        await settle()
        assert order == ["first"]
        assert first.done()
        for task in new:
            task.cancel()
        await asyncio.gather(*new, return_exceptions=True)
        assert not turns._lines

    asyncio.run(work())


def test_small_requests_do_not_wait_for_large_ones() -> None:
    async def work() -> None:
        turns = ClientTurns(small=1, large=1)
        await turns.take("a", large=True, returning=False)
        await asyncio.wait_for(turns.take("a", large=False, returning=False), 60)

    asyncio.run(work())


def test_a_cancelled_wait_takes_no_turn() -> None:
    async def work() -> None:
        turns = ClientTurns(small=1)
        await turns.take("a", large=False, returning=False)
        waits = [asyncio.create_task(turns.take("a", large=False, returning=False)) for _ in range(3)]
        await settle()
        waits[0].cancel()
        await settle()
        turns.give_back("a", large=False)
        waits[1].cancel()  # its turn has come, and it has not been told
        await settle()
        assert waits[2].done()
        assert not waits[2].cancelled()
        turns.give_back("a", large=False)
        assert not turns._lines

    asyncio.run(work())


def test_waiting_ends_with_the_time() -> None:
    async def work() -> None:
        turns = ClientTurns(small=1)
        await turns.take("a", large=False, returning=False)
        now = time.monotonic()
        set_current_context(RequestContext("a", now - 1, now - 0.5))
        with pytest.raises(DeadlineExceeded, match="while it waited for other requests of its client"):
            await Turn(turns, "a", large=False).start()

    asyncio.run(work())


def test_a_turn_that_ends_while_a_waiting_request_is_cancelled() -> None:
    async def work() -> None:
        turns = ClientTurns(small=1)
        assert turns.take_now("a", large=False)
        waiting = asyncio.create_task(turns.take("a", large=False, returning=False))
        await settle()
        waiting.cancel()
        turns.give_back("a", large=False)  # before the request has seen that it is cancelled
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not turns._lines

    asyncio.run(work())


def test_a_client_that_leaves_too_much_unread_waits_and_nobody_else() -> None:
    async def work() -> None:
        turns, unread, done = ClientTurns(small=1, large=1), UnreadBytes(), []
        unread.client_limit = 100

        async def request(client: str, number: int) -> None:
            turn = Turn(turns, client, large=True, unread=unread)
            await turn.start()
            done.append((client, number))
            unread.add(client, 101)  # its response
            turn.stop()

        tasks = [asyncio.create_task(request("a", number)) for number in range(3)]
        tasks.append(asyncio.create_task(request("b", 0)))
        await settle()
        assert done == [("a", 0), ("b", 0)]
        unread.add("a", -1)
        await settle()
        assert done[2:] == [("a", 1)], "one more, whose response is then unread"
        tasks[2].cancel()
        await settle()
        unread.add("a", -201)
        unread.add("b", -101)
        await settle()
        assert len(done) == 3
        assert not turns._lines
        assert not unread._by_client
        assert not unread._waiting

    asyncio.run(work())


def test_waiting_for_a_client_to_read_ends_with_the_time() -> None:
    async def work() -> None:
        unread = UnreadBytes()
        unread.client_limit = 100
        unread.add("a", 101)
        now = time.monotonic()
        set_current_context(RequestContext("a", now - 1, now - 0.5))
        with pytest.raises(DeadlineExceeded, match="while its client left earlier responses unread"):
            await Turn(ClientTurns(), "a", large=False, unread=unread).start()

    asyncio.run(work())


def test_a_request_of_many_inputs_returns_as_a_large_one() -> None:
    async def work() -> None:
        turns = ClientTurns(small=8, large=1)
        requests = [Turn(turns, "a", large=False) for _ in range(3)]
        for turn in requests:
            await turn.start()
        async with requests[0].paused(65), requests[1].paused(64):
            await turns.take("a", large=True, returning=False)
            returning = asyncio.create_task(requests[0].start())
            await settle()
            assert not returning.done()
            turns.give_back("a", large=True)
            await returning
        for turn in requests:
            turn.stop()
        assert not turns._lines

    asyncio.run(work())


def test_a_raised_limit_wakes_those_who_waited_below_it() -> None:
    async def main() -> None:
        unread = UnreadBytes()
        unread.client_limit = 100
        unread.add("a", 150)
        waiting = asyncio.create_task(unread.until_read("a"))
        await settle()
        unread.client_limit = 120
        await settle()
        assert not waiting.done()
        unread.client_limit = 150
        await asyncio.wait_for(waiting, 60)

    asyncio.run(main())
