"""Texts a second of the service over HTTP, as a ratio to an in-process ONNX Runtime loop in the same run.

The loop tokenises all texts at once, sorts them by tokens and runs batches of 32. Texts are
the standard library's docstrings; each round appends its number, so that nothing is remembered.

    python benchmarks/serve.py [--models models] [--encoder minilm] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from threading import local

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from nestvec_schemas.docstrings import sample_texts
from nestvec_schemas.repository import GRAPH, TOKENIZER, read_manifest

LOOP_BATCH = 32
SHAPES = ((32, 8), (1, 64))
"""Texts a request, requests in flight."""


class Loop:
    """The in-process loop."""

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.enable_truncation(manifest.towers["text"].max_tokens)
        self._tokenizer.no_padding()
        self._session = onnxruntime.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])

    def __call__(self, texts: Sequence[str]) -> int:
        rows = sorted((one.ids for one in self._tokenizer.encode_batch_fast(list(texts))), key=len)
        for start in range(0, len(rows), LOOP_BATCH):
            batch = rows[start : start + LOOP_BATCH]
            ids = np.zeros((len(batch), len(batch[-1])), np.int64)
            mask = np.zeros_like(ids)
            for line, row in enumerate(batch):
                ids[line, : len(row)] = row
                mask[line, : len(row)] = 1
            self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return sum(map(len, rows))


class Client:
    """Requests on kept connections, one a thread."""

    def __init__(self, port: int, encoder: str) -> None:
        self._port, self._path, self._kept = port, f"/embed?encoder={encoder}", local()

    def post(self, body: bytes) -> None:
        connection: HTTPConnection | None = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = HTTPConnection("127.0.0.1", self._port, timeout=120)
        connection.request("POST", self._path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(data[:300])

    def __call__(self, texts: Sequence[str], size: int, flight: int) -> None:
        bodies = [
            json.dumps({"inputs": texts[start : start + size]}).encode()
            for start in range(0, len(texts), size)
        ]
        with ThreadPoolExecutor(flight) as pool:
            list(pool.map(self.post, bodies))


@contextmanager
def service(models: Path, encoder: str) -> Iterator[int]:
    """``nestvec serve`` in a process of its own, on a free port."""
    program = Path(sys.executable).with_name("nestvec")
    command = [program, "serve", "--models", models, "--encoder", encoder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("Serving at "):
                    yield int(line.split()[2].rpartition(":")[2])
                    break
        finally:
            process.terminate()


def timed(texts: Sequence[str], work: object, *arguments: int) -> float:
    """Texts a second."""
    started = time.perf_counter()
    work(texts, *arguments)  # type: ignore[operator]
    return len(texts) / (time.perf_counter() - started)


def measure(models: Path, encoder: str, count: int, rounds: int) -> dict[str, object]:
    texts = sample_texts(count)
    loop = Loop(models / encoder)
    tokens = loop(texts) / len(texts)
    rates: dict[str, list[float]] = {"loop": []}
    with service(models, encoder) as port:
        client = Client(port, encoder)
        client([f"{text} warm" for text in texts[:200]], 32, 8)
        for number in range(rounds):
            fresh = [f"{text} {number}" for text in texts]
            rates["loop"].append(timed(fresh, loop))
            for size, flight in SHAPES:
                again = [f"{text} {size}" for text in fresh]
                rates.setdefault(f"{size} x {flight}", []).append(timed(again, client, size, flight))
    ratios = {
        name: statistics.median(a / b for a, b in zip(of, rates["loop"], strict=True))
        for name, of in rates.items()
    }
    return {
        "date": date.today().isoformat(),
        "encoder": encoder,
        "precision": read_manifest(models / encoder).precision,
        "texts": len(texts),
        "tokens_a_text": round(tokens, 1),
        "rounds": rounds,
        "texts_a_second": {name: [round(one, 1) for one in of] for name, of in rates.items()},
        "ratio_to_loop": {name: round(one, 3) for name, one in ratios.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    result = measure(chosen.models, chosen.encoder, chosen.texts, chosen.rounds)
    rates, ratios = result["texts_a_second"], result["ratio_to_loop"]
    assert isinstance(rates, dict)
    assert isinstance(ratios, dict)
    print(
        f"{result['encoder']} {result['precision']}: "
        f"{result['texts']} texts of {result['tokens_a_text']} tokens"
    )
    for name, of in rates.items():
        print(f"{name:>8}: median {statistics.median(of):7.1f} texts/s, ratio {ratios[name]:.3f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
