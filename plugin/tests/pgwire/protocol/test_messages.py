from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.protocol.messages import (
    CANCEL_REQUEST,
    GSSENC_REQUEST,
    SSL_REQUEST,
    TYPES,
    BareMessage,
    BindMessage,
    CancelMessage,
    CloseMessage,
    CopyDataMessage,
    CopyFailMessage,
    DescribeMessage,
    ExecuteMessage,
    FrontendMessage,
    ParseMessage,
    PasswordMessage,
    QueryMessage,
    StartupMessage,
    decode_message,
    decode_startup,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
OID = st.integers(0, 2**32 - 1)
FORMATS = st.lists(st.sampled_from((0, 1)), max_size=5).map(tuple)
VALUES = st.lists(st.none() | st.binary(max_size=30), max_size=5).map(tuple)

MESSAGES = st.one_of(
    st.builds(QueryMessage, TEXT),
    st.builds(ParseMessage, TEXT, TEXT, st.lists(OID, max_size=5).map(tuple)),
    st.builds(BindMessage, TEXT, TEXT, FORMATS, VALUES, FORMATS),
    st.builds(DescribeMessage, st.sampled_from("SP"), TEXT),
    st.builds(CloseMessage, st.sampled_from("SP"), TEXT),
    st.builds(ExecuteMessage, TEXT, st.integers(-(2**31), 2**31 - 1)),
    st.builds(PasswordMessage, st.binary(max_size=40)),
    st.builds(CopyDataMessage, st.binary(max_size=40)),
    st.builds(CopyFailMessage, TEXT),
    st.sampled_from([BareMessage(type_) for type_ in "SHXc"]),
)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def _int16s(values: tuple[int, ...]) -> bytes:
    return struct.pack(f"!H{len(values)}H", len(values), *values)


def encode(message: FrontendMessage) -> tuple[str, bytes]:
    """A client's bytes, written from the documentation alone."""
    match message:
        case QueryMessage(sql):
            return "Q", _text(sql)
        case ParseMessage(name, sql, oids):
            return "P", _text(name) + _text(sql) + struct.pack(f"!H{len(oids)}I", len(oids), *oids)
        case BindMessage(portal, statement, formats, params, results):
            values = b"".join(
                b"\xff\xff\xff\xff" if value is None else struct.pack("!i", len(value)) + value
                for value in params
            )
            count = struct.pack("!H", len(params))
            return "B", _text(portal) + _text(statement) + _int16s(formats) + count + values + _int16s(
                results
            )
        case DescribeMessage(kind, name):
            return "D", kind.encode() + _text(name)
        case CloseMessage(kind, name):
            return "C", kind.encode() + _text(name)
        case ExecuteMessage(portal, rows):
            return "E", _text(portal) + struct.pack("!i", rows)
        case PasswordMessage(body):
            return "p", body
        case CopyDataMessage(data):
            return "d", data
        case CopyFailMessage(reason):
            return "f", _text(reason)
        case BareMessage(type_):
            return type_, b""


@given(MESSAGES)
def test_a_message_is_decoded_as_it_was_encoded(message: FrontendMessage) -> None:
    assert decode_message(*encode(message)) == message


@given(MESSAGES, st.data())
def test_a_message_that_is_cut_or_longer_is_refused(message: FrontendMessage, data: st.DataObject) -> None:
    type_, body = encode(message)
    if type_ in "pd":
        return  # all of the body is the value
    with pytest.raises(PgError) as longer:
        decode_message(type_, body + b"\1")
    assert longer.value.sqlstate == "08P01"
    if body:
        end = data.draw(st.integers(0, len(body) - 1))
        with pytest.raises(PgError):
            decode_message(type_, body[:end])


@settings(max_examples=500)
@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=200))
def test_no_bytes_lead_to_another_error(type_: str, body: bytes) -> None:
    try:
        decode_message(type_, body)
    except PgError as error:
        assert error.sqlstate in ("08P01", "22021")


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_no_startup_leads_to_another_error(body: bytes) -> None:
    try:
        decode_startup(body)
    except PgError as error:
        assert error.sqlstate in ("08P01", "0A000", "22021")


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=5))
def test_startup_parameters(parameters: dict[str, str]) -> None:
    pairs = b"".join(_text(name) + _text(value) for name, value in parameters.items())
    body = struct.pack("!I", 3 << 16) + pairs + b"\0"
    assert decode_startup(body) == StartupMessage(0, parameters)


def test_requests_before_the_startup_message() -> None:
    assert decode_startup(struct.pack("!I", SSL_REQUEST)) == SSL_REQUEST
    assert decode_startup(struct.pack("!I", GSSENC_REQUEST)) == GSSENC_REQUEST
    cancel = decode_startup(struct.pack("!IiI", CANCEL_REQUEST, 7, 0xFFFFFFFF))
    assert cancel == CancelMessage(7, 0xFFFFFFFF)


def test_another_major_version_is_refused() -> None:
    with pytest.raises(PgError, match=r"protocol 2\.0"):
        decode_startup(struct.pack("!I", 2 << 16))


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(PgError, match="'F'"):
        decode_message("F", b"")
