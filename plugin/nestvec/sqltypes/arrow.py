"""Columns of SQL types as Arrow arrays, and the types of DuckDB for them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from nestvec.sqltypes.kinds import BFLOAT16, SqlType
from nestvec_schemas.errors import SqlNotSupported

_MAX_DECIMAL: Final = 38
"""Digits of Arrow's decimal128, and of DuckDB's DECIMAL."""

_ARROW: Final = {
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "uuid": pa.string(),
    "bytea": pa.binary(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "halfvec": pa.list_(pa.float32()),
    BFLOAT16: pa.list_(pa.float32()),
    "bit": pa.string(),
    "sparsevec": pa.string(),
}
_DUCKDB: Final = {
    "bytea": "blob", "sparsevec": "text", "int2": "smallint", "int4": "integer", "halfvec": "float[]",
    BFLOAT16: "float[]", "bit": "bit",
}  # fmt: skip


def duckdb_name(kind: SqlType) -> str:
    """DuckDB's name of a SQL type."""
    if kind.array:
        return f"{duckdb_name(kind.element)}[]"
    if kind.name == "numeric":
        is_exact = kind.sizes and kind.sizes[0] <= _MAX_DECIMAL
        return f"decimal({kind.sizes[0]},{kind.scale or 0})" if is_exact else "double"
    return _DUCKDB.get(kind.name, kind.name)


def arrow_type(kind: SqlType) -> pa.DataType | None:
    """The Arrow type of a SQL type; None for a NUMERIC whose digits depend on the values."""
    if kind.name != "numeric":
        return _ARROW[kind.name]
    is_exact = kind.sizes and kind.sizes[0] <= _MAX_DECIMAL
    return pa.decimal128(kind.sizes[0], kind.scale or 0) if is_exact else None


def arrow_array(kind: SqlType, values: Sequence[Any]) -> pa.Array:
    """Values of Python's types, as ``from_stored`` returns them, in an Arrow array.

    A NUMERIC without a precision becomes a decimal of 38 digits. Raises SqlNotSupported for more digits.
    """
    if kind.array:
        flat = [element for value in values if value is not None for element in value]
        type_ = arrow_array(kind.element, flat).type
        return pa.array([value if value is None else _plain(value) for value in values], pa.list_(type_))
    type_ = arrow_type(kind)
    if type_ is not None:
        return pa.array(
            [str(value) if value is not None else None for value in values]
            if kind.name == "uuid"
            else values,
            type_,
        )
    return _decimals(values)


def _plain(values: Sequence[Any]) -> list[Any]:
    return [str(value) if hasattr(value, "hex") and hasattr(value, "urn") else value for value in values]


def _decimals(values: Sequence[Decimal | None]) -> pa.Array:
    present = [value for value in values if value is not None]
    scale = max((max(-int(value.as_tuple().exponent), 0) for value in present), default=0)
    digits = max((value.adjusted() + 1 for value in present), default=0)
    if max(digits, 0) + scale <= _MAX_DECIMAL:
        return pa.array(values, pa.decimal128(_MAX_DECIMAL, scale))
    raise SqlNotSupported(
        f"computing with a NUMERIC of more than {_MAX_DECIMAL} digits is not supported",
        next_step="Select the column alone, or cast it to double precision where the rest may be lost.",
    )
