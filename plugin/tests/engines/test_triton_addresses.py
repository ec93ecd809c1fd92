"""Addresses of Triton as they are written, and names that resolve to several."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from nestvec.engines.triton import addresses
from nestvec.engines.triton.addresses import Address, Resolver, parse_addresses
from nestvec_schemas.errors import EngineError


class Names:
    """A name server whose records a test changes; an OSError is raised."""

    def __init__(self, *ips: str) -> None:
        self.answer: Sequence[str] | OSError = ips
        self.lookups = 0

    def __call__(self, address: Address) -> Sequence[str]:
        self.lookups += 1
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


def resolved(resolver: Resolver) -> tuple[str, ...]:
    resolver.refresh_now()
    return resolver.targets


def test_a_list_has_each_address_once() -> None:
    assert [str(address) for address in parse_addresses("a:1, b:2,a:1,[::1]:3")] == ["a:1", "b:2", "[::1]:3"]


@pytest.mark.parametrize("text", ["a:1,", ",", "a:1 b:2", "a:1,http://b:2", "a:1;b:2"])
def test_each_address_of_a_list_is_host_and_port(text: str) -> None:
    with pytest.raises(EngineError, match="not HOST:PORT"):
        parse_addresses(text)


def test_a_list_has_a_limit() -> None:
    many = [f"a:{port}" for port in range(1, addresses.MAX_ADDRESSES + 2)]
    assert len(parse_addresses(",".join(many[:-1]))) == addresses.MAX_ADDRESSES
    with pytest.raises(EngineError, match="too many addresses"):
        parse_addresses(",".join(many))


def test_a_headless_name_is_each_of_its_addresses() -> None:
    names = Names("10.0.0.2", "10.0.0.1", "10.0.0.2")
    resolver = Resolver(parse_addresses("triton:8001,10.1.1.1:8001"), names)
    assert resolver.targets == ("triton:8001", "10.1.1.1:8001")
    assert resolved(resolver) == ("10.0.0.1:8001", "10.0.0.2:8001", "10.1.1.1:8001")
    assert names.lookups == 1  # an IP address is not looked up
    names.answer = ("10.0.0.2", "10.0.0.3")
    assert resolved(resolver)[:2] == ("10.0.0.2:8001", "10.0.0.3:8001")
    names.answer = ("10.0.0.3",)
    assert resolved(resolver)[0] == "10.0.0.3:8001"


@pytest.mark.parametrize("ips", [["127.0.0.1"], ["::1", "127.0.0.1"]])
def test_a_name_of_a_single_server_is_left_to_grpc(ips: list[str]) -> None:
    assert resolved(Resolver(parse_addresses("localhost:8001"), Names(*ips))) == ("localhost:8001",)


def test_servers_with_addresses_of_both_families_count_once() -> None:
    names = Names("fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2")
    assert resolved(Resolver(parse_addresses("triton:1"), names)) == ("10.0.0.1:1", "10.0.0.2:1")
    names = Names("fd00::1", "fd00::2", "10.0.0.1")
    assert resolved(Resolver(parse_addresses("triton:1"), names)) == ("[fd00::1]:1", "[fd00::2]:1")


def test_a_name_that_does_not_resolve_keeps_what_it_was() -> None:
    names = Names("10.0.0.1", "10.0.0.2")
    resolver = Resolver(parse_addresses("triton:1"), names)
    before = resolved(resolver)
    for failure in (OSError("no such host"), ()):
        names.answer = failure
        assert resolved(resolver) == before


def test_a_resolver_that_hangs_holds_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "LOOKUP_SECONDS", 0.05)
    released = threading.Event()
    lookups: list[Address] = []

    def hang(address: Address) -> Sequence[str]:
        lookups.append(address)
        released.wait()
        return ("10.0.0.1", "10.0.0.2")

    async def refresh() -> Resolver:
        resolver = Resolver(parse_addresses("triton:1"), hang)
        try:
            for _ in range(3):
                await resolver.refresh()
            assert resolver.targets == ("triton:1",)
        finally:
            released.set()
        return resolver

    resolver = asyncio.run(refresh())  # waits for the executor's thread
    assert len(lookups) == 1
    assert resolver.targets == ("10.0.0.1:1", "10.0.0.2:1")
