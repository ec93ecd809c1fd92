"""Values of parameters and of COPY, from text or binary, as Python's."""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.protocol.messages import decode_text
from nestvec.pgwire.types import times, vectors
from nestvec.pgwire.types.arrays import decode_array_binary, decode_array_text
from nestvec.pgwire.types.numeric import decode_numeric
from nestvec.sqltypes import oids

Decoder = Callable[[bytes], Any]

_INTEGER: Final = re.compile(r"[+-]?\d{1,40}")
_TRUE: Final = frozenset({"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"})
_FALSE: Final = frozenset({"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"})
_MAX_DIGITS: Final = 131_072
"""Digits of a NUMERIC before the point, as in PostgreSQL."""
_MAX_SCALE: Final = 16_383
"""Digits after it."""
_FLOAT: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?|nan", re.I)


def decoder(oid: int, binary: bool) -> Decoder:
    """What decodes the values of one type, which are not NULL. Its PgError says what is malformed."""
    element = oids.element_of(oid)
    if element and binary:
        return lambda data: decode_array_binary(data, lambda kind, item: decoder(kind, True)(item))
    if element and oid in (22, 30):
        return lambda data: [decoder(element, False)(part) for part in data.split()]
    if element:
        inner = decoder(element, False)
        return lambda data: decode_array_text(data, inner)
    if binary:
        decode = _BINARY.get(oid)
        if decode is None and oid not in oids.TEXTS and oid != oids.UNSPECIFIED:
            raise PgError("0A000", f"no binary input function available for the type with id {oid}")
        return decode or decode_text
    return _TEXT.get(oid, decode_text)


def _syntax(name: str, text: str) -> PgError:
    return PgError("22P02", f'invalid input syntax for type {name}: "{text[:100]}"')


def _integer_text(oid: int) -> Decoder:
    name, size = oids.BY_OID[oid].name, oids.INTEGER_SIZES[oid]
    shown = {"int2": "smallint", "int4": "integer", "int8": "bigint"}.get(name, name)
    low, high = -(1 << (8 * size - 1)), (1 << (8 * size - (oid not in oids.UNSIGNED)))

    def decode(data: bytes) -> int:
        text = decode_text(data).strip()
        if not _INTEGER.fullmatch(text):
            raise _syntax(shown, text)
        number = int(text)
        if not low <= number < high:
            raise PgError("22003", f'value "{text}" is out of range for type {shown}')
        return number

    return decode


def _integer_binary(oid: int) -> Decoder:
    size, signed = oids.INTEGER_SIZES[oid], oid not in oids.UNSIGNED

    def decode(data: bytes) -> int:
        if len(data) != size:
            raise PgError("22P03", f"incorrect binary data format: {len(data)} bytes instead of {size}")
        return int.from_bytes(data, "big", signed=signed)

    return decode


def _bool_text(data: bytes) -> bool:
    text = decode_text(data).strip().lower()
    if text not in _TRUE | _FALSE:
        raise _syntax("boolean", text)
    return text in _TRUE


def _bool_binary(data: bytes) -> bool:
    if len(data) != 1:
        raise PgError("22P03", "incorrect binary data format: a boolean has one byte")
    return data != b"\0"


def _float_text(data: bytes) -> float:
    text = decode_text(data).strip()
    if not _FLOAT.fullmatch(text):
        raise _syntax("double precision", text)
    return float(text)


def _float_binary(format_: str) -> Decoder:
    def decode(data: bytes) -> float:
        try:
            number: float = struct.unpack(format_, data)[0]
        except struct.error as error:
            raise PgError("22P03", "incorrect binary data format of a float") from error
        return number

    return decode


def _numeric_text(data: bytes) -> Decimal:
    text = decode_text(data).strip()
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise _syntax("numeric", text) from error
    if number.is_finite() and not -_MAX_SCALE <= number.adjusted() < _MAX_DIGITS:
        # Written out, it would have as many digits as its exponent says.
        raise PgError("22003", "value overflows numeric format")
    return number


def _json_text(data: bytes) -> Any:
    text = decode_text(data)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PgError(
            "22P02", "invalid input syntax for type json", detail=f"The value begins: {text[:100]}"
        ) from error


def _jsonb_binary(data: bytes) -> Any:
    if data[:1] != b"\x01":
        raise PgError("22P03", "unsupported jsonb version number")
    return _json_text(data[1:])


def _bytea_text(data: bytes) -> bytes:
    if not data.startswith(b"\\x"):
        return re.sub(rb"\\(\\|[0-3][0-7]{2})", _unescaped, data)
    try:
        return bytes.fromhex(data[2:].decode("ascii"))
    except (ValueError, UnicodeDecodeError) as error:
        raise PgError("22023", "invalid hexadecimal data in a bytea") from error


def _unescaped(match: re.Match[bytes]) -> bytes:
    return b"\\" if match[1] == b"\\" else bytes((int(match[1], 8),))


def _uuid_text(data: bytes) -> uuid.UUID:
    text = decode_text(data).strip()
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise _syntax("uuid", text) from error


def _uuid_binary(data: bytes) -> uuid.UUID:
    if len(data) != 16:
        raise PgError("22P03", "incorrect binary data format: a uuid has 16 bytes")
    return uuid.UUID(bytes=data)


def _vector_binary(half: bool) -> Decoder:
    """A vector. ADBC's driver copies a text or an array of floats into a column of any type: no vector begins
    as these do."""

    def decode(data: bytes) -> list[float]:
        if data[:1] == b"[" and data[-1:] == b"]" and data[2:4] != b"\0\0":
            return vectors.parse_vector(decode_text(data))
        if data[:4] != b"\0\0\0\1":
            return vectors.decode_vector(data, half)
        numbers = decoder(oids.array_of(oids.FLOAT4), True)(data)
        if not all(isinstance(number, float) for number in numbers):
            raise PgError("22P03", "an array that becomes a vector has floats only, and no NULL")
        return list(numbers)

    return decode


_TEXT: Final[dict[int, Decoder]] = {
    **{oid: _integer_text(oid) for oid in oids.INTEGERS if oids.BY_OID[oid].name[:3] != "reg"},
    oids.BOOL: _bool_text,
    oids.FLOAT4: _float_text,
    oids.FLOAT8: _float_text,
    oids.NUMERIC: _numeric_text,
    oids.JSON: _json_text,
    oids.JSONB: _json_text,
    oids.BYTEA: _bytea_text,
    oids.DATE: lambda data: times.parse_date(decode_text(data)),
    oids.TIME: lambda data: times.parse_time(decode_text(data)),
    oids.TIMESTAMP: lambda data: times.parse_timestamp(decode_text(data)),
    oids.TIMESTAMPTZ: lambda data: times.parse_timestamptz(decode_text(data)),
    oids.INTERVAL: lambda data: times.parse_interval(decode_text(data)),
    oids.UUID: _uuid_text,
    **dict.fromkeys(oids.DENSE_VECTORS, lambda data: vectors.parse_vector(decode_text(data))),
    oids.SPARSEVEC: lambda data: vectors.parse_sparse(decode_text(data)),
}

_BINARY: Final[dict[int, Decoder]] = {
    **{oid: _integer_binary(oid) for oid in oids.INTEGERS},
    oids.BOOL: _bool_binary,
    oids.FLOAT4: _float_binary("!f"),
    oids.FLOAT8: _float_binary("!d"),
    oids.NUMERIC: decode_numeric,
    oids.JSON: _json_text,
    oids.JSONB: _jsonb_binary,
    oids.BYTEA: bytes,
    oids.DATE: times.decode_date,
    oids.TIME: times.decode_time,
    oids.TIMESTAMP: times.decode_timestamp,
    oids.TIMESTAMPTZ: times.decode_timestamptz,
    oids.INTERVAL: times.decode_interval,
    oids.UUID: _uuid_binary,
    **dict.fromkeys(oids.DENSE_VECTORS, _vector_binary(half=False)),
    oids.HALFVEC: _vector_binary(half=True),
    oids.SPARSEVEC: vectors.decode_sparse,
    oids.BIT: vectors.decode_bit,
    oids.VARBIT: vectors.decode_bit,
}
