from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from nestvec.service.embedder import Embedder
from nestvec.service.middleware.allowed_hosts import AllowedHosts
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import AccessSettings


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "nestvec.localhost:80",
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:8080",
        "[fe80::1%eth0]",
        "embed.example.com:443",
        "a.b.internal.example.org",
    ],
)
def test_names_that_are_allowed(host: str) -> None:
    assert AllowedHosts(("embed.example.com", "*.Internal.example.org.")).allow(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "rebind.attacker.example",
        "localhost.attacker.example",
        "notlocalhost",
        "127.0.0.1.attacker.example",
        "embed.example.com.attacker.example",
        "xembed.example.com",
        "internal.example.org",
        "xinternal.example.org",
        "localhost@attacker.example",
        "attacker.example/localhost",
        "localhost, attacker.example",
        "localhost:80:80",
        "[::1]attacker.example",
        "2130706433",
        "0x7f.1",
        "*",
    ],
)
def test_names_that_are_not_allowed(host: str) -> None:
    assert not AllowedHosts(("embed.example.com", "*.internal.example.org")).allow(host)
    assert host in ("", "localhost, attacker.example") or AllowedHosts(("*",)).allow("attacker.example")


@pytest.fixture
def strict(embedder: Embedder) -> Iterator[str]:
    """A service that answers to embed.example.com, besides the names of loopback."""
    access = AccessSettings(allowed_hosts=("127.0.0.1", "embed.example.com"))
    embedder.settings = replace(embedder.settings, access=access)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        yield service


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/embed", "/metrics", "/docs", "/info"])
def test_another_name_is_refused_on_every_path(strict: str, path: str) -> None:
    response = httpx.post(f"{strict}{path}", json={"inputs": "w1"}, headers={"host": "rebind.example"})
    assert response.status_code == 421
    assert "does not answer to this name in the Host header: rebind.example" in response.text
    assert "--allowed-host" in response.text


def test_allowed_names_and_probes_are_answered(strict: str) -> None:
    for host in ("embed.example.com", "localhost:1", "10.0.0.1"):
        response = httpx.post(f"{strict}/embed", json={"inputs": "w1"}, headers={"host": host})
        assert response.status_code == 200, host
    for path in ("/health", "/livez"):
        assert httpx.get(f"{strict}{path}", headers={"host": "10-0-0-1.probe"}).status_code == 200


def test_a_long_name_is_not_echoed_whole(strict: str) -> None:
    response = httpx.get(f"{strict}/info", headers={"host": "x" * 10_000})
    assert response.status_code == 421
    assert len(response.content) < 600


def test_no_response_redirects_to_the_host_header(strict: str) -> None:
    for path in ("/embed/", "/health/", "/docs/", "//embed", "/v1/embeddings/"):
        response = httpx.get(f"{strict}{path}", headers={"host": "embed.example.com"})
        assert "location" not in response.headers
        assert response.status_code in (404, 405), path


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /info HTTP/1.1\r\n\r\n", b"421"),
        (b"GET /info HTTP/1.1\r\nhost: localhost\r\nhost: rebind.example\r\n\r\n", b"421"),
        (b"GET /info HTTP/1.0\r\n\r\n", b"200"),
        (b"GET http://rebind.example/info HTTP/1.1\r\nhost: localhost\r\n\r\n", b"421"),
        (b"GET http://localhost/info HTTP/1.1\r\nhost: rebind.example\r\n\r\n", b"200"),
    ],
    ids=["none", "two", "HTTP/1.0", "target", "target alone"],
)
def test_a_host_header_that_is_not_there_once(strict: str, head: bytes, status: bytes) -> None:
    address, port = strict.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(65536).split(b" ", 2)[1] == status
