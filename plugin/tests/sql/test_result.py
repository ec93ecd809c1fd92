"""Rows as objects, whose columns may have the same name."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from nestvec.shell.print_result import print_result
from nestvec.sql import StatementResult
from nestvec.sql.statements.dml.copy_options import CopyOptions
from nestvec.sql.statements.dml.copy_to import write_rows

REPEATED = StatementResult(("x", "x", "x_2", "y"), ("INT64",) * 4, ((1, 2, 3, 4), (5, 6, 7, 8)))
OBJECTS = [{"x": 1, "x_3": 2, "x_2": 3, "y": 4}, {"x": 5, "x_3": 6, "x_2": 7, "y": 8}]


def test_no_column_of_a_repeated_name_is_lost_in_objects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert REPEATED.records() == OBJECTS
    print_result(REPEATED, "json")
    assert json.loads(click.unstyle(capsys.readouterr().out)) == OBJECTS
    write_rows(tmp_path / "rows.json", "json", CopyOptions(), REPEATED)
    assert json.loads((tmp_path / "rows.json").read_text()) == OBJECTS
    write_rows(tmp_path / "rows.jsonl", "jsonl", CopyOptions(), REPEATED)
    assert list(map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())) == OBJECTS
