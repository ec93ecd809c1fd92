"""A service that hostile clients work against: what it holds in memory, and whom it keeps waiting."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from benchmarks.attacks import ATTACKS, BODY_BYTES
from integration_tests.test_operations import Running, metric, running

POLITE = "127.0.0.2"
ROOM_MB = 200


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Running]:
    with running(models, "--encoder", "minilm") as process:
        httpx.post(f"{process.service}/embed", json={"inputs": "warm"}, timeout=240).raise_for_status()
        yield process


def megabytes(process: Running, field: str) -> float:
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    (kilobytes,) = re.findall(rf"^{field}:\s+(\d+) kB", status, re.M)
    return int(kilobytes) / 1024


def polite_client() -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(local_address=POLITE), timeout=240)


def port_of(process: Running) -> int:
    port = urlsplit(process.service).port
    assert port is not None
    return port


@pytest.mark.parametrize("name", BODY_BYTES)
def test_a_hostile_body_costs_little_memory(name: str, served: Running) -> None:
    Path(f"/proc/{served.process.pid}/clear_refs").write_text("5")
    before = megabytes(served, "VmRSS")
    answers = asyncio.run(ATTACKS[name](port_of(served), "minilm", 0.01))
    peak = megabytes(served, "VmHWM") - before
    assert all(answer.startswith(b"HTTP/1.1 4") for answer in answers), answers
    assert peak <= 3 * BODY_BYTES[name] + ROOM_MB
    answer = httpx.post(f"{served.service}/embed", json={"inputs": f"after {name}"}, timeout=240)
    assert answer.status_code == 200


@pytest.mark.parametrize("size", [1, 64])
def test_a_polite_client_does_not_wait_behind_a_flood(size: int, served: Running) -> None:
    texts = [
        [f"flood {size} {number} {place} " + "heat " * 100 for place in range(size)]
        for number in range(128 // size)
    ]

    # One client for all: as many take longer to be made than their texts to be embedded.
    hostile = httpx.Client(timeout=600)

    def flood(inputs: list[str]) -> int:
        return hostile.post(f"{served.service}/embed", json={"inputs": inputs}).status_code

    def waiting() -> int:
        return metric(served.service, "te_queue_size")

    with hostile, ThreadPoolExecutor(64) as pool, polite_client() as polite:
        flooding = [pool.submit(flood, inputs) for inputs in texts]
        while not waiting():
            assert not all(answer.done() for answer in flooding)
        for number in range(2):
            answer = polite.post(f"{served.service}/embed", json={"inputs": f"polite {size} {number}"})
            assert answer.status_code == 200
            assert not all(answer.done() for answer in flooding), "the flood was answered first"
        assert {answer.result() for answer in flooding} == {200}


def test_a_request_larger_than_the_queue_is_refused_alone(served: Running) -> None:
    long = {"inputs": [f"{number} " + "heat " * 170_000 for number in range(8)]}

    def oversized() -> int:
        path = "/embed?encoder=minilm&overlong=mean"
        return httpx.post(f"{served.service}{path}", json=long, timeout=600).status_code

    with ThreadPoolExecutor(4) as pool, polite_client() as polite:
        attacks = [pool.submit(oversized) for _ in range(8)]
        number = 0
        while number < 3 or not all(attack.done() for attack in attacks):
            number += 1
            answer = polite.post(f"{served.service}/embed", json={"inputs": f"beside {number}"})
            assert answer.status_code == 200
        assert {attack.result() for attack in attacks} <= {413, 422, 429}
