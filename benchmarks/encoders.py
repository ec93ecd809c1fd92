"""Every family of checkpoints: exported, compared with its own library, served, and queried in Milvus Lite.

    python benchmarks/encoders.py [--only NAME] [--precision fp32,fp16,int8] [--json FILE]

The checkpoints have the real classes and published layouts at a tiny size with random weights; ``--checkpoint
NAME=FOLDER`` adds one with real weights. A refusal is a result too: its message is recorded.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).parent.parent / "tools" / "checkpoints"))

from published import FAMILIES, Family

import nestvec
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec.service.verification import open_served
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.probe import Probe
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.samples.docstrings import sample_texts

PRECISIONS = ("fp32", "fp16", "int8")

VECTORS = frozenset({"dense", "sparse"})
"""Kinds whose vectors Milvus stores; others rank rows again."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="families whose names contain this")
    parser.add_argument("--precision", default=",".join(PRECISIONS))
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    rows = []
    for row in _rows(options):
        rows.append(row)
        print(json.dumps(row), flush=True)
    if options.json:
        _merge(options.json, rows)


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    precisions = options.precision.split(",")
    with tempfile.TemporaryDirectory() as work:
        for number, family in enumerate(FAMILIES):
            if options.only.lower() not in family.name.lower():
                continue
            folder = Path(work, str(number), "checkpoint")
            folder.parent.mkdir()
            try:
                family.write(folder)
            except Exception:  # a library that cannot write it is a row, too
                yield _row(family, "random", "fp32", {"refused": traceback.format_exc(limit=1)[-200:]})
                continue
            for precision in precisions:
                yield _row(family, "random", precision, _measure(folder, family, precision))
        for checkpoint in options.checkpoint:
            name, _, folder = checkpoint.partition("=")
            family = Family(name, _class_of(Path(folder)), lambda _: None)
            for precision in precisions:
                yield _row(family, "real", precision, _measure(Path(folder), family, precision))


def _row(family: Family, weights: str, precision: str, result: dict[str, Any]) -> dict[str, Any]:
    names = {"family": family.name, "class": family.model, "weights": weights, "precision": precision}
    return {**names, **result, "date": date.today().isoformat()}


def _measure(folder: Path, family: Family, precision: str) -> dict[str, Any]:
    """What one export gives, and what a service and Milvus Lite make of it."""
    with tempfile.TemporaryDirectory() as name:
        models = Path(name, "models")
        try:
            options = ExportOptions(str(folder), models, "encoder", precision=precision, **family.options)
            manifest = export(options, None, open_served)
        except NestvecError as error:
            return {"refused": str(error)}
        checked = manifest.verification
        result = {
            "kind": manifest.kind,
            "reference": checked.reference,
            "inputs": checked.sentences,
            "tokens": checked.max_tokens,
            "cosine": checked.cosine_min,
            "served": checked.served,
        }
        try:
            return {**result, "milvus": _query(models, manifest, Path(name, "texts.db"))}
        except Exception as error:  # a failure is a result of this table
            return {**result, "milvus": f"{type(error).__name__}: {error}"[:200]}


def _query(models: Path, manifest: Manifest, database: Path) -> bool:
    """Whether SQL on Milvus Lite puts the text first that is nearest to a query by the vectors themselves.

    For encoders that rank rows again: whether they do.
    """
    texts = [text[:200] for text in sample_texts(12)]
    with (
        serve_in_thread(open_embedder(models, (), ServiceSettings()), bind("127.0.0.1", 0)) as url,
        nestvec.connect(database, service=url) as connection,
        connection.cursor() as cursor,
    ):
        column = {
            "dense": f"v VECTOR({manifest.dim}) GENERATED ALWAYS AS (EMBED(body, 'encoder')) STORED",
            "sparse": "v SPARSEVEC GENERATED ALWAYS AS (EMBED(body, 'encoder')) STORED",
        }.get(manifest.kind, "w SPARSEVEC GENERATED ALWAYS AS (BM25(body)) STORED")
        cursor.execute(f"CREATE TABLE texts (id BIGINT PRIMARY KEY, body VARCHAR(8192), {column})")
        rows = [{"id": number, "body": text} for number, text in enumerate(texts)]
        cursor.executemany("INSERT INTO texts (id, body) VALUES (:id, :body)", rows)
        order = {"dense": "v <=> :q", "sparse": "v <#> :q"}.get(manifest.kind, "body <@> :q")
        rerank = "" if manifest.kind in VECTORS else " RERANK BY 'encoder' WITH (candidates = 5)"
        cursor.execute(f"SELECT id FROM texts ORDER BY {order}{rerank} LIMIT 3", {"q": texts[4]})
        ids = [row[0] for row in cursor.fetchall()]
    return len(ids) == 3 and (manifest.kind not in VECTORS or ids[0] == _nearest(models, texts, 4))


def _nearest(models: Path, texts: list[str], query: int) -> int:
    """The text whose vector has the largest inner product with the query's."""
    with open_served(models / "encoder") as encoder:
        vectors = np.stack(encoder.embed([Probe(text) for text in texts]))
    return int(np.argmax(vectors @ vectors[query]))


def _class_of(folder: Path) -> str:
    config = folder / "config.json"
    named = json.loads(config.read_text()).get("architectures") if config.is_file() else None
    return str(named[0]) if named else "ONNX graph or table"


def _merge(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the rows of the same family and precision in a file of results."""
    kept = json.loads(path.read_text()) if path.exists() else []
    keys = {(row["family"], row["precision"]) for row in rows}
    kept = [row for row in kept if (row["family"], row["precision"]) not in keys]
    path.write_text(json.dumps([*kept, *rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
