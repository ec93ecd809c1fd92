"""Which names a client may call the service by, in the Host header."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from nestvec_schemas.errors import HostNotAllowed

_LOOPBACK: Final = ("localhost", "*.localhost")
PROBED_PATHS: Final = frozenset({"/health", "/livez", "/readyz"})
"""Probes name the service as they like, and learn no more than whether it works."""

_MAX_REMEMBERED: Final = 256
_MAX_NAME_BYTES: Final = 255

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+(%[\w.-]+)?\]|[^\s:\[\]/@\\]+)(:\d{0,5})?", re.IGNORECASE)


class AllowedHosts:
    """The names that are allowed: loopback's, every IP address, and ``patterns``.

    A web page can have a browser call the service by a name of its own that resolves to the service's
    address (DNS rebinding), and read the responses. It needs a name for that: IP addresses are safe.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self.apply(patterns)

    def apply(self, patterns: Iterable[str]) -> None:
        """Allow ``patterns`` in place of those before."""
        lowered = {pattern.lower().rstrip(".") for pattern in (*_LOOPBACK, *patterns)}
        self._all = "*" in lowered
        self._suffixes = tuple(pattern[1:] for pattern in lowered if pattern.startswith("*."))
        self._names = frozenset(lowered)
        self._allowed_before: set[bytes] = set()
        """Headers that were allowed: each client sends the same one with every request."""

    def check(self, scope: Scope) -> None:
        """Raise HostNotAllowed for a request by another name, and for one of HTTP/1.1 without a name."""
        values = [value for name, value in scope["headers"] if name == b"host"]
        if len(values) == 1:
            (host,) = values
            if host in self._allowed_before:
                return
            if self.allow(host.decode("latin-1")):
                if len(self._allowed_before) < _MAX_REMEMBERED and len(host) <= _MAX_NAME_BYTES:
                    self._allowed_before.add(host)
                return
        elif not values and scope["http_version"] == "1.0":
            return
        named = b", ".join(values).decode("latin-1")
        raise HostNotAllowed(
            "the service does not answer to this name in the Host header",
            value=named[:100] or "none",
            next_step="Call it by its IP address, or start it with --allowed-host NAME.",
        )

    def allow(self, host: str) -> bool:
        """Whether a Host header, with or without a port, has an allowed name."""
        match = _HOST.fullmatch(host.strip())
        if match is None:
            return False
        name = match["name"].lower().rstrip(".")
        return self._all or name in self._names or name.endswith(self._suffixes) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
