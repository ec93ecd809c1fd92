from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.images import ImagePolicy, parse_address, web
from nestvec.images.policy import ImageLimits
from nestvec.images.web import WebFetcher
from nestvec_schemas.errors import ImageRefused, ImageUnreachable

OPEN = ImagePolicy(
    schemes=frozenset({"http", "https"}), allow_private=True, limits=ImageLimits(max_seconds=5)
)
CLOSED = ImagePolicy(schemes=frozenset({"http", "https"}), limits=ImageLimits(max_seconds=5))


def fetch(text: str, policy: ImagePolicy = OPEN) -> bytes:
    async def run() -> bytes:
        address = parse_address(text)
        assert address is not None
        async with WebFetcher(policy) as fetching, asyncio.timeout(policy.limits.max_seconds):
            return await fetching.fetch(address)

    return asyncio.run(run())


def test_an_image_is_fetched(site: Any, png: bytes) -> None:
    assert fetch(f"{site.url}/cat.png?size=1#there") == png
    path, headers = site.asked[0]
    assert path == "/cat.png?size=1"
    assert headers["host"] == f"127.0.0.1:{site.port}"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("nestvec/")
    assert not {"cookie", "authorization", "referer"} & set(headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_without_cookies(site: Any, png: bytes, status: int) -> None:
    site.redirect("/a", "/b?x=1", status)
    site.redirect("/b", f"{site.url}/cat.png", status)
    assert fetch(f"{site.url}/a") == png
    assert [path for path, _ in site.asked] == ["/a", "/b?x=1", "/cat.png"]
    assert not any("cookie" in headers for _, headers in site.asked)


def test_redirects_without_end(site: Any) -> None:
    site.redirect("/a", "/a")
    with pytest.raises(ImageUnreachable, match="more than 3 redirects"):
        fetch(f"{site.url}/a")
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "s3://pictures/cat.png",
        "ftp://example.org/cat.png",
        "//user:word@127.0.0.1/cat.png",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1]/",
    ],
)
def test_redirects_to_what_is_refused(site: Any, target: str) -> None:
    site.redirect("/a", target)
    with pytest.raises(ImageRefused) as caught:
        fetch(f"{site.url}/a")
    assert "word@" not in str(caught.value) and " → " in str(caught.value)


@pytest.mark.parametrize("target", ["http://[", "http://\xff\xfe:x/", "http://a:99999999/", ""])
def test_redirects_to_nowhere(site: Any, target: str) -> None:
    site.redirect("/a", target)
    with pytest.raises((ImageRefused, ImageUnreachable)):
        fetch(f"{site.url}/a")


def test_a_redirect_from_a_public_host_to_a_private_one(
    site: Any, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public host is this machine's, by a door that stands open for this one address."""
    names["public.test"] = [["93.184.216.34"]]
    names["inner.test"] = [["127.0.0.1"]]
    connected: list[str] = []
    real = web.WebFetcher._request_from

    async def at_home(self: WebFetcher, ip: Any, port: int, url: Any) -> Any:
        connected.append(str(ip))
        return await real(self, ipaddress.ip_address("127.0.0.1"), port, url)

    monkeypatch.setattr(web.WebFetcher, "_request_from", at_home)
    for target in (
        "http://127.0.0.1:1/x",
        f"http://inner.test:{site.port}/cat.png",
        f"//localhost:{site.port}/cat.png",
    ):
        site.redirect("/a", target)
        with pytest.raises(ImageRefused, match="not public"):
            fetch(f"http://public.test:{site.port}/a", CLOSED)
    assert connected == ["93.184.216.34"] * 3
    assert {path for path, _ in site.asked} == {"/a"}


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "①②⑦.⓪.⓪.①",
    ],
)
def test_private_addresses_are_refused(site: Any, host: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        fetch(f"http://{host}:{site.port}/cat.png", CLOSED)
    assert "not public" in str(caught.value) or "is not a URL" in str(caught.value)
    assert site.asked == []


def test_a_name_is_refused_when_any_of_its_addresses_is_private(
    site: Any, names: dict[str, list[list[str]]]
) -> None:
    for addresses in (
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["93.184.216.34", "::1"],
        ["169.254.169.254"],
    ):
        names["two.test"] = [addresses]
        with pytest.raises(ImageRefused, match="not public") as caught:
            fetch(f"http://two.test:{site.port}/cat.png", CLOSED)
        assert not any(address in str(caught.value) for address in addresses)
    assert site.asked == []


def test_a_name_that_changes_its_address_leads_nowhere_else(
    make_site: Callable[..., Any], names: dict[str, list[list[str]]], png: bytes
) -> None:
    """DNS rebinding: each look-up after the first would lead to another machine."""
    good, evil = make_site("127.0.0.1"), make_site("127.0.0.2")
    names["rebind.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    good.serve("/cat.png", png)
    good.redirect("/a", f"http://rebind.test:{good.port}/cat.png")
    assert fetch(f"http://rebind.test:{good.port}/a") == png
    assert [path for path, _ in good.asked] == ["/a", "/cat.png"]
    assert {headers["host"] for _, headers in good.asked} == {f"rebind.test:{good.port}"}
    assert evil.asked == []
    assert names["rebind.test"] == [["127.0.0.2"]]  # it was asked for once


def test_the_next_address_is_tried_where_the_first_does_not_answer(
    site: Any, names: dict[str, list[list[str]]], png: bytes
) -> None:
    names["two.test"] = [["127.0.0.3", "127.0.0.1"]]
    assert fetch(f"http://two.test:{site.port}/cat.png") == png
    names["none.test"] = [["127.0.0.3", "127.0.0.4"]]
    with pytest.raises(ImageUnreachable, match="no connection"):
        fetch(f"http://none.test:{site.port}/cat.png")


def test_a_name_without_an_address(names: dict[str, list[list[str]]]) -> None:
    with pytest.raises(ImageUnreachable, match="no address"):
        fetch("http://nothing.invalid/cat.png")
    names["empty.test"] = [[]]
    with pytest.raises(ImageUnreachable, match="no address"):
        fetch("http://empty.test/cat.png")


def test_hosts_that_are_not_listed(site: Any, png: bytes, names: dict[str, list[list[str]]]) -> None:
    names["cats.example.org"] = names["evilexample.org"] = [["127.0.0.1"]]
    listed = ImagePolicy(schemes=frozenset({"http"}), allow_private=True, hosts=("*.example.org",))
    assert fetch(f"http://cats.example.org:{site.port}/cat.png", listed) == png
    assert fetch(f"http://CATS.example.org.:{site.port}/cat.png".replace(".:", ":"), listed) == png
    for host in ("evilexample.org", "example.org", "127.0.0.1", "cats.example.org.evil.test"):
        with pytest.raises(ImageRefused, match="from this host"):
            fetch(f"http://{host}:{site.port}/cat.png", listed)
    site.redirect("/a", f"http://127.0.0.1:{site.port}/cat.png")
    with pytest.raises(ImageRefused, match="from this host"):
        fetch(f"http://cats.example.org:{site.port}/a", listed)


def test_credentials_and_schemes(site: Any) -> None:
    with pytest.raises(ImageRefused, match="name or password") as caught:
        fetch(f"http://me:word@127.0.0.1:{site.port}/cat.png")
    assert "word@" not in str(caught.value)
    with pytest.raises(ImageRefused, match="by http"):
        fetch(f"{site.url}/cat.png", ImagePolicy(allow_private=True))
    assert site.asked == []


def test_no_proxy_of_the_environment_is_used(site: Any, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(f"{site.url}/cat.png") == png


def test_a_wrong_content_type_does_not_matter(site: Any, png: bytes) -> None:
    site.serve("/cat.html", png, Content_Type="text/html")
    assert fetch(f"{site.url}/cat.html") == png


def test_statuses(site: Any) -> None:
    with pytest.raises(ImageUnreachable, match="status 404"):
        fetch(f"{site.url}/none.png")


LARGE = ImagePolicy(
    schemes=frozenset({"http"}), allow_private=True, limits=ImageLimits(max_bytes=1000, max_seconds=5)
)


def test_a_body_that_says_it_is_too_large(site: Any) -> None:
    site.serve("/large", b"", Content_Length="1001")
    with pytest.raises(ImageUnreachable, match="more than 1000 bytes"):
        fetch(f"{site.url}/large", LARGE)
    site.serve("/larger", b"", Content_Length="9" * 5000)
    with pytest.raises(ImageUnreachable):
        fetch(f"{site.url}/larger", LARGE)


def test_a_body_without_end(site: Any) -> None:
    sent = 0

    def endless(request: Any) -> None:
        nonlocal sent
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while True:
            request.wfile.write(b"400\r\n" + bytes(0x400) + b"\r\n")
            sent += 0x400

    site.answers["/endless"] = endless
    with pytest.raises(ImageUnreachable, match="more than 1000 bytes"):
        fetch(f"{site.url}/endless", LARGE)
    assert sent < 64 << 20


def test_a_body_that_is_compressed(site: Any) -> None:
    site.serve("/bomb", gzip.compress(bytes(1 << 20)), Content_Encoding="gzip")
    with pytest.raises(ImageUnreachable, match="compressed"):
        fetch(f"{site.url}/bomb")


def test_a_body_that_breaks_off(site: Any) -> None:
    def broken(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"only this")
        request.close_connection = True

    site.answers["/broken"] = broken
    with pytest.raises(ImageUnreachable, match="closed the connection early"):
        fetch(f"{site.url}/broken")


@pytest.fixture
def raw() -> Iterator[Callable[[bytes], str]]:
    """A server that answers whoever connects with the bytes given, then waits or closes."""
    servers: list[socket.socket] = []

    def make(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(1 << 16)
                        connection.sendall(answer)
                    except OSError:
                        continue

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/cat.png"

    yield make
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 \r\nLocation: ", b"HTTP/1.1 200 \r\nContent-Length: "]
    ),
    st.binary(max_size=80),
)
def test_whatever_a_server_answers_is_an_error_of_ours(
    raw: Callable[[bytes], str], head: bytes, rest: bytes
) -> None:
    try:
        found = fetch(raw(head + rest))
    except (ImageUnreachable, ImageRefused):
        return
    assert head and found in rest


def test_endless_headers(raw: Callable[[bytes], str]) -> None:
    with pytest.raises(ImageUnreachable):
        fetch(raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000))


def test_a_batch_keeps_its_connections(site: Any, png: bytes) -> None:
    async def run() -> list[bytes]:
        async with WebFetcher(OPEN) as fetching:
            found = []
            for number in range(5):
                address = parse_address(f"{site.url}/cat.png?{number}")
                assert address is not None
                found.append(await fetching.fetch(address))
            return found

    assert asyncio.run(run()) == [png] * 5
    assert len(site.connections) == 1
