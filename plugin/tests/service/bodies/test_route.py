"""Bodies as they arrive at a running service."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.bodies.memory import UNCOUNTED_BYTES, BodyMemory
from nestvec.service.bodies.route import INLINE_BYTES
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import BodyLimits, LoadLimits, ServiceSettings

JSON = {"content-type": "application/json"}
MIB = 1 << 20


def post(service: str, content: Any, path: str = "/embed", **headers: str) -> httpx.Response:
    return httpx.post(f"{service}{path}", content=content, headers=JSON | headers, timeout=60)


def test_a_large_body_is_read_as_a_small_one(service: str) -> None:
    texts = [f"w{n}" for n in range(300)]
    small = post(service, json.dumps({"inputs": texts}))
    large = post(service, json.dumps({"inputs": texts}) + " " * INLINE_BYTES)
    assert small.status_code == 200
    assert small.json() == large.json()


def test_parts_are_put_together(service: str) -> None:
    body = json.dumps({"inputs": ["w1 é", "w2"]}, ensure_ascii=False).encode()
    parts = (body[n : n + 1] for n in range(len(body)))
    assert post(service, parts).json() == post(service, body).json()


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/embed", "/rerank", "/tokenize", "/check"])
def test_compressed_and_other_bodies_are_refused(service: str, path: str) -> None:
    body = gzip.compress(b'{"inputs":"w1"}')
    answer = post(service, body, path, **{"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert "content-encoding: gzip" in answer.text
    assert post(service, b"{}", path, **{"content-type": "text/plain"}).status_code == 415
    assert post(service, b"", path).status_code == 400


def test_a_boolean_is_no_token_id(service: str) -> None:
    answer = post(service, b'{"inputs":[true]}')
    assert answer.status_code == 422
    assert "body.inputs[0] is invalid: true" in answer.json()["error"]


def test_a_long_name_is_cut(service: str) -> None:
    for body in ({"inputs": "w1", "encoder": "x" * 10_000}, {"inputs": "w1", "prompt_name": "x" * 10_000}):
        answer = post(service, json.dumps(body))
        assert answer.status_code in (404, 422)
        assert len(answer.content) < 1000
    answer = post(service, json.dumps({"inputs": "w1", "x" * MIB: 1}))
    assert len(answer.content) < 1000
    assert len(httpx.get(f"{service}/{'x' * 20_000}").content) < 1000


def test_query_strings_are_strict(service: str) -> None:
    for query, message in (("dims=8", "Did you mean 'dim'?"), ("dim=8&dim=4", "it is there twice")):
        answer = post(service, b'{"inputs":"w1"}', f"/embed?{query}")
        assert answer.status_code == 422
        assert message in answer.json()["error"]


def test_every_body_is_in_the_openapi_document(service: str) -> None:
    document = httpx.get(f"{service}/openapi.json").json()
    schema = document["components"]["schemas"]["EmbedRequest"]
    assert {alternative["type"] for alternative in schema["properties"]["inputs"]["anyOf"]} == {
        "string",
        "array",
    }
    assert schema["required"] == ["inputs"]
    assert schema["properties"]["inputs"]["examples"] == [["heat flow in shock waves"]]
    for path, operations in document["paths"].items():
        if "post" in operations and not path.startswith("/admin"):
            content = operations["post"]["requestBody"]["content"]
            assert "$ref" in content["application/json"]["schema"], path


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> BodyMemory:
    """What counts the bodies of ``small_service``, which hold at most 8 MiB."""
    memory = BodyMemory(8 * MIB)
    monkeypatch.setattr("nestvec.service.app.BodyMemory", {8 * MIB: memory}.__getitem__)
    return memory


@pytest.fixture
def small_service(models_folder: Path, memory: BodyMemory) -> Iterator[str]:
    settings = replace(ServiceSettings(), load=LoadLimits(bodies=BodyLimits(memory_bytes=8 * MIB)))
    embedder = Embedder(open_encoders(models_folder), FakeEngine({"tiny": 16}), settings)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


def test_slow_bodies_do_not_fill_the_memory(small_service: str, memory: BodyMemory) -> None:
    """A client that keeps 3 MiB of an unfinished body there is refused more; its small requests are not."""
    address = urlsplit(small_service)
    with socket.create_connection((address.hostname, address.port), 60) as slow:
        head = b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        slow.sendall(head + b"content-length: %d\r\n\r\n" % (4 * MIB))
        slow.sendall(b'{"inputs":"w1"' + b" " * (3 * MIB + 2 * UNCOUNTED_BYTES))
        # A request that came before its bytes would be answered, and the slow one refused.
        give_up = time.monotonic() + 60
        while memory.total < 3 * MIB:
            assert time.monotonic() < give_up
            time.sleep(0.001)
        answer = post_until(429, small_service, b" " * (2 * MIB) + b'{"inputs":"w1"}')
        assert "the service has no memory for the body" in answer.json()["error"]
        assert answer.headers["retry-after"].isdigit()
        assert post(small_service, b'{"inputs":"w1"}').status_code == 200
    # Its memory is free once the service has noticed that the slow client is gone.
    post_until(200, small_service, b" " * (2 * MIB) + b'{"inputs":"w1"}')


def post_until(status: int, service: str, content: bytes) -> httpx.Response:
    """The first response with this status to the same request; others may come before it."""
    for _ in range(1000):
        answer = post(service, content)
        if answer.status_code == status:
            return answer
    raise AssertionError(answer.text)
