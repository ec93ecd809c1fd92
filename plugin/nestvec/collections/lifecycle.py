"""Collections as a spec declares them: made, described, dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymilvus import CollectionSchema, DataType, MilvusClient
from pymilvus.milvus_client import IndexParams

from nestvec.milvus.catalog import Table, read_table
from nestvec.milvus.composed_columns import properties
from nestvec.milvus.connection import is_lite, milvus_errors
from nestvec.milvus.indexes import Index, field_notes, index_params
from nestvec.milvus.registration import EmbeddingOptions, add_embedding, add_lexical
from nestvec_schemas.errors import CollectionExists
from nestvec_schemas.spec.collection_spec import CollectionSpec, EmbeddingSpec, Form, VectorSpec

_BITS: dict[Form, int] = {"float": 32, "int8": 8, "binary": 1}
"""Bits of one number, where every vector has as many numbers."""


def create(client: MilvusClient, spec: CollectionSpec) -> Table:
    """Make the collection that a spec declares, indexed and loaded, and read it back.

    The services that the spec names must answer. Nothing stays behind where a step fails.
    Raises CollectionExists, SpecError, StoreError, and what add_embedding raises.
    """
    with milvus_errors(f"looking for collection {spec.collection}"):
        there = client.has_collection(spec.collection)
    if there:
        raise CollectionExists(
            "a collection of this name is there already",
            value=spec.collection,
            next_step=f"Drop it (nestvec collection drop {spec.collection}), or give the spec another name.",
        )
    schema = _schema(client, spec)
    chosen = {one.column(dim): _index(one) for one in spec.embeddings for dim in one.sizes}
    indexes = index_params(schema, chosen)
    _index_others(indexes, spec)
    with milvus_errors(f"creating collection {spec.collection}"):
        kept = {**properties(spec), **field_notes(schema)}
        noted = {"properties": kept} if kept else {}
        client.create_collection(spec.collection, schema=schema, **noted)
        with _dropped_on_failure(client, spec.collection):
            client.create_index(spec.collection, indexes)
            client.load_collection(spec.collection)
    return read_table(client, spec.collection)


def drop(client: MilvusClient, name: str) -> None:
    """Drop a collection and all its rows. Raises CollectionNotFound, StoreError."""
    read_table(client, name)
    with milvus_errors(f"dropping collection {name}"):
        client.drop_collection(name)


def names(client: MilvusClient) -> tuple[str, ...]:
    """The collections in the database, sorted. Raises StoreError."""
    with milvus_errors("listing the collections"):
        return tuple(sorted(client.list_collections()))


def count_rows(client: MilvusClient, name: str) -> int:
    """How many rows a collection holds, all writes included; loads it if need be. Raises StoreError."""
    with milvus_errors(f"counting the rows of {name}"):
        # Milvus Lite forgets what is loaded when the database is closed.
        if not _is_loaded(client, name):
            client.load_collection(name)
        found = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    return int(found[0]["count(*)"])


def _is_loaded(client: MilvusClient, name: str) -> bool:
    return bool(client.get_load_state(name)["state"].name == "Loaded")


def describe(client: MilvusClient, name: str) -> dict[str, Any]:
    """A collection as data for JSON: columns, embeddings, rows (None while a server has it not loaded).

    ``bytes_per_row`` of an embedding is what one vector takes, None of a sparse one, whose ``dim`` is too.
    Raises CollectionNotFound, StoreError.
    """
    table = read_table(client, name)
    with milvus_errors(f"describing collection {name}"):
        countable = is_lite(client) or _is_loaded(client, name)
        found = [client.describe_index(name, index) for index in client.list_indexes(name)]
    types = {one["field_name"]: str(one.get("index_type", "")) for one in found}
    return {
        "collection": name,
        "description": table.description,
        "dynamic": table.dynamic,
        "rows": count_rows(client, name) if countable else None,
        "columns": [
            {
                "name": one.name,
                "type": one.type,
                "key": _key(one.primary, one.auto_id, one.partition_key),
                "nullable": one.nullable,
                "has_default": one.has_default,
                "max_length": one.max_length,
                "dim": one.dim,
                "compose": table.composed[one.name].text if one.name in table.composed else None,
            }
            for one in table.columns
        ],
        "embeddings": [
            {
                "column": one.column,
                "source": one.source,
                "encoder": one.endpoint.encoder,
                "dim": one.dim or None,
                "exit": one.exit,
                "expert": one.expert,
                "form": one.form,
                "top": one.top,
                "service": one.endpoint.service,
                "index": types.get(one.column),
                "metric": table.metrics.get(one.column),
                "bytes_per_row": one.dim * _BITS[one.form] // 8 if one.form in _BITS else None,
            }
            for one in table.embeddings
        ],
    }


def _key(primary: bool, auto_id: bool, partition: bool) -> str | None:
    if primary:
        return "primary, auto" if auto_id else "primary"
    return "partition" if partition else None


def _index(one: EmbeddingSpec | VectorSpec) -> Index:
    return Index(one.index, one.metric, one.params)


def _index_others(indexes: IndexParams, spec: CollectionSpec) -> None:
    """Add the indexes of the vector fields that no encoder fills."""
    for vector in spec.vectors:
        add_index(indexes, vector.name, _index(vector))
    for one in spec.lexical:
        tuned = {"bm25_k1": one.k1, "bm25_b": one.b}
        params = {"inverted_index_algo": "DAAT_MAXSCORE"} | {
            key: value for key, value in tuned.items() if value is not None
        }
        add_index(indexes, one.column, Index("SPARSE_INVERTED_INDEX", "BM25", params))


def add_index(indexes: IndexParams, column: str, index: Index) -> None:
    """Add the index of a vector field, named as the field is."""
    indexes.add_index(
        column,
        index_type=index.type,
        index_name=column,
        metric_type=index.metric,
        params=dict(index.params),
    )


def _schema(client: MilvusClient, spec: CollectionSpec) -> CollectionSchema:
    schema = MilvusClient.create_schema(enable_dynamic_field=spec.dynamic, description=spec.description)
    analysed = {one.field for one in spec.lexical}
    for name, field in spec.fields.items():
        options: dict[str, Any] = {
            "is_primary": field.primary or None,
            "auto_id": field.auto_id or None,
            "nullable": field.nullable or None,
            "is_partition_key": field.partition_key or None,
            "default_value": field.default,
            "max_length": field.max_length,
            "element_type": None if field.element_type is None else DataType[field.element_type],
            "max_capacity": field.max_capacity,
            "description": field.description or None,
            "enable_analyzer": name in analysed or None,
            "enable_match": name in analysed or None,
        }
        given = {key: value for key, value in options.items() if value is not None}
        schema.add_field(name, DataType[field.type], **given)
    for one in spec.embeddings:
        add_embedding(
            schema,
            one.field,
            encoder=one.encoder,
            dims=one.dims,
            service=spec.service_of(one),
            client=client,
            options=EmbeddingOptions(one.exit, one.expert, one.form, one.top, one.name),
        )
    for lexical in spec.lexical:
        add_lexical(schema, lexical.field, lexical.column)
    for vector in spec.vectors:
        schema.add_field(vector.name, DataType.FLOAT_VECTOR, dim=vector.dim)
    return schema


@contextmanager
def _dropped_on_failure(client: MilvusClient, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        client.drop_collection(name)
        raise
