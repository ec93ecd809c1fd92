"""A client that ends its side of the connection once its requests are sent, and may still read the responses.

A client that is gone looks the same until something is sent to it: only then does its system say so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

_INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What every client of HTTP/1.1 passes over before a response."""

_PROBE_SECONDS: Final = (0.0, 1.0, 4.0, 10.0)
"""When a client is probed, since the end of its side. Go's client gives up after five interim responses."""

_FIRST_CHECK_SECONDS: Final = 0.01
_MAX_CHECK_SECONDS: Final = 1.0


class HalfClosedClient:
    """Closes a half-closed connection once its client is gone, which frees what was kept for it."""

    def __init__(self, transport: asyncio.Transport, may_probe: Callable[[], bool]) -> None:
        """Begin to watch. ``may_probe`` says whether an interim response may be written now."""
        self._transport, self._may_probe = transport, may_probe
        self._loop = asyncio.get_running_loop()
        self._started, self._probes = self._loop.time(), 0
        self._pause = _FIRST_CHECK_SECONDS
        self._timer: asyncio.TimerHandle | None = None
        self._check()

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._transport.is_closing():
            return
        if self._is_gone():
            self._transport.abort()
            return
        elapsed = self._loop.time() - self._started
        if self._probes < len(_PROBE_SECONDS) and elapsed >= _PROBE_SECONDS[self._probes]:
            self._probes += 1
            self._pause = _FIRST_CHECK_SECONDS
            if self._may_probe():
                self._transport.write(_INTERIM)
        self._timer = self._loop.call_later(self._pause, self._check)
        self._pause = min(2 * self._pause, _MAX_CHECK_SECONDS)

    def _is_gone(self) -> bool:
        # The transport does not read any more, so that asyncio does not see a reset.
        connection = self._transport.get_extra_info("socket")
        return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
