"""Create, describe and drop collections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pymilvus import CollectionSchema, MilvusClient
from pymilvus.milvus_client import IndexParams

from nestvec.client.service_client import fetch_info
from nestvec.client.service_key import base_url, environment_api_key
from nestvec.collections.changes import exists_error
from nestvec.collections.encoder_status import encoder_statuses
from nestvec.collections.limits import check_limits
from nestvec.collections.sql_types import lite_vectors, not_null_vectors, type_properties
from nestvec.milvus.catalog import LOCKS_COLLECTION, Table, read_table
from nestvec.milvus.catalog.column_properties import template_properties
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.fingerprints import PresentEncoder, fingerprint_properties, read_fingerprint
from nestvec.milvus.indexes import Index, field_notes, index_params
from nestvec.milvus.lite import count_rows, is_lite, is_loaded
from nestvec.milvus.null_vectors.names import null_flag
from nestvec.milvus.pymilvus_features import data_type
from nestvec.milvus.registration import EmbeddingOptions, add_embedding, add_lexical
from nestvec.milvus.server_version import HAS_NULL, read_version
from nestvec_schemas.embedding_config import EmbeddingConfig, Form
from nestvec_schemas.spec.collection_spec import (
    CollectionSpec,
    EmbeddingSpec,
    FieldSpec,
    LexicalSpec,
    VectorSpec,
)

_BITS_PER_NUMBER: dict[Form, int] = {"float": 32, "int8": 8, "binary": 1}
"""Bits per number of the forms whose vectors all have the same length."""


def create_collection(
    client: MilvusClient,
    spec: CollectionSpec,
    settings: Mapping[str, str] = MappingProxyType({}),
    order: Sequence[str] = (),
) -> Table:
    """Create the collection that a spec declares, index and load it, and read it back.

    ``settings`` are further properties of the collection. ``order`` names its columns in their order; those
    that it omits come last.

    The services that the spec names must respond. Nothing remains if a step fails.
    Raises CollectionExists, SpecError, StoreError, and what add_embedding raises.
    """
    with milvus_errors(f"looking for collection {spec.collection}"):
        exists = client.has_collection(spec.collection)
    version = read_version(client)
    if exists:
        raise exists_error(read_table(client, spec.collection), spec, version)
    check_limits(spec, version)
    if version.lite:
        spec = lite_vectors(spec)
    elif version.before(HAS_NULL):
        spec = not_null_vectors(spec)
    schema = _build_schema(client, spec)
    places = {name: place for place, name in enumerate(order)}
    schema.fields.sort(key=lambda field: places.get(field.name, len(places)))
    chosen = {
        embedding.column(config): _index_of(embedding)
        for embedding in spec.embeddings
        for config in embedding.configs
    }
    indexes = index_params(schema, chosen)
    _add_other_indexes(indexes, spec)
    notes = field_notes(schema)
    notes |= _with_precisions(spec, notes)
    with milvus_errors(f"creating collection {spec.collection}"):
        properties = {**template_properties(spec), **notes, **type_properties(spec), **settings}
        options = {"properties": properties} if properties else {}
        client.create_collection(spec.collection, schema=schema, **options)
        with _dropped_on_failure(client, spec.collection):
            client.create_index(spec.collection, indexes)
            client.load_collection(spec.collection)
    return read_table(client, spec.collection)


def drop_collection(client: MilvusClient, name: str) -> None:
    """Drop a collection and all its rows; with its aliases, if one is its name for readers.

    Raises CollectionNotFound, StoreError.
    """
    own_name = read_table(client, name).name
    with milvus_errors(f"dropping collection {name}"):
        aliases = client.list_aliases(own_name).get("aliases") or () if own_name != name else ()
        for alias in aliases:
            client.drop_alias(alias)
        client.drop_collection(own_name)


def collection_names(client: MilvusClient) -> tuple[str, ...]:
    """The collections in the database, sorted. Raises StoreError."""
    with milvus_errors("listing the collections"):
        return tuple(sorted(set(client.list_collections()) - {LOCKS_COLLECTION}))


def describe_collection(client: MilvusClient, name: str, *, with_encoders: bool = False) -> dict[str, Any]:
    """A collection as data for JSON: columns, embeddings, rows (None while it is not loaded on a server).

    ``bytes_per_row`` is the size of one vector of an embedding, None for a sparse one, which has no ``dim``.
    ``with_encoders`` asks the services for their encoders, to compare them with those that are recorded.
    Raises CollectionNotFound, StoreError.
    """
    table = read_table(client, name)
    with milvus_errors(f"describing collection {name}"):
        countable = is_lite(client) or is_loaded(client, name)
        indexes = [client.describe_index(name, index) for index in client.list_indexes(name)]
    statuses = _encoder_fields(table) if with_encoders else {}
    types = {index["field_name"]: str(index.get("index_type", "")) for index in indexes}
    return {
        "collection": name,
        "description": table.description,
        "dynamic": table.dynamic,
        "rows": count_rows(client, name) if countable else None,
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "key": _key_kind(column.primary, column.auto_id, column.partition_key),
                "nullable": column.nullable,
                "has_default": column.has_default,
                "max_length": column.max_length,
                "dim": column.dim,
                "compose": table.composed[column.name].text if column.name in table.composed else None,
            }
            for column in table.columns
        ],
        "embeddings": [
            {
                "column": embedding.column,
                "source": embedding.source,
                **embedding.config.attributes(),
                "service": embedding.service,
                "index": types.get(embedding.column),
                "metric": table.metrics.get(embedding.column),
                "bytes_per_row": _bytes_per_row(embedding.config),
                **statuses.get(embedding.column, {}),
            }
            for embedding in table.embeddings
        ],
    }


def _encoder_fields(table: Table) -> dict[str, dict[str, object]]:
    """Of each embedding's column, its encoder as recorded and as served."""
    return {
        status.column: {
            "fingerprint": status.recorded and status.recorded.fingerprint,
            "precision": status.recorded and status.recorded.precision,
            "recorded": status.recorded and status.recorded.date,
            "service_fingerprint": status.present and status.present.fingerprint,
            "service_precision": status.present and status.present.precision,
            "comparison": status.comparison,
            "guarded": status.guarded,
        }
        for status in encoder_statuses(table)
    }


def _bytes_per_row(config: EmbeddingConfig) -> int | None:
    bits = _BITS_PER_NUMBER.get(config.form)
    return None if bits is None or config.dim is None else config.dim * bits // 8


def _key_kind(primary: bool, auto_id: bool, partition: bool) -> str | None:
    if primary:
        return "primary, auto" if auto_id else "primary"
    return "partition" if partition else None


def _index_of(vector: EmbeddingSpec | VectorSpec) -> Index:
    return Index(vector.index, vector.metric, vector.params)


def _add_other_indexes(indexes: IndexParams, spec: CollectionSpec) -> None:
    """Add the indexes of the vector fields that no encoder fills."""
    for vector in spec.vectors:
        add_index(indexes, vector.name, _index_of(vector))
    for lexical in spec.lexical:
        tuned = {"bm25_k1": lexical.k1, "bm25_b": lexical.b}
        params = {"inverted_index_algo": "DAAT_MAXSCORE"} | {
            key: value for key, value in tuned.items() if value is not None
        }
        add_index(indexes, lexical.column, Index("SPARSE_INVERTED_INDEX", "BM25", params))


def add_index(indexes: IndexParams, column: str, index: Index) -> None:
    """Add the index of a vector field, named as the field is."""
    indexes.add_index(
        column,
        index_type=index.type,
        index_name=column,
        metric_type=index.metric,
        params=dict(index.params),
    )


def _build_schema(client: MilvusClient, spec: CollectionSpec) -> CollectionSchema:
    schema = MilvusClient.create_schema(enable_dynamic_field=spec.dynamic, description=spec.description)
    analyzers = {
        lexical.field: {"enable_analyzer": True, "enable_match": True, **_analyzer_options(lexical)}
        for lexical in spec.lexical
    }
    for name, field in spec.fields.items():
        add_scalar_field(schema, name, field, analyzers.get(name, {}))
    for embedding in spec.embeddings:
        add_embedding(
            schema,
            embedding.field,
            encoder=replace(embedding.configs[0], dim=None),
            dims=embedding.dims,
            service=spec.service_of(embedding),
            client=client,
            options=EmbeddingOptions(embedding.name, embedding.provider, chunk=spec.chunk),
        )
    for lexical in spec.lexical:
        add_lexical(schema, lexical.field, lexical.column)
    for vector in spec.vectors:
        add_vector_field(schema, vector)
    return schema


def add_scalar_field(
    schema: CollectionSchema, name: str, field: FieldSpec, analyzer: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Add a scalar field, with options of Milvus about the words of a text."""
    options: dict[str, Any] = {
        "is_primary": field.primary or None,
        "auto_id": field.auto_id or None,
        "nullable": field.nullable or None,
        "is_partition_key": field.partition_key or None,
        "default_value": field.default,
        "max_length": field.max_length,
        "element_type": None if field.element_type is None else data_type(field.element_type),
        "max_capacity": field.max_capacity,
        "description": field.description or None,
        **analyzer,
    }
    chosen = {key: value for key, value in options.items() if value is not None}
    schema.add_field(name, data_type(field.type), **chosen)


def add_vector_field(schema: CollectionSchema, vector: VectorSpec) -> None:
    """Add a vector field that the rows contain, with the one that says where it is NULL."""
    dims = {} if vector.dim is None else {"dim": vector.dim}
    schema.add_field(vector.name, data_type(vector.type), **dims)
    if vector.nullable:
        schema.add_field(null_flag(vector.name), data_type("BOOL"), nullable=True)


def _analyzer_options(lexical: LexicalSpec) -> dict[str, Any]:
    options = {"analyzer_params": lexical.analyzer, "multi_analyzer_params": lexical.analyzers}
    return {name: value for name, value in options.items() if value}


def _with_precisions(spec: CollectionSpec, notes: Mapping[str, str]) -> dict[str, str]:
    """The records of encoders among the properties ``notes``, with the precision of their weights."""
    key = environment_api_key()
    infos = {service: fetch_info(base_url(service), key) for service in spec.services}
    records = {}
    for embedding in spec.embeddings:
        info = infos[spec.service_of(embedding)].encoders.get(embedding.configs[0].encoder)
        present = None if info is None else PresentEncoder.of_info(info)
        for column in map(embedding.column, embedding.configs):
            recorded = read_fingerprint(notes, column)
            if recorded is not None and present is not None and present.makes(recorded):
                records[column] = recorded.model_copy(update={"precision": present.precision})
    return fingerprint_properties(records)


@contextmanager
def _dropped_on_failure(client: MilvusClient, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        client.drop_collection(name)
        raise
