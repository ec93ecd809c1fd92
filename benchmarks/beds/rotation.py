"""What rotations keep of nDCG@10 on every bed, each fitted on a part of the bed's documents.

python -m benchmarks.beds.rotation BEDS --draws 0 1 --json benchmarks/results/rotation.json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.sampled_queries import QUERY_KINDS
from nestvec_exporters.nesting.selection import QueryVectors, SelectionOptions, choose_rotation
from nestvec_schemas.vectors import Matrix, Vectors, normalise

DIMS = (256, 128, 64, 32)
SHORTLIST_DIM, SHORTLIST = 64, 100
FITTED_SHARE, MAX_FITTED = 0.8, 4000
DISCOUNTS = 1 / np.log2(np.arange(2, 12))


@dataclass(frozen=True)
class BedVectors:
    """A bed's vectors and judgements, read from its folder."""

    documents: Vectors
    queries: Vectors
    relevant: list[dict[int, float]]
    sampled: dict[str, QueryVectors]

    def ndcg(self, scores: Vectors) -> float:
        """The mean nDCG@10 of the rankings by ``scores``, (q, n), with exponential gains."""
        totals = []
        for row, gains in zip(scores, self.relevant, strict=True):
            top = np.argpartition(-row, 10)[:10]
            top = top[np.argsort(-row[top], kind="stable")]
            found = np.array([2 ** gains.get(int(document), 0) - 1 for document in top])
            ideal = np.sort([2**gain - 1 for gain in gains.values()])[::-1][:10]
            totals.append(float((found * DISCOUNTS).sum() / (ideal * DISCOUNTS[: len(ideal)]).sum()))
        return float(np.mean(totals))


def read_bed(folder: Path) -> BedVectors:
    judgements = json.loads((folder / "bed.json").read_text())["relevant"]
    sampled: dict[str, QueryVectors] = {}
    for kind in QUERY_KINDS:
        rows = [row for _, row in json.loads((folder / f"{kind}.json").read_text())]
        if rows:
            sampled[kind] = QueryVectors(np.load(folder / f"{kind}.npy"), np.array(rows, np.intp))
    return BedVectors(
        np.load(folder / "documents.npy"),
        np.load(folder / "queries.npy"),
        [{int(row): gain for row, gain in gains.items()} for gains in judgements],
        sampled,
    )


def kept(bed: BedVectors, matrix: Matrix, columns: NDArray[np.intp] | None = None) -> list[float]:
    """The share of nDCG@10 at DIMS, then of the shortlist by SHORTLIST_DIM rescored at full length."""
    whole = bed.queries @ bed.documents.T
    full = bed.ndcg(whole)
    order = np.arange(len(matrix)) if columns is None else columns
    documents, queries = (
        np.asarray(side @ matrix, np.float32)[:, order] for side in (bed.documents, bed.queries)
    )
    shares = []
    for dim in DIMS:
        scores = normalise(queries[:, :dim]) @ normalise(documents[:, :dim]).T
        shares.append(bed.ndcg(scores) / full)
        if dim == SHORTLIST_DIM:
            listed = np.argpartition(-scores, SHORTLIST, axis=1)[:, :SHORTLIST]
    rescored = np.full_like(whole, -2)
    np.put_along_axis(rescored, listed, np.take_along_axis(whole, listed, axis=1), axis=1)
    return [round(share, 4) for share in (*shares, bed.ndcg(rescored) / full)]


def measure(bed: BedVectors, draw: int) -> dict[str, Any]:
    """What every rotation keeps that is fitted on one draw of the documents; never on a query of the bed."""
    random = np.random.default_rng(draw)
    count = min(MAX_FITTED, round(FITTED_SHARE * len(bed.documents)))
    fitted = np.sort(random.permutation(len(bed.documents))[:count])
    position = np.full(len(bed.documents), -1)
    position[fitted] = np.arange(count)
    sampled = {
        kind: QueryVectors(queries.vectors[inside], position[queries.rows[inside]])
        for kind, queries in bed.sampled.items()
        if (inside := position[queries.rows] >= 0).any()
    }
    held_out = np.sort(random.permutation(count)[: min(500, round(count / 10))])
    started = time.process_time()
    choice = choose_rotation(bed.documents[fitted], sampled, held_out, SelectionOptions(DIMS[1:], seed=draw))
    seconds = time.process_time() - started
    dim = bed.documents.shape[1]
    rows = {name: kept(bed, rotation) for name, rotation in choice.candidates.items()}
    rows["random dims"] = kept(bed, np.eye(dim), random.permutation(dim))
    rows["chosen"] = rows[choice.name]
    # Texts without sentences have fewer kinds of queries; the rotation is of the same sort.
    rows = {("documents + queries" if " + " in name else name): shares for name, shares in rows.items()}
    return {
        "kept": rows,
        "choice": choice.name,
        "compared": choice.retention,
        "cpu_seconds": round(seconds, 1),
    }


def summary(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Per rotation, the mean over beds of the means over draws, and the worst bed at each length."""
    names = set.intersection(*(set(draw["kept"]) for draws in results.values() for draw in draws))
    table = {}
    for name in sorted(names):
        means = {
            bed: np.mean([draw["kept"][name] for draw in draws], axis=0) for bed, draws in results.items()
        }
        stacked = np.stack(list(means.values()))
        table[name] = {
            "mean": np.round(stacked.mean(axis=0), 4).tolist(),
            "worst": np.round(stacked.min(axis=0), 4).tolist(),
            "worst_beds": [list(means)[row] for row in stacked.argmin(axis=0)],
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="what benchmarks.beds.build wrote")
    parser.add_argument("names", nargs="*", help="beds; all by default")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, required=True, help="continued if it exists")
    options = parser.parse_args()
    record = json.loads(options.json.read_text()) if options.json.exists() else {"beds": {}}
    for draw in options.draws:
        for name in options.names or sorted(path.name for path in options.folder.iterdir()):
            draws = record["beds"].setdefault(name, [])
            if (
                any(done["draw"] == draw for done in draws)
                or not (options.folder / name / "span.json").exists()
            ):
                continue
            draws.append({"draw": draw, **measure(read_bed(options.folder / name), draw)})
            record["date"] = datetime.now(UTC).date().isoformat()
            record["columns"] = [*DIMS, f"{SHORTLIST} by {SHORTLIST_DIM}, rescored"]
            record["summary"] = summary({bed: draws for bed, draws in record["beds"].items() if draws})
            options.json.write_text(json.dumps(record, indent=1))
            print(name, draw, draws[-1]["choice"], draws[-1]["kept"]["chosen"], flush=True)


if __name__ == "__main__":
    main()
