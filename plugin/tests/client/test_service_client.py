from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec.client import http as asking
from nestvec.client import service_client
from nestvec.client.http import Coding, is_loopback
from nestvec.client.service_client import ask_bits, ask_info, ask_vectors
from nestvec.service.server import address, bind
from nestvec_schemas.errors import EncoderNotFound, ServiceRefused, ServiceUnreachable


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
    info = ask_info(service)
    assert info.encoder("tiny", service).dims == (16, 8, 4)
    assert info.encoder("tiny", service).prompts == {"query": "w1 ", "document": ""}
    with pytest.raises(EncoderNotFound, match=r"no encoder of this name: tinny\. There: tiny\. Did you mean"):
        info.encoder("tinny", service)


@pytest.mark.parametrize(("model", "exit"), [("tiny", 4), ("tiny@2", 2)])
def test_bits_are_the_signs_of_the_vectors(
    service: str, monkeypatch: pytest.MonkeyPatch, model: str, exit: int
) -> None:
    monkeypatch.setattr(service_client, "CHUNK", 2)
    texts = ["w1", "w2 w3", "w4"]
    floats = httpx.post(f"{service}/embed?exit={exit}&dim=8", json={"inputs": texts}).json()
    signs = np.packbits(np.array(floats) > 0, axis=1)
    assert ask_bits(Coding(service, model, 8), texts) == [bytes(row) for row in signs]
    assert ask_bits(Coding(service, model, 8), []) == []
    (query,) = ask_bits(Coding(service, model, 8), ["w9"], query=True)
    assert [query] == ask_bits(Coding(service, model, 8), ["w1 w9"])


def test_vectors_are_the_services(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_client, "CHUNK", 2)
    texts = ["w1", "w2 w3", "w4"]
    floats = httpx.post(f"{service}/embed?exit=2&dim=8", json={"inputs": texts}).json()
    found = ask_vectors(Coding(service, "tiny@2", 8), texts)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.asarray(floats, np.float32))
    assert ask_vectors(Coding(service, "tiny", 8), []).shape == (0, 8)
    query = ask_vectors(Coding(service, "tiny", 8), ["w9"], query=True)
    np.testing.assert_array_equal(query, ask_vectors(Coding(service, "tiny", 8), ["w1 w9"]))
    with pytest.raises(ServiceRefused, match="no exit after this layer"):
        ask_vectors(Coding(service, "tiny@3", 8), texts)


@pytest.mark.parametrize(
    ("model", "texts", "said"),
    [
        ("tinny", ["w1"], r"refused to embed 1 texts with tinny: .*Did you mean 'tiny'"),
        ("tiny@3", ["w1"], r"no exit after this layer: 3"),
        ("tiny", ["w1", ""], r"a text is empty"),
    ],
)
def test_bits_that_the_service_refuses(service: str, model: str, texts: list[str], said: str) -> None:
    with pytest.raises(ServiceRefused, match=said):
        ask_bits(Coding(service, model, 8), texts)


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
    assert ask_bits(Coding("http://h", "tiny", 8), ["w1"]) == [b"\x07"]
    assert (waits, len(count)) == ([7, 1], 3)
    asked, count = answering(*[httpx.Response(503)] * 4)
    with pytest.raises(ServiceRefused, match="status 503"):
        ask_bits(Coding("http://h", "tiny", 8), ["w1"])
    assert len(count) == 4


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"embeddings": {"ubinary": []}}, "other codes than it was asked for: 0 for 1 texts"),
        ({"embeddings": {"ubinary": [[1, 2]]}}, "other codes"),
        ({"embeddings": {"ubinary": [[256]]}}, "is not a nestvec service"),
        ({"embeddings": {"float": [[0.1]]}}, "other codes"),
        ({"embeddings": {"float": [["x"]]}}, "is not a nestvec service"),
    ],
)
def test_codes_that_were_not_asked_for(monkeypatch: pytest.MonkeyPatch, body: Any, said: str) -> None:
    asked, _ = answering(httpx.Response(200, json=body))
    monkeypatch.setattr(service_client, "http_client", lambda *_: asked)
    with pytest.raises(ServiceRefused, match=said):
        ask_bits(Coding("http://h", "tiny", 8), ["w1"])


def test_nobody_answers() -> None:
    with bind("127.0.0.1", 0) as listener:
        gone = address(listener)
    with pytest.raises(ServiceUnreachable, match=r"no service answers at http"):
        ask_bits(Coding(gone, "tiny", 8), ["w1"])
    with pytest.raises(ServiceUnreachable, match=r"no service answers at http.*Start it: nestvec"):
        ask_info(gone)


def test_somebody_else_answers(stranger: str) -> None:
    with pytest.raises(ServiceRefused, match=r"is not a nestvec service.*Correct the address"):
        ask_info(stranger)


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
