"""PostgreSQL's types of the columns of collections."""

from __future__ import annotations

from typing import Final

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.ddl.column_types import MAX_LENGTH
from nestvec.sqltypes import SqlType, oids, sql_type_of

OIDS: Final = {
    "BOOL": oids.BOOL,
    "INT8": oids.INT2,
    "INT16": oids.INT2,
    "INT32": oids.INT4,
    "INT64": oids.INT8,
    "FLOAT": oids.FLOAT4,
    "DOUBLE": oids.FLOAT8,
    "VARCHAR": oids.TEXT,
    "BPCHAR": oids.BPCHAR,
    "STRING": oids.TEXT,
    "TEXT": oids.TEXT,
    "JSON": oids.JSONB,
    "JSONB": oids.JSONB,
    "GEOMETRY": oids.TEXT,
    "INTERVAL": oids.INTERVAL,
    "DECIMAL": oids.NUMERIC,
    "FLOAT_VECTOR": oids.VECTOR,
    "FLOAT16_VECTOR": oids.HALFVEC,
    "BFLOAT16_VECTOR": oids.BFLOAT16_VECTOR,
    "INT8_VECTOR": oids.VECTOR,
    "SPARSE_FLOAT_VECTOR": oids.SPARSEVEC,
    "BINARY_VECTOR": oids.BIT,
}
"""The type of a result's column by Milvus's name of its type, or DuckDB's."""


def column_oid(column: Column) -> int:
    """The type of a collection's column: its SQL type, if Milvus stores it by a mapping."""
    kind = sql_type_of(column)
    if kind is not None:
        return sql_type_oid(kind)
    if column.type == "ARRAY":
        return oids.array_of(OIDS.get(column.type_params.element_type or "", oids.TEXT))
    if column.type == "VARCHAR" and column.max_length not in (None, MAX_LENGTH):
        return oids.VARCHAR
    return OIDS.get(column.type, oids.TEXT)


def sql_type_oid(kind: SqlType) -> int:
    """The id of a type of SQL that Milvus stores by a mapping."""
    oid = oids.oid_of(kind.name)
    return oids.array_of(oid) if kind.array else oid
