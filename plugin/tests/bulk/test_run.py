"""A job whose tasks are done, and its import into Milvus Lite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, write_rows
from pymilvus import DataType, MilvusClient

from nestvec.bulk.imports.server import ServerImport
from nestvec.bulk.manifest import (
    ImportRecord,
    finished_tasks,
    note_begun,
    read_plan,
    record_name,
    write_imports,
)
from nestvec.bulk.options import BulkOptions, BulkReport
from nestvec.bulk.plan import input_files, plan_tasks
from nestvec.bulk.run import BulkJob
from nestvec.bulk.task import EngineChoice, TaskRunner, Work
from nestvec.datasets.readers import ReadOptions
from nestvec.ingest.options import IngestOptions
from nestvec.ingest.write.patience import Patience
from nestvec.milvus.catalog import Column, read_table
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import IngestError, JournalMismatch, StoreInUse, StoreRefused


def create(client: MilvusClient, *, auto_id: bool = False) -> None:
    schema = client.create_schema(auto_id=auto_id)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    indexes = client.prepare_index_params()
    indexes.add_index("v", index_type="FLAT", metric_type="L2")
    client.create_collection("docs", schema=schema, index_params=indexes)


def plan_id(job: BulkJob) -> str:
    plan = read_plan(job.folder)
    assert plan is not None
    return plan.id


@contextmanager
def progress(title: str, rows: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


@pytest.fixture
def job(tmp_path: Path) -> Iterator[BulkJob]:
    """A job of 6 rows in 2 tasks, which are done."""
    with open_job(tmp_path) as job:
        yield job


@contextmanager
def open_job(tmp_path: Path, *, auto_id: bool = False) -> Iterator[BulkJob]:
    rows = [{**({} if auto_id else {"id": n}), "v": [0.5, n]} for n in range(6)]
    source = write_rows(tmp_path / "rows.jsonl", rows)
    with open_milvus(str(tmp_path / "a.db")) as client:
        create(client, auto_id=auto_id)
        options = BulkOptions(
            source=str(source),
            folder=str(tmp_path / "job"),
            rows=IngestOptions("a.db"),
            engine=EngineChoice(tmp_path / "models"),
            task_rows=3,
        )
        job = BulkJob(client, read_table(client, "docs"), options, progress)
        embed(job)
        yield job


def embed(job: BulkJob) -> None:
    files = input_files(job.options.source, job.options.rows)
    plan = job._plan(files)
    work = Work(job.table, job.options.folder, job.options.rows, job.options.engine, plan=plan.id)
    runner = TaskRunner(work, FakeEmbedding())
    for task in plan_tasks(list(plan.files), plan.identity.task_rows):
        runner(task)


def test_a_collection_that_was_created_again_is_refused(job: BulkJob) -> None:
    assert (job.run().imported, job.run().imported) == (6, 0)
    job.client.drop_collection("docs")
    create(job.client)
    with pytest.raises(JournalMismatch, match=r"docs is not the one .*--restart"):
        job.run()
    restart = replace(job.options, rows=replace(job.options.rows, restart=True))
    again = BulkJob(job.client, job.table, restart, progress)
    again._plan(input_files(restart.source, restart.rows))
    embed(job)
    assert job.run().imported == 6


def test_a_run_while_another_one_has_the_folder(job: BulkJob) -> None:
    with closing(sqlite3.connect(Path(job.options.folder, ".lock"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreInUse, match="another command is at work"):
            job.run()
    assert job.run().imported == 6


def test_a_damaged_file_is_not_imported(job: BulkJob) -> None:
    (file,) = finished_tasks(job.folder, plan_id(job))[1].files
    path = Path(job.options.folder, file.name)
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    with pytest.raises(JournalMismatch, match="SHA-256"):
        job.run()
    assert job.client.query("docs", filter="id >= 0", output_fields=["id"]) == []
    path.write_bytes(content)
    report = job.run()
    assert (report.imported, report.finished) == (6, True)
    assert report.seconds["total"] >= report.seconds["import"] > 0


def test_a_folder_in_the_source_is_refused(job: BulkJob, tmp_path: Path) -> None:
    source = str(Path(job.options.source).parent)
    job.options = replace(job.options, source=source, folder=str(tmp_path / "job" / "out"))
    with pytest.raises(IngestError, match="the folder of the job is in the source"):
        job.run()


def test_a_folder_in_a_store_that_is_none_is_refused(job: BulkJob) -> None:
    job.options = replace(job.options, folder="file:///job")
    with pytest.raises(IngestError, match=r"file:// is no store.*gs://BUCKET"):
        job.run()


def test_records_of_another_plan_do_not_count(job: BulkJob) -> None:
    plan = read_plan(job.folder)
    assert plan is not None
    done = finished_tasks(job.folder, plan.id)
    assert sorted(done) == [0, 1]
    # As by a worker of a job that was begun again with --restart meanwhile.
    job.folder.write(
        record_name(done[1].task), done[1].model_copy(update={"plan": "x"}).model_dump_json().encode()
    )
    assert sorted(finished_tasks(job.folder, plan.id)) == [0]


def test_generated_keys_stay_after_a_restart(job: BulkJob) -> None:
    job.table = replace(job.table, columns=tuple(generated(column) for column in job.table.columns))
    restart = replace(job.options, rows=replace(job.options.rows, restart=True))
    job.options = restart
    keys = [job._plan(input_files(restart.source, restart.rows)).first_key for _ in range(3)]
    assert keys[0] is not None
    assert len(set(keys)) == 1


def begin_again(job: BulkJob) -> None:
    """Embed as with --restart."""
    options = job.options
    job.options = replace(options, rows=replace(options.rows, restart=True))
    embed(job)
    job.options = options


def stored_values(job: BulkJob) -> list[float]:
    rows = job.client.query("docs", filter="id >= 0", output_fields=["v"], limit=100)
    return sorted(float(row["v"][1]) for row in rows)


def test_after_a_restart_the_collection_has_the_rows_of_the_source(tmp_path: Path) -> None:
    with open_job(tmp_path, auto_id=True) as job:
        assert job.run().imported == 6
        write_rows(Path(job.options.source), [{"v": [0.5, n]} for n in range(2, 6)])
        begin_again(job)
        limited = replace(job.options.rows, reading=replace(job.options.rows.reading, limit=3))
        assert job.run().imported == 4
        assert stored_values(job) == [2, 3, 4, 5]
        # Of a source that is read in part, the other rows stay.
        job.options = replace(job.options, rows=limited)
        begin_again(job)
        assert job.run().imported == 3
        assert stored_values(job) == [2, 3, 4, 5]


def test_a_restart_with_another_source_keeps_the_rows_of_before(tmp_path: Path) -> None:
    with open_job(tmp_path, auto_id=True) as job:
        assert job.run().imported == 6
        other = write_rows(tmp_path / "more.jsonl", [{"v": [0.5, n]} for n in range(10, 12)])
        job.options = replace(job.options, source=str(other))
        begin_again(job)
        assert job.run().imported == 2
        assert stored_values(job) == [0, 1, 2, 3, 4, 5, 10, 11]


def begin_again_with(job: BulkJob, numbers: Iterable[int], *, removed: str = "") -> BulkReport:
    """Embed and import other rows under keys of the source, as with --restart."""
    write_rows(Path(job.options.source), [{"id": n, "v": [0.5, n]} for n in numbers])
    if removed:
        Path(job.options.folder, removed).write_text("{")
    begin_again(job)
    return job.run()


def stale_keys(job: BulkJob) -> list[int]:
    path = Path(job.options.folder, "stale_keys.jsonl")
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


def test_rows_of_before_a_restart_that_stay_are_listed(job: BulkJob) -> None:
    """Under keys of the source, which another source may have, too."""
    assert (job.run().stale, stale_keys(job)) == (0, [])
    assert begin_again_with(job, range(2, 5)).stale == 3
    assert stale_keys(job) == [0, 1, 5]
    # The same command again, and after another restart.
    assert (job.run().stale, stale_keys(job)) == (3, [0, 1, 5])
    assert begin_again_with(job, range(3, 6)).stale == 3
    assert stale_keys(job) == [0, 1, 2]
    assert stored_values(job) == [0, 1, 2, 3, 4, 5]
    job.client.delete("docs", ids=[0, 1])
    assert (job.run().stale, stale_keys(job)) == (1, [2])
    assert (begin_again_with(job, range(6), removed="plan.json").stale, stale_keys(job)) == (0, [])


def test_keys_are_not_compared_where_the_source_is_read_in_part_or_files_were_removed(job: BulkJob) -> None:
    assert job.run().imported == 6
    job.options = replace(
        job.options, rows=replace(job.options.rows, reading=ReadOptions(limit=2)), task_rows=1
    )
    assert (begin_again_with(job, range(4)).stale, stale_keys(job)) == (0, [])
    job.options = replace(job.options, rows=replace(job.options.rows, reading=ReadOptions()))
    assert (begin_again_with(job, range(4)).stale, stale_keys(job)) == (2, [4, 5])
    next(Path(job.options.folder, "files").iterdir()).unlink()
    assert (job.run().stale, stale_keys(job)) == (0, [])


@pytest.mark.parametrize("damage", ["cut off", "another column", "another type"])
def test_a_restart_needs_no_keys_of_before(
    job: BulkJob, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They are read for the report alone, and the restart is what mends the job."""
    assert job.run().imported == 6
    path = next(Path(job.options.folder, "files").iterdir())
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "another column":
        pq.write_table(pa.table({"key": [7]}), path)
    else:
        pq.write_table(pa.table({"id": ["7"]}), path)
        job.client.delete("docs", ids=[3, 4])
    report = begin_again_with(job, range(2))
    assert (report.imported, report.stale) == (2, 1 if damage == "another type" else 0)
    assert ("are not listed" in caplog.text) == (damage != "another type")


def test_keys_of_another_source_in_the_same_folder_are_not_compared(job: BulkJob, tmp_path: Path) -> None:
    assert job.run().imported == 6
    job.options = replace(job.options, source=str(tmp_path / "more.jsonl"))
    report = begin_again_with(job, range(10, 12))
    assert (report.imported, report.stale) == (2, 0)


def test_a_restart_that_does_not_know_the_keys_of_imported_rows_is_refused(tmp_path: Path) -> None:
    with open_job(tmp_path, auto_id=True) as job:
        assert job.run().imported == 6
        (tmp_path / "job" / "plan.json").write_text("{")
        with pytest.raises(StoreRefused, match="rows a second time"):
            begin_again(job)


def generated(column: Column) -> Column:
    return replace(column, auto_id=True) if column.primary else column


@pytest.mark.parametrize("imports", [True, False])
def test_a_restart_of_what_a_server_imported_is_refused(
    job: BulkJob, monkeypatch: pytest.MonkeyPatch, imports: bool
) -> None:
    """Also without an import now: the next one would store the rows a second time."""
    job.lite = False
    job.options = replace(job.options, rows=replace(job.options.rows, restart=True), imports=imports)
    files = input_files(job.options.source, job.options.rows)
    name = finished_tasks(job.folder, plan_id(job))[0].files[0].name
    write_imports(job.folder, {name: ImportRecord(file=name, state="done", job=1, collection=7)})
    importing = ServerImport(object(), job.table, job.folder, Patience(0), collection_id=7)  # type: ignore[arg-type]
    monkeypatch.setattr(job, "_server_import", lambda: importing)
    with pytest.raises(StoreRefused, match="rows a second time"):
        job._plan(files)
    assert len(finished_tasks(job.folder, plan_id(job))) == 2
    content = job.folder.read("imports.json") or b""
    job.folder.write("imports.json", content[:-1])
    with pytest.raises(StoreRefused, match="rows a second time"):
        job._plan(files)
    job.folder.write("imports.json", content)
    # The collection was created again.
    importing.collection_id = 8
    job._plan(files)
    assert finished_tasks(job.folder, plan_id(job)) == {}


def test_tasks_that_were_begun_again_are_counted(job: BulkJob) -> None:
    assert job.run().repeated == 0
    (task, _) = (record.task for record in finished_tasks(job.folder, plan_id(job)).values())
    note_begun(job.folder, task, plan_id(job))
    note_begun(job.folder, task, "anotherplan")
    assert job.run().repeated == 1


def test_a_job_that_is_stopped_before_its_import_ends_continues(job: BulkJob) -> None:
    job.stop = lambda: True
    assert not job.run().finished
    job.stop = lambda: False
    assert job.run().imported == 6


def test_a_file_of_other_columns_is_refused_before_anything_is_embedded(job: BulkJob) -> None:
    source = Path(job.options.source).parent / "in"
    write_rows(source / "a.jsonl", [{"id": 1, "v": [0, 1]}])
    pq.write_table(pa.table({"id": [2], "other": [1]}), source / "b.parquet")
    options = replace(job.options, source=str(source), folder=f"{source}.job")
    other = BulkJob(job.client, job.table, options, progress)
    for run in (other.dry_run, other.run):
        with pytest.raises(IngestError, match=r"b\.parquet has a column that docs does not have: other"):
            run()
    assert not Path(options.folder).exists()


def test_a_dry_run_has_the_tasks_of_the_run(job: BulkJob, monkeypatch: pytest.MonkeyPatch) -> None:
    files, tasks = job.dry_run()
    assert (sum(file.rows for file in files), tasks) == (6, 2)
    new = replace(job.options, folder=f"{job.options.folder}2")
    # Fewer rows, as where vectors are large.
    monkeypatch.setattr("nestvec.bulk.options._MAX_FILE_BYTES", 16)
    other = BulkJob(job.client, job.table, new, progress)
    assert other.dry_run()[1] == 3
    assert not Path(new.folder).exists()
    embed(other)
    assert len(finished_tasks(other.folder, plan_id(other))) == 3
    with pytest.raises(JournalMismatch, match="--task-rows has changed since: 3, now 2"):
        job.dry_run()


def test_a_plan_of_before_tasks_were_even_goes_on(job: BulkJob) -> None:
    plan = read_plan(job.folder)
    assert plan is not None
    files = tuple(file.model_copy(update={"task_rows": None, "parts": ()}) for file in plan.files)
    stored = plan.model_copy(update={"files": files}).model_dump(
        exclude={"files": {"__all__": {"task_rows"}}}
    )
    job.folder.write("plan.json", json.dumps(stored).encode())
    assert job.dry_run()[1] == 2
    report = job.run()
    assert (report.tasks, report.resumed, report.imported) == (2, 2, 6)
