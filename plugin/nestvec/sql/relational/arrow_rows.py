"""Rows of Milvus as an Arrow table, a column at a time, and the types that DuckDB gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.scope import STRINGS
from nestvec.sql.relational.relations import RankingScan, stored_column
from nestvec.sqltypes import SqlType, is_mapped, sql_type_of
from nestvec.sqltypes.arrow import arrow_array, duckdb_name
from nestvec.sqltypes.kinds import BFLOAT16
from nestvec.sqltypes.vectors import pack_bits
from nestvec_schemas.errors import SqlDataError

_SCALARS: Final = {
    "BOOL": pa.bool_(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
}

_STORED_AS_INT64: Final = {"int2": "INT16", "int4": "INT32"}
"""Types of keys, which Milvus has as INT64 alone, by their SQL types."""

DUCKDB_TYPES: Final = {
    "BOOL": "boolean",
    "INT8": "tinyint",
    "INT16": "smallint",
    "INT32": "int",
    "INT64": "bigint",
    "FLOAT": "real",
    "DOUBLE": "double",
    "JSON": "json",
    "BINARY_VECTOR": "bit",
    "SPARSE_FLOAT_VECTOR": "json",
    "TIMESTAMPTZ": "timestamptz",
}
"""DuckDB's types of Milvus's columns; those that are missing here are texts, arrays or vectors."""

_CAST: Final = ("JSON", "BINARY_VECTOR", "SPARSE_FLOAT_VECTOR", "TIMESTAMPTZ")
"""Types that Arrow holds as text."""


def duckdb_type(column: Column) -> str:
    """The type of a column in the statements that DuckDB runs; of a vector, pgvector's."""
    sql_type = _sql_type(column)
    if sql_type is not None and not sql_type.array and sql_type.name in ("halfvec", BFLOAT16, "sparsevec"):
        return str(sql_type)
    if sql_type is not None:
        return duckdb_name(sql_type)
    if column.type_params.sql_type in _STORED_AS_INT64:
        return DUCKDB_TYPES[_STORED_AS_INT64[column.type_params.sql_type]]
    if column.type == "ARRAY":
        return f"{_element_type(column)}[]"
    if column.type in _DENSE:
        return f"vector({column.dim})" if column.dim else "vector"
    return DUCKDB_TYPES.get(column.type, "text")


def ranking_schema(scan: RankingScan) -> dict[str, str]:
    """The types of the columns of rows that Milvus ranks."""
    schema: dict[str, str] = {}
    for output in scan.plan.outputs:
        stored = stored_column(scan.plan, scan.table, output)
        other = "text" if output.type != "ANY" else "double"
        kind = DUCKDB_TYPES.get(output.type, other) if stored is None else duckdb_type(stored)
        schema[output.name] = "vector" if output.type == "FLOAT_VECTOR" and stored is None else kind
    return schema


def _element_type(column: Column) -> str:
    return DUCKDB_TYPES.get(column.type_params.element_type or "", "text")


def casts_of(columns: Sequence[Column]) -> dict[str, str]:
    """The columns whose type Arrow lacks, with that type."""
    mapped = {column.name: sql_type for column in columns if (sql_type := _sql_type(column)) is not None}
    casts = {name: duckdb_name(kind) for name, kind in mapped.items() if kind.element.name in ("uuid", "bit")}
    return casts | {
        column.name: DUCKDB_TYPES[column.type]
        for column in columns
        if column.type in _CAST and column.name not in mapped
    }


def _sql_type(column: Column) -> SqlType | None:
    """The type of a column that is stored by a mapping, whose values are Python's."""
    return sql_type_of(column) if is_mapped(column.type_params.sql_type) else None


def arrow_rows(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows by the names of their columns; a vector is a list of floats, JSON and bits are text.

    Raises SqlDataError for a value that is not of its column's type.
    """
    arrays = [_typed_array(column, [row.get(column.name) for row in rows]) for column in columns]
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _typed_array(column: Column, values: list[Any]) -> pa.Array:
    try:
        return _array(column, values)
    except (TypeError, ValueError, OverflowError) as error:
        # Another process may have dropped the collection and created another of its name.
        raise SqlDataError(
            f"the values of column {column.name} are not of its type",
            value=str(error)[:100],
            next_step="Run the statement again: the collection may have changed meanwhile.",
        ) from error


def _array(column: Column, values: list[Any]) -> pa.Array:
    sql_type = _sql_type(column)
    if sql_type is not None and sql_type.name not in ("halfvec", BFLOAT16):
        return arrow_array(sql_type, values)
    scalar = _SCALARS.get(_STORED_AS_INT64.get(column.type_params.sql_type, column.type))
    if scalar is not None:
        if pa.types.is_integer(scalar) and isinstance(
            next((v for v in values if v is not None), None), float
        ):
            # Arrow would cut them off; a column of integers has them only if it is another one by now.
            raise TypeError("fractions in a column of integers")
        return pa.array(values, scalar)
    if column.type == "ARRAY":
        element = _SCALARS.get(column.type_params.element_type or "", pa.string())
        return pa.array([None if value is None else list(value) for value in values], pa.list_(element))
    return _CONVERTERS.get(column.type, _texts)(column, values)


def dense_matrix(column: Column, values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Dense vectors as rows of float32, whatever type stores them; NaN where a value is NULL."""
    dim = column.dim or max((len(value) for value in values if value is not None), default=0)
    matrix = np.full((len(values), dim), np.nan, np.float32)
    for at, value in enumerate(values):
        if value is not None:
            matrix[at] = dense_vector(column.type, value)
    return matrix


def dense_vector(kind: str, value: Any) -> Any:
    """The numbers of a stored vector."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], bytes):
        value = value[0]
    if not isinstance(value, (bytes, bytearray)):
        return np.asarray(value, np.float32)
    if kind == "BFLOAT16_VECTOR":
        return (np.frombuffer(value, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(value, np.int8 if kind == "INT8_VECTOR" else np.float16).astype(np.float32)


def bit_bytes(value: Any) -> bytes | None:
    """The bytes of a stored binary vector, or of a bit string."""
    if isinstance(value, str):
        return pack_bits(value)
    if isinstance(value, list):
        value = value[0] if len(value) == 1 and isinstance(value[0], bytes) else bytes(value)
    return None if value is None else bytes(value)


def _dense(column: Column, values: list[Any]) -> pa.Array:
    if not column.dim:
        return pa.array([None if v is None else list(v) for v in values], pa.list_(pa.float32()))
    # Not of a fixed size: DuckDB has no CASE of such arrays.
    matrix = dense_matrix(column, values)
    offsets = pa.array(np.arange(0, matrix.size + 1, column.dim, dtype=np.int32))
    missing = pa.array([value is None for value in values], pa.bool_())
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.reshape(-1)), mask=missing)


def _bits(column: Column, values: list[Any]) -> pa.Array:
    texts = []
    for value in values:
        code = bit_bytes(value)
        texts.append(None if code is None else "".join(f"{byte:08b}" for byte in code))
    return pa.array(texts, pa.string())


def _json(column: Column, values: list[Any]) -> pa.Array:
    return pa.array([None if value is None else _json_text(value) for value in values], pa.string())


def _json_text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


def _texts(column: Column, values: list[Any]) -> pa.Array:
    if column.type in STRINGS:
        return pa.array(values, pa.string())
    return pa.array([None if value is None else str(value) for value in values], pa.string())


_DENSE: Final = ("FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR", "INT8_VECTOR")

_CONVERTERS: Final[dict[str, Callable[[Column, list[Any]], pa.Array]]] = {
    **dict.fromkeys(_DENSE, _dense),
    "BINARY_VECTOR": _bits,
    "JSON": _json,
    "SPARSE_FLOAT_VECTOR": _json,
}
