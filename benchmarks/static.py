"""Texts per second of static encoders and of a transformer in the service, compared in one run.

Each contender is its own ``nestvec serve``; they take turns, 32 texts per request and 8 requests in flight,
for about ``--seconds`` each. Texts are the standard library's docstrings truncated to ``--characters``; every
text is unique, so that no cache helps. ``--quality`` are files that ``nestvec evaluate --json`` wrote.

    python benchmarks/static.py --models models --encoders minilm,minilm-int8,wordllama,glove [--rounds 5]
        [--seconds 3] [--characters 400] [--quality FILE,FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date
from itertools import count, islice
from pathlib import Path
from typing import Any

from parts import Client, rate, service, tei

from nestvec_schemas.repository import GRAPH, read_manifest
from nestvec_schemas.samples.docstrings import sample_texts

SIZE, FLIGHT = 32, 8
WARM = 256


def measure_rates(models: Path, names: Sequence[str], options: argparse.Namespace) -> dict[str, list[float]]:
    """Texts per second of each encoder, one number per round."""
    texts = [text[: options.characters] for text in sample_texts(800)]
    marked = (f"{text} {number}" for number in count() for text in texts)
    rates: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        clients: dict[str, Client] = {}
        sizes: dict[str, int] = {}
        for name in names:
            port, _ = stack.enter_context(service(models, name))
            clients[name] = tei(port, name)
            clients[name](list(islice(marked, WARM)), SIZE, FLIGHT)
            warm = list(islice(marked, WARM))
            speed = rate(warm, lambda name=name, warm=warm: clients[name](warm, SIZE, FLIGHT))
            sizes[name] = max(WARM, int(speed * options.seconds))
        for _ in range(options.rounds):
            for name, client in clients.items():
                fresh = list(islice(marked, sizes[name]))
                rates[name].append(
                    rate(fresh, lambda client=client, fresh=fresh: client(fresh, SIZE, FLIGHT))
                )
    return rates


def about(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    return {
        "precision": manifest.precision,
        "dim": manifest.dim,
        "nesting": manifest.nesting,
        "pooling": manifest.main_tower.pooling,
        "graph, MB": round((folder / GRAPH).stat().st_size / 1e6, 1),
        "cosine to the source, at least": round(manifest.verification.cosine_min, 6),
    }


def quality(files: str) -> dict[str, dict[str, dict[int, float]]]:
    """nDCG@10 by encoder, dataset and dim."""
    by_encoder: dict[str, dict[str, dict[int, float]]] = {}
    for file in filter(None, files.split(",")):
        for row in json.loads(Path(file).read_text()):
            own = by_encoder.setdefault(row["encoder"], {}).setdefault(row["dataset"], {})
            own[row["dim"]] = round(row["ndcg@10"], 4)
    return by_encoder


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--encoders", default="minilm,minilm-int8,wordllama,glove")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--characters", type=int, default=400)
    parser.add_argument("--quality", default="", help="files of nestvec evaluate --json, separated by commas")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    names = options.encoders.split(",")
    rates = measure_rates(options.models, names, options)
    first = names[0]
    result = {
        "date": date.today().isoformat(),
        "request": f"{SIZE} texts, {FLIGHT} in flight, at most {options.characters} characters",
        "encoders": {name: about(options.models / name) for name in names},
        "texts/s": {name: round(statistics.median(of), 1) for name, of in rates.items()},
        f"ratio to {first}": {
            name: round(statistics.median(a / b for a, b in zip(of, rates[first], strict=True)), 2)
            for name, of in rates.items()
        },
        "all": {name: [round(one, 1) for one in of] for name, of in rates.items()},
        "ndcg@10": quality(options.quality),
    }
    for name in names:
        print(f"{name:>20}: {result['texts/s'][name]:10.1f} texts/s, x {result[f'ratio to {first}'][name]}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
