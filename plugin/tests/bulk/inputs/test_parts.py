"""Each task reads its own part of a file, and says so if it is another one than was planned."""

from __future__ import annotations

import codecs
import gzip
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, MakeWork

from nestvec.bulk.inputs import task_rows
from nestvec.bulk.plan import Task, input_files, plan_tasks
from nestvec.bulk.task import TaskRunner
from nestvec.datasets.readers import ReadOptions, RowSource
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.options import IngestOptions
from nestvec_schemas.errors import JournalMismatch

OPTIONS = IngestOptions("a.db", columns=ColumnMap(ignore_extra=True))


def lines(path: Path) -> Path:
    """26 rows of JSON and one that is none, with a mark, blank lines and odd line ends."""
    rows = [f'{{"id": {number}, "text": "tëxt {number}"}}' for number in range(26)]
    rows[7] += "\r"
    rows[11] = "\n \n\r\n" + rows[11]
    data = bytearray(codecs.BOM_UTF8 + "\n".join(rows).encode())
    path.write_bytes(data.replace(b'"id": 13,', b'"id": \xff,'))
    return path


def cells(path: Path) -> Path:
    """25 rows of CSV and two that are none, with line ends inside cells."""
    rows = [f'{number},"two\nlines, {number}"' for number in range(26)]
    rows[5] = '5,"not closed'
    rows[9] += "\n\n"
    rows[11] = "11,é"
    path.write_bytes(b"id,text\n" + "\r\n".join(rows).encode() + b"\r\n26,\xff\r\n")
    return path


def as_parts(path: Path, task_rows: int, options: IngestOptions = OPTIONS) -> list[Task]:
    files = input_files(str(path), options, task_rows=task_rows)
    return [Task.model_validate_json(each.model_dump_json()) for each in plan_tasks(files, task_rows)]


def written(job: Path, tasks: list[Task], runner: TaskRunner) -> tuple[list[object], list[str]]:
    """The rows of tasks, and the places of those that are rejected."""
    records = [runner(task) for task in tasks]
    files = [file.name for record in records for file in record.files]
    rejected = [job / "rejected" / f"{record.task.name}.jsonl" for record in records if record.rejected]
    tables = [pq.read_table(job / name, columns=["id", "text"]) for name in files]
    return pa.concat_tables(tables).to_pylist(), [path.read_text() for path in rejected]


@pytest.mark.parametrize("make", [lines, cells])
@pytest.mark.parametrize("rows", [1, 3, 13, 25])
def test_tasks_of_parts_have_the_rows_of_the_file(
    tmp_path: Path, make_work: MakeWork, make: object, rows: int
) -> None:
    path = make(tmp_path / f"rows.{'jsonl' if make is lines else 'csv'}")  # type: ignore[operator]
    work = replace(make_work(), reading=OPTIONS)
    tasks = as_parts(path, rows)
    assert all(task.part is not None for task in tasks)
    whole = replace(work, folder=str(tmp_path / "whole"))
    (single,) = as_parts(path, 1_000)
    expected, rejected = written(tmp_path / "whole", [single], TaskRunner(whole, FakeEmbedding()))
    # Each by another worker, in any order.
    parts = [(task, TaskRunner(work, FakeEmbedding())) for task in reversed(tasks)]
    by_part = [written(tmp_path / "job", [task], runner) for task, runner in parts if runner(task).rows]
    assert [row for part, _ in reversed(by_part) for row in part] == expected
    lines_of = [
        (tmp_path / "job" / "rejected" / f"{task.name}.jsonl").read_text()
        for task in tasks
        if (tmp_path / "job" / "rejected" / f"{task.name}.jsonl").exists()
    ]
    assert "".join(lines_of) == "".join(rejected) != ""


def test_a_file_of_one_task_has_no_parts(tmp_path: Path) -> None:
    path = lines(tmp_path / "rows.jsonl")
    assert [task.part for task in as_parts(path, 26)] == [None]
    limited = replace(OPTIONS, reading=ReadOptions(limit=4))
    assert [(task.start, task.rows) for task in as_parts(path, 3, limited)] == [(0, 2), (2, 2)]


@pytest.mark.parametrize("at", [3, 300, -3])
def test_a_file_that_changed_since_the_plan_is_refused(tmp_path: Path, make_work: MakeWork, at: int) -> None:
    """In its header or in the rows of a task: the header and the first MiB are those of every task."""
    path = cells(tmp_path / "rows.csv")
    content = bytearray(path.read_bytes())
    tasks = as_parts(path, 9)
    runner = TaskRunner(replace(make_work(), reading=OPTIONS), FakeEmbedding())
    content[at] ^= 1
    path.write_bytes(content)
    refused = []
    for task in tasks:
        try:
            runner(task)
        except JournalMismatch as error:
            refused.append(task.number)
            assert "a file has changed since the bulk job was begun" in error.cause
            assert error.value == str(path)
    assert refused == [0, 1, 2]


def test_a_file_that_grows_or_changes_while_it_is_read_is_refused(
    tmp_path: Path, make_work: MakeWork
) -> None:
    path = lines(tmp_path / "rows.jsonl")
    tasks = as_parts(path, 9)

    class Growing(FakeEmbedding):
        def embed(self, texts, outputs):  # type: ignore[no-untyped-def]
            with path.open("ab") as file:
                file.write(b"\n")
            return super().embed(texts, outputs)

    runner = TaskRunner(replace(make_work(), reading=OPTIONS), Growing())
    with pytest.raises(JournalMismatch, match=r"has changed.*rows\.jsonl"):
        runner(tasks[0])
    assert not (tmp_path / "job" / "tasks").exists()


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.json"])
def test_a_file_without_parts_is_read_on(
    tmp_path: Path, make_work: MakeWork, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rows = [f'{{"id": {number}, "text": "text {number}"}}' for number in range(20)]
    path = tmp_path / name
    if name.endswith(".gz"):
        with gzip.open(path, "wt") as file:
            file.write("\n".join(rows))
    else:
        path.write_text(f"[{', '.join(rows)}]")
    starts: list[object] = []

    class Counted(RowSource):
        def items(self, start=0):  # type: ignore[no-untyped-def]
            starts.append(start)
            return super().items(start)

    def open_counted(*arguments):  # type: ignore[no-untyped-def]
        source = open_source(*arguments)
        return Counted(**{field: getattr(source, field) for field in source.__dataclass_fields__})

    open_source = task_rows.open_source
    monkeypatch.setattr(task_rows, "open_source", open_counted)
    tasks = as_parts(path, 4)
    assert [task.part for task in tasks] == [None] * 5
    runner = TaskRunner(replace(make_work(), reading=OPTIONS), FakeEmbedding())
    # A task of another worker is skipped, and one that was lost is read from the beginning.
    order = [tasks[number] for number in (0, 1, 3, 4, 2)]
    stored, _ = written(tmp_path / "job", order, runner)
    assert [row["id"] for row in stored] == [  # type: ignore[index, call-overload]
        *range(8),
        *range(12, 20),
        *range(8, 12),
    ]
    assert starts == [0, 8]
