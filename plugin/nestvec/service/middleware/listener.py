"""A listening socket that refuses connections before they cost anything."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from nestvec.service.middleware.connection_gate import ConnectionGate, client_of

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_MAX_REFUSED_AT_ONCE: Final = 64
"""Refusals in a row, after which the event loop has its turn."""

_BODY: Final = b'{"error":"the service has too many open connections. Try again.","error_type":"Overloaded"}'
_UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class LimitedListener(socket.socket):
    """A listening socket whose ``accept`` returns only the connections that its gate admits.

    Another connection is answered with 503 (without TLS) and closed. If the process has no file descriptor
    left, a spare one serves to refuse connections in the same way: asyncio would log an error for each of
    them, and stop accepting for a second.
    """

    gate: ConnectionGate | None = None
    """None admits every connection."""
    tls: bool = False

    _spare: int | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """An admitted connection and its peer. Raises BlockingIOError if there is none, else OSError."""
        if self.gate is None:
            return super().accept()
        self._reserve_descriptor()
        for _ in range(_MAX_REFUSED_AT_ONCE):
            try:
                connection, peer = super().accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED or self._spare is None:
                    raise
                self._refuse_without_descriptor(self.gate, error)
                continue
            client = client_of(peer[0])
            if self.gate.admit(client):
                return _CountedSocket(connection, partial(self.gate.release, client)), peer
            _refuse(connection, tls=self.tls)
        raise BlockingIOError(errno.EAGAIN, "the event loop has its turn first")

    def close(self) -> None:
        """Close the socket and its spare descriptor."""
        self._release_descriptor()
        super().close()

    def _refuse_without_descriptor(self, gate: ConnectionGate, error: OSError) -> None:
        self._release_descriptor()
        try:
            connection, _ = super().accept()  # there may be none: Linux reports the lack of descriptors first
            _refuse(connection, tls=self.tls)
            gate.refuse("descriptors", os.strerror(error.errno or 0).lower())
        finally:
            self._reserve_descriptor()

    def _reserve_descriptor(self) -> None:
        if self._spare is None:
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def _release_descriptor(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


class _CountedSocket(socket.socket):
    """An accepted connection, which calls ``release`` once when it is closed."""

    def __init__(self, connection: socket.socket, release: Callable[[], None]) -> None:
        # asyncio turns Nagle's algorithm off only where it sees the protocol.
        family, kind, protocol = connection.family, connection.type, connection.proto
        super().__init__(family, kind, protocol, connection.detach())
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        """Close the connection."""
        if self._release is not None:
            self._release()
            self._release = None
        super().close()

    def __del__(self) -> None:
        self.close()


def _refuse(connection: socket.socket, *, tls: bool) -> None:
    """Answer with 503 and close, without waiting for anything."""
    with suppress(OSError), connection:
        if tls:
            return
        connection.setblocking(False)
        with suppress(BlockingIOError):
            connection.recv(1 << 16)  # with bytes unread, closing would discard the response
        connection.send(_UNAVAILABLE)
        connection.shutdown(socket.SHUT_WR)
