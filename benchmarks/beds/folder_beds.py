"""Beds of the data folder: SciFact and Cranfield in BEIR's layout, and captions of emoji and stamps."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from benchmarks.beds.bed import Bed, bed_of_pairs, halves, squeeze


def beir(folder: Path) -> Bed:
    """A dataset in BEIR's layout, whole, with its judgements."""
    corpus = [row for row in _rows(folder / "corpus.jsonl") if row["text"].strip() or row.get("title")]
    row_of = {row["_id"]: number for number, row in enumerate(corpus)}
    gains: dict[str, dict[int, float]] = {}
    with (folder / "qrels/test.tsv").open() as judgements:
        for line in csv.DictReader(judgements, delimiter="\t"):
            if line["corpus-id"] in row_of and float(line["score"]) > 0:
                gains.setdefault(line["query-id"], {})[row_of[line["corpus-id"]]] = float(line["score"])
    queries = [row for row in _rows(folder / "queries.jsonl") if row["_id"] in gains]
    return Bed(
        folder.name,
        tuple(_document(row) for row in corpus),
        tuple(row["text"] for row in queries),
        tuple(gains[row["_id"]] for row in queries),
    )


def beir_halves(folder: Path) -> Bed:
    """The first half of each document, searched by the second."""
    texts = [row["text"] for row in _rows(folder / "corpus.jsonl")]
    return bed_of_pairs(f"{folder.name} halves", halves(texts, 40))


def beir_titles(folder: Path) -> Bed:
    """The text of each document, searched by its title."""
    rows = _rows(folder / "corpus.jsonl")
    return bed_of_pairs(f"{folder.name} by title", ((row["title"], _untitled(row)) for row in rows))


def emoji_by_tags(folder: Path) -> Bed:
    """The caption of an emoji, searched by its tags."""
    rows = _rows(folder / "pairs.jsonl")
    return bed_of_pairs("emoji by tags", ((" ".join(row["tags"]), row["caption"]) for row in rows))


def _document(row: dict[str, Any]) -> str:
    return squeeze(f"{row.get('title', '')} {row['text']}")


def _untitled(row: dict[str, Any]) -> str:
    return str(row["text"]).removeprefix(str(row["title"]))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
