from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nestvec.service.middleware.joined_writes import MAX_JOINED_BYTES
from nestvec.service.middleware.whole_response import PLAIN_HEADERS, DefaultHeaders, WholeResponse

HEAD = b"HTTP/1.1 200 OK\r\ndate: today\r\nx-a: 1\r\ncontent-length: %d\r\n\r\n"


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


class Cycle:
    """uvicorn's cycle of a request, as far as a response changes it."""

    def __init__(self, **changes: Any) -> None:
        self.default_headers = [(b"date", b"today")]
        self.keep_alive, self.disconnected = True, False
        self.flow = SimpleNamespace(write_paused=False)
        self.response_started = self.response_complete = False
        self.waiting_for_100_continue = False
        self.message_event, self.ended = asyncio.Event(), 0
        self.in_parts: list[Any] = []
        vars(self).update(changes)

    async def send(self, message: Any) -> None:
        self.in_parts.append(message)

    def on_response(self) -> None:
        self.ended += 1


def start(
    body: bytes = b"[1]",
    *,
    extra: tuple[tuple[bytes, bytes], ...] = (),
    status: int = 200,
    is_plain: bool = True,
) -> Any:
    headers = [(b"x-a", b"1"), *extra, (b"content-length", b"%d" % len(body))]
    return {"type": "http.response.start", "status": status, "headers": headers, PLAIN_HEADERS: is_plain}


def body_of(body: bytes = b"[1]", **changes: Any) -> Any:
    return {"type": "http.response.body", "body": body, **changes}


def sent(cycle: Cycle, *messages: Any) -> Transport:
    transport = Transport()
    response = WholeResponse(cast(Any, transport), cast(Any, cycle), DefaultHeaders(), cycle.send)

    async def send() -> None:
        for message in messages:
            await response.send(message)

    asyncio.run(send())
    return transport


def test_a_plain_response_is_one_write() -> None:
    cycle = Cycle()
    assert sent(cycle, start(), body_of()).writes == [HEAD % 3 + b"[1]"]
    assert cycle.response_started and cycle.response_complete
    assert (cycle.ended, cycle.message_event.is_set(), cycle.waiting_for_100_continue) == (1, True, False)
    assert cycle.in_parts == []


def test_a_large_body_is_not_copied() -> None:
    body = b"x" * (MAX_JOINED_BYTES + 1)
    head, written = sent(Cycle(), start(body), body_of(body)).writes
    assert head == HEAD % len(body)
    assert written is body


@pytest.mark.parametrize(
    ("cycle", "first", "second"),
    [
        (Cycle(keep_alive=False), start(), body_of()),
        (Cycle(disconnected=True), start(), body_of()),
        (Cycle(flow=SimpleNamespace(write_paused=True)), start(), body_of()),
        (Cycle(), start(), body_of(more_body=True)),
        (Cycle(), start(status=404), body_of()),
        (Cycle(), start(is_plain=False), body_of()),
        (Cycle(), start(extra=((b"x-b", b"1\r\nset-cookie: a=b"),)), body_of()),
        (Cycle(), start(extra=((b"x-b", b"1\n"),)), body_of()),
        (Cycle(), start(extra=((b"x-b", b"\0"),)), body_of()),
    ],
)
def test_uvicorn_sends_every_other_response(cycle: Cycle, first: Any, second: Any) -> None:
    assert sent(cycle, first, second).writes == []
    assert cycle.in_parts == [first, second]
    assert not cycle.response_complete


def test_an_error_in_place_of_the_body_is_all_that_is_sent() -> None:
    cycle = Cycle()
    error = start(status=500, is_plain=False)
    assert sent(cycle, start(), error, body_of()).writes == []
    assert cycle.in_parts == [error, body_of()]


def test_default_headers_follow_the_server() -> None:
    defaults, first = DefaultHeaders(), [(b"date", b"1")]
    assert (
        defaults.start_of_response(first)
        == defaults.start_of_response(first)
        == b"HTTP/1.1 200 OK\r\ndate: 1\r\n"
    )
    assert defaults.start_of_response([(b"date", b"2")]) == b"HTTP/1.1 200 OK\r\ndate: 2\r\n"


def test_a_client_that_waits_to_send_its_body_has_the_connection_closed() -> None:
    cycle = Cycle(waiting_for_100_continue=True)
    assert sent(cycle, start(status=415), body_of()).writes == []
    assert (len(cycle.in_parts), cycle.keep_alive) == (2, False), "uvicorn closes it"
