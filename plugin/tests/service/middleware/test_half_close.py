"""Clients that end their side of a connection, and those that are gone, which looks the same at first."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.server import bind, serve_in_thread

BODY = b'{"inputs":"w%d"}'


class Gate(asyncio.Event):
    """One that another thread may set."""

    async def wait(self) -> Literal[True]:
        while not self.is_set():
            await asyncio.sleep(0.01)
        return True


def request(number: int = 1, version: bytes = b"1.1", more: bytes = b"") -> bytes:
    body = BODY % number
    head = b"POST /embed HTTP/%b\r\nhost: localhost\r\ncontent-type: application/json\r\n%b" % (version, more)
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


@contextmanager
def connected(service: str) -> Iterator[socket.socket]:
    host, port = service.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(1 << 16):
        data += part
    return data


def only_status(connection: socket.socket) -> bytes:
    """The status of the only response before the connection is closed."""
    data = b""
    try:
        while part := connection.recv(1 << 16):
            data += part
    except ConnectionResetError:
        pass
    assert data.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in data
    return data.split(b" ", 2)[1]


def eventually(condition: Callable[[], bool]) -> bool:
    return any(condition() or time.sleep(0.01) for _ in range(12_000))


@pytest.fixture
def blocked(embedder: Embedder, engine: FakeEngine) -> Iterator[str]:
    """A service whose engine answers nothing until the end of the test."""
    engine.gate = Gate()
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        yield service
        engine.gate.set()


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("count", [1, 3])
def test_whole_requests_are_answered(service: str, version: bytes, count: int) -> None:
    if version == b"1.0":
        count = 1  # it has no second request on a connection
    with connected(service) as connection:
        connection.sendall(b"".join(request(number + 1, version) for number in range(count)))
        connection.shutdown(socket.SHUT_WR)
        data = received(connection)
    assert data.count(b"HTTP/1.1 200 OK") == data.count(b"[[") == count


@pytest.mark.parametrize("sent", [b"", request()[:-1], request()[:40], b"\r\n"])
def test_what_is_not_whole_ends_the_connection(service: str, sent: bytes) -> None:
    with connected(service) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert received(connection) == b""


def test_after_its_response_the_connection_is_closed(service: str) -> None:
    with connected(service) as connection:
        connection.sendall(request())
        assert b" 200 " in connection.recv(1 << 16)
        connection.shutdown(socket.SHUT_WR)
        assert received(connection) == b""


def test_who_waits_with_a_half_closed_connection_keeps_its_place(
    embedder: Embedder, engine: FakeEngine, blocked: str
) -> None:
    with connected(blocked) as connection:
        connection.sendall(request())
        connection.shutdown(socket.SHUT_WR)
        # The interim response by which the service learns whether somebody is there.
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        time.sleep(0.2)
        assert embedder.admission.shares.total == 1


def test_a_client_that_is_gone_frees_its_place(embedder: Embedder, engine: FakeEngine, blocked: str) -> None:
    with connected(blocked) as connection:
        connection.sendall(request())
        assert eventually(lambda: embedder.admission.shares.total == 1)
    assert eventually(lambda: embedder.admission.shares.total == 0)


def test_a_client_that_goes_after_it_half_closed_frees_its_place(
    embedder: Embedder, engine: FakeEngine, blocked: str
) -> None:
    with connected(blocked) as connection:
        connection.sendall(request())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1 << 16)
        time.sleep(0.05)
    assert eventually(lambda: embedder.admission.shares.total == 0)


def test_a_client_of_http_1_0_gets_no_interim_response(
    embedder: Embedder, engine: FakeEngine, blocked: str
) -> None:
    with connected(blocked) as connection:
        connection.sendall(request(version=b"1.0"))
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1 << 16)


@pytest.mark.parametrize("sends_body", [True, False])
def test_a_refusal_before_100_continue_closes_the_connection(service: str, sends_body: bool) -> None:
    """Its body, if it comes, is no request, and what comes instead of it is no body."""
    refused = request(more=b"expect: 100-continue\r\n").replace(b"application/json", b"text/plain")
    with connected(service) as connection:
        connection.sendall(refused if sends_body else refused.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        assert only_status(connection) == b"415"


@pytest.mark.parametrize(
    "encoding",
    [
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"identity",
        b", chunked",
        b"xchunked",
        b"chunked\r\ntransfer-encoding: chunked",
        b"gzip\r\ntransfer-encoding: chunked",
    ],
)
def test_other_transfer_encodings_are_refused_by_name(service: str, encoding: bytes) -> None:
    head = b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with connected(service) as connection:
        connection.sendall(
            head + b"transfer-encoding: " + encoding + b'\r\n\r\nf\r\n{"inputs":"w1"}\r\n0\r\n\r\n'
        )
        data = received(connection)
    status = data.split(b" ", 2)[1]
    named = encoding.replace(b"\r\ntransfer-encoding:", b",")
    assert status in (b"501", b"400")
    assert status == b"400" or b"The transfer encoding is not supported: " + named in data
    assert b"[[" not in data


def test_chunked_is_read_however_it_is_spelled(service: str) -> None:
    head = (
        b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    )
    with connected(service) as connection:
        connection.sendall(head + b'transfer-encoding: Chunked \r\n\r\nf\r\n{"inputs":"w1"}\r\n0\r\n\r\n')
        assert b"[[" in received(connection)
