"""Clients that do not read, that send too much at once, or that are too many."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.connection import LimitedConnection
from nestvec.service.server import Server, bind, create_server, listening_url
from nestvec.service.settings import ConnectionLimits

TEXTS = 2000
BODY = b'{"inputs":[' + b",".join(b'"w1"' for _ in range(TEXTS)) + b"]}"
LARGE = (
    b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    % len(BODY)
) + BODY
ONE_TEXT = (
    b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n"
    b'{"inputs":"w1"}'
)
SMALL = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"


@contextmanager
def serving(embedder: Embedder, limits: ConnectionLimits) -> Iterator[tuple[Server, str]]:
    """A server whose system buffers hold little, so that it notices who does not read."""
    embedder.settings = replace(embedder.settings, connections=limits)
    server = create_server(embedder)
    listener = bind("127.0.0.1", 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    service = listening_url(listener)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield server, service
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def connected(service: str, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connection from an address of this machine."""
    host, port = service.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.bind((address, 0))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(120)
        connection.connect((host, int(port)))
        yield connection


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(12_000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def received(connection: socket.socket) -> bytes:
    data = b""
    try:
        while part := connection.recv(1 << 20):
            data += part
    except ConnectionResetError:
        pass
    return data


def answered(connection: socket.socket, status: int) -> Any:
    """The next response's JSON."""
    response = HTTPResponse(connection)
    response.begin()
    assert response.status == status
    return json.loads(response.read())


def test_who_pipelines_and_never_reads_has_one_response_held(embedder: Embedder) -> None:
    with serving(embedder, ConnectionLimits(keep_alive_seconds=2)) as (server, service):
        response_bytes = len(httpx.post(f"{service}/embed", content=BODY, headers=JSON).content)
        assert eventually(lambda: server.gate.connections == 0)
        with connected(service) as connection:
            connection.sendall(LARGE * 8)
            assert eventually(lambda: server.gate.unread_bytes > 0)
            assert server.gate.unread_bytes < response_bytes + 2000
            assert eventually(lambda: server.gate.connections == 0), "it is closed, as it does not read"
        assert server.gate.unread_bytes == 0
        assert server.server_state.total_requests <= 2, "of eight requests, one was answered"


JSON = {"content-type": "application/json"}


def test_who_pipelines_and_reads_gets_every_response_in_order(embedder: Embedder) -> None:
    with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
        closing = SMALL.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        sender = threading.Thread(target=connection.sendall, args=((LARGE + SMALL) * 3 + closing,))
        sender.start()
        data = received(connection)
        sender.join()
    assert data.count(b"HTTP/1.1 200") == 7
    assert data.count(b"[[") == 3
    assert data.endswith(b"\r\n\r\n") or data.rstrip().endswith((b"]]", b"}")) or b"connection: close" in data


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("length", [b"content-length: 15", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("name", [b"Upgrade", b"upgrade", b"UPGRADE"])
def test_an_offer_of_another_protocol_is_ignored(
    embedder: Embedder, name: bytes, length: bytes, pause: bool
) -> None:
    """As Java's HTTP client makes it; its body was taken for that protocol."""
    head = b"POST /embed HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n%b\r\n" % length
    head += b"Connection: Upgrade, HTTP2-Settings\r\n%b: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n" % name
    body = b'{"inputs":"w1"}'
    if length.endswith(b"chunked"):
        body = b"f\r\n%b\r\n0\r\n\r\n" % body
    with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
        for _ in range(2):  # the connection goes on in HTTP/1.1
            connection.sendall(head if pause else head + body)
            if pause:
                time.sleep(0.05)
                connection.sendall(body)
            assert len(answered(connection, 200)) == 1


OFFER = (
    b"POST /embed HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 15\r\n"
    b'Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n{"inputs":"w1"}'
)


def test_an_offer_in_two_segments_is_ignored(embedder: Embedder) -> None:
    with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(1, len(OFFER)):
            connection.sendall(OFFER[:place])
            time.sleep(0.002)  # so that they mostly arrive one by one
            connection.sendall(OFFER[place:])
            assert len(answered(connection, 200)) == 1


def test_offers_of_pipelined_requests_are_ignored(embedder: Embedder) -> None:
    closing = OFFER.replace(b"Connection: Upgrade", b"Connection: Upgrade, close")
    with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
        connection.sendall(OFFER * 4 + OFFER[:-5])
        time.sleep(0.05)
        connection.sendall(OFFER[-5:] + closing)  # the end of a body, and another request
        data = received(connection)
    assert data.count(b"HTTP/1.1 200") == data.count(b"[[") == 6


@pytest.mark.parametrize("data", [b"\r\n", b"\r\n\r\n"])
def test_an_empty_line_is_no_request(embedder: Embedder, data: bytes) -> None:
    """A connection stays open for a request, not for what comes instead of one."""
    limits = ConnectionLimits(keep_alive_seconds=1)
    with serving(embedder, limits) as (server, service), connected(service) as connection:
        connection.sendall(SMALL)
        assert b" 200 " in connection.recv(65536)
        connection.sendall(data)
        assert eventually(lambda: server.gate.connections == 0)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://127.0.0.1:1/v1/models", 200),
        (b"http://localhost/v1/models", 200),
        (b"http://evil.example/v1/models", 421),
        (b"http://evil.example:80/v1/models", 421),
        (b"http://localhost@evil.example/v1/models", 421),
        (b"http://[::1]:80/v1/models", 200),
    ],
)
def test_the_host_of_a_target_counts(embedder: Embedder, target: bytes, status: int) -> None:
    request = b"GET %b HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n" % target
    for data in (request, request.replace(b"host: evil.example", b"host: localhost")):
        with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
            connection.sendall(data)
            assert received(connection).startswith(b"HTTP/1.1 %d " % status)


def test_a_trailer_that_closes_the_connection_closes_it(embedder: Embedder) -> None:
    head = b"POST /embed HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    body = b'f\r\n{"inputs":"w1"}\r\n0\r\nconnection: close\r\n\r\n'
    with (
        serving(embedder, ConnectionLimits(keep_alive_seconds=600)) as (_, service),
        connected(service) as connection,
    ):
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n" + body + SMALL)
        data = received(connection)
    assert data.count(b"HTTP/1.1 200") == data.count(b"[[") == 1


def test_a_body_that_looks_like_a_header_stays_as_it_is(embedder: Embedder) -> None:
    head = b"POST /tokenize HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    body = b'{"inputs":\r\nupgrade: "w1"}'
    with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body))
        time.sleep(0.05)
        connection.sendall(body)
        assert "byte 12 is 'u', where a value is expected" in answered(connection, 400)["error"]


@pytest.mark.parametrize("request_bytes", [SMALL, LARGE[:400]], ids=["whole", "with bodies to come"])
def test_too_many_pipelined_requests_close_the_connection(embedder: Embedder, request_bytes: bytes) -> None:
    limits = ConnectionLimits(pipelined_requests=4)
    with serving(embedder, limits) as (server, service), connected(service) as connection:
        connection.sendall(SMALL * 2000)
        assert received(connection).count(b"HTTP/1.1 200") < 2000
        assert eventually(lambda: server.gate.connections == 0)


BAD_CHUNK = (
    b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b'transfer-encoding: chunked\r\n\r\nz\r\n{"inputs":"w1"}\r\n0\r\n\r\n'
)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "unreadable",
    [
        b"garbage\r\n\r\n",
        BAD_CHUNK,
        SMALL.replace(b"host", b"transfer-encoding: gzip\r\nhost"),
        SMALL.replace(b"host", b"x y: z\r\nhost"),
    ],
)
def test_requests_before_an_unreadable_one_are_answered(
    embedder: Embedder, unreadable: bytes, count: int
) -> None:
    """Its error came first, and was taken for the response to the first of them."""
    with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
        connection.sendall(OFFER * count + unreadable)
        data = received(connection)
    assert data.count(b"HTTP/1.1 200") == data.count(b"[[") == data.count(b"HTTP/1.1 ") == count


def test_a_request_before_headers_without_end_is_answered(embedder: Embedder) -> None:
    engine = embedder.engine
    assert isinstance(engine, FakeEngine)
    engine.gate = asyncio.Event()
    limits = ConnectionLimits(header_bytes=1000)
    with serving(embedder, limits) as (server, service), connected(service) as connection:
        connection.sendall(ONE_TEXT + b"GET /livez HTTP/1.1\r\nx-a: ")
        assert eventually(lambda: bool(engine.batches))
        (protocol,) = server.server_state.connections
        assert isinstance(protocol, LimitedConnection)
        connection.sendall(b"a" * 2000)
        assert eventually(lambda: not protocol._in_headers)
        protocol.loop.call_soon_threadsafe(engine.gate.set)
        data = received(connection)
    assert data.startswith(b"HTTP/1.1 200 ")
    assert data.count(b"HTTP/1.1 ") == 1


def test_an_unreadable_request_alone_is_refused(embedder: Embedder) -> None:
    with serving(embedder, ConnectionLimits()) as (_, service), connected(service) as connection:
        connection.sendall(OFFER)
        assert len(answered(connection, 200)) == 1
        connection.sendall(BAD_CHUNK)
        assert received(connection).startswith(b"HTTP/1.1 400 ")


def test_a_last_response_that_is_not_read_is_given_up(embedder: Embedder) -> None:
    closing = LARGE.replace(b"host: localhost", b"host: localhost\r\nconnection: close")
    with (
        serving(embedder, ConnectionLimits(keep_alive_seconds=1)) as (server, service),
        connected(service) as connection,
    ):
        connection.sendall(closing)
        assert eventually(lambda: server.gate.unread_bytes > 0)
        assert eventually(lambda: server.gate.connections == 0)
        assert server.gate.unread_bytes == 0


def test_clients_that_leave_too_much_unread_lose_the_oldest_connection(embedder: Embedder) -> None:
    limits = ConnectionLimits(unread_bytes=500_000)  # a response has 368,001
    with serving(embedder, limits) as (server, service), ExitStack() as stack:
        for number in range(6):
            stack.enter_context(connected(service, f"127.0.0.{number + 1}")).sendall(LARGE)
        assert eventually(lambda: server.server_state.total_requests >= 6 or not server.gate.connections)
        assert eventually(lambda: server.gate.unread_bytes <= 500_000)
        assert server.gate.connections < 6
        response = httpx.post(f"{service}/embed", content=BODY, headers=JSON)
        assert (response.status_code, len(response.json())) == (200, TEXTS), "who reads is not affected"


def test_a_client_that_does_not_read_keeps_its_own_requests_waiting(embedder: Embedder) -> None:
    limits = ConnectionLimits(unread_bytes=1_000_000)  # of a client a quarter: less than a response
    with serving(embedder, limits) as (server, service), ExitStack() as stack:
        first = stack.enter_context(connected(service, "127.0.0.2"))
        first.sendall(LARGE)
        assert eventually(lambda: server.gate.unread_bytes > 0)
        stack.enter_context(connected(service, "127.0.0.2")).sendall(LARGE)
        assert eventually(lambda: embedder.admission.shares.total == 1)
        assert httpx.post(f"{service}/embed", content=BODY, headers=JSON).status_code == 200
        assert eventually(lambda: server.gate.unread_bytes < 500_000), "of one response"
        assert eventually(lambda: embedder.admission.shares.total == 1), "the second request still waits"
        first.close()
        assert eventually(lambda: embedder.admission.shares.total == 0)
        assert eventually(lambda: server.gate.unread_bytes > 0), "it is answered"


def test_connections_of_one_client_are_limited(embedder: Embedder) -> None:
    limits = ConnectionLimits(connections=100, client_connections=5)
    with serving(embedder, limits) as (server, service):
        with ExitStack() as stack:
            connections = [stack.enter_context(connected(service)) for _ in range(8)]
            assert eventually(lambda: server.gate.connections == 5)
            refused = [received(connection) for connection in connections[5:]]
            assert all(response.startswith(b"HTTP/1.1 503 ") for response in refused)
        assert eventually(lambda: server.gate.connections == 0)
        metrics = httpx.get(f"{service}/metrics", timeout=60).text
    assert 'nestvec_connections_refused_total{reason="client"} 3.0' in metrics
    assert "nestvec_connections 1.0" in metrics
