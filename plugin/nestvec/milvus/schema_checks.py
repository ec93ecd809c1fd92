"""What Milvus would refuse of a schema's fields that a service fills, refused before with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pymilvus import CollectionSchema, DataType

from nestvec.milvus.pymilvus_features import TEXT
from nestvec.milvus.server_version import ServerVersion
from nestvec_schemas.errors import SpecError, StoreRefused, nearest

_TEXT_TYPES: Final = (DataType.VARCHAR, TEXT)


def check_source(schema: CollectionSchema, source: str) -> None:
    """Raise SpecError for a source that is missing, is not text, or may be null."""
    fields = {field.name: field for field in schema.fields}
    if source not in fields:
        raise SpecError(
            "the schema has no field of this name to embed",
            value=source,
            next_step=f"Add it first: schema.add_field({source!r}, DataType.VARCHAR, max_length=8192)."
            f"{nearest(source, fields)}",
        )
    if fields[source].dtype not in _TEXT_TYPES:
        raise SpecError(
            f"Milvus embeds VARCHAR and TEXT fields only, and {source} is neither",
            value=DataType(fields[source].dtype).name,
            next_step="Choose a VARCHAR or TEXT field.",
        )
    if fields[source].nullable:
        raise SpecError(
            "Milvus does not embed a field that may be null",
            value=source,
            next_step="Make the field not nullable.",
        )


def check_source_is_kept(schema: CollectionSchema, source: str, version: ServerVersion) -> None:
    """Raise StoreRefused for a TEXT source on Milvus Lite, which has no such fields."""
    is_text = any(field.name == source and field.dtype == TEXT for field in schema.fields)
    if version.lite and is_text:
        raise StoreRefused(
            "Milvus Lite has no TEXT fields",
            value=source,
            next_step="Make it VARCHAR with max_length=65535, or use a Milvus server.",
        )


def check_names(schema: CollectionSchema, names: Sequence[str], fields: int) -> None:
    """Raise SpecError unless there is a new name for each of ``fields`` fields."""
    if len(names) != fields:
        raise SpecError(
            "a name is for one vector field, but there is a field per dim",
            value=names[0],
            next_step="Call add_embedding once for each dim, or omit the name.",
        )
    existing = [field.name for field in schema.fields]
    for position, name in enumerate(names):
        if name in existing or name in names[:position]:
            raise SpecError(
                "the schema already has a field of this name",
                value=name,
                next_step="Give each dim once, or rename the other field.",
            )
