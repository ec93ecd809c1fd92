from __future__ import annotations

import asyncio

from nestvec.service.middleware.starts import RequestStarts


async def starts_of(requests: str, gone: int | None = None) -> list[str]:
    """The clients whose requests start in each turn of the loop; each letter is a request of its client."""
    starts, turn, by_turn = RequestStarts(), 0, dict[int, str]()

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def request(client: str) -> None:
        if not starts.start_now(client):
            await starts.start(client)
        by_turn[turn] = by_turn.get(turn, "") + client

    counting = asyncio.create_task(count_turns())
    tasks = [asyncio.create_task(request(client)) for client in requests]
    if gone is not None:
        await asyncio.sleep(0)
        tasks[gone].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    counting.cancel()
    await asyncio.sleep(0)
    assert not starts._waiting
    assert not starts._started
    return [by_turn[number] for number in sorted(by_turn)]


def test_two_requests_of_a_client_start_in_a_turn_whatever_others_send() -> None:
    assert asyncio.run(starts_of("aaaaaaab")) == ["aab", "aa", "aa", "a"]


def test_a_waiting_request_that_is_gone_takes_no_start() -> None:
    assert asyncio.run(starts_of("aaaaaa", gone=2)) == ["aa", "aa", "a"]
