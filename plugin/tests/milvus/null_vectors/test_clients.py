"""pymilvus's clients with NULL in vectors, beside a real Milvus Lite."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from nestvec.milvus.connection import open_milvus, open_milvus_async
from nestvec.milvus.null_vectors.clients import nullable_columns
from nestvec.milvus.process_changes import PROCESS_CHANGES


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = str(tmp_path / "nulls.db")
    client = MilvusClient(path)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    schema.add_field("nestvec_null_v", DataType.BOOL, nullable=True)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="L2")
    client.create_collection("items", schema=schema, index_params=index)
    client.close()
    return path


ROWS = [{"id": 1, "v": [1.0, 0.0]}, {"id": 2, "v": None}, {"id": 3}]
READ = [{"id": 1, "v": [1.0, 0.0]}, {"id": 2, "v": None}, {"id": 3, "v": None}]


def test_rows_are_read_as_they_were_written(database: str) -> None:
    with open_milvus(database) as client:
        client.load_collection("items")
        changes = PROCESS_CHANGES.count
        client.insert("items", ROWS[:1])
        assert PROCESS_CHANGES.count == changes
        client.insert("items", ROWS[1:])
        assert PROCESS_CHANGES.count == changes + 1
        assert list(client.query("items", filter="id > 0", output_fields=["id", "v"])) == READ
        pages = client.query_iterator("items", batch_size=2, output_fields=["id", "v"])
        assert [row for page in iter(pages.next, []) for row in page] == READ
        pages.close()
        hits = client.search("items", data=[[1.0, 0.0]], anns_field="v", limit=3, output_fields=["v"])
        assert [hit["entity"]["v"] for hit in hits[0]].count(None) == 2
        client.upsert("items", [{"id": 1, "v": None}, {"id": 2, "v": [0.0, 1.0]}])
        client.upsert("items", [{"id": 3, "v": [1.0, 1.0]}], partial_update=True)
        rows = client.query("items", filter="id > 0", output_fields=["v"])
        assert [row["v"] for row in rows] == [None, [0.0, 1.0], [1.0, 1.0]]
        stored = client.query("items", filter="id == 1", output_fields=["nestvec_null_v"])
        assert stored[0]["nestvec_null_v"] is True


def test_async_clients_know_what_others_wrote(database: str) -> None:
    async def run() -> Any:
        async with open_milvus_async(database) as client:
            await client.load_collection("items")
            before = await client.query("items", filter="id > 0", output_fields=["id", "v"])
            with open_milvus(database) as other:
                other.insert("items", ROWS)
            await client.insert("items", {"id": 4, "v": None})
            hits = await client.search(
                "items", data=[[1.0, 0.0]], anns_field="v", limit=4, output_fields=["v"]
            )
            after = await client.query("items", filter="id > 0", output_fields=["id", "v"])
            return list(before), [hit["entity"]["v"] for hit in hits[0]].count(None), list(after)

    assert asyncio.run(run()) == ([], 3, [*READ, {"id": 4, "v": None}])


def test_a_collection_that_is_missing_is_milvus_own_error(database: str) -> None:
    with open_milvus(database) as client:
        for call in (lambda: client.query("other", filter="id > 0"), lambda: client.insert("other", ROWS)):
            with pytest.raises(MilvusException, match="other"):
                call()


def test_clients_of_a_database_share_what_is_known_of_it() -> None:
    first = nullable_columns("http://host:1", "", shared=True)
    assert nullable_columns("http://host:1", "", shared=True) is first
    assert nullable_columns("http://host:1", "db", shared=True) is not first
    assert first.first_null_seconds > 10 > nullable_columns("a.db", "", shared=False).first_null_seconds
