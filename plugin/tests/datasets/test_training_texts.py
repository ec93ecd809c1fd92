"""Rows to train on: the right columns of every kind of file, and what is wrong named with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nestvec.datasets.training_texts import Kind, TrainingColumns, detect_kind, read_rows
from nestvec_schemas.errors import FileUnreadable, TrainingDataUnusable


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


BEIR = {"_id": "1", "title": "Heat", "text": "It flows.", "metadata": {}}


@pytest.mark.parametrize(
    ("kind", "columns", "row"),
    [
        ("texts", None, ("Heat It flows.",)),
        ("texts", ("text",), ("It flows.",)),
        ("pairs", None, ("Heat", "It flows.")),
        ("pairs", ("text", "title"), ("It flows.", "Heat")),
    ],
)
def test_a_corpus_of_beir_is_read_as_it_is(
    tmp_path: Path, kind: Kind, columns: tuple[str, ...] | None, row: tuple[str, ...]
) -> None:
    assert read_rows(jsonl(tmp_path, BEIR), kind, TrainingColumns(columns)).rows == (row,)


def test_a_blank_title_leaves_no_blank_before_the_text(tmp_path: Path) -> None:
    rows = read_rows(
        jsonl(tmp_path, BEIR, {**BEIR, "title": ""}, {**BEIR, "title": None}), "texts", TrainingColumns()
    )
    assert rows.rows == (("Heat It flows.",), ("It flows.",), ("It flows.",))


def test_a_text_file_has_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "papers.txt"
    path.write_text("one text\n\nanother \n")
    assert read_rows(path, "texts", TrainingColumns()).rows == (("one text",), ("",), ("another",))
    with pytest.raises(FileUnreadable):
        read_rows(path, "pairs", TrainingColumns())


def test_csv_and_parquet_are_read_with_scores(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("query,positive,negative,margin\na,b,c,0.5\nd,e,f,-1\n")
    table = {"query": ["a", "d"], "positive": ["b", "e"], "negative": ["c", "f"], "margin": [0.5, -1]}
    pq.write_table(pa.table(table), tmp_path / "clicks.parquet")
    for name in ("clicks.csv", "clicks.parquet"):
        found = read_rows(tmp_path / name, "triplets", TrainingColumns(scores="margin"))
        assert found.rows == (("a", "b", "c"), ("d", "e", "f"))
        assert found.scores == (0.5, -1)


def test_the_only_columns_of_text_need_no_name(tmp_path: Path) -> None:
    row = {"id": 1, "frage": "q", "antwort": "a"}
    assert read_rows(jsonl(tmp_path, row), "pairs", TrainingColumns()).rows == (("q", "a"),)
    with pytest.raises(TrainingDataUnusable, match="--columns, for example query,positive,negative"):
        read_rows(jsonl(tmp_path, row), "triplets", TrainingColumns())


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (TrainingColumns(("titel", "text")), "no column of this name: titel.*Did you mean 'title'"),
        (TrainingColumns(("title",)), "pairs need 2 columns"),
        (TrainingColumns(("title", "metadata")), "line 1: metadata is not a text"),
        (TrainingColumns(scores="core"), "no column of this name: core"),
        (TrainingColumns(scores="title"), "line 1: title is not a finite number: Heat"),
    ],
)
def test_columns_that_cannot_be_are_named(tmp_path: Path, columns: TrainingColumns, says: str) -> None:
    with pytest.raises(TrainingDataUnusable, match=says):
        read_rows(jsonl(tmp_path, BEIR), "pairs", columns)


@pytest.mark.parametrize("score", [None, "NaN", "inf", "many", "", []])
def test_a_score_that_is_no_number_is_named_with_its_line(tmp_path: Path, score: object) -> None:
    rows = ({**BEIR, "score": 1}, {**BEIR, "score": score})
    with pytest.raises(TrainingDataUnusable, match="line 2: score is not a finite number"):
        read_rows(jsonl(tmp_path, *rows), "pairs", TrainingColumns(scores="score"))


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path, BEIR)
    path.write_text(path.read_text() + "{broken\n")
    with pytest.raises(TrainingDataUnusable, match="line 2: the line is not JSON"):
        read_rows(path, "texts", TrainingColumns())


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(jsonl(tmp_path), "texts", TrainingColumns()).rows == ()
    with pytest.raises(FileUnreadable):
        read_rows(tmp_path / "absent.jsonl", "texts", TrainingColumns())


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.txt", "a line\n", "texts"),
        ("a.jsonl", '{"query": "a", "document": "b"}\n', "pairs"),
        ("a.csv", "question,answer\na,b\n", "pairs"),
        ("a.jsonl", '{"abstract": "a", "year": 3}\n', "texts"),
        ("a.jsonl", "", "texts"),
    ],
)
def test_a_file_of_pairs_is_told_by_its_columns(tmp_path: Path, name: str, content: str, kind: str) -> None:
    (tmp_path / name).write_text(content)
    assert detect_kind(tmp_path / name) == kind
