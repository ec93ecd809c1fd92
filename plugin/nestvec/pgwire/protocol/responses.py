"""Messages that the server sends, as bytes.

https://www.postgresql.org/docs/16/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nestvec.pgwire.errors import PgError

AUTHENTICATION_OK: Final = b"R\0\0\0\x08\0\0\0\0"
PARSE_COMPLETE: Final = b"1\0\0\0\x04"
BIND_COMPLETE: Final = b"2\0\0\0\x04"
CLOSE_COMPLETE: Final = b"3\0\0\0\x04"
NO_DATA: Final = b"n\0\0\0\x04"
EMPTY_QUERY: Final = b"I\0\0\0\x04"
PORTAL_SUSPENDED: Final = b"s\0\0\0\x04"
COPY_DONE: Final = b"c\0\0\0\x04"

_NULL: Final = b"\xff\xff\xff\xff"
_pack_int32 = struct.Struct("!i").pack


@dataclass(frozen=True)
class Field:
    """A column of a result."""

    name: str
    oid: int
    size: int = -1
    """Bytes of a value; -1 if they vary."""
    modifier: int = -1
    """Such as the length of a VARCHAR plus 4, or a vector's dim; -1 for none."""
    table: int = 0
    """The id of the table that it is a column of; 0 for none."""
    column: int = 0
    """Its number in that table, from 1; 0 for none."""


def message(type_: bytes, body: bytes = b"") -> bytes:
    """A message of this type."""
    return type_ + _pack_int32(len(body) + 4) + body


def text(value: str) -> bytes:
    """A text that ends with a zero byte; zero bytes inside are replaced."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace") + b"\0"


def authentication_sasl(mechanisms: Sequence[str]) -> bytes:
    """Asks for SASL by one of these mechanisms."""
    return message(b"R", _pack_int32(10) + b"".join(map(text, mechanisms)) + b"\0")


def authentication_sasl_continue(data: bytes) -> bytes:
    """The server's challenge."""
    return message(b"R", _pack_int32(11) + data)


def authentication_sasl_final(data: bytes) -> bytes:
    """The server's proof."""
    return message(b"R", _pack_int32(12) + data)


def backend_key_data(process: int, secret: int) -> bytes:
    """What a cancel request has to name."""
    return message(b"K", struct.pack("!iI", process, secret))


def negotiate_protocol(options: Sequence[str]) -> bytes:
    """Says that the server speaks 3.0, and which options it does not know."""
    return message(b"v", struct.pack("!ii", 0, len(options)) + b"".join(map(text, options)))


def parameter_status(name: str, value: str) -> bytes:
    """The value of a setting that clients track."""
    return message(b"S", text(name) + text(value))


def ready_for_query(status: str) -> bytes:
    """The server waits: ``I`` idle, ``T`` in a transaction, ``E`` in a failed one."""
    return message(b"Z", status.encode("ascii"))


def command_complete(tag: str) -> bytes:
    """A statement is done."""
    return message(b"C", text(tag))


def parameter_description(oids: Sequence[int]) -> bytes:
    """The types of a statement's parameters."""
    return message(b"t", struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def row_description(fields: Sequence[Field], formats: Sequence[int]) -> bytes:
    """The columns of a result; ``formats`` has one for each."""
    parts = [struct.pack("!H", len(fields))]
    for field, format_ in zip(fields, formats, strict=True):
        numbers = struct.pack(
            "!IhIhih", field.table, field.column, field.oid, field.size, field.modifier, format_
        )
        parts += (text(field.name), numbers)
    return message(b"T", b"".join(parts))


def data_row(values: Iterable[bytes | None]) -> bytes:
    """A row; None for NULL."""
    parts, count = list[bytes](), 0
    for value in values:
        count += 1
        if value is None:
            parts.append(_NULL)
        else:
            parts += (_pack_int32(len(value)), value)
    return message(b"D", struct.pack("!H", count) + b"".join(parts))


def copy_response(type_: bytes, binary: bool, columns: int) -> bytes:
    """The server expects (``G``) or sends (``H``) data of COPY."""
    return message(type_, struct.pack(f"!bH{columns}h", binary, columns, *[int(binary)] * columns))


def copy_data(data: bytes) -> bytes:
    """A part of COPY's data."""
    return message(b"d", data)


def error_response(error: PgError) -> bytes:
    """An error."""
    return message(b"E", _error_fields(error))


def notice_response(notice: PgError) -> bytes:
    """A notice or warning."""
    return message(b"N", _error_fields(notice))


def _error_fields(error: PgError) -> bytes:
    fields = {
        b"S": error.severity,
        b"V": error.severity,
        b"C": error.sqlstate,
        b"M": error.message,
        b"D": error.detail,
        b"H": error.hint,
        b"P": "" if error.position is None else str(error.position),
        b"R": error.routine,
    }
    return b"".join(name + text(value) for name, value in fields.items() if value) + b"\0"
