"""Writes to a real Milvus Lite through the real client: what a refusal looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import DataType, MilvusClient

from nestvec.datasets.readers import SourceRow
from nestvec.ingest import IngestOptions, ingest
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.delivery import Delivery
from nestvec.ingest.write.faults import classify
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.writers import CountedWriter, KeyedWriter, LiteKeyWriter, Writer
from nestvec.milvus.catalog import Table, read_table
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import StoreRefused


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path / "x.db")) as client:
        yield client


def create(client: MilvusClient, *, auto_id: bool) -> Table:
    schema = client.create_schema(auto_id=auto_id)
    schema.add_field("id", DataType.INT64, is_primary=True, auto_id=auto_id)
    schema.add_field("note", DataType.VARCHAR, max_length=5)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    client.create_collection("c", schema=schema)
    client.create_index("c", client.prepare_index_params("v", index_type="FLAT", metric_type="L2"))
    client.load_collection("c")
    return read_table(client, "c")


def batch(notes: list[str], *, keys: bool) -> RowBatch:
    rows = tuple(
        {"note": note, "v": [0.0, 1.0]} | ({"id": n} if keys else {}) for n, note in enumerate(notes)
    )
    sources = tuple(SourceRow(f"row {n}", row) for n, row in enumerate(rows, 1))
    return RowBatch(0, len(rows), rows=rows, source_rows=sources, positions=tuple(range(len(rows))))


def writer(client: MilvusClient, table: Table, kind: str) -> Writer:
    if kind == "keyed":
        return KeyedWriter(client, table)
    return (
        LiteKeyWriter(client, table, 10**18) if kind == "lite" else CountedWriter(client, table, Patience())
    )


@pytest.mark.parametrize("kind", ["keyed", "lite", "counted"])
def test_a_row_that_milvus_refuses_is_found_and_rejected(client: MilvusClient, kind: str) -> None:
    table = create(client, auto_id=kind != "keyed")
    write = writer(client, table, kind)
    notes = ["a", "b", "longer", "c", "d", "too long", "e"]
    with pytest.raises(StoreRefused) as caught:
        write(batch(notes, keys=kind == "keyed"))
    assert (classify(caught.value).kind, classify(caught.value).party) == ("rows", "Milvus")
    assert str(caught.value.value).startswith("VARCHAR field 'note'")
    delivery = Delivery(write, BatchSize(100), Patience(0), repeatable=write.repeatable)
    parts = list(delivery.deliver(batch(notes, keys=kind == "keyed")))
    rejected = [row for part in parts for row in part.rejected]
    assert [row.place for row in rejected] == ["row 3", "row 6"]
    assert "max_length" in str(rejected[0].reason)
    stored = client.query("c", filter="", output_fields=["note"], limit=100)
    assert sorted(row["note"] for row in stored) == ["a", "b", "c", "d", "e"]


def test_a_collection_that_is_gone_is_a_lasting_fault(client: MilvusClient) -> None:
    table = create(client, auto_id=False)
    client.drop_collection("c")
    with pytest.raises(StoreRefused) as caught:
        KeyedWriter(client, table)(batch(["a"], keys=True))
    assert classify(caught.value).kind == "lasting"


def test_a_row_does_not_keep_the_dynamic_fields_of_the_one_that_it_replaces(
    client: MilvusClient, tmp_path: Path
) -> None:
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, max_length=9, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    indexes = client.prepare_index_params("v", index_type="FLAT", metric_type="L2")
    client.create_collection("c", schema=schema, index_params=indexes)
    table, path = read_table(client, "c"), tmp_path / "x.jsonl"

    def write(*rows: dict[str, object]) -> None:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert ingest(client, table, path, IngestOptions("memory")).inserted == len(rows)

    write(
        {"id": 'a"', "v": [1, 2], "old": 1, "both": 1},
        {"id": "b", "v": [1, 2], "old": 2},
        {"id": "c", "v": [1, 2], "old": 3},
    )
    client.release_collection("c")
    write({"id": 'a"', "v": [1, 2], "both": 2, "new": 3}, {"id": "c", "v": [1, 2]})
    client.load_collection("c")
    rows = client.query("c", filter="", limit=10, output_fields=["*"])
    present = {
        row["id"]: {name: row.get(name) for name in ("old", "both", "new") if row.get(name) is not None}
        for row in rows
    }
    assert present == {'a"': {"both": 2, "new": 3}, "b": {"old": 2}, "c": {}}
