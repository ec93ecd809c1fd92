from __future__ import annotations

import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.images.hosts import Unresolved, is_allowed, resolve

PUBLIC = [
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]

PRIVATE = [
    "10.0.0.1",
    "127.0.0.1",
    "127.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "240.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "fc00::1",
    "fec0::1",
]

NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:0.0.0.0",
    "::ffff:169.254.169.254",
    "::a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
]


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        *((text, True, True) for text in PUBLIC),
        *((text, False, True) for text in PRIVATE),
        *((text, False, False) for text in NEVER),
    ],
)
def test_addresses(text: str, strict: bool, lenient: bool) -> None:
    address = ipaddress.ip_address(text)
    assert is_allowed(address, private=False) is strict
    assert is_allowed(address, private=True) is lenient


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_for_an_ipv4_one_is_judged_as_it(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    forms = [
        ipaddress.IPv6Address(prefix + number)
        for prefix in (0xFFFF << 32, int(ipaddress.ip_address("64:ff9b::")))
    ]
    forms.append(ipaddress.IPv6Address((0x2002 << 112) + (number << 80)))
    for private in (True, False):
        judged = {is_allowed(form, private=private) for form in forms}
        assert judged == {is_allowed(address, private=private)}


@given(st.ip_addresses())
def test_what_is_public_is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_allowed(address, private=False):
        assert address.is_global and not address.is_multicast
        assert is_allowed(address, private=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost"])
def test_odd_ways_to_write_this_machine(host: str) -> None:
    found = asyncio.run(resolve(host, 80))
    assert found and not any(is_allowed(ip, private=False) for ip in found)


@pytest.mark.parametrize("host", ["nothing.invalid", "a" * 64 + ".example", "."])
def test_a_name_without_an_address(host: str) -> None:
    with pytest.raises(Unresolved):
        asyncio.run(resolve(host, 80))
