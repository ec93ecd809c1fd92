"""Folders that are tables: read by their own packages, or refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import write_rows

from nestvec.bulk.plan import input_files
from nestvec.bulk.tables import source_files
from nestvec.ingest.options import IngestOptions
from nestvec_schemas.errors import FileUnreadable


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


def test_a_delta_table_with_values_beside_its_files_is_refused(deltalake: Any, tmp_path: Path) -> None:
    folder, rows = str(tmp_path / "table"), pa.table({"id": [1, 2], "year": [2020, 2021]})
    deltalake.write_deltalake(folder, rows, partition_by=["year"])
    with pytest.raises(FileUnreadable, match=r"values that are not in its Parquet files: year"):
        source_files(folder)
