"""What a service on an insert path must survive, on the real service with the fake engine."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from nestvec_schemas.errors import EngineError

TINY = 10_000
CONNECTIONS = 500


def post(service: str, inputs: object) -> httpx.Response:
    return httpx.post(f"{service}/embed", content=json.dumps({"inputs": inputs}), timeout=60, headers=JSON)


def head(length: int) -> bytes:
    lines = ("POST /embed HTTP/1.1", "host: localhost", "content-type: application/json")
    return "\r\n".join((*lines, f"content-length: {length}", "", "")).encode()


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "\u200b",
        "\u200b" * 1000,
        "\x00",
        "\ufeff",
        "\u202e w1",
        "🏳️‍🌈" * 500,
        "\ud83d",
        " ",
        "\n\t",
    ],
    ids=[
        "1 MB of one letter",
        "zero width",
        "much of it",
        "NUL",
        "BOM",
        "bidi",
        "joined",
        "surrogate",
        "space",
        "blank",
    ],
)
def test_strange_text_is_embedded(service: str, text: str) -> None:
    answer = post(service, [text, "w1"])
    assert answer.status_code == 200
    rows = np.array(answer.json())
    assert rows.shape == (2, 16)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("depth", [100, 10_000, 200_000])
def test_deep_json_is_refused(service: str, depth: int) -> None:
    body = b'{"inputs":' + b"[" * depth + b"]" * depth + b"}"
    answer = httpx.post(f"{service}/embed", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "error_type"}


def test_fifty_megabytes_are_refused_and_the_service_goes_on(service: str) -> None:
    answer = httpx.post(f"{service}/embed", content=b" " * 50_000_000, headers=JSON, timeout=60)
    assert answer.status_code == 413
    assert post(service, "w1").status_code == 200


def test_ten_thousand_tiny_requests_at_once_are_all_answered(service: str) -> None:
    """Every one is answered: with its vector, or at once with 429 and when to come back."""
    parts = urlsplit(service)

    async def ask(first: int) -> list[int]:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        statuses = []
        for number in range(first, TINY, CONNECTIONS):
            body = b'{"inputs":"w%d"}' % (number % 1000)
            writer.write(head(len(body)) + body)
            statuses.append(int((await reader.readline()).split()[1]))
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            await reader.readexactly(length)
        writer.close()
        return statuses

    async def main() -> list[int]:
        return [one for of in await asyncio.gather(*map(ask, range(CONNECTIONS))) for one in of]

    statuses = asyncio.run(main())
    assert len(statuses) == TINY
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) > TINY / 2


def test_a_client_that_goes_away_frees_its_place(service: str, served: Any) -> None:
    parts = urlsplit(service)
    served.engine.seconds = 0.2
    body = json.dumps({"inputs": [f"w{n} w{n + 1}" for n in range(600, 900)]}).encode()
    for _ in range(3):
        with socket.create_connection((parts.hostname, parts.port), 10) as connection:
            connection.sendall(head(len(body)) + body)
    served.engine.batches.clear()
    served.engine.seconds = 0.0
    assert post(service, "w950").status_code == 200
    assert sum(texts for _, texts, _ in served.engine.batches) < 300


def test_a_half_written_request_holds_nobody_up(service: str) -> None:
    parts = urlsplit(service)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        assert post(service, "w1").status_code == 200


def test_numbers_that_are_not_finite_never_leave(
    service: str, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(encoder: str, batch: Any) -> Any:
        return np.full((len(batch), 16), np.nan, np.float32)

    monkeypatch.setattr(served.engine, "run", broken)
    answer = post(service, "w555 w555")
    assert answer.status_code == 424
    assert "not finite" in answer.json()["error"]
    monkeypatch.undo()
    assert post(service, "w555 w555").status_code == 200


def test_a_failing_engine_fails_its_batch_and_not_the_next(service: str, served: Any) -> None:
    served.engine.failure = EngineError("the engine is out", next_step="Wait.")
    assert post(service, ["w701 w1", "w702 w1"]).status_code == 424
    served.engine.failure = None
    assert post(service, ["w701 w1", "w702 w1"]).status_code == 200
