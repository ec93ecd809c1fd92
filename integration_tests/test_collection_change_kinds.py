"""Collections of every kind that change: no value of a row is lost on the way into the second collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from integration_tests.fixtures.changes import Doomed, Killed, embedding, killed
from integration_tests.fixtures.services import Serve
from pymilvus import DataType, Function, FunctionType, MilvusClient

import nestvec
from nestvec.collections.change.copy import Copy
from nestvec.collections.change.definition import Change, new_embedding
from nestvec.collections.change.rollback import rollback
from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.ingest.target import client_target
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import StoreInUse

pytestmark = pytest.mark.usefixtures("no_late_writers")


@pytest.fixture(scope="module")
def words_service(words: Path, serve: Serve) -> str:
    return serve(words)


def change(client: MilvusClient, name: str, service: str, *dims: int, keep_old: bool = False) -> None:
    wanted = embedding(service, *dims)
    plan, _ = plan_or_continue(client, name, wanted)
    run_change(client, plan, wanted, ChangeOptions(keep_old=keep_old))


def rows_of(client: MilvusClient, name: str, *fields: str) -> dict[Any, dict[str, Any]]:
    rows = client.query(name, filter="", limit=1000, output_fields=list(fields) or ["*", "$meta"])
    read = {row["id"]: dict(row) for row in rows}
    assert len(read) == len(rows)
    return read


def create(client: MilvusClient, name: str, schema: Any, *vectors: str, metric: str = "L2") -> None:
    indexes = client.prepare_index_params()
    for vector in vectors:
        indexes.add_index(vector, index_type="FLAT", metric_type=metric)
    client.create_collection(name, schema=schema, index_params=indexes)


def test_values_of_every_type_are_copied_and_null_is_one(client: MilvusClient, service: str) -> None:
    schema = MilvusClient.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200, enable_analyzer=True)
    scalars = ("BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "JSON")
    for name in scalars:
        schema.add_field(name.lower(), DataType[name], nullable=True)
    schema.add_field(
        "tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=20, nullable=True
    )
    schema.add_field("title", DataType.VARCHAR, max_length=50, nullable=True, default_value="none")
    schema.add_field("own", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("bm25", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("lexical", FunctionType.BM25, ["text"], ["bm25"]))
    indexes = client.prepare_index_params()
    indexes.add_index("own", index_type="HNSW", metric_type="COSINE", params={"M": 8, "efConstruction": 40})
    indexes.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    indexes.add_index("bm25", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    client.create_collection("all", schema=schema, index_params=indexes)
    full: dict[str, Any] = {
        "bool": True, "int8": -128, "int16": 7, "int32": -5, "int64": 2**60 + 1, "float": 0.1,
        "double": 1e-300, "json": {"a": [1, None, {"b": "ü"}], "n": None}, "tags": ["a", ""], "title": "t",
    }  # fmt: skip
    written: list[dict[str, Any]] = [
        full | {"extra": None, "nested": {"x": None}},
        dict.fromkeys(full, None) | {"extra": 1},
        {"tags": [], "json": []},
        {"extra": [None, 1]},
    ]
    client.insert(
        "all",
        [
            {"id": number, "text": f"text {number} river", "own": [number, 1, 0, 0], "words": {number: 0.5}}
            | values
            for number, values in enumerate(written, 1)
        ],
    )
    before = rows_of(client, "all")
    assert before[1]["extra"] is None
    assert "extra" not in before[3]
    change(client, "all", service, 64)
    after = rows_of(client, "all")
    for key, row in before.items():
        kept = dict(after[key])
        assert len(kept.pop("text_64")) == 64
        assert {name: str(value) for name, value in kept.items()} == {
            name: str(value) for name, value in row.items()
        }
    found = client.search("all", data=["river"], anns_field="bm25", limit=4)[0]
    assert len(found) == 4
    described = {name: client.describe_index("all", name) for name in ("own", "words", "bm25")}
    assert [index["metric_type"] for index in described.values()] == ["COSINE", "IP", "BM25"]


def keyed(client: MilvusClient, name: str, **options: Any) -> None:
    """A collection with a key, a text, and a vector of another program."""
    schema = MilvusClient.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True, auto_id=options.pop("auto_id", False))
    schema.add_field("text", DataType.VARCHAR, max_length=200)
    schema.add_field(
        "team", DataType.VARCHAR, max_length=20, is_partition_key=options.pop("partition_key", False)
    )
    schema.add_field("own", DataType.FLOAT_VECTOR, dim=4)
    create(client, name, schema, "own")


def values(number: int) -> dict[str, Any]:
    return {"text": f"text {number}", "team": f"team {number % 7}", "own": [number, 1, 2, 3]}


def test_a_partition_key_remains_one(client: MilvusClient, service: str) -> None:
    keyed(client, "c", partition_key=True)
    client.insert("c", [values(number) | {"id": number} for number in range(40)])
    before = rows_of(client, "c", "id", "text", "team", "own")
    change(client, "c", service, 64)
    assert rows_of(client, "c", "id", "text", "team", "own") == before
    fields = {field["name"]: field for field in client.describe_collection("c")["fields"]}
    assert fields["team"]["is_partition_key"]
    assert len(client.query("c", filter='team == "team 3"', output_fields=["id"], limit=100)) == 6
    # A row that moves to another team is there once.
    client.upsert("c", [values(3) | {"id": 3, "team": "team 5"}])
    change(client, "c", service, 32)
    assert rows_of(client, "c", "id", "team")[3]["team"] == "team 5"


def test_generated_keys_are_kept_and_new_ones_are_new(client: MilvusClient, service: str) -> None:
    keyed(client, "c", auto_id=True)
    client.insert("c", [values(number) for number in range(40)])
    before = rows_of(client, "c", "id", "text")
    change(client, "c", service, 64)
    assert rows_of(client, "c", "id", "text") == before
    client.insert("c", [values(100)])
    assert len(rows_of(client, "c", "id", "text")) == 41


def test_generated_keys_are_new_although_many_rows_were_deleted(client: MilvusClient, service: str) -> None:
    keyed(client, "c", auto_id=True)
    client.insert("c", [values(number) for number in range(200)])
    client.delete("c", filter="id <= 190")
    before = rows_of(client, "c", "id", "text")
    change(client, "c", service, 64)
    change(client, "c", service, 32)
    assert rows_of(client, "c", "id", "text") == before
    for number in range(300):
        client.insert("c", [values(number)])
    after = rows_of(client, "c", "id", "text")
    assert len(after) == 310
    assert {key: after[key] for key in before} == before


def test_rows_that_are_inserted_before_and_after_the_switch_have_keys_of_their_own(
    client: MilvusClient, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed(client, "c", auto_id=True)
    client.insert("c", [values(number) for number in range(20)])
    change(client, "c", service, 64)
    merge, merges = Copy.merge, list[int]()

    def insert_and_merge(copy: Copy) -> int:
        if not merges:
            client.insert("c__1", [values(number) for number in range(100, 110)])
            client.insert("c", [values(number) for number in range(200, 210)])
        merges.append(merge(copy))
        return merges[-1]

    monkeypatch.setattr(Copy, "merge", insert_and_merge)
    change(client, "c", service, 32)
    texts = sorted(str(item["text"]) for item in rows_of(client, "c", "id", "text").values())
    numbers = (*range(20), *range(100, 110), *range(200, 210))
    assert texts == sorted(values(number)["text"] for number in numbers)


def test_a_collection_of_another_database(client: MilvusClient, service: str) -> None:
    keyed(client, "c")
    client.insert("c", [values(number) | {"id": number} for number in range(3)])
    client.create_database("other")
    address = client_target(client).partition("#")[0]
    with open_milvus(address, database="other") as other:
        keyed(other, "c")
        other.insert("c", [values(number) | {"id": number} for number in range(5)])
        killed_after_fill(other, service)
        assert plan_or_continue(client, "c", embedding(service, 32))[1] is False
        change(other, "c", service, 64)
        assert other.list_collections() == ["c__1"]
        assert len(rows_of(other, "c", "id", "text_64")) == 5
    assert client.list_collections() == ["c"]
    assert len(rows_of(client, "c", "id")) == 3


def killed_after_fill(client: MilvusClient, service: str) -> None:
    """Begin the change of c, and kill it after its first rows."""
    killed(client, embedding(service, 64), "upsert", name="c")


def test_an_empty_collection(client: MilvusClient, service: str) -> None:
    keyed(client, "c")
    change(client, "c", service, 64, keep_old=True)
    assert rows_of(client, "c", "id") == {}
    client.insert("c", [values(1) | {"id": 1}])
    assert len(rows_of(client, "c", "text_64")[1]["text_64"]) == 64
    assert rollback(client, "c") == ("c__1", "c__0")
    assert rows_of(client, "c", "id") == {}


def test_a_sparse_field_by_nestvec_is_copied_and_compared(
    client: MilvusClient, service: str, words_service: str
) -> None:
    keyed(client, "c")
    client.insert("c", [values(number) | {"id": number} for number in range(20)])
    sparse = Change(
        (new_embedding({"field": "text", "encoder": "splade", "form": "sparse", "service": words_service}),)
    )
    run_change(client, plan_or_continue(client, "c", sparse)[0], sparse)
    before = rows_of(client, "c", "id", "text_sparse")
    change(client, "c", service, 64)
    assert rows_of(client, "c", "id", "text_sparse") == before


def test_sql_sessions_and_iterators_that_are_open_at_the_switch(client: MilvusClient, service: str) -> None:
    keyed(client, "c")
    client.insert("c", [values(number) | {"id": number} for number in range(40)])
    change(client, "c", service, 64)
    address = client_target(client).partition("#")[0]
    with nestvec.connect(address) as session:
        first = session.cursor()
        first.execute("SELECT id, text FROM c ORDER BY id")
        begun = first.fetchmany(5)
        iterator = client.query_iterator("c", batch_size=10, output_fields=["id"])
        pages = list(iterator.next())
        change(client, "c", service, 32)
        assert [row[0] for row in (*begun, *first.fetchall())] == list(range(40))
        # pymilvus's iterator reads by the name, and goes on in the new collection.
        while page := iterator.next():
            pages += page
        iterator.close()
        assert sorted(row["id"] for row in pages) == list(range(40))
        second = session.cursor()
        second.execute("SELECT id FROM c ORDER BY text_32 <=> EMBED('text 7', 'minilm') LIMIT 1")
        assert second.fetchall() == [(7,)]
        second.execute("INSERT INTO c (id, text, team, own) VALUES (100, 'new', 'a', '[1,2,3,4]')")
        second.execute("SELECT count(*) FROM c")
        assert second.fetchall() == [(41,)]


def test_an_alias_that_has_the_name_of_the_new_collection(client: MilvusClient, service: str) -> None:
    keyed(client, "c")
    keyed(client, "other")
    client.insert("c", [values(1) | {"id": 1}])
    wanted = embedding(service, 64)
    plan, _ = plan_or_continue(client, "c", wanted)
    client.create_alias("other", plan.names.target)
    with pytest.raises(StoreInUse, match="since the plan was made"):
        run_change(client, plan, wanted)
    # The same a moment later: the names are recorded, and then taken.
    client.drop_alias(plan.names.target)
    killed(client, wanted, "has_collection", name="c")
    assert sorted(client.list_collections()) == ["c", "other"]


@pytest.mark.parametrize("at", ["load_collection", "alter_collection_properties", "alter_alias"])
@pytest.mark.parametrize("other", ["also", "zeta"])
def test_a_rollback_that_is_killed_is_completed_by_the_same_command(
    client: MilvusClient, service: str, at: str, other: str
) -> None:
    keyed(client, "c")
    client.insert("c", [values(number) | {"id": number} for number in range(5)])
    client.create_alias("c", other)
    change(client, "c", service, 64, keep_old=True)
    doomed: Any = Doomed(client, at)
    with pytest.raises(Killed):
        rollback(doomed, "c")
    assert len(rows_of(client, "c", "id")) == 5
    assert rollback(client, "c") == ("c__1", "c__0")
    for name in ("c", other):
        assert client.describe_collection(name)["collection_name"] == "c__0"
