"""Rows into Milvus Lite: what earlier runs inserted is still there, or the job is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymilvus import DataType, MilvusClient

from nestvec.bulk.imports.lite import LiteTarget
from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import FILES, OutputFile, TaskRecord, read_imports
from nestvec.bulk.plan import Task
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.writers import new_first_key
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import JournalMismatch


def create(client: MilvusClient, *, auto_id: bool) -> None:
    schema = client.create_schema(auto_id=auto_id)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    indexes = client.prepare_index_params()
    indexes.add_index("v", index_type="FLAT", metric_type="L2")
    client.create_collection("docs", schema=schema, index_params=indexes)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path / "a.db")) as client:
        yield client


def records(folder: Path, *, auto_id: bool) -> list[TaskRecord]:
    """The records of a task with two files, of 3 rows each."""
    files = []
    (folder / FILES).mkdir(parents=True)
    for number in range(2):
        name = f"{FILES}/{number}.parquet"
        columns: dict[str, Any] = {"v": pa.array([[0.5, 1.0]] * 3, pa.list_(pa.float32()))}
        if not auto_id:
            columns = {"id": [3 * number, 3 * number + 1, 3 * number + 2], **columns}
        pq.write_table(pa.table(columns), folder / name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        files.append(OutputFile(name=name, rows=3, size=1, sha256=digest))
    task = Task(number=0, address="rows.jsonl", start=0, rows=6, first=0)
    return [TaskRecord(task=task, files=tuple(files), rows=6, rejected=0)]


@pytest.mark.parametrize("auto_id", [False, True])
def test_a_collection_that_was_created_again_is_refused(
    client: MilvusClient, tmp_path: Path, auto_id: bool
) -> None:
    folder = OutputFolder(str(tmp_path / "job"))
    done = records(tmp_path / "job", auto_id=auto_id)
    first_key = new_first_key() if auto_id else None

    def insert() -> int:
        target = LiteTarget(client, read_table(client, "docs"), folder, first_key, Patience(0))
        imports = read_imports(folder)
        target.check_collection(done, imports)
        with target.inserting(imports, lambda rows: None) as insert_task:
            return sum(insert_task(record) for record in done)

    create(client, auto_id=auto_id)
    assert (insert(), insert()) == (6, 0)
    client.drop_collection("docs")
    create(client, auto_id=auto_id)
    other = {"v": [0.0, 0.0]} if auto_id else {"v": [0.0, 0.0], "id": 99}
    for _ in range(2):
        with pytest.raises(JournalMismatch, match=r"docs is not the one .*--restart"):
            insert()
        client.insert("docs", [other])
    (tmp_path / "job" / "imports.json").unlink()
    assert insert() == 6


@pytest.mark.usefixtures("store")
def test_files_in_a_store_are_inserted(client: MilvusClient, tmp_path: Path) -> None:
    create(client, auto_id=False)
    done = records(tmp_path / "job", auto_id=False)
    for file in done[0].files:
        boto3.client("s3").upload_file(str(tmp_path / "job" / file.name), "corpus", f"job/{file.name}")
    folder = OutputFolder("s3://corpus/job")
    target = LiteTarget(client, read_table(client, "docs"), folder, None, Patience(0))
    with target.inserting(read_imports(folder), lambda rows: None) as insert_task:
        assert insert_task(done[0]) == 6
    assert client.query("docs", filter="id >= 0", output_fields=["count(*)"]) == [{"count(*)": 6}]


def test_an_empty_collection_is_refused_though_the_files_were_removed(
    client: MilvusClient, tmp_path: Path
) -> None:
    create(client, auto_id=False)
    folder = OutputFolder(str(tmp_path / "job"))
    done = records(tmp_path / "job", auto_id=False)
    target = LiteTarget(client, read_table(client, "docs"), folder, None, Patience(0))
    with target.inserting(read_imports(folder), lambda rows: None) as insert_task:
        assert insert_task(done[0]) == 6
    for file in done[0].files:
        folder.remove(file.name)
    target.check_collection(done, read_imports(folder))
    client.delete("docs", filter="id >= 0")
    with pytest.raises(JournalMismatch, match="emptied"):
        target.check_collection(done, read_imports(folder))
