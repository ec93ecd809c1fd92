"""Counts the connections of a service, and the bytes that its clients leave unread."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from nestvec.service.batching.unread import CLIENT_PART, UnreadBytes
from nestvec.service.settings import ConnectionLimits

logger = logging.getLogger(__name__)

_GRACE_SECONDS: Final = 1.0
"""How long a response may stay unread while clients leave too many bytes unread in all."""


CONNECTION: Final = "nestvec.connection"
"""Key of an ASGI scope: the request's connection, an UnreadConnection and a WatchedConnection, where the
server sets it."""


class UnreadConnection(Protocol):
    """A connection whose client has bytes to read."""

    owner: str
    """Its client."""

    def give_up(self) -> None:
        """Close the connection and drop what was not read."""


class WatchedConnection(Protocol):
    """A connection that tells when its client has closed it."""

    def call_when_lost(self, call: Callable[[], None]) -> None:
        """Call ``call`` once the client has closed the connection; at once if it has."""

    def do_not_call(self, call: Callable[[], None]) -> None:
        """Take ``call_when_lost`` back."""


class ConnectionGate:
    """Decides which connections are accepted, and which are closed because their clients do not read.

    It belongs to the service's event loop. ``refused`` is called with the reason of each refusal:
    ``"connections"`` (too many in all), ``"client"`` (too many of one client) or ``"descriptors"``
    (the process has no file descriptor left).
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        refused: Callable[[str], None] = lambda reason: None,
        clock: Callable[[], float] = time.monotonic,
        unread: UnreadBytes | None = None,
    ) -> None:
        """``unread`` counts what each client leaves unread."""
        self._refused, self._clock, self._unread_of = refused, clock, unread or UnreadBytes()
        self.apply(limits)
        self._descriptors: int | None = None
        self._by_client: Counter[str] = Counter()
        self._unread: dict[UnreadConnection, tuple[int, float, str]] = {}
        self._next_check: asyncio.TimerHandle | None = None
        self.connections = 0
        """Connections that are open."""
        self.unread_bytes = 0
        """Bytes of responses that clients have not read, and that are held for them."""

    def limit_connections(self, descriptors: int) -> None:
        """Accept at most as many connections as the process has ``descriptors`` for them."""
        self._descriptors = max(1, descriptors)

    def apply(self, limits: ConnectionLimits) -> None:
        """Take other limits; connections that are open stay open."""
        self._limits = limits
        self._unread_of.client_limit = limits.unread_bytes // CLIENT_PART

    @property
    def _max_connections(self) -> int:
        limit = self._limits.connections
        return limit if self._descriptors is None else min(limit, self._descriptors)

    def admit(self, client: str) -> bool:
        """Count a new connection of a client; False if it is one too many."""
        if self.connections >= self._max_connections:
            self.refuse("connections", f"{self._max_connections} connections are open")
            return False
        if self._by_client[client] >= self._limits.client_connections:
            self.refuse("client", f"{client} has {self._limits.client_connections} connections open")
            return False
        self.connections += 1
        self._by_client[client] += 1
        return True

    def release(self, client: str) -> None:
        """A connection of a client is closed."""
        self.connections -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]

    def refuse(self, reason: str, message: str) -> None:
        """Record that a connection was refused."""
        self._refused(reason)
        logger.warning("a connection was refused: %s", message)

    def set_unread(self, connection: UnreadConnection, size: int) -> None:
        """The client of ``connection`` has ``size`` bytes to read, 0 for none.

        If clients leave too many bytes unread in all, the connections that have waited the longest are given
        up.
        """
        before, since, client = self._unread.pop(connection, (0, self._clock(), connection.owner))
        self.unread_bytes += size - before
        self._unread_of.add(client, size - before)
        if size:
            self._unread[connection] = (size, since, client)
            if size > before and self.unread_bytes > self._limits.unread_bytes:
                self._give_up_longest()

    def _give_up_longest(self) -> None:
        limit, now = self._limits.unread_bytes, self._clock()
        waiting = sorted(self._unread.items(), key=lambda item: item[1][1])
        for place, (connection, (_, since, _)) in enumerate(waiting, 1):
            if self.unread_bytes <= limit:
                return
            too_many = self.unread_bytes > 2 * limit and place < len(waiting)  # the last may be reading
            if not too_many and now - since < _GRACE_SECONDS:
                if self._next_check is None:
                    self._next_check = asyncio.get_running_loop().call_later(
                        _GRACE_SECONDS, self._check_again
                    )
                return
            logger.warning(
                "clients leave more than %d bytes of responses unread: the connection that has waited the "
                "longest is closed",
                limit,
            )
            self.set_unread(connection, 0)
            connection.give_up()

    def _check_again(self) -> None:
        self._next_check = None
        self._give_up_longest()


def client_of(address: str) -> str:
    """Whom a peer's address stands for: an IPv6 client chooses the last 64 bits of its address freely."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
