"""A polite client's latency, and the service's memory and stalls, while another client attacks.

The polite client sends one short query after another from another address of this machine. For each attack:
its p99 latency, the longest that ``/livez`` took, and the service's peak memory. The limits are twice the
quiet p99 plus one batch of the engine (a full one timed before, or if that is longer the mean of those under
attack), and three times the attack's body plus 200 MB over the memory before.

    python benchmarks/hostile.py --models models [--encoder minilm] [--images NAME] [--seconds 10]
        [--attack TEXT ...] [--json FILE]

With --attack, the other attacks of the file keep their figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from attacks import ATTACKS, BODY_BYTES, IMAGE_ATTACKS
from parts import service

POLITE = "127.0.0.2"
"""The polite client's address; the attacks come from 127.0.0.1."""
PAUSE = 0.02


class Polite:
    """A client of one address that sends a query, waits for the answer, pauses, and sends the next."""

    def __init__(self, port: int, encoder: str) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._path = f"/embed?encoder={encoder}"
        self._count = 0

    def latencies(self, seconds: float) -> tuple[list[float], list[float], list[str]]:
        """Milliseconds of queries and of ``/livez``, and the refusals."""
        queries, pings, refusals = list[float](), list[float](), list[str]()
        end = time.monotonic() + seconds
        ping = threading.Thread(target=self._ping, args=(end, pings))
        ping.start()
        with self._client() as client:
            while time.monotonic() < end:
                self._count += 1
                text = f"how do I read rows from file number {self._count}"
                started = time.perf_counter()
                try:
                    answer = client.post(self._path, json={"inputs": text})
                    status = "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:90]}"
                except httpx.HTTPError as error:
                    status = type(error).__name__
                queries.append((time.perf_counter() - started) * 1000)
                if status:
                    refusals.append(status)
                time.sleep(PAUSE)
        ping.join()
        return queries, pings, refusals

    def _ping(self, end: float, pings: list[float]) -> None:
        with self._client() as client:
            while time.monotonic() < end:
                started = time.perf_counter()
                with suppress(httpx.HTTPError):
                    client.get("/livez")
                pings.append((time.perf_counter() - started) * 1000)
                time.sleep(PAUSE)

    def full_batch(self) -> float:
        """Milliseconds of a batch of 64 texts of 64 tokens in the engine, the median of three."""
        times = []
        with self._client() as client:
            for number in range(3):
                texts = [f"{number} {place} " + "heat " * 58 for place in range(64)]
                answer = client.post(self._path, json={"inputs": texts})
                times.append(float(answer.headers["x-inference-time"]))
        return statistics.median(times)

    def engine_time(self) -> tuple[float, float]:
        """Seconds that batches have taken in the engine, and their number."""
        with self._client() as client:
            text = client.get("/metrics").text
        name = "te_request_inference_duration"
        sums, counts = (
            re.findall(rf"^{name}_{kind}\{{.*\}} (\S+)$", text, re.M) for kind in ("sum", "count")
        )
        return sum(map(float, sums)), sum(map(float, counts))

    def _client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=POLITE)
        return httpx.Client(base_url=self._url, transport=transport, timeout=120)


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def memory(process: int, field: str) -> float:
    """A field of /proc/PID/status in MB."""
    (kilobytes,) = re.findall(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.M)
    return int(kilobytes) / 1024


def measure(name: str, port: int, process: int, options: argparse.Namespace) -> dict[str, Any]:
    """One attack's figures, with the quiet ones before it."""
    polite = Polite(port, options.encoder)
    polite.latencies(2)  # the first queries wait for what a service measures and loads as it starts
    quiet, _, _ = polite.latencies(options.seconds / 2)
    batch = polite.full_batch()
    seconds_before, batches_before = polite.engine_time()
    Path(f"/proc/{process}/clear_refs").write_text("5")
    before = memory(process, "VmRSS")
    encoder = options.images if name in IMAGE_ATTACKS else options.encoder
    command = [sys.executable, str(Path(__file__).with_name("attacks.py")), name, str(port), encoder]
    with subprocess.Popen([*command, str(options.seconds)], stdout=subprocess.PIPE, text=True) as attack:
        time.sleep(1)
        attacked, pings, refusals = polite.latencies(options.seconds - 1)
        answer, _ = attack.communicate(timeout=300)
    peak = memory(process, "VmHWM") - before
    seconds, batches = polite.engine_time()
    attacked_batch = 1000 * (seconds - seconds_before) / max(1, batches - batches_before)
    batch = max(batch, attacked_batch)
    after, _, late = polite.latencies(2)
    bound, room = 2 * p99(quiet) + batch, 3 * BODY_BYTES.get(name, 31) + 200
    return {
        "attack": name,
        "quiet p99, ms": round(p99(quiet), 1),
        "batch, ms": round(batch, 1),
        "p99, ms": round(p99(attacked), 1),
        "bound, ms": round(bound, 1),
        "longest /livez, ms": round(max(pings), 1),
        "refused": len(refusals),
        "queries": len(attacked),
        "peak, MB": round(peak),
        "allowed, MB": room,
        "p99 after, ms": round(p99(after), 1),
        "answer": answer.splitlines()[0] if answer.strip() else "",
        "refusal": (refusals + late)[:1],
        "holds": p99(attacked) <= bound and not refusals and peak <= room,
    }


def with_rows(result: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A result with newer rows; of attacks that it has, in their place, else before those with images."""
    newer = {row["attack"]: {**row, "date": date.today().isoformat()} for row in rows}
    present = [newer.pop(row["attack"], row) for row in result["attacks"]]
    place = next((at for at, row in enumerate(present) if row["attack"] in IMAGE_ATTACKS), len(present))
    return {**result, "attacks": [*present[:place], *newer.values(), *present[place:]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--images", default="", help="encoder of images in the same repository")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each attack")
    parser.add_argument(
        "--attack", action="append", default=[], help="only attacks whose name contains this; repeatable"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = [*ATTACKS, *(IMAGE_ATTACKS if options.images else ())]
    rows = []
    for name in names:
        if options.attack and not any(text in name for text in options.attack):
            continue
        more = ("--encoder", options.images) if options.images else ()
        with service(options.models, options.encoder, *more) as (port, process):
            row = measure(name, port, process, options)
        rows.append(row)
        print("  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
    if options.json:
        result: dict[str, Any] = {"date": date.today().isoformat(), "cores": os.cpu_count(), "attacks": rows}
        if options.attack and options.json.exists():
            result = with_rows(json.loads(options.json.read_text()), rows)
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
