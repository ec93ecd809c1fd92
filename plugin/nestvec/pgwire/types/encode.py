"""Values of results as text or binary."""

from __future__ import annotations

import operator
import struct
import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.types import times, vectors
from nestvec.pgwire.types.arrays import encode_array_binary, encode_array_text, is_sequence
from nestvec.pgwire.types.numeric import encode_numeric
from nestvec.sqltypes import oids
from nestvec.sqltypes.texts import (
    any_text,
    bool_text,
    bytea_text,
    float4_text,
    float_text,
    json_text,
    numeric_text,
    timestamp_text,
    vector_text,
)

Encoder = Callable[[Any], bytes]

_SEQUENCES: Final = frozenset({oids.JSON, oids.JSONB, *oids.DENSE_VECTORS, oids.SPARSEVEC, oids.BIT})
"""Types whose values may be sequences: an array of them has one dimension."""


def encoder(oid: int, binary: bool) -> Encoder:
    """What encodes the values of one column, which are not NULL."""
    element = oids.element_of(oid)
    if not element:
        return (_BINARY if binary else _TEXT).get(oid, any_text)
    inner, flat = encoder(element, binary), element in _SEQUENCES
    if oid in (22, 30):
        if binary:
            return lambda value: encode_array_binary(value, element, inner, first=0)
        return lambda value: b" ".join(map(inner, value)) if is_sequence(value) else any_text(value)
    if binary:
        return lambda value: encode_array_binary(_list(value), element, inner, flat=flat)
    return lambda value: (
        any_text(value) if isinstance(value, str) else encode_array_text(_list(value), inner, flat)
    )


def _list(value: Any) -> list[Any]:
    return list(value) if is_sequence(value) else [value]


def _json_column(value: Any) -> bytes:
    """A value of a JSON column. A text is a JSON string, unless Milvus returned the document as text."""
    return json_text(value)


def _decimal(value: Any) -> Decimal:
    try:
        return value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation as error:
        raise PgError("22P02", f'invalid input syntax for type numeric: "{str(value)[:100]}"') from error


def _moment(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _timestamp_text(value: Any) -> bytes:
    return timestamp_text(value).encode() if isinstance(value, datetime) else any_text(value)


def _timestamptz_text(value: Any) -> bytes:
    moment = times.parse_timestamptz(value) if isinstance(value, str) else value
    if isinstance(moment, datetime) and moment.tzinfo is None:
        moment = times.parse_timestamptz(moment.isoformat())
    return timestamp_text(moment).encode()


def _integer(oid: int) -> Encoder:
    """Binary integers of one type."""
    size, signed = oids.INTEGER_SIZES[oid], oid not in oids.UNSIGNED
    name = oids.BY_OID[oid].name

    def encode(value: Any) -> bytes:
        number = int(value) if isinstance(value, str) else operator.index(value)
        try:
            return number.to_bytes(size, "big", signed=signed)
        except (OverflowError, ValueError) as error:
            raise PgError("22003", f'value "{str(value)[:40]}" is out of range for type {name}') from error

    return encode


def _integer_text(value: Any) -> bytes:
    """An integer as text. A value that is none is not sent as if it were: a collection may have changed."""
    return b"%d" % operator.index(value)


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))


_TEXT: Final[dict[int, Encoder]] = {
    **dict.fromkeys((oids.INT2, oids.INT4, oids.INT8), _integer_text),
    oids.BOOL: bool_text,
    oids.FLOAT4: float4_text,
    oids.FLOAT8: float_text,
    oids.NUMERIC: lambda value: numeric_text(_decimal(value)),
    oids.JSON: _json_column,
    oids.JSONB: _json_column,
    oids.BYTEA: bytea_text,
    oids.TIMESTAMP: _timestamp_text,
    oids.TIMESTAMPTZ: _timestamptz_text,
    **dict.fromkeys(oids.DENSE_VECTORS, vector_text),
    oids.SPARSEVEC: vectors.sparse_text,
    oids.BIT: vectors.bit_text,
    oids.VARBIT: vectors.bit_text,
}

_BINARY: Final[dict[int, Encoder]] = {
    **{oid: _integer(oid) for oid in oids.INTEGERS},
    oids.BOOL: lambda value: b"\x01" if value else b"\x00",
    oids.FLOAT4: lambda value: _float("!f", value),
    oids.FLOAT8: lambda value: _float("!d", value),
    oids.NUMERIC: lambda value: encode_numeric(_decimal(value)),
    oids.JSON: _json_column,
    oids.JSONB: lambda value: b"\x01" + _json_column(value),
    oids.BYTEA: lambda value: value.encode() if isinstance(value, str) else bytes(value),
    oids.DATE: lambda value: times.encode_date(times.parse_date(value) if isinstance(value, str) else value),
    oids.TIME: lambda value: times.encode_time(times.parse_time(value) if isinstance(value, str) else value),
    oids.TIMESTAMP: lambda value: times.encode_timestamp(_moment(value)),
    oids.TIMESTAMPTZ: lambda value: times.encode_timestamp(_moment(value)),
    oids.INTERVAL: times.encode_interval,
    oids.UUID: lambda value: _uuid(value).bytes,
    **dict.fromkeys(oids.DENSE_VECTORS, vectors.encode_vector),
    oids.HALFVEC: lambda value: vectors.encode_vector(value, half=True),
    oids.SPARSEVEC: vectors.encode_sparse,
    oids.BIT: vectors.encode_bit,
    oids.VARBIT: vectors.encode_bit,
}


def _float(format_: str, value: Any) -> bytes:
    try:
        return struct.pack(format_, float(value))
    except OverflowError as error:
        raise PgError("22003", f'"{value}" is out of range for type real') from error
