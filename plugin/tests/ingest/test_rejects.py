"""The file of rejected rows: only where there are some, and never one twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nestvec.ingest.rejects import RejectedRow, append_rejected
from nestvec_schemas.errors import IngestError, RowRejected

REASON = RowRejected("column a is empty", next_step="Write a value.")


def test_no_row_no_file(tmp_path: Path) -> None:
    assert append_rejected(tmp_path / "r", [], 7) == 7
    assert not (tmp_path / "r").exists()


def test_what_stands_after_the_place_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "r"
    first = append_rejected(path, [RejectedRow("line 2", REASON, {"a": ""})], 0)
    second = append_rejected(path, [RejectedRow("line 3", REASON, "x")], first)
    assert append_rejected(path, [RejectedRow("line 4", REASON, "y")], first) == second == path.stat().st_size
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"place": "line 2", "reason": "column a is empty. Write a value.", "row": {"a": ""}},
        {"place": "line 4", "reason": "column a is empty. Write a value.", "row": "y"},
    ]


def test_a_file_that_was_emptied_meanwhile_has_no_hole(tmp_path: Path) -> None:
    append_rejected(tmp_path / "r", [RejectedRow("line 2", REASON, "x")], 1000)
    assert (tmp_path / "r").read_bytes().startswith(b'{"place"')


def test_any_row_can_be_written_down() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for row in ({"a": "\ud800", "b": b"x", "c": float("nan")}, {"a": deep}, {(1, 2): 3}):
        assert json.loads(RejectedRow("row 1", REASON, row).line())["place"] == "row 1"  # type: ignore[arg-type]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"cannot be written to .*--rejects"):
        append_rejected(tmp_path / "none" / "r", [RejectedRow("line 2", REASON, "x")], 0)
