"""Messages that a client sends, from bytes.

https://www.postgresql.org/docs/16/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nestvec.pgwire.errors import PgError, protocol_violation

CANCEL_REQUEST: Final = 80877102
SSL_REQUEST: Final = 80877103
GSSENC_REQUEST: Final = 80877104
PROTOCOL_MAJOR: Final = 3


@dataclass(frozen=True)
class QueryMessage:
    """Statements of the simple protocol."""

    sql: str


@dataclass(frozen=True)
class ParseMessage:
    """A statement to prepare."""

    name: str
    sql: str
    oids: tuple[int, ...]
    """Types of the parameters; 0 for one that the server is to infer."""


@dataclass(frozen=True)
class BindMessage:
    """Values for the parameters of a prepared statement."""

    portal: str
    statement: str
    param_formats: tuple[int, ...]
    """0 for text, 1 for binary; a single one is of all parameters, none means text."""
    params: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]


@dataclass(frozen=True)
class DescribeMessage:
    """Asks for the columns of a prepared statement (``S``) or portal (``P``)."""

    kind: str
    name: str


@dataclass(frozen=True)
class CloseMessage:
    """Discards a prepared statement (``S``) or portal (``P``)."""

    kind: str
    name: str


@dataclass(frozen=True)
class ExecuteMessage:
    """Asks for the next rows of a portal."""

    portal: str
    max_rows: int
    """0 for all."""


@dataclass(frozen=True)
class PasswordMessage:
    """A response of authentication, whose format depends on what was asked."""

    body: bytes


@dataclass(frozen=True)
class CopyDataMessage:
    """A part of COPY's data."""

    data: bytes


@dataclass(frozen=True)
class CopyFailMessage:
    """The client gives COPY up."""

    reason: str


@dataclass(frozen=True)
class BareMessage:
    """A message without a body: ``S`` Sync, ``H`` Flush, ``X`` Terminate, ``c`` CopyDone."""

    type: str


FrontendMessage = (
    QueryMessage
    | ParseMessage
    | BindMessage
    | DescribeMessage
    | CloseMessage
    | ExecuteMessage
    | PasswordMessage
    | CopyDataMessage
    | CopyFailMessage
    | BareMessage
)


@dataclass(frozen=True)
class StartupMessage:
    """The first message of a session."""

    minor: int
    parameters: dict[str, str]


@dataclass(frozen=True)
class CancelMessage:
    """Asks to cancel what another connection runs."""

    process: int
    secret: int


class FieldReader:
    """Reads the fields of one body, in order. Raises PgError for a body that ends early or is too long."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self._at + count
        if count < 0 or end > len(self._body):
            raise protocol_violation("a message ends inside a field")
        part, self._at = self._body[self._at : end], end
        return part

    def int16(self) -> int:
        """A count or a format, unsigned."""
        return int.from_bytes(self.take(2), "big")

    def int32(self) -> int:
        """A signed number."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def oid(self) -> int:
        """The id of a type."""
        return int.from_bytes(self.take(4), "big")

    def text(self) -> str:
        """A text that ends with a zero byte."""
        end = self._body.find(b"\0", self._at)
        if end < 0:
            raise protocol_violation("a text in a message has no end")
        value, self._at = self._body[self._at : end], end + 1
        return decode_text(value)

    def value(self) -> bytes | None:
        """A value with its length before it; None for NULL."""
        length = self.int32()
        return None if length == -1 else self.take(length)

    def rest(self) -> bytes:
        """All that follows."""
        return self.take(len(self._body) - self._at)

    def end(self) -> None:
        """Check that nothing follows."""
        if self._at != len(self._body):
            raise protocol_violation("a message is longer than its fields")


def decode_text(data: bytes) -> str:
    """Text in UTF-8, the only encoding of clients. Raises PgError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PgError(
            "22021",
            'invalid byte sequence for encoding "UTF8"',
            hint="Send text as UTF-8: client_encoding is UTF8.",
        ) from error


def _query(body: FieldReader) -> FrontendMessage:
    return QueryMessage(body.text())


def _parse(body: FieldReader) -> FrontendMessage:
    name, sql = body.text(), body.text()
    return ParseMessage(name, sql, tuple(body.oid() for _ in range(body.int16())))


def _bind(body: FieldReader) -> FrontendMessage:
    portal, statement = body.text(), body.text()
    formats = tuple(body.int16() for _ in range(body.int16()))
    params = tuple(body.value() for _ in range(body.int16()))
    results = tuple(body.int16() for _ in range(body.int16()))
    if not {*formats, *results} <= {0, 1}:
        raise protocol_violation("a format is neither text (0) nor binary (1)")
    return BindMessage(portal, statement, formats, params, results)


def _target(body: FieldReader) -> tuple[str, str]:
    kind = body.take(1).decode("latin-1")
    if kind not in "SP":
        raise protocol_violation("neither a statement (S) nor a portal (P) is named")
    return kind, body.text()


def _describe(body: FieldReader) -> FrontendMessage:
    return DescribeMessage(*_target(body))


def _close(body: FieldReader) -> FrontendMessage:
    return CloseMessage(*_target(body))


def _execute(body: FieldReader) -> FrontendMessage:
    return ExecuteMessage(body.text(), body.int32())


def _copy_fail(body: FieldReader) -> FrontendMessage:
    return CopyFailMessage(body.text())


_DECODERS: Final[dict[str, Callable[[FieldReader], FrontendMessage]]] = {
    "Q": _query,
    "P": _parse,
    "B": _bind,
    "D": _describe,
    "C": _close,
    "E": _execute,
    "f": _copy_fail,
    "d": lambda body: CopyDataMessage(body.rest()),
    "p": lambda body: PasswordMessage(body.rest()),
    "S": lambda body: BareMessage("S"),
    "H": lambda body: BareMessage("H"),
    "X": lambda body: BareMessage("X"),
    "c": lambda body: BareMessage("c"),
}

TYPES: Final = frozenset(_DECODERS)
"""The types of messages that a client may send."""


def decode_message(type_: str, body: bytes) -> FrontendMessage:
    """A message from its type and body (without the length). Raises PgError."""
    decoder = _DECODERS.get(type_)
    if decoder is None:
        raise protocol_violation(f"there is no message of type {type_!r}")
    reader = FieldReader(body)
    message = decoder(reader)
    reader.end()
    return message


def decode_startup(body: bytes) -> StartupMessage | CancelMessage | int:
    """The first message; SSL_REQUEST and GSSENC_REQUEST as their codes. Raises PgError."""
    reader = FieldReader(body)
    code = reader.int32()
    if code in (SSL_REQUEST, GSSENC_REQUEST):
        reader.end()
        return code
    if code == CANCEL_REQUEST:
        process, secret = struct.unpack("!iI", reader.take(8))
        reader.end()
        return CancelMessage(process, secret)
    major, minor = code >> 16, code & 0xFFFF
    if major != PROTOCOL_MAJOR:
        raise PgError("0A000", f"unsupported frontend protocol {major}.{minor}: the server supports 3.0")
    parameters = dict[str, str]()
    while name := reader.text():
        parameters[name] = reader.text()
    reader.end()
    return StartupMessage(minor, parameters)
