"""Folders that are tables: read by their own packages, or refused by name."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, MakeWork, write_rows

from nestvec.bulk.plan import Task, input_files, plan_tasks
from nestvec.bulk.tables import partition_values, source_files
from nestvec.bulk.task import TaskRunner
from nestvec.ingest.options import IngestOptions
from nestvec_schemas.errors import FileUnreadable

OPTIONS = IngestOptions("a.db")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("papers.lance/_versions/1.manifest", r"is a Lance table.*in/papers\.lance.*Name the table's folder"),
        ("metadata/v1.metadata.json", "Iceberg tables are not read"),
        ("old/_delta_log/0.json", r"is a Delta table.*in/old"),
        ("year=2020/a.parquet", r"partitioned.*year=2020.*--ignore-extra"),
    ],
)
def test_what_the_files_alone_do_not_say_is_refused(tmp_path: Path, path: str, message: str) -> None:
    folder = tmp_path / "in"
    pq.write_table(pa.table({"id": [1]}), write_rows(folder / "data.parquet", []))
    file = folder / path
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(FileUnreadable, match=message):
        source_files(str(folder))


def test_partitions_that_are_extra_are_left_out(tmp_path: Path) -> None:
    write_rows(tmp_path / "in" / "year=2020" / "a.jsonl", [{"id": 1}])
    (stat,) = source_files(str(tmp_path / "in"), ignore_extra=True)
    assert stat.address.endswith("year=2020/a.jsonl")


def test_a_folder_of_an_equals_sign_above_the_source_is_no_partition(tmp_path: Path) -> None:
    write_rows(tmp_path / "run=1" / "in" / "a.jsonl", [{"id": 1}])
    assert len(source_files(str(tmp_path / "run=1" / "in"))) == 1


@pytest.fixture
def deltalake() -> Any:
    return pytest.importorskip("deltalake", reason="the extra delta; make nightly runs it")


def test_a_delta_table_is_its_present_files(deltalake: Any, tmp_path: Path) -> None:
    folder = str(tmp_path / "a table")
    for start in (0, 10):
        rows = pa.table({"id": list(range(start, start + 10)), "text": ["a"] * 10})
        deltalake.write_deltalake(folder, rows, mode="append")
    deltalake.DeltaTable(folder).delete("id < 3")
    ids = [pq.read_table(stat.address).column("id").to_pylist() for stat in source_files(folder)]
    assert sorted(number for part in ids for number in part) == list(range(3, 20))
    log = next((tmp_path / "a table" / "_delta_log").glob("*0.json"))
    log.write_text("{")
    with pytest.raises(FileUnreadable, match="Delta table cannot be read"):
        source_files(folder)


@pytest.mark.usefixtures("store")
def test_a_delta_table_in_a_bucket(deltalake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "table"
    deltalake.write_deltalake(str(folder), pa.table({"id": [1, 2], "text": ["a", "b"]}))
    deltalake.write_deltalake(str(folder), pa.table({"id": [3], "text": ["c"]}), mode="append")
    deltalake.DeltaTable(str(folder)).delete("id = 1")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        key = f"delta tables/t/{path.relative_to(folder).as_posix()}"
        boto3.client("s3").put_object(Bucket="corpus", Key=key, Body=path.read_bytes())
    endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    for query in ("", f"?endpoint_override={endpoint}&scheme=http&region=us-east-1"):
        if query:
            monkeypatch.delenv("AWS_ENDPOINT_URL")
        files = input_files(f"s3://corpus/delta%20tables/t{query}", IngestOptions("a.db"))
        assert sorted(file.rows for file in files) == [1, 1]


PARTITIONS: dict[str, list[Any]] = {
    "year": [2020, None, 2021, 2020],
    "flag": [True, False, None, True],
    "fine": [0.1, 1.5, None, 2.0],
    "more": ["a b", "x/y=1%20", None, "Ü"],
}


def test_partitions_of_a_delta_table_are_columns(deltalake: Any, tmp_path: Path, make_work: MakeWork) -> None:
    """With their types, as they were before the table was partitioned."""
    rows = pa.table({"id": [0, 1, 2, 3], "text": [f"text {n}" for n in range(4)], **PARTITIONS})
    folder = str(tmp_path / "a table #")
    deltalake.write_deltalake(folder, rows, partition_by=list(PARTITIONS))
    tasks = list(plan_tasks(input_files(folder, OPTIONS), 100))
    assert len(tasks) == 4
    runner = TaskRunner(make_work(), FakeEmbedding())
    # As a worker of another machine gets it.
    sent = [Task.model_validate_json(task.model_dump_json()) for task in tasks]
    files = [file.name for task in sent for file in runner(task).files]
    pq.write_table(rows, tmp_path / "rows.parquet")
    (plain,) = plan_tasks(input_files(str(tmp_path / "rows.parquet"), OPTIONS), 100)
    (expected,) = TaskRunner(replace(make_work(), folder=str(tmp_path / "plain")), FakeEmbedding())(
        plain
    ).files
    written = pa.concat_tables(pq.read_table(tmp_path / "job" / name) for name in files)
    assert written.sort_by("id") == pq.read_table(tmp_path / "plain" / expected.name)
    assert written.sort_by("id").column("year").to_pylist() == PARTITIONS["year"]


@pytest.mark.usefixtures("store")
def test_a_partitioned_delta_table_in_a_bucket(deltalake: Any, tmp_path: Path) -> None:
    folder = tmp_path / "table"
    rows = pa.table({"id": [0, 1, 2, 3], **PARTITIONS})
    deltalake.write_deltalake(str(folder), rows, partition_by=list(PARTITIONS))
    for path in (path for path in folder.rglob("*") if path.is_file()):
        key = f"delta tables/by year/{path.relative_to(folder).as_posix()}"
        boto3.client("s3").put_object(Bucket="corpus", Key=key, Body=path.read_bytes())
    files = input_files("s3://corpus/delta%20tables/by%20year", OPTIONS)
    values = [partition_values(file.partition) for file in files]
    assert [file.rows for file in files] == [1, 1, 1, 1]
    assert sorted(values, key=str) == sorted(rows.select(list(PARTITIONS)).to_pylist(), key=str)


def delta_with(deltalake: Any, folder: Path, **changes: dict[str, Any]) -> None:
    """A table of three rows, with other values in the actions of its log."""
    deltalake.write_deltalake(str(folder), pa.table({"id": [1, 2, 3]}))
    (log,) = (folder / "_delta_log").glob("*.json")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    for entry in entries:
        for name, values in changes.items():
            if name in entry:
                entry[name] |= values
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


DELETION_VECTORS = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["deletionVectors"],
    "writerFeatures": ["deletionVectors"],
}


def test_rows_that_deletion_vectors_delete_are_refused(deltalake: Any, tmp_path: Path) -> None:
    folder = tmp_path / "table"
    # A roaring bitmap of row 1, in Z85.
    bitmap = "^Bg9^0rr910000000000iXQKl0rr91000005c8Xg0rr91"
    vector = {"storageType": "i", "pathOrInlineDv": bitmap, "sizeInBytes": 34, "cardinality": 1}
    delta_with(deltalake, folder, protocol=DELETION_VECTORS, add={"deletionVector": vector})
    (masks,) = pa.table(deltalake.DeltaTable(str(folder)).deletion_vectors()).to_pylist()
    assert masks["selection_vector"] == [True, False, True]
    with pytest.raises(FileUnreadable, match=r"its deletion vectors delete.*1 files.*PURGE"):
        source_files(str(folder))


def test_a_delta_table_that_has_no_deletion_vectors_but_may_is_read(deltalake: Any, tmp_path: Path) -> None:
    delta_with(deltalake, tmp_path / "table", protocol=DELETION_VECTORS)
    assert [file.rows for file in input_files(str(tmp_path / "table"), OPTIONS)] == [3]


def test_a_deletion_vector_that_is_gone_is_an_error(deltalake: Any, tmp_path: Path) -> None:
    vector = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4}
    lost = vector | {"sizeInBytes": 40, "cardinality": 2}
    delta_with(deltalake, tmp_path / "table", protocol=DELETION_VECTORS, add={"deletionVector": lost})
    with pytest.raises(FileUnreadable, match=r"Delta table cannot be read.*deletion_vector"):
        source_files(str(tmp_path / "table"))


def test_mapped_columns_of_a_delta_table_are_refused(deltalake: Any, tmp_path: Path) -> None:
    """Also as they were before tables listed their features."""
    field = {"name": "number", "type": "long", "nullable": True}
    mapped = {"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "id"}
    schema = json.dumps({"type": "struct", "fields": [field | {"metadata": mapped}]})
    mode = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "1"}
    delta_with(
        deltalake,
        tmp_path / "table",
        protocol={"minReaderVersion": 2, "minWriterVersion": 5},
        metaData={"configuration": mode, "schemaString": schema},
    )
    with pytest.raises(FileUnreadable, match="columns of the Delta table have other names"):
        source_files(str(tmp_path / "table"))
