"""Keys of before that the source no longer has: all of them, in any number, in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nestvec.bulk.imports import stale
from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import FILES, OutputFile, TaskRecord
from nestvec.bulk.plan import Task
from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec_schemas.errors import IngestError

KEY = Column("the key", "VARCHAR", primary=True, type_params=TypeParams(max_length=200))
TABLE = Table("docs", (KEY,), (), dynamic=False)
ROWS = 200_000


def key(number: int) -> str:
    return f"{number:08d}" + "x" * 92


def write_keys(folder: Path, numbers: Sequence[int], files: int = 4) -> list[TaskRecord]:
    """A job's files with these keys."""
    (folder / FILES).mkdir(parents=True, exist_ok=True)
    for old in (folder / FILES).iterdir():
        old.unlink()
    records = []
    for number in range(files):
        name = f"{FILES}/task-{number}.parquet"
        pq.write_table(pa.table({KEY.name: [key(each) for each in numbers[number::files]]}), folder / name)
        file = OutputFile(name=name, rows=0, size=0, sha256="")
        task = Task(number=number, address="", start=0, rows=0, first=0)
        records.append(TaskRecord(task=task, files=(file,), rows=0, rejected=0))
    return records


def test_keys_that_do_not_fit_into_memory_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 38_000_000
    monkeypatch.setattr(stale, "_MEMORY", f"{limit}B")
    assert len(key(0)) * 2 * ROWS > limit
    queried: list[int] = []

    def in_collection(client: Any, table: Table, keys: list[str]) -> list[str]:
        queried.append(len(keys))
        return [each for each in keys if each != key(5)]

    monkeypatch.setattr(stale, "stored_keys", in_collection)
    folder = OutputFolder(str(tmp_path))
    write_keys(tmp_path, range(ROWS))
    stale.keep_keys(folder, KEY)
    write_keys(tmp_path, range(100, ROWS + 100))
    stale.keep_keys(folder, KEY)  # of both runs
    records = write_keys(tmp_path, range(3000, ROWS))
    assert stale.list_stale(None, TABLE, folder, records) == 3099  # type: ignore[arg-type]
    lines = (tmp_path / stale.STALE_KEYS).read_bytes().splitlines()
    listed = [orjson.loads(line)[KEY.name] for line in lines]
    assert listed == [key(number) for number in (*range(5), *range(6, 3000), *range(ROWS, ROWS + 100))]
    assert (sum(queried), max(queried)) == (3100, 1024)


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale, "_MEMORY", "16MB")
    write_keys(tmp_path, range(ROWS))
    monkeypatch.setattr(stale.duckdb, "connect", without_disk(stale.duckdb.connect))
    with pytest.raises(
        IngestError, match=r"(?s)cannot be compared.*Free space in the folder of temporary files"
    ):
        stale.keep_keys(OutputFolder(str(tmp_path)), KEY)


def without_disk(connect: Any) -> Any:
    """DuckDB that may write nothing beside its memory."""
    return lambda config: connect(config={**config, "max_temp_directory_size": "0KB"})
