from __future__ import annotations

import asyncio
import json
import math
import time
from typing import Any

import pytest

from nestvec.service.api.error_responses import error_response
from nestvec.service.batching.deadlines import Deadlines, TaskTimeout
from nestvec.service.bodies.memory import BodyMemory
from nestvec.service.middleware.exchange import Exchange, declared_size
from nestvec.service.request_context import RequestContext, set_current_context
from nestvec.service.settings import ConnectionLimits, LoadLimits, ServiceSettings
from nestvec_schemas.errors import BodyTooLarge, BodyTooSlow, Overloaded

MIB = 1 << 20
SETTINGS = ServiceSettings(load=LoadLimits(body_bytes=2 * MIB), connections=ConnectionLimits(body_seconds=60))


async def read(exchange: Exchange) -> int:
    """The bytes of the body."""
    size, more = 0, True
    while more:
        message = await exchange.receive()
        size += len(message["body"])
        more = message["more_body"]
    return size


def run(
    parts: list[bytes], memory: BodyMemory, declared: bytes | None = None, deadline: float | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """How many bytes the app receives of a body in these parts, and what is sent instead if it gets none.

    After the parts, the client sends nothing more.
    """

    async def main() -> tuple[int, list[dict[str, Any]]]:
        now = time.monotonic()
        if deadline is not None:
            set_current_context(RequestContext("client", now, now + deadline))
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            if not parts:
                await asyncio.Event().wait()
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": part != b""}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [] if declared is None else [(b"content-length", declared)]
        with TaskTimeout(Deadlines(), math.inf) as timeout:
            exchange = Exchange({}, receive, send, timeout, SETTINGS)
            with memory.body("client") as exchange.memory:
                try:
                    exchange.expect(declared_size(headers))
                except (BodyTooLarge, Overloaded) as error:
                    await error_response("/embed", error)({"type": "http"}, receive, exchange.send)
                    return 0, sent
                return await read(exchange), sent

    return asyncio.run(main())


def test_a_body_within_the_limits_passes_and_frees_its_memory() -> None:
    memory = BodyMemory(8 * MIB)
    assert run([b"x" * MIB, b"x" * 1000, b""], memory, declared=b"1049576") == (MIB + 1000, [])
    assert memory.total == 0


@pytest.mark.parametrize(
    ("declared", "memory", "status", "message"),
    [
        (b"3000000", 8 * MIB, 413, "the body is larger than 2097152 bytes: 3000000"),
        (b"1" * 5000, 8 * MIB, 413, "the body is larger than 2097152 bytes"),
        (b"2000000", MIB, 429, "the service has no memory for the body"),
    ],
)
def test_what_a_client_declares_is_refused_at_once(
    declared: bytes, memory: int, status: int, message: str
) -> None:
    size, sent = run([b"x"], BodyMemory(memory), declared)
    assert (size, sent[0]["status"]) == (0, status)
    assert message in json.loads(sent[1]["body"])["error"]


def test_what_arrives_is_counted_though_nothing_was_declared() -> None:
    memory = BodyMemory(MIB)
    with pytest.raises(Overloaded):
        run([b"x" * (MIB // 2)] * 3, memory)
    assert memory.total == 0
    with pytest.raises(BodyTooLarge):
        run([b"x" * MIB] * 3, BodyMemory(64 * MIB))


def test_the_deadline_of_the_request_ends_the_wait() -> None:
    memory = BodyMemory(MIB)
    with pytest.raises(BodyTooSlow, match=r"did not arrive within 9.54e-07 seconds: \d+ bytes arrived"):
        run([], memory, deadline=2**-20)  # a longer time than the clock rounds by, after days
    assert memory.total == 0
