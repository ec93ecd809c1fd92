"""Which names a client may call the service by, in the Host header."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec_schemas.errors import HostNotAllowed

_LOOPBACK: Final = ("localhost", "*.localhost")
_PROBED_PATHS: Final = frozenset({"/health", "/livez", "/readyz"})
"""Probes name the service as they like, and learn no more than whether it works."""

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


class AllowedHostsMiddleware:
    """Answers 421 to a request for a name that is not allowed, and to one of HTTP/1.1 without a name."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBED_PATHS or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        named = b", ".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1")
        error = HostNotAllowed(
            "the service does not answer to this name in the Host header",
            value=named[:100] or "none",
            next_step="Call it by its IP address, or start it with --allowed-host NAME.",
        )
        await error_response(scope["path"], error)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        values = [value for name, value in scope["headers"] if name == b"host"]
        if not values:
            return bool(scope["http_version"] == "1.0")
        return len(values) == 1 and self._hosts.allow(values[0].decode("latin-1"))
