"""Values of SQL types as Milvus stores them, and read back as Python's types."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np

from nestvec.sqltypes import datetimes, decimals, vectors
from nestvec.sqltypes.arrays import parse_array
from nestvec.sqltypes.kinds import BFLOAT16, SqlType, parse_sql_type
from nestvec.sqltypes.vector_texts import sparse_text
from nestvec_schemas.errors import RowRejected

MAX_BYTEA: Final = 32_767
"""Bytes of a BYTEA, which is stored as hexadecimal text."""

_INTEGER = re.compile(r"\s*[+-]?\d{1,19}(?:_\d{1,19}){0,19}\s*", re.ASCII)
_ESCAPED = re.compile(rb"\\(\\|[0-3][0-7]{2})")
_RANGES: Final = {"int2": (-(1 << 15), (1 << 15) - 1), "int4": (-(1 << 31), (1 << 31) - 1)}
_RANGE_NAMES: Final = {"int2": "smallint", "int4": "integer"}


class ColumnParams(Protocol):
    """The parameters of a column's type, as far as a mapping reads them."""

    @property
    def sql_type(self) -> str:
        """The SQL type that Milvus's type stores by a mapping; empty for Milvus's own."""


class StoredColumn(Protocol):
    """A column, as far as a mapping reads it; ``nestvec.milvus.catalog`` has the whole of it."""

    @property
    def type(self) -> str:
        """Milvus's name for its type."""

    @property
    def dim(self) -> int | None:
        """Length of a vector."""

    @property
    def type_params(self) -> ColumnParams:
        """The parameters of its type."""


def sql_type_of(column: StoredColumn) -> SqlType | None:
    """The SQL type of a column that is stored by a mapping; None if Milvus's type is the SQL type."""
    text = column.type_params.sql_type
    return parse_sql_type(text) if text else None


def to_stored(column: StoredColumn, value: object, *, exact: bool = False) -> Any:
    """A value, not None, of a column with a SQL type, as Milvus stores and compares it.

    ``value`` is of the Python type or its text in PostgreSQL's notation. With ``exact``, for comparisons, a
    value that the column cannot hold is an error instead of being rounded. Raises RowRejected.
    """
    kind = _known_type(column)
    if kind is None:
        return value
    if not kind.array:
        return _TO_STORED[kind.name](value, kind, column, exact)
    if isinstance(value, str):
        value = parse_array(value)
    if not isinstance(value, (list, tuple)):
        raise RowRejected(
            f"this is not an array of {kind.element}", value="", next_step="Pass a list, or {a,b}."
        )
    return [_TO_STORED[kind.name](element, kind.element, column, exact) for element in value]


def from_stored(column: StoredColumn, stored: Any) -> Any:
    """A stored value as Python's type: date, datetime, time, UUID, Decimal, bytes, str; None stays None.

    Raises RowRejected or ValueError for what ``to_stored`` does not return: another client wrote it.
    """
    kind = _known_type(column)
    if kind is None or stored is None:
        return stored
    read = _FROM_STORED.get(kind.name)
    if read is None:
        return stored
    if kind.array:
        return [read(element, kind.element) for element in stored]
    return read(stored, kind)


def _known_type(column: StoredColumn) -> SqlType | None:
    kind, text = sql_type_of(column), column.type_params.sql_type
    if kind is None and text:
        raise RowRejected(
            "this version of nestvec does not have the column's SQL type",
            value=text[:60],
            next_step="Update nestvec, or correct the collection's property nestvec.type.COLUMN.",
        )
    return kind


def _read_uuid(stored: str) -> uuid.UUID:
    value = uuid.UUID(stored)
    if str(value) != stored:
        # Filters compare texts.
        raise ValueError(stored)
    return value


def _read_bytea(stored: str) -> bytes:
    value = bytes.fromhex(stored)
    if len(stored) != 2 * len(value) or stored != stored.lower():
        raise ValueError(stored)
    return value


def _rounded(micros: int, rounding: Callable[[int, int], int], kind: SqlType, exact: bool) -> int:
    """A time with the digits of seconds that its type has. Raises RowRejected with ``exact``."""
    rounded = rounding(micros, kind.sizes[0]) if kind.sizes else micros
    if exact and rounded != micros:
        cause = f"the time has more digits of seconds than {kind}"
        raise RowRejected(cause, value=f"{micros % 1_000_000:06d}", next_step="Round it.")
    return rounded


def _uuid(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> str:
    if isinstance(value, uuid.UUID):
        return str(value)
    try:
        if isinstance(value, str) and not value.lower().startswith("urn:"):
            return str(uuid.UUID(value.strip()))
    except ValueError:
        pass
    shown = value[:60] if isinstance(value, str) else type(value).__name__
    raise RowRejected("this is not a uuid", value=shown, next_step="Write 32 hexadecimal digits.")


def _numeric(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> int | str:
    number = decimals.to_scale(decimals.to_decimal(value), kind, exact=exact)
    return decimals.to_fixed_point(number, kind) if kind.is_fixed_point else decimals.to_sorted_text(number)


def _read_numeric(stored: Any, kind: SqlType) -> Any:
    if kind.is_fixed_point:
        return decimals.from_fixed_point(int(stored), kind)
    return decimals.with_scale(decimals.from_sorted_text(str(stored)), kind)


def _bytea(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> str:
    if isinstance(value, str):
        value = bytea_bytes(value)
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise RowRejected("this is not bytes", value=type(value).__name__, next_step=r"Write '\x0a1b'.")
    data = bytes(value)
    if len(data) > MAX_BYTEA:
        raise RowRejected(
            f"a bytea has at most {MAX_BYTEA:,} bytes", value=len(data), next_step="Store it elsewhere."
        )
    return data.hex()


def bytea_bytes(text: str) -> bytes:
    """PostgreSQL's two notations: hexadecimal after ``\\x``, or a text with octal escapes."""
    try:
        if text.startswith("\\x"):
            return bytes.fromhex(text[2:])
        raw = text.encode()
    except (ValueError, UnicodeEncodeError) as error:
        raise RowRejected("this is not hexadecimal", value=text[:60], next_step=r"Write '\x0a1b'.") from error
    if _ESCAPED.sub(b"", raw).count(b"\\"):
        raise RowRejected("invalid escape in a bytea", value=text[:60], next_step=r"Write '\x0a1b'.")
    return _ESCAPED.sub(lambda match: b"\\" if match[1] == b"\\" else bytes([int(match[1], 8)]), raw)


def _integer(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise RowRejected(
                "this is not a whole number", value=value[:60], next_step="Write it without a fraction."
            )
        value = int(value)
    number = decimals.to_decimal(value)
    if exact and number != number.to_integral_value():
        raise RowRejected("the number is not whole", value=str(number)[:60], next_step="Round it.")
    rounded = int(number.to_integral_value("ROUND_HALF_UP"))
    low, high = _RANGES[kind.name]
    if not exact and not low <= rounded <= high:
        raise RowRejected(
            f"{_RANGE_NAMES[kind.name]} out of range",
            value=rounded,
            next_step=f"Write a number from {low} to {high}.",
        )
    return rounded


def _half(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> Any:
    half = vectors.to_half(value, column.dim)
    # Milvus Lite has no 16-bit vectors: the rounded numbers are stored in 32 bits.
    return half.tobytes() if column.type == "FLOAT16_VECTOR" else half.astype(np.float32).tolist()


def _read_half(stored: Any, kind: SqlType) -> list[float]:
    return read_half(stored)


def _bfloat(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> Any:
    numbers = vectors.to_bfloat(value, column.dim)
    return vectors.bfloat_bytes(numbers) if column.type == "BFLOAT16_VECTOR" else numbers.tolist()


def _read_bfloat(stored: Any, kind: SqlType) -> list[float]:
    if isinstance(stored, list) and len(stored) == 1 and isinstance(stored[0], bytes):
        stored = stored[0]
    if isinstance(stored, (bytes, bytearray)):
        return vectors.from_bfloat_bytes(bytes(stored))
    return [float(number) for number in stored]


def _bit(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> Any:
    bits = vectors.to_bits(value, kind.sizes[0])
    if column.type == "BINARY_VECTOR":
        return vectors.pack_bits(bits)
    # Milvus Lite has no binary vectors: the square of the Euclidean distance of zeros and ones is Hamming's.
    return [float(bit) for bit in bits.ljust(column.dim or len(bits), "0")]


def _read_bit(stored: Any, kind: SqlType) -> str:
    if isinstance(stored, list) and len(stored) == 1 and isinstance(stored[0], bytes):
        stored = stored[0]
    if isinstance(stored, (bytes, bytearray)):
        return vectors.unpack_bits(bytes(stored), kind.sizes[0])
    return "".join("1" if number else "0" for number in stored)[: kind.sizes[0]]


def _sparse(value: object, kind: SqlType, column: StoredColumn, exact: bool) -> dict[int, float]:
    entries = vectors.to_sparse(value, kind.sizes[0] if kind.sizes else None)
    if not entries:
        raise RowRejected(
            "a sparse vector without numbers cannot be stored in Milvus", value="", next_step="Write NULL."
        )
    return entries


def _read_sparse(stored: Any, kind: SqlType) -> Any:
    return sparse_text(stored, kind.sizes[0]) if kind.sizes else stored


def read_half(stored: Any) -> list[float]:
    """A stored FLOAT16_VECTOR, which pymilvus returns as bytes or as an array, as a list."""
    if isinstance(stored, list) and len(stored) == 1 and isinstance(stored[0], bytes):
        stored = stored[0]
    if isinstance(stored, (bytes, bytearray)):
        return np.frombuffer(stored, "<f2").astype(np.float32).tolist()  # type: ignore[no-any-return]
    return [float(number) for number in stored]


_ToStored = Callable[[object, SqlType, StoredColumn, bool], Any]

_TO_STORED: Final[Mapping[str, _ToStored]] = {
    "date": lambda value, kind, column, exact: datetimes.date_to_days(value, exact=exact),
    "time": lambda value, kind, column, exact: _rounded(
        datetimes.time_to_micros(value), datetimes.round_time, kind, exact
    ),
    "timestamp": lambda value, kind, column, exact: _rounded(
        datetimes.timestamp_to_micros(value), datetimes.round_micros, kind, exact
    ),
    "timestamptz": lambda value, kind, column, exact: _rounded(
        datetimes.timestamptz_to_micros(value), datetimes.round_micros, kind, exact
    ),
    "uuid": _uuid,
    "numeric": _numeric,
    "bytea": _bytea,
    "int2": _integer,
    "int4": _integer,
    "halfvec": _half,
    BFLOAT16: _bfloat,
    "bit": _bit,
    "sparsevec": _sparse,
}
_FROM_STORED: Final[Mapping[str, Callable[[Any, SqlType], Any]]] = {
    "date": lambda stored, kind: datetimes.days_to_date(stored),
    "time": lambda stored, kind: datetimes.micros_to_time(stored),
    "timestamp": lambda stored, kind: datetimes.micros_to_timestamp(stored),
    "timestamptz": lambda stored, kind: datetimes.micros_to_timestamptz(stored),
    "uuid": lambda stored, kind: _read_uuid(stored),
    "numeric": _read_numeric,
    "bytea": lambda stored, kind: _read_bytea(stored),
    "halfvec": _read_half,
    BFLOAT16: _read_bfloat,
    "bit": _read_bit,
    "sparsevec": _read_sparse,
}
