"""What linear maps keep of nDCG@10, each trained on a bed's documents, never on its queries or judgements.

python -m benchmarks.beds.linear BEDS scifact cranfield --checkpoint MINILM --json adapt-map.json

BEDS is what benchmarks.beds.build wrote; a bed may have more sampled queries, for a map learns from many.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from benchmarks.beds.rotation import DIMS, BedVectors, kept, read_bed
from numpy.typing import NDArray

from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_exporters.nesting.orthogonal import pca_rotation
from nestvec_exporters.text_encoders import sentence_model
from nestvec_exporters.train.linear.objective import LinearObjective, LinearTask
from nestvec_exporters.train.linear.queries import QueryPairs
from nestvec_exporters.train.linear.training import starting_rotation
from nestvec_exporters.train.loop import BEST_FILE, LoopCallbacks, TrainingLoop
from nestvec_exporters.train.options import LINEAR_MAP
from nestvec_exporters.train.state import read_state
from nestvec_exporters.train.student import Student
from nestvec_schemas.vectors import Matrix, Vectors, normalise

LEARNED_KINDS = ("sentence", "keywords")
HELD_OUT_SHARE, MAX_HELD_OUT = 0.05, 500
LABEL_WEIGHTS = {"map": 1.0, "map, without answers": 0.0}


def pairs_of(bed: BedVectors, seed: int) -> tuple[QueryPairs, Vectors]:
    """Sampled queries with their documents, and the vectors of both: documents first."""
    count = len(bed.documents)
    kinds = [bed.sampled[kind] for kind in LEARNED_KINDS if kind in bed.sampled]
    vectors = np.concatenate([bed.documents, *(kind.vectors for kind in kinds)])
    return held_out_pairs(np.concatenate([kind.rows for kind in kinds]), count, seed), vectors


def held_out_pairs(own: NDArray[np.intp], count: int, seed: int) -> QueryPairs:
    """Pairs of ``count`` documents, the first texts, and of queries after them, each with its document
    ``own``; some documents held out."""
    pairs = np.stack([np.arange(count, count + len(own)), own], axis=1)
    order = np.random.default_rng(seed).permutation(count)
    held_out = np.isin(own, order[: min(MAX_HELD_OUT, round(HELD_OUT_SHARE * count))])
    return QueryPairs(
        texts=(),
        training=pairs[~held_out],
        held_out=np.random.default_rng(seed).permutation(pairs[held_out])[:1500],
        training_documents=np.unique(own[~held_out]),
        documents=np.arange(count),
    )


def train(task: LinearTask) -> tuple[Matrix, int]:
    """The map with the best held-out figures, (d, d), and the step that it is of."""
    with TemporaryDirectory() as folder:
        loop = TrainingLoop(LinearObjective(task), task.hyperparameters, Path(folder))
        loop.run(LoopCallbacks())
        best = read_state(Path(folder) / BEST_FILE)
    if best is None:
        raise RuntimeError("the run kept no weights")
    return best.tensors["map"].numpy().T, loop.position.best_step


def shares(bed: BedVectors, matrix: Matrix) -> list[float]:
    """The share of the unmodified vectors' nDCG@10 at full length and at DIMS."""
    documents, queries = (np.asarray(side @ matrix, np.float32) for side in (bed.documents, bed.queries))
    full = bed.ndcg(bed.queries @ bed.documents.T)
    whole = bed.ndcg(normalise(queries) @ normalise(documents).T) / full
    return [round(whole, 4), *kept(bed, matrix)[: len(DIMS)]]


def measure(bed: BedVectors, student: Student, seed: int, weights: Mapping[str, float]) -> dict[str, Any]:
    """What each way keeps, with all choices made on held-out documents."""
    dim = bed.documents.shape[1]
    pairs, vectors = pairs_of(bed, seed)
    rotation = starting_rotation(pairs, vectors, DIMS, seed)
    random = np.random.default_rng(seed).permutation(dim)
    ways = {
        "unmodified": np.eye(dim),
        "random dims": np.eye(dim)[:, random],
        "principal axes": pca_rotation(bed.documents[pairs.training_documents]),
        "rotation": rotation,
    }
    rows: dict[str, Any] = {name: {"kept": shares(bed, matrix)} for name, matrix in ways.items()}
    for name, weight in weights.items():
        student.set_maps(rotation, {})
        hyperparameters = replace(LINEAR_MAP, seed=seed)
        started = time.process_time()
        matrix, step = train(
            LinearTask(student, pairs, vectors, (dim, *DIMS), hyperparameters, label_weight=weight)
        )
        seconds = round(time.process_time() - started, 1)
        rows[name] = {"kept": shares(bed, matrix), "best_step": step, "cpu_seconds": seconds}
    return rows


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Per way, the mean over beds of what it keeps, with the standard error over seeds."""
    names = dict.fromkeys(name for run in runs for name in run["rows"])
    table = {}
    for name in names:
        by_seed: dict[int, list[list[float]]] = {}
        for run in runs:
            if name in run["rows"]:
                by_seed.setdefault(run["seed"], []).append(run["rows"][name]["kept"])
        beds = max(map(len, by_seed.values()))
        means = np.array([np.mean(rows, axis=0) for rows in by_seed.values() if len(rows) == beds])
        error = means.std(axis=0, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else means[0] * np.nan
        table[name] = {
            "seeds": len(means),
            "mean": np.round(means.mean(axis=0), 4).tolist(),
            "standard_error": [None if np.isnan(value) else round(float(value), 4) for value in error],
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", help="beds")
    parser.add_argument("--checkpoint", required=True, help="whose vectors the beds have")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=list(LABEL_WEIGHTS), default=list(LABEL_WEIGHTS))
    parser.add_argument("--json", type=Path, required=True, help="continued if it exists")
    options = parser.parse_args()
    record = json.loads(options.json.read_text()) if options.json.exists() else {"runs": []}
    source = sentence_model.load(read_checkpoint(options.checkpoint))
    student = Student(source, (source.layers,))
    done = {(run["seed"], run["bed"]): run for run in record["runs"]}
    for seed in options.seeds:
        for name in options.names:
            run = done.get((seed, name), {"seed": seed, "bed": name, "rows": {}})
            missing = {way: LABEL_WEIGHTS[way] for way in options.ways if way not in run["rows"]}
            if not missing:
                continue
            run["rows"] = {**run["rows"], **measure(read_bed(options.folder / name), student, seed, missing)}
            if run not in record["runs"]:
                record["runs"].append(run)
            record["date"] = datetime.now(UTC).date().isoformat()
            record["columns"] = ["full", *DIMS]
            record["summary"] = summary(record["runs"])
            options.json.write_text(json.dumps(record, indent=1) + "\n")
            print(name, seed, {way: row["kept"] for way, row in run["rows"].items()}, flush=True)


if __name__ == "__main__":
    main()
