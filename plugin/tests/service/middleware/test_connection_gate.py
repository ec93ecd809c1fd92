from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from nestvec.service.batching.unread import UnreadBytes
from nestvec.service.middleware.connection_gate import ConnectionGate, client_of
from nestvec.service.middleware.listener import LimitedListener
from nestvec.service.settings import ConnectionLimits


class Unread:
    """A connection whose client does not read."""

    closed = False

    def __init__(self, owner: str = "") -> None:
        self.owner = owner

    def give_up(self) -> None:
        self.closed = True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_each_client_leaves_unread_is_counted_for_its_requests() -> None:
    unread = UnreadBytes()
    gate = ConnectionGate(ConnectionLimits(unread_bytes=400), unread=unread)
    first, second, other = Unread("a"), Unread("a"), Unread("b")
    gate.set_unread(first, 60)
    gate.set_unread(second, 40)
    gate.set_unread(other, 100)
    assert not unread.is_over("a"), "a quarter"
    gate.set_unread(second, 41)
    second.owner = "b"  # of its newest request: what is unread remains that of the first
    assert (unread.is_over("a"), unread.is_over("b")) == (True, False)
    gate.apply(ConnectionLimits(unread_bytes=404))
    assert not unread.is_over("a")
    gate.apply(ConnectionLimits(unread_bytes=400))
    gate.set_unread(second, 0)
    assert not unread.is_over("a")
    gate.set_unread(first, 0)
    gate.set_unread(other, 0)
    assert (gate.unread_bytes, unread._by_client) == (0, {})


def test_connections_are_counted_in_all_and_by_client() -> None:
    reasons: list[str] = []
    gate = ConnectionGate(ConnectionLimits(connections=3, client_connections=2), reasons.append)
    assert [gate.admit("a"), gate.admit("a"), gate.admit("a"), gate.admit("b"), gate.admit("c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert reasons == ["client", "connections"]
    gate.release("a")
    assert (gate.connections, gate.admit("c")) == (2, True)
    for client in ("a", "b", "c"):
        gate.release(client)
    assert gate.connections == 0


def test_there_are_at_most_as_many_connections_as_descriptors() -> None:
    gate = ConnectionGate(ConnectionLimits(connections=3))
    gate.limit_connections(2)
    assert [gate.admit(str(number)) for number in range(3)] == [True, True, False]
    gate.limit_connections(100)
    assert [gate.admit("x"), gate.admit("y")] == [True, False]
    gate.limit_connections(-5)
    gate.release("x")
    assert not gate.admit("z"), "two are open"


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_ipv6_client_has_one_network(address: str, client: str) -> None:
    assert client_of(address) == client


def test_who_has_waited_the_longest_is_given_up_first() -> None:
    async def check() -> None:
        clock = Clock()
        gate = ConnectionGate(ConnectionLimits(unread_bytes=100), clock=clock)
        old, young, huge = Unread(), Unread(), Unread()
        gate.set_unread(old, 60)
        clock.now = 2.0
        gate.set_unread(young, 30)
        assert (gate.unread_bytes, old.closed) == (90, False)
        gate.set_unread(young, 50)
        assert (gate.unread_bytes, old.closed, young.closed) == (50, True, False)
        gate.set_unread(huge, 120)
        assert (gate.unread_bytes, young.closed) == (170, False), "it may yet read, within a second"
        gate.set_unread(huge, 500)
        assert (gate.unread_bytes, young.closed, huge.closed) == (500, True, False), "it may be reading"
        clock.now = 4.0
        gate.set_unread(Unread(), 1)
        assert (gate.unread_bytes, huge.closed) == (1, True)

    asyncio.run(check())


def test_many_who_may_yet_read_are_looked_at_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        clock, timers = Clock(), []

        def call_later(_: float, callback: Callable[[], None]) -> object:
            timers.append(callback)
            return object()

        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
        gate = ConnectionGate(ConnectionLimits(unread_bytes=100), clock=clock)
        waiting = [Unread() for _ in range(12)]
        for connection in waiting:
            gate.set_unread(connection, 10)
        assert (len(timers), gate.unread_bytes) == (1, 120)
        clock.now = 0.5
        timers[0]()
        assert (len(timers), gate.unread_bytes) == (2, 120)
        clock.now = 1.5
        timers[1]()
        assert (len(timers), gate.unread_bytes) == (2, 100)
        assert [connection.closed for connection in waiting] == [True] * 2 + [False] * 10

    asyncio.run(check())


def test_a_response_that_is_read_counts_no_more() -> None:
    gate = ConnectionGate(ConnectionLimits())
    connection = Unread()
    gate.set_unread(connection, 500)
    gate.set_unread(connection, 200)
    assert gate.unread_bytes == 200
    gate.set_unread(connection, 0)
    gate.set_unread(connection, 0)
    assert gate.unread_bytes == 0


def listening() -> LimitedListener:
    listener = LimitedListener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    listener.setblocking(False)
    return listener


def connected(listener: LimitedListener) -> socket.socket:
    return socket.create_connection(listener.getsockname(), timeout=60)


def received(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_a_connection_too_many_is_answered_and_closed() -> None:
    with listening() as listener:
        listener.gate = ConnectionGate(ConnectionLimits(client_connections=1))
        with connected(listener), connected(listener) as refused:
            refused.sendall(b"GET / HTTP/1.1\r\n\r\n")
            accepted, _ = listener.accept()
            with pytest.raises(BlockingIOError):
                listener.accept()
            response = received(refused)
            assert response.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in response
            head, _, body = response.partition(b"\r\n\r\n")
            assert b"content-length: %d" % len(body) in head
        assert accepted.proto == socket.IPPROTO_TCP
        accepted.close()
        accepted.close()
        assert listener.gate.connections == 0
        with connected(listener):
            again, _ = listener.accept()
            again.close()


def test_a_client_of_tls_is_closed_without_a_word() -> None:
    with listening() as listener:
        listener.gate, listener.tls = ConnectionGate(ConnectionLimits(client_connections=0)), True
        with connected(listener) as refused:
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert received(refused) == b""


def test_refusals_leave_the_event_loop_its_turn() -> None:
    with listening() as listener:
        listener.gate = ConnectionGate(ConnectionLimits(client_connections=0))
        clients = [connected(listener) for _ in range(100)]
        with pytest.raises(BlockingIOError, match="its turn"):
            listener.accept()
        with pytest.raises(BlockingIOError):
            listener.accept()
        for client in clients:
            assert received(client).startswith(b"HTTP/1.1 503 ")
            client.close()


_EXHAUST = """
import os, socket, sys
from nestvec.service.middleware.connection_gate import ConnectionGate
from nestvec.service.middleware.listener import LimitedListener
from nestvec.service.settings import ConnectionLimits

reasons = []
listener = LimitedListener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
listener.listen(16)
listener.setblocking(False)
listener.gate = ConnectionGate(ConnectionLimits(), reasons.append)
client = socket.create_connection(listener.getsockname())
first, _ = listener.accept()
client = socket.create_connection(listener.getsockname())
files = []
try:
    while True:
        files.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for _ in range(3):
    try:
        listener.accept()
    except BlockingIOError:
        pass
print(client.recv(65536)[:12].decode(), reasons, listener.gate.connections)
while files:
    os.close(files.pop())
client = socket.create_connection(listener.getsockname())
listener.accept()
print(reasons, listener.gate.connections)
"""


def test_without_a_descriptor_a_spare_one_refuses() -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = subprocess.run(
        [sys.executable, "-c", _EXHAUST],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,
        timeout=240,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.stdout.splitlines() == ["HTTP/1.1 503 ['descriptors'] 1", "['descriptors'] 1"]
