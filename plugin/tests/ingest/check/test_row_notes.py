"""What a report says of rows: keys that later rows have, and mapped columns that none has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nestvec.ingest import IngestOptions, IngestReport, ingest
from nestvec.ingest.check.dry_run import check_rows
from nestvec.ingest.check.repeated_keys import RepeatedKeys
from nestvec.ingest.columns import ColumnMap
from nestvec.milvus.catalog import Table

Made = Callable[..., Any]
Read = Callable[..., IngestReport]

ROW = {"id": 1, "text": "a", "note": "b"}


@pytest.fixture(params=["ingest", "dry run"])
def read(request: pytest.FixtureRequest, milvus: Made, make_table: Made, tmp_path: Path) -> Read:
    """The report of these rows of a file of JSON lines, written or only checked."""

    def run(*rows: Mapping[str, object], renamed: Mapping[str, str] = {}) -> IngestReport:
        path, table = tmp_path / "x.jsonl", make_table()
        assert isinstance(table, Table)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = IngestOptions("memory", batch=2, columns=ColumnMap(renamed, ignore_extra=True))
        if request.param == "ingest":
            return ingest(milvus(), table, path, options)
        return check_rows(table, path, options)

    return run


def test_a_mapped_column_that_no_row_has_is_named(read: Read) -> None:
    rows = [ROW | {"id": number, "remark": "c"} for number in range(5)]
    report = read(*rows, renamed={"remrk": "maybe"})
    assert report.inserted == 5
    assert report.warnings == (
        "None of the 5 rows that were read has a column remrk, which is mapped to maybe. Columns: id, text, "
        "note, remark. Did you mean 'remark'?",
    )


def test_one_row_with_the_column_is_enough(read: Read) -> None:
    rows = [ROW | {"id": number} for number in range(5)]
    assert read(*rows, ROW | {"id": 9, "remrk": "c"}, renamed={"remrk": "maybe"}).warnings == ()
    assert read(renamed={"remrk": "maybe"}).warnings == ()


def test_a_row_without_a_column_that_it_must_have_names_the_one_that_is_mapped(read: Read) -> None:
    row = {"id": 1, "text": "a"}
    report = read(row, ROW | {"id": 2}, {"id": 3, "text": "a", "remark": "b"}, renamed={"remark": "note"})
    assert report.inserted == 2
    assert report.reasons[0].startswith(
        "line 1: column note is missing, and the row has no remark, which is mapped to it. Add remark"
    )


def test_rows_that_later_ones_replace_are_counted(read: Read) -> None:
    report = read(*(ROW | {"id": number} for number in (1, 2, 1, 3, 1, 2)))
    assert (report.inserted, report.replaced) == (6, 3)
    assert read(ROW, ROW | {"id": 2}).replaced == 0


def test_keys_are_compared_exactly() -> None:
    keys = RepeatedKeys("id")
    assert keys.count == 0
    # Python's hash of some of these numbers is the same.
    keys.add([{"id": number} for number in (-1, -2, 0, 2**61 - 1, 2**63 - 1, -(2**63))])
    assert keys.count == 0
    keys.add([{"id": -2}])
    assert keys.count == 1
    texts = RepeatedKeys("id")
    texts.add([{"id": text} for text in ("a", "b", "a", "", "A")])
    assert texts.count == 1
    generated = RepeatedKeys(None)
    generated.add([{}, {}])
    assert generated.count == 0
