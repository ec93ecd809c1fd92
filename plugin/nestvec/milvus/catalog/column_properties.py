"""What Milvus cannot say of columns: templates, defaults of SQL, NULL in vectors, a table without vectors or
without a key.

A template is a property of the collection, ``nestvec.compose.COLUMN``, so that rows are composed without the
spec; a default is ``nestvec.default.COLUMN``. (A field's description would be the natural place, but Milvus
Lite does not store it.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from nestvec.milvus.null_vectors.names import NULL_FLAG_PREFIX
from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.compose import Template, composition_order, read_template

TEMPLATE_PROPERTY_PREFIX: Final = "nestvec.compose."
"""Prefix of the name of a collection's property that holds a column's template."""


HIDDEN_VECTOR: Final = "nestvec_no_vector"
"""The vector field of a table without vectors, which Milvus requires: it is none of the table's columns."""
HIDDEN_VALUE: Final = (1.0, 0.0)
"""Its value in each row."""
ROW_ID_FIELD: Final = "nestvec_row_id"
"""The primary field of a table without a primary key, which Milvus requires and fills: as PostgreSQL's
``ctid``, it is none of the columns, and is read by its name."""
_ALEMBIC_VECTOR: Final = "no_vector"
_ALEMBIC_FIELDS: Final = frozenset({"row_id", "version_num", _ALEMBIC_VECTOR})
"""Alembic's table as it was made first, with such a field of another name."""


def hidden_fields(names: Iterable[str]) -> frozenset[str]:
    """Those of a collection's fields that are none of the table's columns."""
    fields = frozenset(names)
    flags = frozenset(name for name in fields if name.removeprefix(NULL_FLAG_PREFIX) in fields - {name})
    alembic = (_ALEMBIC_VECTOR,) if fields == _ALEMBIC_FIELDS else ()
    return flags | fields & {HIDDEN_VECTOR, ROW_ID_FIELD, *alembic}


def default_property(column: str) -> str:
    """The property of a collection that holds a column's default that Milvus cannot hold."""
    return f"nestvec.default.{column}"


def read_defaults(columns: Iterable[str], properties: Mapping[str, str]) -> Mapping[str, str]:
    """The defaults of columns that Milvus cannot hold, as SQL."""
    return {name: sql for name in columns if (sql := properties.get(default_property(name)))}


def template_properties(spec: CollectionSpec) -> dict[str, str]:
    """The properties of a collection that hold the templates of its columns."""
    return {
        f"{TEMPLATE_PROPERTY_PREFIX}{name}": field.compose
        for name, field in spec.fields.items()
        if field.compose is not None
    }


def read_templates(columns: Iterable[str], properties: Mapping[str, str]) -> Mapping[str, Template]:
    """The templates of columns, each after those that it depends on; malformed ones are ignored."""
    read = dict[str, Template]()
    for name in columns:
        if f"{TEMPLATE_PROPERTY_PREFIX}{name}" in properties:
            with suppress(SpecError):
                read[name] = read_template(properties[f"{TEMPLATE_PROPERTY_PREFIX}{name}"])
    return {name: read[name] for name in composition_order(read)}
