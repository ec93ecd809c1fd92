"""A new encoder's queries on vectors that an old encoder stored, through a bridge.

    python benchmarks/upgrade.py --models models --data ../shared/data --cache .cache/upgrade --pairs \\
        minilm:bge,wordllama:minilm [--sets scifact,cranfield] [--seeds 0,1,2] \\
        [--json benchmarks/results/upgrade.json]

A pair is OLD:NEW, two encoders of the model repository; MINILM:rotated is MiniLM and its learned rotation,
fitted on the collection. Each bridge is fitted on at most 4,000 of the documents and on sentences
and keywords of them, never on the set's own queries or judgements. Figures are nDCG@10 of the set's queries
relative to what OLD retrieves from its own vectors (Cranfield: exponential gains). Vectors are computed once,
of the first 256 tokens of a text, and kept in the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.beds.bed import Bed
from benchmarks.beds.folder_beds import beir

from nestvec_exporters.bridge.fit import BridgeOptions, BridgeQueries, fit_bridge
from nestvec_exporters.bridge.mapping import PairedVectors, Rows, join
from nestvec_exporters.nesting.rotation import learn_rotation
from nestvec_exporters.nesting.sampled_queries import QueryKind, sample_queries
from nestvec_schemas.vectors import Vectors, normalise

KINDS: tuple[QueryKind, ...] = ("sentence", "keywords")
MAX_DOCUMENTS = 4000
MAX_TOKENS = 256
DIMS = (None, 64)
ROTATED = "rotated"


@dataclass(frozen=True)
class Gallery:
    """A set's texts by one encoder."""

    documents: Vectors
    queries: Vectors
    sampled: dict[str, Vectors]


@dataclass(frozen=True)
class Encoders:
    """Where vectors come from."""

    models: Path
    cache: Path

    def gallery(self, name: str, bed: Bed) -> Gallery:
        return Gallery(
            self._vectors(name, bed, "documents", bed.documents),
            self._vectors(name, bed, "queries", bed.queries),
            {
                kind: self._vectors(name, bed, kind, [query.text for query in sampled(bed, kind)])
                for kind in KINDS
            },
        )

    def _vectors(self, name: str, bed: Bed, kind: str, texts: Sequence[str]) -> Vectors:
        path = self.cache / bed.name / name / f"{kind}.npy"
        if not path.exists():
            from benchmarks.beds.embed import Encoder

            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, Encoder(self.models / name, MAX_TOKENS).embed(texts))
        vectors: Vectors = np.load(path).astype(np.float32)
        if len(vectors) != len(texts):
            raise SystemExit(f"{path} is of other texts: remove it")
        return normalise(vectors)


def sampled(bed: Bed, kind: QueryKind) -> list[Any]:
    return list(sample_queries(bed.documents, kind, seed=0))


def rotated(gallery: Gallery, seed: int) -> Gallery:
    """The same vectors, rotated as ``nestvec export --rotate`` rotates them, by fewer steps."""
    rotation = learn_rotation(gallery.documents, seed=seed, steps=50).astype(np.float32)
    return Gallery(
        gallery.documents @ rotation,
        gallery.queries @ rotation,
        {kind: vectors @ rotation for kind, vectors in gallery.sampled.items()},
    )


def measure(bed: Bed, old: Gallery, new: Gallery, seed: int) -> dict[str, Any]:
    """One bridge, fitted by one seed, and its figures."""
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(bed.documents))[:MAX_DOCUMENTS])
    position = np.full(len(bed.documents), -1)
    position[rows] = np.arange(len(rows))
    parts: list[PairedVectors] = []
    sources: list[Rows] = []
    for kind in KINDS:
        of = position[[query.row for query in sampled(bed, kind)]]
        parts.append(PairedVectors(old.sampled[kind], new.sampled[kind]).at(np.flatnonzero(of >= 0)))
        sources.append(of[of >= 0])
    ladder = tuple(dim for dim in (old.documents.shape[1], 256, 128, 64, 32) if dim <= old.documents.shape[1])
    started = time.perf_counter()
    fit = fit_bridge(
        PairedVectors(old.documents, new.documents).at(rows),
        BridgeQueries(join(parts), np.concatenate(sources)),
        BridgeOptions(tuple(dict.fromkeys(ladder)), seed=seed),
    )
    seconds = time.perf_counter() - started
    queries, documents = fit.mapping(new.queries), fit.mapping(new.documents)
    half = np.where(random.random((len(documents), 1)) < 0.5, documents, old.documents)
    figures: dict[str, Any] = {"seed": seed, "method": fit.method, "fit_s": round(seconds, 1)}
    for dim in DIMS:
        at = "full" if dim is None else str(dim)
        own = ndcg(bed, old.queries, old.documents, dim)
        figures[f"old@{at}"] = round(own, 4)
        figures[f"new@{at}"] = round(ndcg(bed, new.queries, new.documents, dim), 4)
        figures[f"old_gallery@{at}"] = round(ndcg(bed, queries, old.documents, dim) / own, 4)
        figures[f"half_gallery@{at}"] = round(ndcg(bed, queries, half, dim) / own, 4)
        figures[f"mapped_gallery@{at}"] = round(ndcg(bed, queries, documents, dim) / own, 4)
    figures["compared"] = fit.compared
    return figures


def ndcg(bed: Bed, queries: Vectors, documents: Vectors, dim: int | None) -> float:
    """nDCG@10 by cosine at a prefix."""
    scores = normalise(queries[:, :dim]) @ normalise(documents[:, :dim]).T
    exponential = bed.name == "cranfield"
    discounts = 1 / np.log2(np.arange(2, 12))
    values = []
    for row, relevant in zip(scores, bed.relevant, strict=True):
        top = np.argsort(-row, kind="stable")[:10]
        gains = np.array([relevant.get(int(place), 0.0) for place in top])
        ideal = np.sort(np.array(list(relevant.values())))[::-1][:10]
        if exponential:
            gains, ideal = 2**gains - 1, 2**ideal - 1
        values.append((gains * discounts).sum() / (ideal * discounts[: len(ideal)]).sum())
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--sets", default="scifact,cranfield")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    encoders = Encoders(options.models, options.cache)
    rows: list[dict[str, Any]] = []
    for seed in map(int, options.seeds.split(",")):
        for name in options.sets.split(","):
            bed = beir(options.data / name)
            for pair in options.pairs.split(","):
                old_name, _, new_name = pair.partition(":")
                old = encoders.gallery(old_name, bed)
                new = rotated(old, seed) if new_name == ROTATED else encoders.gallery(new_name, bed)
                row = {"set": name, "old": old_name, "new": new_name, **measure(bed, old, new, seed)}
                rows.append(row)
                print(json.dumps(row), flush=True)
                if options.json:
                    result = {"date": date.today().isoformat(), "rows": rows}
                    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
