"""Values of results as text or binary."""

from __future__ import annotations

import json
import math
import struct
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.types import oids, times, vectors
from nestvec.pgwire.types.arrays import encode_array_binary, encode_array_text, is_sequence
from nestvec.pgwire.types.numeric import encode_numeric
from nestvec.terminal.values import shortest_float32

Encoder = Callable[[Any], bytes]

_SEQUENCES: Final = frozenset({oids.JSON, oids.JSONB, oids.VECTOR, oids.HALFVEC, oids.SPARSEVEC, oids.BIT})
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


def any_text(value: Any) -> bytes:
    """A value of any type as PostgreSQL prints it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, (dict, list, tuple)):
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, float) for item in value):
            return vectors.vector_text(value)
        return json_text(value)
    for kind, encode in _BY_CLASS:
        if isinstance(value, kind):
            return encode(value)
    return str(value).encode("utf-8", "replace")


def bool_text(value: Any) -> bytes:
    """``t`` or ``f``."""
    return b"t" if value else b"f"


def float_text(value: Any) -> bytes:
    """The shortest text that reads back as this double, in PostgreSQL's notation."""
    return format_float(float(value), repr).encode()


def float4_text(value: Any) -> bytes:
    """The shortest text that reads back as this 32-bit float."""
    return format_float(float(value), lambda number: shortest_float32(number)).encode()


def format_float(value: float, shortest: Callable[[float], str]) -> str:
    """PostgreSQL writes exponents below -4 and from 15 (from 6 for 32 bits) on: ``1e+15``, ``1.5e-05``."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, exponent = Decimal(shortest(value)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    scale = len(shown) + int(exponent) - 1
    minus = "-" if sign else ""
    if scale < -4 or scale >= (15 if shortest is repr else 6):
        mantissa = shown[0] + (f".{shown[1:]}" if len(shown) > 1 else "")
        return f"{minus}{mantissa}e{'-' if scale < 0 else '+'}{abs(scale):02d}"
    return f"{minus}{Decimal((0, digits, int(exponent))):f}"


def numeric_text(value: Any) -> bytes:
    """Digits without an exponent."""
    number = _decimal(value)
    if not number.is_finite():
        return b"NaN" if number.is_nan() else b"Infinity" if number > 0 else b"-Infinity"
    return f"{number:f}".encode()


def json_text(value: Any) -> bytes:
    """As jsonb prints it, ``{"a": 1}``."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value, ensure_ascii=False, default=_json_default).encode("utf-8", "replace")


def _json_column(value: Any) -> bytes:
    """A value of a JSON column. A text is a JSON string, unless Milvus returned the document as text."""
    return json_text(value)


def _json_default(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value.tolist() if hasattr(value, "tolist") else str(value)


def bytea_text(value: Any) -> bytes:
    """``\\x00ff``."""
    return value.encode() if isinstance(value, str) else b"\\x" + bytes(value).hex().encode()


def _decimal(value: Any) -> Decimal:
    try:
        return value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation as error:
        raise PgError("22P02", f'invalid input syntax for type numeric: "{str(value)[:100]}"') from error


def _date_text(value: Any) -> bytes:
    return (value.date() if isinstance(value, datetime) else value).isoformat().encode()


def _moment(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _timestamp_text(value: Any) -> bytes:
    return times.timestamp_text(value).encode() if isinstance(value, datetime) else any_text(value)


def _timestamptz_text(value: Any) -> bytes:
    moment = times.parse_timestamptz(value) if isinstance(value, str) else value
    if isinstance(moment, datetime) and moment.tzinfo is None:
        moment = times.parse_timestamptz(moment.isoformat())
    return times.timestamp_text(moment).encode()


def _integer(oid: int) -> Encoder:
    """Binary integers of one type."""
    size, signed = oids.INTEGER_SIZES[oid], oid not in oids.UNSIGNED
    name = oids.BY_OID[oid].name

    def encode(value: Any) -> bytes:
        try:
            return int(value).to_bytes(size, "big", signed=signed)
        except (OverflowError, ValueError) as error:
            raise PgError("22003", f'value "{str(value)[:40]}" is out of range for type {name}') from error

    return encode


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))


_BY_CLASS: Final[tuple[tuple[type, Encoder], ...]] = (
    (bool, bool_text),
    (int, lambda value: b"%d" % value),
    (float, float_text),
    (Decimal, numeric_text),
    ((bytes), bytea_text),
    (datetime, lambda value: times.timestamp_text(value).encode()),
    (date, _date_text),
    (time, lambda value: times.time_text(value).encode()),
    (timedelta, lambda value: times.interval_text(value).encode()),
    (Mapping, json_text),
)

_TEXT: Final[dict[int, Encoder]] = {
    oids.BOOL: bool_text,
    oids.FLOAT4: float4_text,
    oids.FLOAT8: float_text,
    oids.NUMERIC: numeric_text,
    oids.JSON: _json_column,
    oids.JSONB: _json_column,
    oids.BYTEA: bytea_text,
    oids.TIMESTAMP: _timestamp_text,
    oids.TIMESTAMPTZ: _timestamptz_text,
    oids.VECTOR: vectors.vector_text,
    oids.HALFVEC: vectors.vector_text,
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
    oids.VECTOR: vectors.encode_vector,
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
