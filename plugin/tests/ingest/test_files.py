"""Ordinary files through the ingest loop: resumed after a crash, and refused if they are read otherwise."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nestvec.datasets.readers import ReadOptions
from nestvec.ingest import DeliveryOptions, IngestOptions, ingest
from nestvec.ingest.check.dry_run import check_rows
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.journal import journal_path
from nestvec.ingest.write.patience import Clock
from nestvec_schemas.errors import IngestError, JournalMismatch

Made = Callable[..., Any]
TIME = Clock(now=count().__next__, sleep=lambda seconds: None)
OPTIONS = IngestOptions("memory", batch=3, delivery=DeliveryOptions(requests=1, clock=TIME))
ROWS = 20
REJECTED = {5, 11}


def sheet(number: int) -> str:
    """A row of a spreadsheet; two of them have an unclosed quote, and some a line break."""
    text = '"open' if number in REJECTED else f'"ä\n{number}"' if number % 3 == 0 else f"ä {number}"
    return f"{number};{text};{number};x\n"


def sheets() -> bytes:
    return ("Nr;Text;Notiz;extra\n" + "".join(map(sheet, range(ROWS)))).encode("cp1252")


FILES: dict[str, tuple[bytes, str, IngestOptions]] = {
    "csv": (
        gzip.compress(sheets()),
        "rows.csv.gz",
        replace(
            OPTIONS,
            reading=ReadOptions(encoding="cp1252", nulls=("NA",)),
            columns=ColumnMap({"Nr": "id", "Text": "text", "Notiz": "note"}, ignore_extra=True),
        ),
    ),
    "json": (
        json.dumps(
            [
                {"id": number, "text": 5 if number in REJECTED else "a", "note": str(number)}
                for number in range(ROWS)
            ]
        ).encode(),
        "rows.json",
        OPTIONS,
    ),
    "tsv": (
        "".join(
            f"{number}\t{'' if number in REJECTED else 'a'}\t{number}\n" for number in range(ROWS)
        ).encode("utf-16"),
        "rows.tsv",
        replace(OPTIONS, reading=ReadOptions(columns=("id", "text", "note"))),
    ),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("landed", [True, False])
def test_any_file_continues_after_a_crash(
    tmp_path: Path, milvus: Made, crash: type[BaseException], make_table: Made, kind: str, landed: bool
) -> None:
    data, name, options = FILES[kind]
    for crash_at in range(7):
        path = tmp_path / str(crash_at) / name
        path.parent.mkdir()
        path.write_bytes(data)
        client, table = milvus(crash_at, landed), make_table()
        try:
            report = ingest(client, table, path, options)
        except crash:
            report = ingest(client, table, path, options)
        assert sorted(int(row["note"]) for row in client.rows) == sorted(set(range(ROWS)) - REJECTED)
        assert (report.inserted, report.rejected) == (ROWS - len(REJECTED), len(REJECTED))
        rejected = [json.loads(line) for line in (path.parent / f"{name}.rejected.jsonl").open()]
        assert len(rejected) == len(REJECTED)
        if kind == "csv":
            assert [row["row"] for row in rejected] == [
                sheet(number).rstrip("\n") for number in sorted(REJECTED)
            ]


def test_other_options_do_not_continue_an_interrupted_run(
    tmp_path: Path, milvus: Made, crash: type[BaseException], make_table: Made
) -> None:
    data, name, options = FILES["csv"]
    path = tmp_path / name
    path.write_bytes(data)
    client, table = milvus(2, True), make_table()
    with pytest.raises(crash):
        ingest(client, table, path, options)
    for changed in (
        replace(options, reading=replace(options.reading, nulls=())),
        replace(
            options, columns=replace(options.columns, renamed={"Nr": "id", "Text": "text", "extra": "note"})
        ),
    ):
        with pytest.raises(JournalMismatch, match="the options for reading it have changed"):
            ingest(client, table, path, changed)
    # How far to read is no part of what the rows are.
    limited = replace(options, reading=replace(options.reading, limit=12))
    report = ingest(client, table, path, limited)
    assert report.inserted + report.rejected == 12


def test_a_pipe_is_ingested_once_and_cannot_be_continued(
    tmp_path: Path,
    milvus: Made,
    crash: type[BaseException],
    make_table: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    _, _, options = FILES["csv"]
    stdin = replace(options, kind="csv")

    def pipe() -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(sheets()))))

    pipe()
    client = milvus()
    report = ingest(client, make_table(), Path("-"), stdin)
    assert (report.inserted, report.rejected) == (ROWS - len(REJECTED), len(REJECTED))
    assert report.rejects == Path("stdin.rejected.jsonl")
    assert [entry.name for entry in tmp_path.iterdir()] == ["stdin.rejected.jsonl"]
    pipe()
    client = milvus(2, True)
    with pytest.raises(crash):
        ingest(client, make_table(), Path("-"), stdin)
    assert not journal_path(Path("-"), "t").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["stdin.rejected.jsonl"]


def test_a_dry_run_says_what_an_ingest_would_do_and_writes_nothing(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    data, name, options = FILES["csv"]
    path = tmp_path / name
    path.write_bytes(data)
    checked = check_rows(make_table(), path, options)
    assert list(tmp_path.iterdir()) == [path]
    report = ingest(milvus(), make_table(), path, options)
    assert (checked.inserted, checked.rejected) == (report.inserted, report.rejected)
    assert checked.reasons == report.reasons


def test_columns_that_are_wrong_are_refused_before_any_row(
    tmp_path: Path, milvus: Made, make_table: Made
) -> None:
    data, name, options = FILES["csv"]
    path = tmp_path / name
    path.write_bytes(data)
    client = milvus()
    for columns, message in (
        (
            ColumnMap({"Nr": "id", "Text": "text", "Notiz": "note"}),
            r"column that t does not have: extra.*--map",
        ),
        (ColumnMap({"Number": "id"}), "no column of this name to map: Number"),
    ):
        with pytest.raises(IngestError, match=message):
            ingest(client, make_table(), path, replace(options, columns=columns))
    assert client.rows == []
    assert list(tmp_path.iterdir()) == [path]
