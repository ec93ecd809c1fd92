from __future__ import annotations

from asyncio import Transport
from types import SimpleNamespace
from typing import cast

import pytest

from nestvec.service.middleware.joined_writes import JoinedWrites


class Written:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def transport() -> Written:
    return Written()


def started(transport: Written, *, response_started: bool = True) -> JoinedWrites:
    return JoinedWrites(cast(Transport, transport), SimpleNamespace(response_started=response_started))


def test_a_head_and_a_small_body_are_one_write(transport: Written) -> None:
    writes = started(transport)
    for data in (b"head", b"body", b"more"):
        writes.write(data)
    assert transport.writes == [b"headbody", b"more"]


def test_a_large_body_is_not_copied(transport: Written) -> None:
    writes = started(transport)
    body = b"x" * (1 << 20)
    writes.write(b"head")
    writes.write(body)
    assert transport.writes == [b"head", body]
    assert transport.writes[1] is body


def test_what_comes_before_the_response_is_written_at_once(transport: Written) -> None:
    started(transport, response_started=False).write(b"HTTP/1.1 100 Continue")
    assert transport.writes == [b"HTTP/1.1 100 Continue"]


def test_a_head_without_a_body_is_written_at_the_end(transport: Written) -> None:
    writes = started(transport)
    writes.write(b"head")
    writes.flush()
    writes.flush()
    assert transport.writes == [b"head"]
    writes = started(transport)
    writes.write(b"head")
    writes.close()
    assert (transport.writes, transport.closed, writes.is_closing()) == ([b"head"] * 2, True, True)
