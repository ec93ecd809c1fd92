"""Rows as an Arrow table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from nestvec.sql.result import Row
from nestvec.sqltypes import parse_sql_type
from nestvec.sqltypes.arrow import arrow_array

_SCALARS: Final = {
    "BOOL": pa.bool_(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "STRING": pa.string(),
}


def arrow_table(columns: Sequence[str], types: Sequence[str], rows: Sequence[Row]) -> pa.Table:
    """An Arrow table: a vector is a ``fixed_size_list<float32>``, an ARRAY a ``list``, JSON its text.

    ``types`` are Milvus's names, or those of SQL types. An unknown type (``ANY``) is inferred; mixed values
    become JSON.
    """
    arrays = [_array(type_, [row[at] for row in rows]) for at, type_ in enumerate(types)]
    return pa.Table.from_arrays(arrays, names=list(columns))


def _array(type_: str, values: list[Any]) -> pa.Array:
    if type_ in _SCALARS:
        return pa.array(values, _SCALARS[type_])
    sql_type = None if type_ in _OTHERS else parse_sql_type(type_.lower())
    if sql_type is not None:
        return arrow_array(sql_type, values)
    return _OTHERS.get(type_, _inferred)(values)


def _vectors(values: list[Any]) -> pa.Array:
    dims = {len(value) for value in values if value is not None}
    if len(dims) != 1:
        return pa.array(values, pa.list_(pa.float32()))
    dim = dims.pop()
    if any(value is None for value in values):
        return pa.array(values, pa.list_(pa.float32(), dim))
    # Row by row, Arrow takes about 40 times as long.
    flat = np.asarray(values, np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), dim)


def _json(values: list[Any]) -> pa.Array:
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: object) -> str:
    if isinstance(value, (bytes, str)):
        return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _binary(values: list[Any]) -> pa.Array:
    # pymilvus returns a binary vector as a list that holds its bytes.
    return pa.array(
        [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values], pa.binary()
    )


def _inferred(values: list[Any]) -> pa.Array:
    try:
        return pa.array(
            [
                list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value
                for value in values
            ]
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return _json(values)


_OTHERS: Final[dict[str, Callable[[list[Any]], pa.Array]]] = {
    "FLOAT_VECTOR": _vectors,
    "BINARY_VECTOR": _binary,
    "SPARSE_FLOAT_VECTOR": _json,
    "JSON": _json,
}
