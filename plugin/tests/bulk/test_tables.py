"""Folders that are tables: read by their own packages, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import write_rows

from nestvec.bulk.tables import source_files
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


def test_a_delta_table_is_its_present_files(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake", reason="the extra delta; make nightly runs it")
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
