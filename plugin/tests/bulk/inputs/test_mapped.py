"""Columns of ``--map`` that no row of a job has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from plugin.tests.bulk.conftest import FakeEmbedding, MakeWork, write_rows

from nestvec.bulk.manifest import TaskRecord, unmapped_warnings
from nestvec.bulk.plan import input_files, plan_tasks
from nestvec.bulk.task import TaskRunner
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.options import IngestOptions


def run(source: Path, make_work: MakeWork, renamed: dict[str, str]) -> list[TaskRecord]:
    options = IngestOptions("a.db", columns=ColumnMap(renamed=renamed, ignore_extra=True))
    runner = TaskRunner(replace(make_work(), reading=options), FakeEmbedding())
    return [runner(task) for task in plan_tasks(input_files(str(source), options, task_rows=2), 2)]


def test_one_that_no_task_has_is_a_warning(tmp_path: Path, make_work: MakeWork) -> None:
    rows = [{"id": number, "Body": f"text {number}"} for number in range(5)]
    rows[4]["jahr"] = 2020
    renamed = {"Body": "text", "jahr": "year", "flagge": "flag"}
    records = run(write_rows(tmp_path / "rows.jsonl", rows), make_work, renamed)
    assert [record.unmapped for record in records] == [("jahr", "flagge"), ("jahr", "flagge"), ("flagge",)]
    (warning,) = unmapped_warnings(records, renamed)
    assert warning == (
        "None of the 5 rows that were read has a column flagge, which is mapped to flag. "
        "Columns: id, Body, jahr."
    )
    # A record of before there were such.
    assert unmapped_warnings([records[0].model_copy(update={"unmapped": ()})], renamed) == ()


def test_a_header_was_compared_before(tmp_path: Path, make_work: MakeWork) -> None:
    (tmp_path / "rows.csv").write_text("id,Body\n1,a\n2,b\n3,c\n")
    records = run(tmp_path / "rows.csv", make_work, {"Body": "text"})
    assert [record.unmapped for record in records] == [(), ()]
    assert unmapped_warnings(records, {"Body": "text"}) == ()
