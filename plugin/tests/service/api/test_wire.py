"""Requests as each Milvus writes them, byte for byte, on a plain socket (contracts: Milvus's wire)."""

from __future__ import annotations

import json
import math
import socket
from urllib.parse import urlsplit

import pytest

GO = (
    "POST /embed?{query} HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: {length}\r\n"
    "Content-Type: application/json\r\n"
    "{extra}"
    "Accept-Encoding: gzip\r\n"
    "\r\n"
)

LITE = (
    "POST /v1/embeddings HTTP/1.1\r\n"
    "Accept-Encoding: identity\r\n"
    "Content-Length: {length}\r\n"
    "Host: {host}\r\n"
    "User-Agent: Python-urllib/3.11\r\n"
    "Content-Type: application/json\r\n"
    "Authorization: Bearer unused\r\n"
    "Connection: close\r\n"
    "\r\n"
)


def exchange(service: str, head: str, body: bytes, **fields: str) -> tuple[int, bytes]:
    host = urlsplit(service).netloc
    request = head.format(host=host, length=len(body), **fields).encode() + body
    with socket.create_connection((urlsplit(service).hostname, urlsplit(service).port), 10) as connection:
        connection.sendall(request)
        answer = connection.makefile("rb")
        status = int(answer.readline().split()[1])
        length = 0
        while (line := answer.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, answer.read(length)


def float32_rows(data: bytes) -> list[list[float]]:
    rows = json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} on the wire"))
    assert all(isinstance(x, float) and math.isfinite(x) and abs(x) <= 1 for row in rows for x in row)
    return rows  # type: ignore[no-any-return]


@pytest.mark.parametrize("extra", ["", "Authorization: Bearer some-key\r\n"])
def test_tei_insert(service: str, extra: str) -> None:
    """The path is overwritten with /embed, the query string survives; ``truncate`` is absent when false."""
    body = b'{"inputs":["w1 w2","w3"]}'
    status, data = exchange(service, GO, body, query="encoder=tiny&dim=8", extra=extra)
    assert status == 200
    assert [len(row) for row in float32_rows(data)] == [8, 8]


def test_tei_with_truncation_and_prompt(service: str) -> None:
    """``truncate`` true with its direction; the prompt is already in the text."""
    body = b'{"inputs":["w1 w2 w3 w4 w5 w6 w7 w8 w9"],"truncate":true,"truncation_direction":"Left"}'
    status, data = exchange(service, GO, body, query="encoder=tiny&dim=4", extra="")
    assert status == 200
    assert [len(row) for row in float32_rows(data)] == [4]


def test_tei_at_creation(service: str) -> None:
    """Milvus embeds ["check"] and compares the dim with the field's."""
    status, data = exchange(service, GO, b'{"inputs":["check"]}', query="encoder=tiny&dim=16", extra="")
    assert status == 200
    assert [len(row) for row in float32_rows(data)] == [16]


def test_tei_chunk_as_registered(service: str) -> None:
    """As many texts as ``max_client_batch_size`` in the function's params."""
    body = json.dumps({"inputs": [f"w{n}" for n in range(1024)]}, separators=(",", ":")).encode()
    status, data = exchange(service, GO, body, query="encoder=tiny&dim=4", extra="")
    assert status == 200
    assert len(float32_rows(data)) == 1024


def test_tei_error_reads_well(service: str) -> None:
    """Anything but 200 is a failure, and its body is what the user of Milvus sees."""
    status, data = exchange(service, GO, b'{"inputs":["w1"]}', query="encoder=gone&dim=4", extra="")
    assert status == 404
    assert json.loads(data)["error"] == "the service has no encoder of this name: gone. Available: tiny."


@pytest.mark.parametrize("dimensions", [b"4", b'"4"'])
def test_lite_insert(service: str, dimensions: bytes) -> None:
    """json.dumps' spaces; ``dimensions`` a number at first, a string once the database was reopened."""
    body = b'{"input": ["w1 w2", "w3", "w1 w2"], "model": "tiny", "dimensions": ' + dimensions + b"}"
    status, data = exchange(service, LITE, body)
    assert status == 200
    answer = json.loads(data)["data"]
    assert [one["index"] for one in answer] == [0, 1, 2]
    assert [len(one["embedding"]) for one in answer] == [4, 4, 4]
    assert answer[0]["embedding"] == answer[2]["embedding"]


def test_lite_largest_insert(service: str) -> None:
    body = json.dumps({"input": [f"w{n}" for n in range(2048)], "model": "tiny", "dimensions": 4}).encode()
    status, data = exchange(service, LITE, body)
    assert status == 200
    assert len(json.loads(data)["data"]) == 2048


def test_lite_error_reads_well(service: str) -> None:
    status, data = exchange(service, LITE, b'{"input": ["w1"], "model": "tiny", "dimensions": 99}')
    assert status == 400
    assert "Choose from 1 to 16 dims" in json.loads(data)["error"]["message"]


def test_openai_as_go_milvus_writes_it(service: str) -> None:
    head = GO.replace("/embed?{query}", "/v1/embeddings?{query}")
    body = b'{"model":"text-embedding-3-small","input":["w1"],"encoding_format":"float","dimensions":8}'
    status, data = exchange(service, head, body, query="encoder=tiny", extra="Authorization: Bearer k\r\n")
    assert status == 200
    assert [len(one["embedding"]) for one in json.loads(data)["data"]] == [8]
