"""A new encoder's queries on vectors that an old encoder stored, through a bridge.

    python benchmarks/upgrade.py --models models --data ../shared/data --cache .cache/upgrade \\
        --pairs minilm:bge,wordllama:minilm,minilm:rotated,minilm:adapted,minilm:compatible \\
        --checkpoint MINILM --json benchmarks/results/upgrade.json \\
        [--sets scifact,cranfield] [--seeds 0,1,2]

A pair is OLD:NEW, two encoders of the model repository, or an encoder and a version of it that is made on
the collection: ``rotated`` by a learned rotation, ``adapted`` by a linear map (``nestvec adapt``),
``compatible`` by one that is trained to search the old vectors (``--compatible-with``), which is measured
without a bridge. Each bridge is fitted on at most 4,000 of the documents, and on sentences and keywords of
them, never on the set's own queries or judgements; maps may read OLD's vectors of NEW's tokens, corrected on
the same texts. Figures are
nDCG@10 of the set's queries relative to what OLD retrieves from its own vectors (Cranfield: exponential
gains), ``recall``, the share of the ten documents nearest to a query by NEW alone that it retrieves from
the old vectors, and ``relevant_recall``, the recall@10 of relevant documents from the old vectors relative to
NEW's own. Vectors are computed once, of the first 256 tokens of a text, and kept in the cache, as are
the maps of versions. The JSON file is continued if it exists.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.beds.bed import Bed
from benchmarks.beds.folder_beds import beir

from nestvec.bridge.build import takes_document_ids
from nestvec_exporters.bridge.fit import BridgeOptions, BridgeQueries, fit_bridge
from nestvec_exporters.bridge.token_learning import TokenTexts
from nestvec_exporters.bridge.token_table import TokenInput, build_token_table, sum_tokens
from nestvec_exporters.nesting.rotation import learn_rotation
from nestvec_exporters.nesting.sampled_queries import QueryKind, sample_queries
from nestvec_exporters.space_maps.mapping import PairedVectors, Rows, TokenTable, join
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.vectors import Matrix, Vectors, normalise

DRAWS: tuple[tuple[QueryKind, int], ...] = (
    ("sentence", 0),
    ("sentence", 1),
    ("keywords", 0),
    ("keywords", 1),
    ("keywords", 2),
)
MAX_DOCUMENTS = 4000
MAX_TOKENS = 256
DIMS = (None, 64)
VERSIONS = ("rotated", "adapted", "compatible")


@dataclass(frozen=True)
class Gallery:
    """A set's texts by one encoder."""

    documents: Vectors
    queries: Vectors
    sampled: tuple[Vectors, ...]
    """Of each of DRAWS."""

    def paired(
        self, old: Gallery, tokens: Gallery | None
    ) -> tuple[PairedVectors, list[PairedVectors], PairedVectors]:
        """Documents, sampled queries and queries, each with what the old encoder makes of it."""

        return (
            PairedVectors(old.documents, self.documents, tokens and tokens.documents),
            [
                PairedVectors(*vectors, tokens and tokens.sampled[number])
                for number, vectors in enumerate(zip(old.sampled, self.sampled, strict=True))
            ],
            PairedVectors(old.queries, self.queries, tokens and tokens.queries),
        )

    def mapped(self, matrix: Matrix) -> Gallery:
        """All of them by a linear map."""

        def by(vectors: Vectors) -> Vectors:
            return normalise(np.asarray(vectors @ matrix, np.float32))

        return Gallery(by(self.documents), by(self.queries), tuple(map(by, self.sampled)))


@dataclass(frozen=True)
class TokenGallery:
    """The ids of a set's texts' tokens, and a vector of each token."""

    table: TokenTable
    documents: list[list[int]]
    queries: list[list[int]]
    sampled: tuple[list[list[int]], ...]
    """Of each of DRAWS."""

    def sums(self) -> Gallery:
        """The sums of the texts' tokens."""
        documents, queries, *drawn = (
            sum_tokens(self.table, rows) for rows in (self.documents, self.queries, *self.sampled)
        )
        return Gallery(documents, queries, tuple(drawn))


@dataclass(frozen=True)
class Encoders:
    """Where vectors come from."""

    models: Path
    cache: Path

    def gallery(self, name: str, bed: Bed) -> Gallery:
        return Gallery(
            self._vectors(name, bed, "documents", bed.documents),
            self._vectors(name, bed, "queries", bed.queries),
            tuple(
                self._vectors(
                    name,
                    bed,
                    f"{kind}-{draw}" if draw else kind,
                    [query.text for query in sampled(bed, kind, draw)],
                )
                for kind, draw in DRAWS
            ),
        )

    def tokens(self, old: str, new: str, bed: Bed, sample: Rows) -> TokenGallery | None:
        """The texts' tokens by ``new``, as the encoder ``old`` embeds each by itself."""
        tokenizer, old_tokenizer = (
            Tokenizer.from_file(str(self.models / name / "tokenizer.json")) for name in (new, old)
        )
        tokenizer.no_truncation()

        def embed(tokens: list[TokenInput]) -> Vectors:
            return self._cached(self.cache / "tokens" / f"{old}-{new}-ids.npy", old, tokens)

        manifest = read_manifest(self.models / old)
        ids = old_tokenizer if takes_document_ids(manifest, self.models / old) else None
        sampled_documents = [bed.documents[row] for row in sample]
        table = build_token_table(tokenizer, sampled_documents, manifest.dim, embed, ids)
        if table is None:
            return None
        tokenizer.enable_truncation(MAX_TOKENS)

        def ids_of(texts: Sequence[str]) -> list[list[int]]:
            return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]

        queries = ([query.text for query in sampled(bed, kind, draw)] for kind, draw in DRAWS)
        return TokenGallery(table, ids_of(bed.documents), ids_of(bed.queries), tuple(map(ids_of, queries)))

    def _vectors(self, name: str, bed: Bed, kind: str, texts: Sequence[str]) -> Vectors:
        return self._cached(self.cache / bed.name / name / f"{kind}.npy", name, texts)

    def _cached(self, path: Path, name: str, texts: Sequence[TokenInput]) -> Vectors:
        if not path.exists():
            from benchmarks.beds.embed import Encoder

            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, Encoder(self.models / name, MAX_TOKENS).embed(texts))
        vectors: Vectors = np.load(path).astype(np.float32)
        if len(vectors) != len(texts):
            raise SystemExit(f"{path} is of other texts: remove it")
        return normalise(vectors)


def sampled(bed: Bed, kind: QueryKind, draw: int) -> list[Any]:
    return list(sample_queries(bed.documents, kind, seed=draw))


def sources(bed: Bed) -> list[Rows]:
    """The document that each sampled query was taken from, for each of DRAWS."""
    return [np.array([query.row for query in sampled(bed, kind, draw)], np.intp) for kind, draw in DRAWS]


class Versions:
    """Versions of an encoder that are made on a collection."""

    def __init__(self, checkpoint: str, cache: Path) -> None:
        self.checkpoint, self.cache = checkpoint, cache
        self._student: Any = None

    def gallery(self, name: str, old: Gallery, bed: Bed, seed: int) -> Gallery:
        if name == "rotated":
            return old.mapped(learn_rotation(old.documents, seed=seed, steps=50))
        path = self.cache / bed.name / f"{name}-{seed}.npy"
        if not path.exists():
            np.save(path, self._map(old, bed, seed, compatible=name == "compatible"))
        return old.mapped(np.load(path))

    def _map(self, old: Gallery, bed: Bed, seed: int, *, compatible: bool) -> Matrix:
        from benchmarks.beds.linear import held_out_pairs, train

        from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
        from nestvec_exporters.text_encoders import sentence_model
        from nestvec_exporters.train.linear.objective import LinearTask
        from nestvec_exporters.train.linear.training import starting_rotation
        from nestvec_exporters.train.options import LINEAR_MAP, training_dims
        from nestvec_exporters.train.student import Student

        if self._student is None:
            source = sentence_model.load(read_checkpoint(self.checkpoint))
            self._student = Student(source, (source.layers,))
        dims = training_dims(None, old.documents.shape[1])
        vectors = np.concatenate([old.documents, *old.sampled])
        pairs = held_out_pairs(np.concatenate(sources(bed)), len(old.documents), seed)
        start = np.eye(dims[0]) if compatible else starting_rotation(pairs, vectors, dims[1:], seed)
        self._student.set_maps(start, {})
        hyperparameters = replace(LINEAR_MAP, seed=seed)
        matrix, _ = train(
            LinearTask(
                self._student, pairs, vectors, dims, hyperparameters, old=vectors if compatible else None
            )
        )
        return matrix


def compatible_figures(bed: Bed, old: Gallery, new: Gallery, free: Gallery) -> dict[str, Any]:
    """A version that needs no bridge, relative to one that was trained without constraints, ``free``."""
    figures: dict[str, Any] = {}
    for dim in DIMS:
        at = "full" if dim is None else str(dim)
        own = ndcg(bed, old.queries, old.documents, dim)
        new_on_new = ndcg(bed, new.queries, new.documents, dim)
        figures[f"old@{at}"] = round(own, 4)
        figures[f"new@{at}"] = round(new_on_new, 4)
        figures[f"old_gallery@{at}"] = round(ndcg(bed, new.queries, old.documents, dim) / own, 4)
        free_on_free = ndcg(bed, free.queries, free.documents, dim)
        figures[f"new_over_adapted@{at}"] = round(new_on_new / free_on_free, 4)
    return {**figures, **recalls(bed, new.queries, new, old)}


def recalls(bed: Bed, queries: Vectors, new: Gallery, old: Gallery) -> dict[str, float]:
    """What a collection that is embedded again would find, and ``queries`` find among the old vectors.

    Of the ten documents nearest to new queries by the new encoder, the share; of relevant documents, the
    recall@10, relative to the new encoder's own.
    """
    by_new, retrieved = (
        np.argpartition(-scores, 10, axis=1)[:, :10]
        for scores in (new.queries @ new.documents.T, queries @ old.documents.T)
    )

    def of_relevant(rows: NDArray[np.intp]) -> float:
        found = zip(rows, bed.relevant, strict=True)
        return float(
            np.mean([sum(int(row) in relevant for row in top) / len(relevant) for top, relevant in found])
        )

    return {
        "recall": round(float((by_new[:, :, None] == retrieved[:, None, :]).any(axis=2).mean()), 4),
        "relevant_recall": round(of_relevant(retrieved) / of_relevant(by_new), 4),
    }


def measure(
    bed: Bed, old: Gallery, new: Gallery, seed: int, tokens_of: Callable[[Rows], TokenGallery | None]
) -> dict[str, Any]:
    """One bridge, fitted by one seed, and its figures; ``tokens_of`` gives the tokens, whose vectors are
    weighted by the sampled documents."""
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(bed.documents))[:MAX_DOCUMENTS])
    position = np.full(len(bed.documents), -1)
    position[rows] = np.arange(len(rows))
    tokens = tokens_of(rows)
    documents, by_draw, queries = new.paired(old, tokens and tokens.sums())
    parts: list[PairedVectors] = []
    owners: list[Rows] = []
    query_tokens: list[list[int]] = []
    for number, of_draw in enumerate(sources(bed)):
        owner = position[of_draw]
        is_drawn = np.flatnonzero(owner >= 0)
        parts.append(by_draw[number].at(is_drawn))
        owners.append(owner[is_drawn])
        if tokens is not None:
            query_tokens += [tokens.sampled[number][row] for row in is_drawn]
    ladder = tuple(dim for dim in (old.documents.shape[1], 256, 128, 64, 32) if dim <= old.documents.shape[1])
    started = time.process_time()
    fit = fit_bridge(
        documents.at(rows),
        BridgeQueries(join(parts), np.concatenate(owners)),
        BridgeOptions(tuple(dict.fromkeys(ladder)), seed=seed),
        tokens=tokens and TokenTexts(tokens.table, [tokens.documents[row] for row in rows], query_tokens),
    )
    seconds = time.process_time() - started
    if tokens is not None and fit.maps.tokens is not None:
        documents, _, queries = new.paired(old, replace(tokens, table=fit.maps.tokens).sums())
    mapped_queries, mapped = fit.maps.queries(queries.inputs), fit.maps.documents(documents.inputs)
    unstated = fit.maps.documents(queries.inputs)
    half = np.where(random.random((len(mapped), 1)) < 0.5, mapped, old.documents)
    figures: dict[str, Any] = {"method": fit.method, "fit_cpu_s": round(seconds, 1)}
    for dim in DIMS:
        at = "full" if dim is None else str(dim)
        own = ndcg(bed, old.queries, old.documents, dim)
        figures[f"old@{at}"] = round(own, 4)
        figures[f"new@{at}"] = round(ndcg(bed, new.queries, new.documents, dim), 4)
        figures[f"old_gallery@{at}"] = round(ndcg(bed, mapped_queries, old.documents, dim) / own, 4)
        figures[f"unstated@{at}"] = round(ndcg(bed, unstated, old.documents, dim) / own, 4)
        figures[f"half_gallery@{at}"] = round(ndcg(bed, mapped_queries, half, dim) / own, 4)
        figures[f"mapped_gallery@{at}"] = round(ndcg(bed, mapped_queries, mapped, dim) / own, 4)
    return {**figures, **recalls(bed, mapped_queries, new, old), "compared": fit.compared}


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
    parser.add_argument("--checkpoint", default="", help="of the encoder whose versions are made")
    parser.add_argument("--json", type=Path, required=True, help="continued if it exists")
    options = parser.parse_args()
    encoders, versions = Encoders(options.models, options.cache), Versions(options.checkpoint, options.cache)
    rows: list[dict[str, Any]] = json.loads(options.json.read_text())["rows"] if options.json.exists() else []
    done = {(row["set"], row["old"], row["new"], row["seed"]) for row in rows}
    for seed, name, pair in product(
        map(int, options.seeds.split(",")), options.sets.split(","), options.pairs.split(",")
    ):
        old_name, _, new_name = pair.partition(":")
        key = (name, old_name, new_name, seed)
        if key in done:
            continue
        bed = beir(options.data / name)
        old = encoders.gallery(old_name, bed)
        if new_name in VERSIONS:
            new = versions.gallery(new_name, old, bed, seed)
        else:
            new = encoders.gallery(new_name, bed)
        if new_name == "compatible":
            figures = compatible_figures(bed, old, new, versions.gallery("adapted", old, bed, seed))
        else:
            tokenizer_of = old_name if new_name in VERSIONS else new_name
            figures = measure(bed, old, new, seed, partial(encoders.tokens, old_name, tokenizer_of, bed))
        row = {"set": name, "old": old_name, "new": new_name, "seed": seed, **figures}
        rows.append(row)
        print(json.dumps(row), flush=True)
        result = {"date": date.today().isoformat(), "summary": summary(rows), "rows": rows}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each pair of each set, the mean over seeds and its standard error."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["old"], row["new"]), []).append(row)
    table = []
    for (name, old, new), group in groups.items():
        figures = {}
        for figure in [key for key in group[0] if "@" in key or key.endswith("recall")]:
            values = np.array([row[figure] for row in group])
            error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
            mean = round(float(values.mean()), 4)
            figures[figure] = [mean, None if error is None else round(error, 4)]
        methods = sorted({row["method"] for row in group if "method" in row})
        seeds = len(group)
        table.append({"set": name, "old": old, "new": new, "seeds": seeds, "methods": methods, **figures})
    return table


if __name__ == "__main__":
    main()
