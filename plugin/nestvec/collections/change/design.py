"""The collection that is filled beside another: its schema, indexes, properties and partitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pymilvus import CollectionSchema, MilvusClient
from pymilvus.milvus_client import IndexParams

from nestvec.collections.change.definition import Change
from nestvec.collections.change.plan import ChangePlan
from nestvec.collections.lifecycle import add_index
from nestvec.ingest.write.writable import RETIRED_PROPERTY
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.indexes import Index, build_params, field_notes
from nestvec.milvus.null_vectors.names import null_flag
from nestvec.milvus.registration import EmbeddingOptions, add_embedding
from nestvec_schemas.errors import StoreRefused
from nestvec_schemas.spec.collection_spec import VectorSpec

CHANGE_PROPERTY: Final = "nestvec.change"
"""The property of a collection that is being filled: by which command."""

PREVIOUS_PROPERTY: Final = "nestvec.previous"
"""The property that names the collection which readers used before this one."""


def create_beside(client: MilvusClient, plan: ChangePlan, change: Change, mark: str) -> None:
    """Create the empty collection of a plan, with everything that the one of before has and the change adds.

    The services of the new fields must respond. Raises SpecError, StoreError, ServiceError, EncoderError;
    nothing remains then.
    """
    source, target = plan.names.source, plan.names.target
    with milvus_errors(f"describing collection {source}"):
        described = client.describe_collection(source)
        indexes = [client.describe_index(source, name) for name in client.list_indexes(source)]
        partitions = client.list_partitions(source)
    schema = build_schema(client, described, change)
    keyed = any(field.get("is_partition_key") for field in described["fields"])
    properties = field_notes(schema) | _properties(described, change)
    options: dict[str, Any] = {
        "consistency_level": described.get("consistency_level_name"),
        "num_shards": described.get("num_shards"),
        "num_partitions": described.get("num_partitions") if keyed else None,
    }
    chosen = {name: value for name, value in options.items() if value}
    with milvus_errors(f"creating collection {target}"):
        client.create_collection(
            target, schema=schema, properties=properties | {CHANGE_PROPERTY: mark}, **chosen
        )
        try:
            if not keyed:
                for partition in set(partitions) - set(client.list_partitions(target)):
                    client.create_partition(target, partition)
            params = _indexes(indexes, change)
            if params:
                client.create_index(target, params)
            client.load_collection(target)
        except BaseException:
            client.drop_collection(target)
            raise


def build_schema(client: MilvusClient, described: Mapping[str, Any], change: Change) -> CollectionSchema:
    """The schema of a collection, as Milvus describes it, after a change.

    Raises SpecError, ServiceError, EncoderError, StoreError.
    """
    functions = [
        function
        for function in described.get("functions") or ()
        if not set(function["output_field_names"]) & set(change.drop)
    ]
    dropped = {*change.drop, *map(null_flag, change.drop)}
    fields = [_settled(field) for field in described["fields"] if field["name"] not in dropped]
    if described.get("struct_array_fields"):
        raise StoreRefused(
            "nestvec does not copy collections with arrays of structs",
            value=str(described.get("collection_name")),
            next_step="Create a new collection and write its rows.",
        )
    schema = CollectionSchema.construct_from_dict({**described, "fields": fields, "functions": functions})
    for spec in change.add:
        add_embedding(
            schema,
            spec.field,
            encoder=replace(spec.configs[0], dim=None),
            dims=spec.dims,
            service=spec.service or "",
            client=client,
            options=EmbeddingOptions(spec.name, spec.provider, chunk=change.chunk),
        )
    for column in change.columns:
        column.add_to(schema)
    return schema


def _settled(field: Mapping[str, Any]) -> dict[str, Any]:
    """A field as a schema takes it: Milvus describes flags and analyzers as texts."""
    params = dict(field.get("params") or {})
    for name, value in params.items():
        if value in ("true", "false"):
            params[name] = value == "true"
        elif isinstance(value, str) and name in ("analyzer_params", "multi_analyzer_params"):
            params[name] = json.loads(value)
    return {**field, "params": params}


def _properties(described: Mapping[str, Any], change: Change) -> dict[str, str]:
    """The properties that remain, without those about fields that are dropped and about changes, and those of
    new columns."""
    own = {CHANGE_PROPERTY, PREVIOUS_PROPERTY, RETIRED_PROPERTY}
    remaining = {
        name: value
        for name, value in (described.get("properties") or {}).items()
        if name not in own
        and not (name.startswith("nestvec.") and any(name.endswith(f".{field}") for field in change.drop))
    }
    return {**remaining, **dict(item for column in change.columns for item in column.properties.items())}


def _indexes(described: list[dict[str, Any]], change: Change) -> IndexParams:
    """The indexes of before, and those of the new fields."""
    indexes = IndexParams()
    for index in described:
        if index["field_name"] in change.drop:
            continue
        metric = index.get("metric_type")
        indexes.add_index(
            index["field_name"],
            index_type=index.get("index_type") or "AUTOINDEX",
            index_name=index.get("index_name") or index["field_name"],
            **({"metric_type": metric} if metric not in (None, "", "NONE") else {}),
            params=build_params(index),
        )
    for name, field in change.fields.items():
        spec = field.spec
        add_index(indexes, name, Index(spec.index, spec.metric, spec.params))
    for column in change.columns:
        if isinstance(column.spec, VectorSpec):
            vector = column.spec
            add_index(indexes, column.name, Index(vector.index, vector.metric, vector.params))
    return indexes


def check_key(described: Mapping[str, Any], *, lite: bool) -> None:
    """Raise StoreRefused for a collection whose keys cannot be kept."""
    key = next(field for field in described["fields"] if field.get("is_primary"))
    if key.get("auto_id") and not lite:
        raise StoreRefused(
            "Milvus generates the keys of this collection, and would give every row another key",
            value=f"{described.get('collection_name')}.{key['name']}",
            next_step="Write its rows into a collection with keys of their own (auto_id: false).",
        )
