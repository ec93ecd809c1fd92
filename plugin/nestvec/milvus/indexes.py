"""Indexes of embedding fields, and the notes of those that no Function fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pymilvus import CollectionSchema, DataType, FunctionType
from pymilvus.milvus_client import IndexParams

from nestvec.milvus.fingerprints import RecordedFingerprint, fingerprint_properties, utc_now
from nestvec.milvus.providers import note_property, read_note, read_params
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS, VECTOR_TYPES, EmbeddingConfig, Form
from nestvec_schemas.errors import SpecError, nearest
from nestvec_schemas.spec.collection_spec import default_index, default_metric

__all__ = [
    "Index",
    "build_params",
    "drop_ratio_property",
    "field_notes",
    "index_params",
    "index_property",
]

_NO_BUILD_PARAMS: Final = (
    "index_name",
    "field_name",
    "index_type",
    "metric_type",
    "total_rows",
    "indexed_rows",
    "pending_index_rows",
    "state",
    "index_id",
    "index_state_fail_reason",
    "min_index_version",
    "max_index_version",
    "params",
)
"""Keys of ``describe_index`` that are not build parameters."""


@dataclass(frozen=True)
class Index:
    """How one vector field is indexed."""

    type: str = "AUTOINDEX"
    """Milvus's name for the type of index."""

    metric: str = "COSINE"
    params: Mapping[str, Any] = field(default_factory=dict)
    """Build parameters."""


def build_params(described: Mapping[str, Any]) -> dict[str, Any]:
    """The build parameters of an index that Milvus describes, whole numbers as such: pymilvus sends them
    beside the index's type, other clients in ``params``, and Milvus describes them as they were sent."""
    nested = described.get("params")
    params = {**(nested if isinstance(nested, Mapping) else {}), **described}
    return {
        name: int(value) if isinstance(value, str) and value.isdecimal() else value
        for name, value in params.items()
        if name not in _NO_BUILD_PARAMS
    }


def index_params(schema: CollectionSchema, indexes: Mapping[str, Index] | None = None) -> IndexParams:
    """An index for every vector field that add_embedding added; ``indexes`` overrides by name.

    Raises SpecError when ``indexes`` names a field that is not one of them.
    """
    chosen = indexes or {}
    forms = dict(_embedding_fields(schema))
    for name in chosen:
        if name not in forms:
            raise SpecError(
                "there is no embedding field of this name to index",
                value=name,
                next_step=f"Available: {', '.join(forms) or 'none'}.{nearest(name, forms)}",
            )
    params = IndexParams()
    for name, form in forms.items():
        index = chosen.get(name, Index(default_index(form), default_metric(form)))
        params.add_index(
            name, index_type=index.type, index_name=name, metric_type=index.metric, params=dict(index.params)
        )
    return params


def _embedding_fields(schema: CollectionSchema) -> Iterator[tuple[str, Form]]:
    """The vector fields that Functions or ``nestvec ingest`` fill, with their forms."""
    outputs = {
        name
        for function in schema.functions
        if function.type == FunctionType.TEXTEMBEDDING
        for name in function.output_field_names
    }
    forms = {DataType[VECTOR_TYPES[form]]: form for form in CLIENT_SIDE_FORMS}
    for schema_field in schema.fields:
        if schema_field.name in outputs:
            yield schema_field.name, "float"
        elif schema_field.dtype in forms and read_note(schema_field.description or "", "nestvec"):
            yield schema_field.name, forms[schema_field.dtype]


def field_notes(schema: CollectionSchema) -> dict[str, str]:
    """The properties of a collection that record what fills the sparse fields of its schema, and which
    encoders make the vectors of its fields, as of now."""
    notes = {
        note_property(field.name): field.description
        for field in schema.fields
        if field.dtype == DataType.SPARSE_FLOAT_VECTOR and read_note(field.description or "", "nestvec")
    }
    now = utc_now()
    records = {
        name: RecordedFingerprint(fingerprint=config.fingerprint, date=now, encoder=config.encoder)
        for name, config in _embedding_configs(schema)
        if config.fingerprint is not None
    }
    return notes | fingerprint_properties(records)


def _embedding_configs(schema: CollectionSchema) -> Iterator[tuple[str, EmbeddingConfig]]:
    """How the vectors of fields are made, by the params of Functions and the notes of fields."""
    for function in schema.functions:
        endpoint = read_params(function.params)
        if function.type == FunctionType.TEXTEMBEDDING and endpoint is not None:
            yield function.output_field_names[0], endpoint.config
    for schema_field in schema.fields:
        note = read_note(schema_field.description or "", "nestvec")
        if note is not None:
            yield schema_field.name, note[1].config


def index_property(column: str) -> str:
    """The property of a collection that holds the name of a column's index."""
    return f"nestvec.index.{column}"


def drop_ratio_property(column: str) -> str:
    """The key in ``Table.properties`` of the share of weights that a sparse index leaves out."""
    return f"nestvec.drop_ratio.{column}"
