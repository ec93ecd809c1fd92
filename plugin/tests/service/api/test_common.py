from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from nestvec.service.api.common import while_connected
from nestvec.service.batching.loop_slices import LoopSlices


def turns_of_ends(inputs: int, count: int) -> list[int]:
    """The turn of the event loop in which each of the requests ends whose clients all go at once."""

    async def main() -> list[int]:
        app, gone, turn, ends = FastAPI(), asyncio.Event(), 0, list[int]()
        app.state.embedder = SimpleNamespace(slices=LoopSlices())

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ends.append(turn)

        async def request() -> None:
            with pytest.raises(ClientDisconnect):
                await while_connected(Request({"type": "http", "app": app}, receive), work(), inputs)

        requests = [asyncio.create_task(request()) for _ in range(count)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ends
        gone.set()
        while not all(task.done() for task in requests):
            turn += 1
            await asyncio.sleep(0)
        await asyncio.gather(*requests)
        return ends

    return asyncio.run(main())


def test_large_requests_whose_clients_go_at_once_end_in_as_many_turns_of_the_loop() -> None:
    ends = turns_of_ends(inputs=1000, count=20)
    assert len(ends) == len(set(ends)) == 20


def test_small_requests_end_as_soon_as_their_clients_go() -> None:
    assert len(set(turns_of_ends(inputs=4, count=20))) == 1
