"""Lance tables: the rows of one version, whatever was deleted, changed, appended or compacted before it."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, MakeWork, row, vector_of

from nestvec.bulk.lance_table import open_lance, reopen_lance
from nestvec.bulk.manifest import JobIdentity, JobPlan, check_plan
from nestvec.bulk.plan import Task, input_files, plan_tasks
from nestvec.bulk.task import TaskRunner
from nestvec.datasets.readers import ReadOptions
from nestvec.ingest.options import IngestOptions
from nestvec_schemas.errors import FileUnreadable, IngestError, JournalMismatch

lance = pytest.importorskip("lance", reason="the extra lance; make nightly runs it")

OPTIONS = IngestOptions("a.db")
SEEDS = range(12)


class RandomTable:
    """A table with columns of many types, and its random changes."""

    def __init__(self, seed: int, uri: str) -> None:
        self.random, self.uri, self.next = random.Random(seed), uri, 0
        lance.write_dataset(
            self.rows(self.random.randrange(1, 900)),
            uri,
            max_rows_per_file=self.random.choice([7, 100, 1000]),
            data_storage_version=self.random.choice(["2.0", "2.1", "stable"]),
            enable_stable_row_ids=self.random.random() < 0.3,
        )

    def rows(self, count: int) -> pa.Table:
        ids = list(range(self.next, self.next + count))
        self.next += count
        start = datetime(2020, 1, 1, tzinfo=UTC)
        return pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "text": [None if self.random.random() < 0.1 else f"text {number}" for number in ids],
                "large": pa.array([f"large {number}" for number in ids], pa.large_string()),
                "repeated": pa.array([f"r{number % 3}" for number in ids]).dictionary_encode(),
                "vector": pa.FixedSizeListArray.from_arrays(np.arange(count * 4, dtype=np.float32), 4),
                "time": pa.array([start + timedelta(hours=n) for n in ids], pa.timestamp("us", "UTC")),
                "price": pa.array([Decimal(number) / 100 for number in ids], pa.decimal128(12, 2)),
                "list": pa.array([None if n % 5 == 0 else [n] * (n % 3) for n in ids], pa.list_(pa.int32())),
            }
        )

    def change(self) -> None:
        table, divisor = lance.dataset(self.uri), self.random.randrange(2, 9)
        change = self.random.choice(["append", "delete", "update", "compact"])
        if change == "append":
            lance.write_dataset(self.rows(self.random.randrange(1, 200)), self.uri, mode="append")
        elif change == "delete":
            table.delete(f"id % {divisor} = 0")
        elif change == "update":
            table.update({"text": "'new'"}, where=f"id % {divisor} = 1")
        else:
            table.optimize.compact_files(target_rows_per_fragment=self.random.choice([50, 5000]))


@pytest.mark.parametrize("seed", SEEDS)
def test_tasks_have_the_rows_of_the_version(tmp_path: Path, seed: int) -> None:
    uri = str(tmp_path / "a table%20#?.lance")
    table = RandomTable(seed, uri)
    for _ in range(table.random.randrange(6)):
        table.change()
    expected = lance.dataset(uri).to_table().to_pylist()
    files = input_files(uri, OPTIONS)
    tasks = list(plan_tasks(files, table.random.choice([37, 100, 5000])))
    table.change()
    read = [item for task in tasks for item in task_rows(task)]
    assert [item.value for item in read] == expected
    assert [item.place for item in read] == [f"row {number + 1}" for number in range(len(expected))]


def task_rows(task: Task) -> list[Any]:
    assert task.table is not None
    return list(
        reopen_lance(task.address, task.table.version, task.table.sha256).items(task.start, task.rows)
    )


def test_values_are_those_of_a_parquet_file_of_the_same_rows(tmp_path: Path, make_work: MakeWork) -> None:
    rows = [row(number) for number in range(30)]
    rows[4] |= {"year": None, "own": None, "tags": None}
    rows[5] |= {"text": "broken"}
    rows[6] |= {"text": None}
    rows[7] |= {"year": 1 << 40}
    source = pa.Table.from_pylist(rows)
    pq.write_table(source, tmp_path / "rows.parquet")
    uri = str(tmp_path / "rows.lance")
    lance.write_dataset(source, uri, max_rows_per_file=8)
    results = []
    for address in (tmp_path / "rows.parquet", uri):
        shutil.rmtree(tmp_path / "job", ignore_errors=True)
        (task,) = plan_tasks(input_files(str(address), OPTIONS), 100)
        record = TaskRunner(make_work(), FakeEmbedding())(task)
        rejected = (tmp_path / "job" / "rejected" / "task-000000.jsonl").read_text()
        written = pq.read_table(tmp_path / "job" / record.files[0].name)
        results.append((record.rows, written, rejected.replace("rows.lance", "rows.parquet")))
    assert results[0] == results[1]
    assert results[0][0] == 27
    np.testing.assert_array_equal(results[1][1].column("text_8").to_pylist()[3], vector_of("text 3", 8))


@pytest.mark.usefixtures("store")
def test_a_table_in_a_bucket(tmp_path: Path, make_work: MakeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from boto3 import client

    uri = str(tmp_path / "t.lance")
    lance.write_dataset(pa.Table.from_pylist([row(number) for number in range(20)]), uri, max_rows_per_file=6)
    lance.dataset(uri).delete("id < 3")
    for path in (path for path in Path(uri).rglob("*") if path.is_file()):
        key = f"lance tables/t.lance/{path.relative_to(uri).as_posix()}"
        client("s3").put_object(Bucket="corpus", Key=key, Body=path.read_bytes())
    endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    for query in ("", f"?endpoint_override={endpoint}&scheme=http&region=us-east-1"):
        if query:
            monkeypatch.delenv("AWS_ENDPOINT_URL")
        files = input_files(f"s3://corpus/lance%20tables/t.lance{query}", OPTIONS)
        rows = [item.value["id"] for task in plan_tasks(files, 5) for item in task_rows(task)]
        assert rows == list(range(3, 20))


def test_a_task_reads_little_more_than_its_rows(tmp_path: Path) -> None:
    uri = str(tmp_path / "t.lance")
    vectors = np.random.default_rng(1).random(20_000 * 256, np.float32)
    lance.write_dataset(
        pa.table({"vector": pa.FixedSizeListArray.from_arrays(vectors, 256)}), uri, max_rows_per_file=8_000
    )
    table = open_lance(uri, ReadOptions())

    def bytes_read(start: int, count: int) -> int:
        counter = Path("/proc/self/io")
        before = int(counter.read_text().partition("rchar: ")[2].partition("\n")[0])
        assert len(list(table.items(start, count))) == count
        return int(counter.read_text().partition("rchar: ")[2].partition("\n")[0]) - before

    assert bytes_read(0, 20_000) > vectors.nbytes
    assert bytes_read(15_000, 500) < vectors.nbytes / 8


@pytest.fixture
def planned(tmp_path: Path) -> tuple[str, JobPlan]:
    uri = str(tmp_path / "t.lance")
    lance.write_dataset(pa.Table.from_pylist([row(number) for number in range(20)]), uri)
    identity = JobIdentity(source=uri, reading="", target="", collection="", columns=(), task_rows=4)
    return uri, JobPlan(identity=identity, files=tuple(input_files(uri, OPTIONS)))


def test_a_table_that_changed_is_not_continued_until_it_is_restored(planned: tuple[str, JobPlan]) -> None:
    uri, plan = planned
    lance.dataset(uri).update({"text": "'x'"}, where="id = 3")
    with pytest.raises(JournalMismatch, match=r"input files have changed since.*t\.lance"):
        check_plan(plan, plan.identity, input_files(uri, OPTIONS))
    lance.dataset(uri, version=1).restore()
    check_plan(plan, plan.identity, input_files(uri, OPTIONS))
    lance.dataset(uri).create_scalar_index("id", "BTREE")
    check_plan(plan, plan.identity, input_files(uri, OPTIONS))
    # The newest version has the rows of the one that is gone.
    lance.dataset(uri).cleanup_old_versions(timedelta(0))
    (task, *_) = plan_tasks(list(plan.files), 4)
    assert [item.value["id"] for item in task_rows(task)] == [0, 1, 2, 3]


@pytest.mark.parametrize("change", ["cleaned up", "created again"])
def test_a_version_that_is_gone_is_refused_by_a_task(planned: tuple[str, JobPlan], change: str) -> None:
    uri, plan = planned
    if change == "cleaned up":
        lance.dataset(uri).delete("id = 3")
        lance.dataset(uri).cleanup_old_versions(timedelta(0), delete_unverified=True)
    else:
        shutil.rmtree(uri)
        lance.write_dataset(pa.Table.from_pylist([row(number) for number in range(20)]), uri)
    (task, *_) = plan_tasks(list(plan.files), 4)
    with pytest.raises(JournalMismatch, match=r"version 1 of the Lance table.*is gone.*t\.lance"):
        task_rows(task)


@pytest.mark.parametrize("part", ["data", "_deletions", "_versions"])
def test_a_damaged_table_is_an_error(planned: tuple[str, JobPlan], part: str) -> None:
    uri, _ = planned
    lance.dataset(uri).delete("id = 3")
    for file in (file for file in Path(uri, part).iterdir() if file.suffix != ".json"):
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(FileUnreadable, match=r"Lance table cannot be read.*t\.lance") as raised:
        [item for task in plan_tasks(input_files(uri, OPTIONS), 9) for item in task_rows(task)]
    assert ".rs:" not in str(raised.value)


def test_options_of_other_formats_are_refused(planned: tuple[str, JobPlan]) -> None:
    uri, _ = planned
    with pytest.raises(FileUnreadable, match=r"is a Lance table.*--format csv.*Omit --format"):
        input_files(uri, IngestOptions("a.db", kind="csv"))
    with pytest.raises(FileUnreadable, match="delimiter is an option of CSV"):
        input_files(uri, IngestOptions("a.db", reading=ReadOptions(delimiter=";")))
    (file,) = input_files(uri, IngestOptions("a.db", reading=ReadOptions(limit=7)))
    assert file.rows == 7


def test_a_column_that_the_collection_lacks_is_refused(
    planned: tuple[str, JobPlan], make_work: MakeWork
) -> None:
    from dataclasses import replace

    work = make_work()
    work = replace(work, table=replace(work.table, dynamic=False))
    (task, *_) = plan_tasks(list(planned[1].files), 4)
    with pytest.raises(IngestError, match="more"):
        TaskRunner(work, FakeEmbedding())(task)


def test_nothing_is_printed_when_ray_starts_its_processes(planned: tuple[str, JobPlan]) -> None:
    """Lance warns of forks; Ray starts programs with functions that run in a fork."""
    code = (
        "import subprocess, sys; from nestvec.bulk.lance_table import open_lance\n"
        "from nestvec.datasets.readers import ReadOptions; open_lance(sys.argv[1], ReadOptions())\n"
        "subprocess.run(['true'], preexec_fn=lambda: None, check=True)"
    )
    done = subprocess.run([sys.executable, "-c", code, planned[0]], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
