"""Rows go into Milvus Lite while later tasks are embedded: once each, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, write_rows
from pymilvus import DataType, MilvusClient

from nestvec.bulk.imports import lite
from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import ImportRecord, finished_tasks, read_imports, read_plan, write_imports
from nestvec.bulk.options import BulkOptions
from nestvec.bulk.plan import Task
from nestvec.bulk.run import BulkJob
from nestvec.bulk.task import EngineChoice, TaskRunner, Work
from nestvec.ingest.options import DeliveryOptions, IngestOptions
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import IngestError, NestvecError

TASK_ROWS = 3
ROWS = 12


class Killed(BaseException):
    """The command ends here, as by SIGKILL: nothing of what follows is carried out."""


@dataclass
class Pool:
    """Runs tasks in this process, in an order of its own; between them the job is asked what it does."""

    order: Sequence[int] = ()
    before: Callable[[Task], None] = lambda task: None
    ran: list[int] = field(default_factory=list)
    ended: int = 0

    def run_tasks(
        self, ray: Any, work: Work, tasks: Sequence[Task], options: Any, is_busy: Callable[[], bool]
    ) -> Generator[Any]:
        runner, waiting = TaskRunner(work, FakeEmbedding()), {task.number: task for task in tasks}
        numbers = [number for number in self.order if number in waiting] or sorted(waiting)
        try:
            for number in numbers:
                self.before(waiting[number])
                self.ran.append(number)
                yield runner(waiting[number])
                while is_busy():
                    yield None
        finally:
            self.ended += 1


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    @contextmanager
    def cluster(options: Any) -> Iterator[None]:
        yield

    pool = Pool()
    monkeypatch.setattr("nestvec.bulk.run.cluster", cluster)
    monkeypatch.setattr("nestvec.bulk.run.run_tasks", pool.run_tasks)
    return pool


@contextmanager
def no_progress(title: str, rows: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


@contextmanager
def open_job(folder: Path, rows: list[dict[str, Any]]) -> Iterator[BulkJob]:
    """A job of ``rows`` into a new or an earlier database in a folder."""
    source = write_rows(folder / "rows.jsonl", rows)
    with open_milvus(str(folder / "a.db")) as client:
        if not client.has_collection("docs"):
            create(client, auto_id="id" not in rows[0])
        options = BulkOptions(
            source=str(source),
            folder=str(folder / "job"),
            rows=IngestOptions("a.db", delivery=DeliveryOptions(0)),
            engine=EngineChoice(folder / "models"),
            task_rows=TASK_ROWS,
        )
        yield BulkJob(client, read_table(client, "docs"), options, no_progress)


def create(client: MilvusClient, *, auto_id: bool) -> None:
    schema = client.create_schema(auto_id=auto_id, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("n", DataType.INT64)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    indexes = client.prepare_index_params()
    indexes.add_index("v", index_type="FLAT", metric_type="L2")
    client.create_collection("docs", schema=schema, index_params=indexes)


def some_rows(*, auto_id: bool = False) -> list[dict[str, Any]]:
    return [{**({} if auto_id else {"id": n}), "n": n, "v": [0.5, n]} for n in range(ROWS)]


def stored(job: BulkJob) -> list[int]:
    rows = job.client.query("docs", filter="n >= 0", output_fields=["n"], limit=100)
    return sorted(int(row["n"]) for row in rows)


def test_rows_are_inserted_while_later_tasks_run(tmp_path: Path, pool: Pool) -> None:
    counts = []
    with open_job(tmp_path, some_rows()) as job:
        pool.before = lambda task: counts.append(len(stored(job)))
        report = job.run()
        assert counts == [0, 3, 6, 9]
        assert (report.imported, report.finished, stored(job)) == (ROWS, True, list(range(ROWS)))
        assert job.run().imported == 0


def test_rows_wait_for_the_tasks_before_theirs(tmp_path: Path, pool: Pool) -> None:
    counts = []
    with open_job(tmp_path, some_rows()) as job:
        pool.order, pool.before = (1, 3, 0, 2), lambda task: counts.append(len(stored(job)))
        assert job.run().imported == ROWS
    assert counts == [0, 0, 0, 6]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_last_row_of_a_key_remains(tmp_path: Path, pool: Pool, order: tuple[int, ...]) -> None:
    rows = some_rows()
    # Keys of task 0 come again in tasks 1 and 3.
    for at in (4, 10):
        rows[at]["id"] = 1
    rows[11]["id"] = 0
    pool.order = order
    with open_job(tmp_path, rows) as job:
        job.run()
        found = job.client.query("docs", filter="id in [0, 1]", output_fields=["n"])
        assert {row["id"]: row["n"] for row in found} == {0: 11, 1: 10}
        assert len(stored(job)) == ROWS - 3


@pytest.mark.parametrize("auto_id", [False, True])
@pytest.mark.parametrize("written", [False, True])
def test_a_command_that_is_killed_in_any_insert_continues(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, auto_id: bool, written: bool
) -> None:
    """Before a request, or after it, when no record says that it was answered: the next one goes on."""
    rows, upsert, calls = some_rows(auto_id=auto_id), MilvusClient.upsert, 0

    def killed_upsert(client: MilvusClient, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        result = upsert(client, *arguments, **options) if written or calls % 2 == 0 else None
        if calls % 2:
            raise Killed
        return result

    monkeypatch.setattr(MilvusClient, "upsert", killed_upsert)
    kills = 0
    while True:
        with open_job(tmp_path, rows) as job:
            try:
                report = job.run()
            except Killed:
                kills += 1
                assert pool.ended == kills
                continue
            assert (report.finished, report.tasks, stored(job)) == (True, 4, list(range(ROWS)))
            break
    # The first of each two tasks is killed: no task is embedded twice, and no row stored twice.
    assert kills >= 2
    assert pool.ran == [0, 1, 2, 3]


@pytest.mark.parametrize("auto_id", [False, True])
def test_what_is_inserted_but_not_noted_is_inserted_again(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, auto_id: bool
) -> None:
    """As after a kill soon after an insert, since the record of many files is not written after each."""
    rows, notes = some_rows(auto_id=auto_id), 0

    def note(folder: OutputFolder, imports: dict[str, ImportRecord]) -> None:
        nonlocal notes
        notes += 1
        if notes == 1:
            write_imports(folder, imports)

    with monkeypatch.context() as patched, open_job(tmp_path, rows) as job:
        patched.setattr(lite, "write_imports", note)
        assert job.run().imported == ROWS
        assert stored(job) == list(range(ROWS))
    assert notes == 2
    with open_job(tmp_path, rows) as job:
        assert job.run().imported == ROWS - 3
        assert stored(job) == list(range(ROWS))
        assert job.run().imported == 0


def test_an_insert_that_fails_ends_the_workers_and_the_job_continues(
    tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert, fails = MilvusClient.upsert, True

    def failing_upsert(client: MilvusClient, name: str, rows: list[Any], **options: Any) -> Any:
        if fails and any(row["n"] == 4 for row in rows):
            raise OSError("No space left on device")
        return upsert(client, name, rows, **options)

    monkeypatch.setattr(MilvusClient, "upsert", failing_upsert)
    with open_job(tmp_path, some_rows()) as job:
        with pytest.raises((NestvecError, OSError), match="No space left on device"):
            job.run()
        assert (pool.ran, pool.ended, stored(job)) == ([0, 1], 1, [0, 1, 2])
        fails = False
        report = job.run()
        assert (report.imported, report.resumed, report.finished) == (9, 2, True)
        assert stored(job) == list(range(ROWS))
    assert pool.ran == [0, 1, 2, 3]


@pytest.mark.parametrize("auto_id", [False, True])
def test_a_row_does_not_keep_the_dynamic_fields_of_the_one_that_it_replaces(
    tmp_path: Path, pool: Pool, auto_id: bool
) -> None:
    rows = some_rows(auto_id=auto_id)
    with open_job(tmp_path, [{**row, "old": 1, "both": 1} for row in rows]) as job:
        job.run()
    changed = [{**row, "both": 2} for row in rows[:5]] + rows[5:]
    with open_job(tmp_path, changed) as job:
        job.options = replace(job.options, rows=replace(job.options.rows, restart=True))
        assert job.run().imported == ROWS
        job.client.load_collection("docs")
        found = job.client.query("docs", filter="n >= 0", output_fields=["*"], limit=100)
    dynamic = {row["n"]: (row.get("old"), row.get("both")) for row in found}
    assert dynamic == {n: (None, 2 if n < 5 else None) for n in range(ROWS)}


def test_a_job_without_a_worker_inserts_nothing_and_is_stopped(tmp_path: Path, pool: Pool) -> None:
    waits = 0

    def no_worker(*arguments: Any) -> Generator[None]:
        nonlocal waits
        while waits < 9:
            waits += 1
            yield None

    with open_job(tmp_path, some_rows()) as job, pytest.MonkeyPatch.context() as patch:
        patch.setattr("nestvec.bulk.run.run_tasks", no_worker)
        job.stop = lambda: waits >= 3
        report = job.run()
        assert (report.finished, report.imported, waits, stored(job)) == (False, 0, 3, [])


def test_a_task_that_fails_leaves_the_rows_of_those_before(tmp_path: Path, pool: Pool) -> None:
    def fail(task: Task) -> None:
        if task.number == 2:
            raise IngestError("the engine is gone", next_step="Run the command again.")

    pool.before = fail
    with open_job(tmp_path, some_rows()) as job:
        with pytest.raises(IngestError, match="the engine is gone"):
            job.run()
        assert stored(job) == [0, 1, 2, 3, 4, 5]
        pool.before = lambda task: None
        assert job.run().imported == 6
        assert stored(job) == list(range(ROWS))


def test_a_job_that_is_stopped_between_tasks_continues(tmp_path: Path, pool: Pool) -> None:
    with open_job(tmp_path, some_rows()) as job:
        job.stop = lambda: len(pool.ran) >= 2
        report = job.run()
        assert (report.finished, report.imported, pool.ended) == (False, 3, 1)
        pool.ran.clear()
        job.stop = lambda: False
        assert job.run().imported == ROWS - 3
        assert stored(job) == list(range(ROWS))
    assert pool.ran == [2, 3]


def test_a_file_that_is_damaged_meanwhile_is_not_inserted(tmp_path: Path, pool: Pool) -> None:
    def damage(task: Task) -> None:
        if task.number == 0:
            plan = read_plan(job.folder)
            assert plan is not None
            (file,) = finished_tasks(job.folder, plan.id)[1].files
            path = tmp_path / "job" / file.name
            path.write_bytes(path.read_bytes()[:-1] + b"?")

    pool.order, pool.before = (1, 0, 2, 3), damage
    with open_job(tmp_path, some_rows()) as job:
        with pytest.raises(NestvecError, match="SHA-256"):
            job.run()
        assert stored(job) == [0, 1, 2]
        assert len(read_imports(job.folder)) == 1
