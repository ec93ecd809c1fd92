"""Performance of the service, compared in one run; medians of rounds, as a table, JSON and a plot.

Texts are the standard library's docstrings; every text is unique, so that no cache helps.

    python benchmarks/serve.py --models models [--encoder minilm] [--rounds 5] [--json FILE] [--plot FILE]
        [--engine openvino [--precision bf16]] [--triton HOST:PORT] [--infinity PROGRAM --checkpoint FOLDER]
        [--soak TEXTS]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from parts import BareClient, Client, EngineChoice, Loop, infinity, rate, service, tei
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.docstrings import sample_texts

SHAPES = ((32, 8), (1, 64))
"""Texts per request, requests in flight."""
INSERTED = 2000
WARM = 60_000
FIELDS = (32, 64, 128, 384)
AT_ONCE = "loop, several at once"
"""Batches, where the engine runs several."""
WARM_ROUNDS = 3
"""OpenVINO compiles kernels for each new shape of a batch. The loop's batches have the same shapes in every
round; those of the service depend on what arrives together, and it meets most of them within a few rounds."""
COMPILED_SECONDS = 5
"""In which OpenVINO compiles what it runs under load."""

Figures = dict[str, list[float]]


def marked(texts: Sequence[str], mark: str) -> list[str]:
    return [f"{text} {mark}" for text in texts]


def throughput(options: argparse.Namespace, texts: Sequence[str]) -> Figures:
    """Texts per second of the loop, the service, the Triton engine and Infinity, in turns."""
    choice = EngineChoice(options.engine, options.precision)
    loop = Loop(options.models / options.encoder, choice)
    with ExitStack() as stack:
        port, _ = stack.enter_context(service(options.models, options.encoder, *choice.arguments))
        contenders: dict[str, Callable[[list[str]], object]] = {"loop": loop}
        if options.engine == "openvino":
            contenders[AT_ONCE] = Loop(options.models / options.encoder, choice, at_once=True)
        own = tei(port, options.encoder)
        for size, flight in SHAPES:
            contenders[f"{size} x {flight}"] = lambda batch, size=size, flight=flight: own(
                batch, size, flight
            )
        if options.triton:
            more = ("--engine", "triton", "--triton-url", options.triton)
            other, _ = stack.enter_context(service(options.models, options.encoder, *more))
            triton = tei(other, options.encoder)
            contenders["Triton, 32 x 8"] = lambda batch: triton(batch, 32, 8)
        if options.infinity:
            dtype = options.infinity_dtype
            port = stack.enter_context(infinity(options.infinity, options.checkpoint, dtype))
            peer = Client(port, "/embeddings", lambda texts: {"model": "m", "input": list(texts)})
            contenders["Infinity, 32 x 8"] = lambda batch: peer(batch, 32, 8)
        for number in range(WARM_ROUNDS):
            for name, work in contenders.items():
                work(marked(texts, f"warm {number} {name}"))
        time.sleep(COMPILED_SECONDS)
        rates: Figures = {name: [] for name in contenders}
        for number in range(options.rounds):
            for name, work in contenders.items():
                fresh = marked(texts, f"{number} {name}")
                rates[name].append(rate(fresh, lambda work=work, fresh=fresh: work(fresh)))
    return rates


def overhead(options: argparse.Namespace) -> Figures:
    """Milliseconds of a single short query over HTTP, of the same on the engine, and the difference.

    The client's own time is in it. That of Python's http.client is some 0.25 ms more than that of a bare
    socket, which a client in Go or C comes near to: both are measured.

    ``engine alone`` is a session of ONNX Runtime by its defaults, whose threads spin after a run; ``as
    served``, one with the service's options.

    In blocks, not in turn: threads that spin would slow the others.
    """
    choice = EngineChoice(options.engine, options.precision)
    folder = options.models / options.encoder
    loop, served = Loop(folder, choice), Loop(folder, choice, as_served=True)
    texts = [f"how do I read rows from file number {number}" for number in range(100)]
    figures: Figures = {}
    with service(options.models, options.encoder, *choice.arguments) as (port, _):
        client, bare = tei(port, options.encoder), BareClient(port, options.encoder)
        client.post(["warm"])
        for number in range(options.rounds):
            over_http = median_ms(marked(texts, str(number)), lambda text: client.post([text]))
            time.sleep(0.2)
            by_socket = median_ms(marked(texts, str(options.rounds + number)), lambda text: bare.post([text]))
            time.sleep(0.2)
            alone = median_ms(marked(texts, str(number)), lambda text: loop.run([loop.ids(text)]))
            time.sleep(0.2)
            alike = median_ms(marked(texts, str(number)), lambda text: served.run([served.ids(text)]))
            time.sleep(0.2)
            measured = {
                "query over HTTP, ms": over_http,
                "engine alone, ms": alone,
                "engine alone as served, ms": alike,
                "overhead, ms": over_http - alone,
                "overhead by a bare socket, ms": by_socket - alone,
                "overhead as served, ms": over_http - alike,
                "overhead as served, by a bare socket, ms": by_socket - alike,
            }
            for name, figure in measured.items():
                figures.setdefault(name, []).append(figure)
        bare.close()
    return figures


def median_ms(texts: Sequence[str], work: Callable[[str], object]) -> float:
    seconds = []
    for text in texts:
        started = time.perf_counter()
        work(text)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


def nested(options: argparse.Namespace, texts: Sequence[str]) -> Figures:
    """Seconds to insert 2,000 rows with one nested field and with four, and encoder passes per text."""
    repeated = (list(texts) * (INSERTED // len(texts) + 1))[:INSERTED]
    figures: Figures = {"insert, 1 field, s": [], "insert, 4 fields, s": [], "passes a text": []}
    with service(options.models, options.encoder) as (port, _), tempfile.TemporaryDirectory() as folder:
        address = f"http://127.0.0.1:{port}"
        for number in range(options.rounds):
            for dims in (FIELDS[:1], FIELDS):
                rows = [f"{text} {number} {len(dims)} {row}" for row, text in enumerate(repeated)]
                before = passes(address)
                seconds = insert(
                    Path(folder) / f"{number}-{len(dims)}.db", address, options.encoder, dims, rows
                )
                figures[f"insert, {len(dims)} field{'s' * (len(dims) > 1)}, s"].append(seconds)
                if len(dims) > 1:
                    figures["passes a text"].append((passes(address) - before) / len(set(rows)))
    return figures


def insert(path: Path, address: str, encoder: str, dims: Sequence[int], texts: Sequence[str]) -> float:
    with open_milvus(str(path)) as client:
        collection(client, address, encoder, dims)
        rows = [{"id": number, "doc": text} for number, text in enumerate(texts)]
        started = time.perf_counter()
        client.insert("rows", rows)
        return time.perf_counter() - started


def collection(client: MilvusClient, address: str, encoder: str, dims: Sequence[int]) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("doc", DataType.VARCHAR, max_length=65535)
    nestvec.add_embedding(schema, "doc", encoder=encoder, dims=dims, service=address, client=client)
    client.create_collection("rows", schema=schema, index_params=nestvec.index_params(schema))


def passes(address: str) -> float:
    """Texts that the engine has run, from the service's metrics."""
    text = httpx.get(f"{address}/metrics").text
    return sum(float(value) for value in re.findall(r"^te_embed_success\{.*\} (\S+)$", text, re.M))


def soak(options: argparse.Namespace) -> Figures:
    """Resident memory in MB after a warm-up and after ``--soak`` short texts, all different."""
    with service(options.models, options.encoder) as (port, process):
        client = tei(port, options.encoder)
        # Enough to fill the service's cache.
        client([f"warm {number}" for number in range(WARM)], 32, 8)
        warm = resident(process)
        for start in range(0, options.soak, 20_000):
            client([f"soak {number}" for number in range(start, start + 20_000)], 32, 8)
        return {"warm, MB": [warm], f"after {options.soak:,} texts, MB": [resident(process)]}


def resident(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB", status, re.M)
    return int(kilobytes) / 1024


def ratios(figures: Figures) -> dict[str, float]:
    """Each contender over the loop, Triton over our own engine, four fields over one: medians of rounds."""

    def ratio(of: str, to: str) -> float:
        return round(statistics.median(a / b for a, b in zip(figures[of], figures[to], strict=True)), 3)

    loops = [name for name in ("loop", AT_ONCE) if name in figures]
    shapes = [name for name in ("32 x 8", "1 x 64") if name in figures]
    by_name = {f"{name} ÷ {loop}": ratio(name, loop) for loop in loops for name in shapes}
    if AT_ONCE in figures:
        by_name[f"{AT_ONCE} ÷ loop"] = ratio(AT_ONCE, "loop")
    if "Triton, 32 x 8" in figures:
        by_name["Triton ÷ embedded engine"] = ratio("Triton, 32 x 8", "32 x 8")
    if "Infinity, 32 x 8" in figures:
        by_name["service ÷ Infinity"] = ratio("32 x 8", "Infinity, 32 x 8")
    if "insert, 4 fields, s" in figures:
        by_name["insert with 4 fields ÷ with 1"] = ratio("insert, 4 fields, s", "insert, 1 field, s")
    return by_name


def plot(ratios_by_name: dict[str, float], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(ratios_by_name) + 1.2))
    names = list(ratios_by_name)[::-1]
    bars = axes.barh(names, [ratios_by_name[name] for name in names], color="#2f7d43")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1, color="#888", linewidth=1)
    axes.set_xlabel("ratio, median of rounds")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--texts", type=int, default=800)
    parser.add_argument("--engine", choices=["onnx", "openvino"], default="onnx")
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--triton", help="HOST:PORT of a Triton that serves the same repository")
    parser.add_argument("--infinity", type=Path, help="infinity_emb, installed in its own environment")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint of the encoder, for Infinity")
    parser.add_argument("--infinity-dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--soak", type=int, default=0, help="texts of the memory soak; 0 for none")
    parser.add_argument("--only", choices=["throughput", "overhead", "nested", "soak"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    texts = sample_texts(options.texts)
    parts: dict[str, Callable[[], Figures]] = {
        "throughput": lambda: throughput(options, texts),
        "overhead": lambda: overhead(options),
        "nested": lambda: nested(options, texts),
        "soak": lambda: soak(options) if options.soak else {},
    }
    figures: Figures = {}
    for name, part in parts.items():
        if options.only in (None, name):
            figures |= part()
    ratios_by_name = ratios(figures) if "loop" in figures or "insert, 4 fields, s" in figures else {}
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "encoder": options.encoder,
        "engine": options.engine,
        "precision": read_manifest(options.models / options.encoder).precision,
        "texts": len(texts),
        "rounds": options.rounds,
        "medians": {name: round(statistics.median(of), 3) for name, of in figures.items() if of},
        "ratios": ratios_by_name,
        "all": {name: [round(one, 3) for one in of] for name, of in figures.items() if len(of) <= 20},
    }
    for name, value in {**result["medians"], **ratios_by_name}.items():
        print(f"{name:>32}: {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if options.plot and ratios_by_name:
        plot(ratios_by_name, options.plot)


if __name__ == "__main__":
    main()
