"""Replicas behind nginx: how often a text is embedded for several fields of a collection.

    python benchmarks/hashing.py --models models --json benchmarks/results/hashing.json

Sends what Milvus sends for inserts (its functions run at the same time, each with its chunks one after the
other) and for searches in every field, and counts the texts that the engines of all replicas ran.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from nestvec.service.server import bind
from nestvec_schemas.samples.docstrings import sample_texts

CONFIG = Path(__file__).parents[1] / "deploy" / "nginx" / "nestvec.conf"
DIMS = (384, 256, 128, 64)
CHUNK, ROWS, WRITERS = 32, 160, 3
TRIES, BUDGET_SECONDS = 3, 30.0
BALANCING = {
    "hash of the body": "hash $request_body consistent;",
    "round robin": "",
    "least connections": "least_conn;",
    "hash of the client's address": "hash $remote_addr consistent;",
}


@dataclass
class Counts:
    """What clients saw."""

    requests: int = 0
    failed: int = 0


def free_port() -> int:
    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def replica(models: Path, encoder: str, engine: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    words = ["--models", str(models), "--encoder", encoder, "--engine", engine, "--threads", "1"]
    command = [str(Path(sys.executable).with_name("nestvec")), "serve", *words, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield port, process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def proxy(nginx: str, balancing: str, ports: Sequence[int], folder: Path) -> Iterator[str]:
    """nginx with the configuration that the manual names, by another balancing where that is compared."""
    port, text = free_port(), CONFIG.read_text()
    servers = "".join(f"server 127.0.0.1:{one} max_fails=1 fail_timeout=2s;\n" for one in ports)
    text = text.replace("hash $request_body consistent;", balancing)
    text = re.sub(r"(?:    server nestvec-\d:8080[^\n]*\n)+", servers, text)
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
    )
    process = subprocess.Popen([nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)])
    try:
        wait_for(f"http://127.0.0.1:{port}/livez")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str) -> None:
    for _ in range(1200):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"{address} does not answer.")


async def embed(client: httpx.AsyncClient, texts: Sequence[str], dim: int, counts: Counts) -> None:
    """One chunk, with Milvus's retries: three tries within 30 s, after one second and two."""
    end = time.monotonic() + BUDGET_SECONDS
    for attempt in range(TRIES):
        counts.requests += 1
        with contextlib.suppress(httpx.TransportError):
            left = max(0.1, end - time.monotonic())
            answer = await client.post(f"/embed?dim={dim}", json={"inputs": list(texts)}, timeout=left)
            if answer.status_code == 200 and len(answer.json()) == len(texts):
                return
        await asyncio.sleep(1 + attempt)
    counts.failed += 1


async def insert(client: httpx.AsyncClient, texts: Sequence[str], counts: Counts) -> None:
    """One insert: a function for each field, all at the same time, each chunk after chunk."""

    async def fill(dim: int) -> None:
        for start in range(0, len(texts), CHUNK):
            await embed(client, texts[start : start + CHUNK], dim, counts)

    await asyncio.gather(*(fill(dim) for dim in DIMS))


def queries(texts: Sequence[str]) -> list[str]:
    return [f"which one is {text}" for text in texts[:: max(1, len(texts) // 100)]]


async def traffic(address: str, texts: Sequence[str], counts: Counts) -> None:
    """Inserts by several writers, then a search in every field for some texts."""
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        inserts = iter([texts[start : start + ROWS] for start in range(0, len(texts), ROWS)])

        async def write() -> None:
            for rows in inserts:
                await insert(client, rows, counts)

        await asyncio.gather(*(write() for _ in range(WRITERS)))
        for query in queries(texts):
            await asyncio.gather(*(embed(client, [query], dim, counts) for dim in DIMS))


def embedded(ports: Sequence[int]) -> list[int]:
    """Texts that the engine of each replica ran so far."""
    counts = []
    for port in ports:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        counts.append(
            sum(int(float(value)) for value in re.findall(r"(?m)^te_embed_success\{.*\} (\S+)$", text))
        )
    return counts


def measure(options: argparse.Namespace, name: str, ports: Sequence[int], texts: list[str]) -> dict[str, Any]:
    with (
        TemporaryDirectory() as folder,
        proxy(options.nginx, BALANCING[name], ports, Path(folder)) as address,
    ):
        before, counts = embedded(ports), Counts()
        asyncio.run(traffic(address, texts, counts))
    ran = [after - earlier for after, earlier in zip(embedded(ports), before, strict=True)]
    distinct = len({*texts, *queries(texts)})
    row = {
        "balancing": name,
        "passes_per_text": round(sum(ran) / distinct, 4),
        "share_of_busiest": round(max(ran) / sum(ran), 3),
        "requests": counts.requests,
        "failed": counts.failed,
    }
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--nginx", default="nginx")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--texts", type=int, default=960)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(replica(options.models, options.encoder, options.engine))
            for _ in range(options.replicas)
        ]
        ports = [port for port, _ in started]
        for name in BALANCING:
            # Texts that no replica remembers, short ones: what is counted are passes, not seconds.
            texts = list(dict.fromkeys(f"{name}: {text[:60]}" for text in sample_texts(2 * options.texts)))
            rows.append(measure(options, name, ports, texts[: options.texts]))
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "replicas": options.replicas,
        "fields": len(DIMS),
        "texts": options.texts,
        "nginx": subprocess.run(
            [options.nginx, "-v"], capture_output=True, text=True, check=False
        ).stderr.strip(),
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
