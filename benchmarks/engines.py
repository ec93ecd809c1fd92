"""The engines of a CPU on the same graph, in turns: loops, the service, two services at once, cold starts.

Texts are the standard library's docstrings; every text is unique, so that no cache helps.

    python benchmarks/engines.py --models models [--encoder minilm] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from parts import EngineChoice, Loop, rate, service, tei

from nestvec.engines.openvino.opening import cpu_features, openvino_core
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import cosines

ENGINES = {
    "ONNX Runtime fp32": EngineChoice("onnx"),
    "OpenVINO fp32": EngineChoice("openvino", "fp32"),
    "OpenVINO bf16": EngineChoice("openvino", "bf16"),
}
ALONE = 16
PAUSE_SECONDS = 0.3
"""Between two measurements: an engine's threads spin for a while after a batch."""
FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")

PATIENCE = ("--deadline-seconds", "600", "--max-deadline-seconds", "600")
"""Of the services: on a busy machine they are slow, and no text may be refused."""

Figures = dict[str, list[float]]


def in_turns(
    options: argparse.Namespace, name: str, works: dict[str, Callable[[list[str]], object]]
) -> Figures:
    """Texts per second of each, by turns, each time with texts of its own."""
    texts = sample_texts(options.texts)
    figures: Figures = {f"{name}, {engine}": [] for engine in works}
    for number in range(-1, options.rounds):  # the first is a warm-up
        for engine, work in works.items():
            fresh = [f"{text} {number} {name} {engine}" for text in texts]
            speed = rate(fresh, lambda work=work, fresh=fresh: work(fresh))
            if number >= 0:
                figures[f"{name}, {engine}"].append(speed)
            time.sleep(PAUSE_SECONDS)
    return figures


def loops(options: argparse.Namespace) -> Figures:
    """A loop over texts sorted by length, in this process."""
    folder = options.models / options.encoder
    opened = {name: Loop(folder, choice) for name, choice in ENGINES.items()}
    return in_turns(options, "loop", {**opened})


@contextmanager
def serving(options: argparse.Namespace, choice: EngineChoice) -> Iterator[int]:
    """The port of a service."""
    with service(options.models, options.encoder, *choice.arguments, *PATIENCE) as (port, _):
        yield port


def served(options: argparse.Namespace) -> Figures:
    """One service of each engine."""
    figures: Figures = {}
    with ExitStack() as stack:
        clients = {}
        for name, choice in ENGINES.items():
            port = stack.enter_context(serving(options, choice))
            clients[name] = tei(port, options.encoder)
        for size, flight in ((32, 8), (1, 64)):
            works: dict[str, Callable[[list[str]], object]] = {
                name: lambda texts, client=client, size=size, flight=flight: client(texts, size, flight)
                for name, client in clients.items()
            }
            figures |= in_turns(options, f"service {size} x {flight}", works)
    return figures


def pairs(options: argparse.Namespace) -> Figures:
    """Two services of one engine at once, texts per second of both together."""
    figures: Figures = {}
    for name, choice in ENGINES.items():
        with ExitStack() as stack:
            ports = [stack.enter_context(serving(options, choice)) for _ in range(2)]
            first, second = (tei(port, options.encoder) for port in ports)

            def both(texts: list[str], clients: Sequence[Any] = (first, second)) -> None:
                with ThreadPoolExecutor(2) as pool:
                    halves = texts[::2], texts[1::2]
                    list(pool.map(lambda pair: pair[0](pair[1], 32, 8), zip(clients, halves, strict=True)))

            works: dict[str, Callable[[list[str]], object]] = {
                f"one, {name}": lambda texts, client=first: client(texts, 32, 8),
                f"two, {name}": both,
            }
            figures |= in_turns(options, "32 x 8", works)
    return figures


def cold_starts(options: argparse.Namespace) -> Figures:
    """Seconds from starting the program to its first vector, with what the engine compiled on disk."""
    figures: Figures = {f"cold start s, {name}": [] for name in ENGINES}
    for number in range(-1, options.rounds):
        for name, choice in ENGINES.items():
            started = time.perf_counter()
            with serving(options, choice) as port:
                tei(port, options.encoder).post(["heat"])
                seconds = time.perf_counter() - started
            if number >= 0:
                figures[f"cold start s, {name}"].append(seconds)
    return figures


def agreement(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Cosines to ONNX Runtime, and the largest difference of a vector alone from that in its batch."""
    folder = options.models / options.encoder
    texts = sample_texts(options.texts)
    result = {}
    reference = Loop(folder, ENGINES["ONNX Runtime fp32"]).vectors(texts)
    for name, choice in ENGINES.items():
        loop = Loop(folder, choice)
        vectors = loop.vectors(texts)
        alone = np.concatenate([loop.vectors([text]) for text in texts[:ALONE]])
        to_reference = cosines(vectors, reference)
        result[name] = {
            "cosine min": round(float(to_reference.min()), 6),
            "cosine mean": round(float(to_reference.mean()), 6),
            "alone, largest difference": float(f"{np.abs(alone - vectors[:ALONE]).max():.2g}"),
        }
    return result


def ratios(medians: dict[str, float]) -> dict[str, float]:
    """Each engine over ONNX Runtime, two services over one: of figures that were taken by turns.

    A service over the loop of its engine is not among them: ``serve.py`` takes those two by turns.
    """
    base = "ONNX Runtime fp32"
    kinds = ("loop", "service 32 x 8", "service 1 x 64")
    result = {
        f"{kind}, {name} ÷ {base}": medians[f"{kind}, {name}"] / medians[f"{kind}, {base}"]
        for kind in kinds
        for name in ENGINES
        if name != base and f"{kind}, {name}" in medians
    }
    for name in ENGINES:
        if f"32 x 8, two, {name}" in medians:
            two, single = medians[f"32 x 8, two, {name}"], medians[f"32 x 8, one, {name}"]
            result[f"two services ÷ one, {name}"] = two / single
    return {name: round(ratio, 3) for name, ratio in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--texts", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["loops", "served", "pairs", "cold"])
    parser.add_argument("--json", type=Path, help="the parts that are not measured stay as they are in it")
    options = parser.parse_args()
    parts = {"loops": loops, "served": served, "pairs": pairs, "cold": cold_starts}
    before = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    precision = read_manifest(options.models / options.encoder).precision
    if before and (before["encoder"], before["precision"]) != (options.encoder, precision):
        parser.error(
            f"{options.json} is of {before['encoder']} in {before['precision']}: choose another file"
        )
    figures: Figures = before.get("all", {})
    measured = before.get("measured", {})
    for name, part in parts.items():
        if options.only in (None, name):
            figures |= part(options)
            measured[name] = {
                "date": date.today().isoformat(),
                "texts": options.texts,
                "rounds": options.rounds,
                "load": round(os.getloadavg()[0], 1),
            }
    medians = {name: round(statistics.median(values), 3) for name, values in figures.items()}
    flags = cpu_features(openvino_core())
    result: dict[str, Any] = {
        "encoder": options.encoder,
        "precision": precision,
        "cpu": flags[1],
        "cpu_features": [flag for flag in FEATURES if flag in flags],
        "openvino": openvino.__version__,
        "measured": measured,
        "medians": medians,
        "ratios": ratios(medians),
        "agreement": agreement(options) if options.only in (None, "loops") else before.get("agreement", {}),
        "all": {name: [round(value, 3) for value in values] for name, values in figures.items()},
    }
    for name, value in {**medians, **result["ratios"]}.items():
        print(f"{name:>50}: {value:10.3f}")
    print(json.dumps(result["agreement"], indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
