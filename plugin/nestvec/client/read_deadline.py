"""A time limit for all reads of a response together: httpx limits each, and each may get one byte."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterable
from threading import local
from typing import Any

import httpcore
import httpx


class ReadDeadline(local):
    """Until when the current thread's request reads."""

    until = math.inf
    _seconds = math.inf
    _verb = "end"

    def start(self, seconds: float, verb: str) -> None:
        """Read for at most ``seconds`` from now; ``verb`` is what the response must do until then."""
        self.until, self._seconds, self._verb = time.monotonic() + seconds, seconds, verb

    def limit(self, seconds: float | None) -> float:
        """The time for one read that may take ``seconds``. Raises httpcore.ReadTimeout."""
        remaining = self.until - time.monotonic()
        if remaining <= 0:
            raise self.error()
        return remaining if seconds is None else min(seconds, remaining)

    def error(self) -> httpcore.ReadTimeout:
        """What a read raises that takes too long."""
        return httpcore.ReadTimeout(f"the response did not {self._verb} within {self._seconds:g} s")


def read_until(client: httpx.Client, deadline: ReadDeadline) -> None:
    """Have all connections of a client, also those to proxies, read until ``deadline``."""
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            # Neither httpx's client nor its transport takes a backend, and a transport of one's own has no
            # proxies.
            transport._pool._network_backend = _Backend(deadline)


class _Backend(httpcore.SyncBackend):
    def __init__(self, deadline: ReadDeadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: ReadDeadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._stream.read(max_bytes, self._deadline.limit(timeout))
        except httpcore.ReadTimeout as error:
            raise self._deadline.error() from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
