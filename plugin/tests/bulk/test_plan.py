"""Which files and rows a job has, and whether they are those of an earlier run."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin.tests.bulk.conftest import row, write_rows

from nestvec.bulk.manifest import JobIdentity, JobPlan, check_plan
from nestvec.bulk.plan import InputFile, even_rows, input_files, plan_tasks
from nestvec.datasets.readers import ReadOptions
from nestvec.ingest.options import IngestOptions
from nestvec_schemas.errors import FileUnreadable, JournalMismatch

OPTIONS = IngestOptions("a.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of 10, 4, 3 and 5 rows, and some that are none."""
    folder = tmp_path / "in"
    write_rows(folder / "a.jsonl", [row(number) for number in range(10)])
    (folder / "deep").mkdir()
    (folder / "deep" / "b.csv").write_text('id,text\n1,"two\nlines"\n2,b\n3,c\n4,d\n')
    with gzip.open(folder / "c.jsonl.gz", "wt") as file:
        file.write('{"id": 1}\n\n{"id": 2}\n{"id": 3}\n')
    pq.write_table(pa.table({"id": [1, 2, 3, 4, 5]}), folder / "d.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.jsonl").write_text("{}\n")
    return folder


def test_files_of_every_format_are_counted(folder: Path) -> None:
    files = input_files(str(folder), OPTIONS)
    assert [(Path(file.address).name, file.rows) for file in files] == [
        ("a.jsonl", 10),
        ("c.jsonl.gz", 3),
        ("d.parquet", 5),
        ("b.csv", 4),
    ]


def test_tasks_have_every_row_once(folder: Path) -> None:
    files = input_files(str(folder), OPTIONS)
    tasks = list(plan_tasks(files, 4))
    assert [(task.number, task.start, task.rows, task.first) for task in tasks] == [
        (0, 0, 4, 0),
        (1, 4, 4, 4),
        (2, 8, 2, 8),
        (3, 0, 3, 10),
        (4, 0, 4, 13),
        (5, 4, 1, 17),
        (6, 0, 4, 18),
    ]


@given(
    rows=st.integers(0, 300_000), max_rows=st.sampled_from([1, 7, 3_000, 50_000]), count=st.integers(1, 40)
)
def test_tasks_of_a_file_are_alike_and_more_than_workers(rows: int, max_rows: int, count: int) -> None:
    each = even_rows(rows, max_rows, count)
    assert 1 <= each <= max_rows
    file = InputFile(address="a", size=1, mtime_ns=0, head_sha256="", rows=rows, task_rows=each)
    sizes = [task.rows for task in plan_tasks([file], max_rows)]
    assert sum(sizes) == rows
    assert set(sizes[:-1]) <= {each}
    if max_rows == 50_000:
        assert len(sizes) <= max(-(-rows // max_rows), 16 // count, 1)
        assert len(sizes) >= min(rows // 4096, 8 // count)


def test_few_rows_are_divided_among_workers(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"id": {number}}}\n' for number in range(12_288)))
    (file,) = input_files(str(path), OPTIONS, task_rows=50_000)
    assert [task.rows for task in plan_tasks([file], 50_000)] == [3072] * 4
    assert len(file.parts) == 4
    (counted,) = input_files(str(path), OPTIONS, task_rows=50_000, hashed=False)
    assert (counted.task_rows, counted.parts, counted.sha256) == (3072, (), "")


def test_a_limit_is_of_all_files(folder: Path) -> None:
    files = input_files(str(folder), IngestOptions("a.db", reading=ReadOptions(limit=12)))
    assert [file.rows for file in files] == [10, 2]


def test_a_pattern_names_files(folder: Path) -> None:
    assert len(input_files(f"{folder}/*.jsonl", OPTIONS)) == 1
    with pytest.raises(FileUnreadable, match="there is no file"):
        input_files(f"{folder}/*.tsv", OPTIONS)


def test_another_input_is_refused_and_a_copy_is_not(folder: Path) -> None:
    identity = JobIdentity(
        source=str(folder), reading="", target="a.db", collection="docs", columns=("id INT64",), task_rows=4
    )
    plan = JobPlan(identity=identity, files=tuple(input_files(str(folder), OPTIONS)))
    copy = folder / "copy"
    shutil.copy(folder / "a.jsonl", copy)
    copy.replace(folder / "a.jsonl")
    check_plan(plan, identity, input_files(str(folder), OPTIONS))
    with pytest.raises(JournalMismatch, match="encoders have changed"):
        check_plan(plan, identity.model_copy(update={"columns": ()}), list(plan.files))
    with (folder / "a.jsonl").open("a") as file:
        file.write('{"id": 99}\n')
    with pytest.raises(JournalMismatch, match=r"input files have changed.*a\.jsonl"):
        check_plan(plan, identity, input_files(str(folder), OPTIONS))


def test_a_change_beyond_the_first_mebibyte_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(number) | {"text": "a" * 60} for number in range(9_000)])
    assert path.stat().st_size > 2 << 20
    identity = JobIdentity(
        source=str(path), reading="", target="a.db", collection="docs", columns=(), task_rows=4
    )
    before = input_files(str(path), OPTIONS)
    plan = JobPlan(identity=identity, files=tuple(before))
    content = path.read_bytes()
    path.write_bytes(content[:-400] + content[-400:].replace(b"aaa", b"abc"))
    now = input_files(str(path), OPTIONS)
    assert [(file.size, file.rows, file.head_sha256) for file in now] == [
        (file.size, file.rows, file.head_sha256) for file in before
    ]
    with pytest.raises(JournalMismatch, match=r"input files have changed.*rows\.jsonl"):
        check_plan(plan, identity, now)
    # A plan of before whole files were hashed.
    old = plan.model_copy(update={"files": tuple(file.model_copy(update={"sha256": ""}) for file in before)})
    check_plan(old, identity, now)
    path.write_bytes(content)
    check_plan(plan, identity, input_files(str(path), OPTIONS))


def test_another_limit_is_named(folder: Path) -> None:
    identity = JobIdentity(
        source=str(folder), reading="", target="a.db", collection="docs", columns=(), task_rows=4
    )
    limited = IngestOptions("a.db", reading=ReadOptions(limit=2))
    plan = JobPlan(identity=identity, files=tuple(input_files(str(folder), limited)))
    with pytest.raises(JournalMismatch, match=r"--limit\) has changed since: 2 rows of .*, now 10"):
        check_plan(plan, identity, input_files(str(folder), OPTIONS))
