"""A host's addresses, and whether they may be connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*names: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name) for name in names)


_FORBIDDEN: Final = _networks(
    "0.0.0.0/8",  # this machine, on Linux
    "169.254.0.0/16",  # link-local: the metadata of AWS, Azure, Google and others
    "168.63.129.16/32",  # Azure's wire server, an address that looks public
    "100.100.100.200/32",  # Alibaba's metadata
    "192.0.0.192/32",  # Oracle's metadata
    "224.0.0.0/4",  # multicast
    "255.255.255.255/32",
    "::/128",
    "fe80::/10",
    "fd00:ec2::/32",  # AWS's metadata
    "fd20:ce::254/128",  # Google's metadata
    "ff00::/8",
)
"""Refused whatever the policy says: they hold secrets, not images."""

_SPECIAL_PURPOSE: Final = _networks("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")
"""Special ranges (IANA) that some versions of Python call global."""

_PUBLIC_IPV6: Final = ipaddress.ip_network("2000::/3")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Unresolved(OSError):
    """The name has no address. An internal error: the caller adds what was fetched."""


def is_allowed(address: IP, *, private: bool) -> bool:
    """Whether an image may be fetched from an address; ``private`` also allows addresses that are not public.

    An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) is judged as that one.
    """
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded_ipv4(address)) is not None:
        return is_allowed(inner, private=private)
    if any(address in network for network in _FORBIDDEN):
        return False
    return private or (
        address.is_global
        and (address.version == 4 or address in _PUBLIC_IPV6)
        and not any(address in network for network in _SPECIAL_PURPOSE)
    )


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    compatible = 1 < int(address) < 1 << 32  # ::a.b.c.d, long obsolete
    if compatible or address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


async def resolve(host: str, port: int) -> tuple[IP, ...]:
    """The addresses of a host, in the order in which to try them. Raises Unresolved."""
    loop = asyncio.get_running_loop()
    try:
        entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise Unresolved(str(error)) from error
    addresses = tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in entries))
    if not addresses:
        raise Unresolved("no address")
    return addresses
