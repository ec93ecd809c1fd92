from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec.client import http as asking
from nestvec.client import read_deadline, service_client
from nestvec.client.http import EmbeddingRequest, is_loopback
from nestvec.client.service_client import embed_bits, embed_vectors, fetch_info
from nestvec.service.server import bind, listening_url
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import EncoderNotFound, ServiceBusy, ServiceRefused, ServiceUnreachable


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that is not ours."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def stranger() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_a_service_says(service: str) -> None:
    info = fetch_info(service)
    assert info.encoder("tiny", service).dims == (16, 8, 4)
    assert info.encoder("tiny", service).prompts == {"query": "w1 ", "document": ""}
    with pytest.raises(
        EncoderNotFound, match=r"no encoder of this name: tinny\. Available: tiny\. Did you mean"
    ):
        info.encoder("tinny", service)


@pytest.mark.parametrize("exit", [None, 2])
def test_bits_are_the_signs_of_the_vectors(
    service: str, monkeypatch: pytest.MonkeyPatch, exit: int | None
) -> None:
    monkeypatch.setattr(service_client, "REQUEST_TEXTS", 2)
    texts = ["w1", "w2 w3", "w4"]
    floats = httpx.post(f"{service}/embed?exit={exit or 4}&dim=8", json={"inputs": texts}).json()
    signs = np.packbits(np.array(floats) > 0, axis=1)
    request = EmbeddingRequest(service, EmbeddingConfig("tiny", 8, exit, form="binary"))
    assert embed_bits(request, texts) == [bytes(row) for row in signs]
    assert embed_bits(request, []) == []
    (query,) = embed_bits(request, ["w9"], query=True)
    assert [query] == embed_bits(request, ["w1 w9"])


def test_vectors_are_the_services(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_client, "REQUEST_TEXTS", 2)
    texts = ["w1", "w2 w3", "w4"]
    floats = httpx.post(f"{service}/embed?exit=2&dim=8", json={"inputs": texts}).json()
    vectors = embed_vectors(EmbeddingRequest(service, EmbeddingConfig("tiny", 8, 2)), texts)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.asarray(floats, np.float32))
    request = EmbeddingRequest(service, EmbeddingConfig("tiny", 8))
    assert embed_vectors(request, []).shape == (0, 8)
    query = embed_vectors(request, ["w9"], query=True)
    np.testing.assert_array_equal(query, embed_vectors(request, ["w1 w9"]))
    assert embed_vectors(EmbeddingRequest(service, EmbeddingConfig("tiny")), texts).shape == (3, 16)
    with pytest.raises(ServiceRefused, match="no exit after this layer"):
        embed_vectors(EmbeddingRequest(service, EmbeddingConfig("tiny", 8, 3)), texts)


@pytest.mark.parametrize(
    ("config", "texts", "said"),
    [
        (EmbeddingConfig("tinny", 8), ["w1"], r"refused to embed 1 text with tinny: .*Did you mean 'tiny'"),
        (EmbeddingConfig("tiny", 8, 3), ["w1"], r"no exit after this layer: 3"),
        (EmbeddingConfig("tiny", 8), ["w1", ""], r"a text is empty"),
    ],
)
def test_bits_that_the_service_refuses(
    service: str, config: EmbeddingConfig, texts: list[str], said: str
) -> None:
    with pytest.raises(ServiceRefused, match=said):
        embed_bits(EmbeddingRequest(service, config), texts)


def answering(*answers: httpx.Response) -> tuple[httpx.Client, list[int]]:
    """A client whose service gives these answers one after the other, and the count of its requests."""
    left, asked = list(answers), list[int]()

    def next_answer(request: httpx.Request) -> httpx.Response:
        asked.append(len(request.content))
        return left.pop(0)

    return httpx.Client(transport=httpx.MockTransport(next_answer), base_url="http://h"), asked


BITS = {"embeddings": {"ubinary": [[7]]}}


def test_a_busy_service_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", waits.append)
    busy = httpx.Response(429, headers={"retry-after": "7"})
    asked, count = answering(busy, httpx.Response(504), httpx.Response(200, json=BITS))
    monkeypatch.setattr(service_client, "http_client", lambda *_: asked)
    assert embed_bits(EmbeddingRequest("http://h", EmbeddingConfig("tiny", 8)), ["w1"]) == [b"\x07"]
    assert (waits[0], len(waits), len(count)) == (7, 2, 3)
    asked, count = answering(*[httpx.Response(503, headers={"retry-after": "2"})] * 4)
    with pytest.raises(ServiceBusy, match=r"too busy.*status 503.*is remembered") as caught:
        embed_bits(EmbeddingRequest("http://h", EmbeddingConfig("tiny", 8)), ["w1"])
    assert (len(count), caught.value.retry_after) == (4, 2)


def test_a_lost_connection_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", waits.append)
    lost = [httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.RemoteProtocolError("closed")]

    def answer(request: httpx.Request) -> httpx.Response:
        if lost:
            raise lost.pop()
        return httpx.Response(200, json=BITS)

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://h")
    monkeypatch.setattr(service_client, "http_client", lambda *_: client)
    assert embed_bits(EmbeddingRequest("http://h", EmbeddingConfig("tiny", 8)), ["w1"]) == [b"\x07"]
    assert waits == sorted(waits)
    assert len(waits) == 3


def test_a_refusal_has_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, count = answering(httpx.Response(422, json={"message": "too long"}))
    monkeypatch.setattr(service_client, "http_client", lambda *_: asked)
    with pytest.raises(ServiceRefused, match="too long") as caught:
        embed_bits(EmbeddingRequest("http://h", EmbeddingConfig("tiny", 8)), ["w1"])
    assert (caught.value.status, len(count)) == (422, 1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"embeddings": {"ubinary": []}}, "did not return the codes that were requested: 0 of 1"),
        ({"embeddings": {"ubinary": [[1, 2]]}}, "did not return the codes"),
        ({"embeddings": {"ubinary": [[256]]}}, "is not a nestvec service"),
        ({"embeddings": {"float": [[0.1]]}}, "did not return the codes"),
        ({"embeddings": {"float": [["x"]]}}, "is not a nestvec service"),
    ],
)
def test_codes_that_were_not_asked_for(monkeypatch: pytest.MonkeyPatch, body: Any, said: str) -> None:
    asked, _ = answering(httpx.Response(200, json=body))
    monkeypatch.setattr(service_client, "http_client", lambda *_: asked)
    with pytest.raises(ServiceRefused, match=said):
        embed_bits(EmbeddingRequest("http://h", EmbeddingConfig("tiny", 8)), ["w1"])


@pytest.mark.parametrize(
    "data",
    [
        [{"index": 0, "embedding": [0.5, 0.5]}],
        [{"index": 0, "embedding": [0.5, 0.5]}] * 2,
        [{"index": n, "embedding": [0.5, 0.5]} for n in (1, 2)],
        [{"index": n, "embedding": [0.5] * 3} for n in range(2)],
        [{"index": n, "embedding": [0.5] * (2 + n)} for n in range(2)],
        [{"index": n, "embedding": [0.5, 1e39]} for n in range(2)],
    ],
)
def test_vectors_that_were_not_requested(monkeypatch: pytest.MonkeyPatch, data: Any) -> None:
    client, _ = answering(httpx.Response(200, json={"data": data}))
    monkeypatch.setattr(service_client, "http_client", lambda *_: client)
    request = EmbeddingRequest("http://h", EmbeddingConfig("tiny", 2), has_role=False)
    with pytest.raises(ServiceRefused, match=r"did not return the vectors that were requested: \d of 2"):
        service_client.embed(request, ["w1", "w2"])


def test_reasons_for_texts_that_were_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = {"index": 2, "cause": "c", "value": None, "next_step": "n"}
    client, _ = answering(httpx.Response(200, json={"failed": [failure]}))
    monkeypatch.setattr(service_client, "http_client", lambda *_: client)
    with pytest.raises(ServiceRefused, match="did not return the reasons that were requested: 0 of 1"):
        service_client.find_unreadable(EmbeddingRequest("http://h", EmbeddingConfig("tiny", 2)), ["a", "b"])


class Dripping(Stranger):
    """A web server whose response does not end."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b" ")
                threading.Event().wait(0.01)


@pytest.mark.parametrize(
    ("seconds", "max_bytes", "message"),
    [(0.3, 1 << 30, r"did not end within 0\.3 s"), (600.0, 10, "has more than 0 MiB")],
)
def test_a_response_without_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, seconds: float, max_bytes: int, message: str
) -> None:
    monkeypatch.setattr(service_client, "_INFO_SECONDS", seconds)
    monkeypatch.setattr(asking, "_MAX_RESPONSE_BYTES", max_bytes)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(ServiceUnreachable, match=message):
        fetch_info(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


class Compressing(Stranger):
    """A web server whose response is compressed, whatever a client accepts."""

    def do_GET(self) -> None:
        assert self.headers["accept-encoding"] == "identity"
        body = gzip.compress(b" " * 100_000)
        self.send_response(200)
        self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_compressed_response_is_refused() -> None:
    """A small one may have any size in memory."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Compressing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(ServiceUnreachable, match="the response is compressed, which was not requested"):
        fetch_info(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


class Trickling(http.server.BaseHTTPRequestHandler):
    """A web server whose response comes byte by byte."""

    paused = b""
    """From where on."""

    def do_GET(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n" + b" " * 198 + b"{}"
        whole, slow = answer.split(self.paused, 1)
        with suppress(OSError):  # the client goes
            self.wfile.write(whole)
            for byte in self.paused + slow:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("paused", "verb"), [(b"HTTP/1.1", "begin"), (b"content-length", "begin"), (b"     ", "end")]
)
def test_a_response_that_comes_byte_by_byte_is_given_up(paused: bytes, verb: str) -> None:
    """Each byte comes in time, the whole does not."""
    handler = type("Handler", (Trickling,), {"paused": paused})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    message = f"did not {verb} within 1 s"
    with asking.http_client(address, None, 1) as client, pytest.raises(httpx.ReadTimeout, match=message):
        client.get("/")
    server.shutdown()
    server.server_close()


def test_each_request_has_the_time_anew(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with asking.http_client(service, None, 60) as client:
        assert client.get("/info").is_success
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
        monkeypatch.setattr(read_deadline, "time", later)
        assert client.get("/info").is_success


def test_nobody_answers() -> None:
    with bind("127.0.0.1", 0) as listener:
        gone = listening_url(listener)
    with pytest.raises(ServiceUnreachable, match=r"no service answers at http"):
        embed_bits(EmbeddingRequest(gone, EmbeddingConfig("tiny", 8)), ["w1"])
    with pytest.raises(ServiceUnreachable, match=r"no service answers at http.*Start it: nestvec"):
        fetch_info(gone)


def test_somebody_else_answers(stranger: str) -> None:
    with pytest.raises(ServiceRefused, match=r"is not a nestvec service.*Correct the address"):
        fetch_info(stranger)


@pytest.mark.parametrize(
    ("service", "loopback"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://127.9.9.9", True),
        ("http://10.0.0.1:8080", False),
        ("http://embeddings:8080", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_loopback(service: str, loopback: bool) -> None:
    assert is_loopback(service) is loopback


def test_an_address_in_capital_letters_has_the_certificates_that_the_machine_trusts() -> None:
    addresses = ("HTTPS://host", "http://host", "http://other")
    clients = [asking.http_client(address, None, 1) for address in addresses]
    contexts = [client._transport._pool._ssl_context for client in clients]  # type: ignore[attr-defined]
    for client in clients:
        client.close()
    assert contexts[0] is not contexts[1]
    assert contexts[1] is contexts[2]
