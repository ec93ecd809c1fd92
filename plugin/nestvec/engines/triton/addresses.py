"""The addresses of Triton servers: as they are written, and what their names resolve to."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from nestvec_schemas.errors import EngineError

MAX_ADDRESSES: Final = 64
"""Written addresses, and those that one name may resolve to."""

_HOST_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
LOOKUP_SECONDS: Final = 3.0
"""How long names may take to resolve before what they resolved to last is used."""


class Address(NamedTuple):
    """One address as it was written."""

    host: str
    port: int

    @property
    def is_name(self) -> bool:
        """Whether the host is a name, which may resolve to several addresses."""
        try:
            ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return True
        return False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Lookup = Callable[[Address], Sequence[str]]
"""The IP addresses of a name. Blocks; raises OSError."""


def parse_addresses(text: str) -> tuple[Address, ...]:
    """The addresses in a list with commas, each once. Raises EngineError if one is not HOST:PORT."""
    addresses = dict.fromkeys(_parse(part.strip()) for part in text.split(","))
    if len(addresses) > MAX_ADDRESSES:
        raise EngineError(
            "too many addresses of Triton servers",
            value=len(addresses),
            next_step=f"Give at most {MAX_ADDRESSES}, or a name that resolves to all of them.",
        )
    return tuple(addresses)


def lookup_now(address: Address) -> list[str]:
    """The IP addresses of a name, from the system's resolver. Raises OSError."""
    infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


class Resolver:
    """Resolves names, and keeps what a name resolved to last while it does not resolve."""

    def __init__(self, addresses: Iterable[Address], lookup: Lookup = lookup_now) -> None:
        self._targets: dict[Address, tuple[str, ...]] = {address: (str(address),) for address in addresses}
        self._lookup = lookup
        self._is_running = False

    @property
    def has_names(self) -> bool:
        """Whether any address can change what it resolves to."""
        return any(address.is_name for address in self._targets)

    @property
    def targets(self) -> tuple[str, ...]:
        """HOST:PORT of every server, each once."""
        return tuple(dict.fromkeys(target for targets in self._targets.values() for target in targets))

    async def refresh(self) -> None:
        """Resolve every name again, for at most three seconds. Never raises."""
        if self._is_running:  # a resolver that hangs holds one thread, not one for each call
            return
        self._is_running = True
        looking = asyncio.get_running_loop().run_in_executor(None, self.refresh_now)
        await asyncio.wait([looking], timeout=LOOKUP_SECONDS)

    def refresh_now(self) -> None:
        """Resolve every name again. Blocks."""
        try:
            for address, before in list(self._targets.items()):
                if address.is_name:
                    self._targets[address] = self._resolve(address, before)
        finally:
            self._is_running = False

    def _resolve(self, address: Address, before: tuple[str, ...]) -> tuple[str, ...]:
        try:
            ips = dict.fromkeys(self._lookup(address))
        except (OSError, UnicodeError):
            return before
        # The addresses of one family: with both, each server would be counted twice.
        four = [ip for ip in ips if ":" not in ip]
        six = [f"[{ip}]" for ip in ips if ":" in ip]
        family = six if len(six) > len(four) else four
        was_several = before != (str(address),)
        if len(family) > 1 or (family and was_several):
            return tuple(f"{ip}:{address.port}" for ip in sorted(family)[:MAX_ADDRESSES])
        # gRPC resolves the name itself, and tries both families.
        return (str(address),) if not was_several else before


def _parse(text: str) -> Address:
    match = _HOST_PORT.fullmatch(text)
    if not match or not 0 < int(match[2]) < 1 << 16:
        raise EngineError(
            "Triton's address is not HOST:PORT",
            value=text[:200],
            next_step="Use only the host and the gRPC port, for example 127.0.0.1:8001; commas between "
            "several.",
        )
    return Address(match[1], int(match[2]))
