from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.protocol import responses
from nestvec.pgwire.protocol.responses import Field


def _split(data: bytes) -> list[tuple[bytes, bytes]]:
    """Messages by their lengths, as a client reads them."""
    messages = []
    while data:
        length = struct.unpack_from("!i", data, 1)[0]
        messages.append((data[:1], data[5 : length + 1]))
        data = data[length + 1 :]
    return messages


@given(st.lists(st.none() | st.binary(max_size=50), max_size=8))
def test_a_row_is_read_back(values: list[bytes | None]) -> None:
    [(type_, body)] = _split(responses.data_row(values))
    count, at, read = struct.unpack_from("!H", body)[0], 2, list[bytes | None]()
    for _ in range(count):
        length = struct.unpack_from("!i", body, at)[0]
        at += 4
        read.append(None if length == -1 else body[at : at + length])
        at += max(length, 0)
    assert (type_, read, at) == (b"D", values, len(body))


def test_columns_have_name_type_size_modifier_and_format() -> None:
    [(type_, body)] = _split(responses.row_description([Field("a", 1043, -1, 54)], [1]))
    assert type_ == b"T"
    assert body == b"\0\1a\0" + struct.pack("!IhIhih", 0, 0, 1043, -1, 54, 1)


def test_an_error_names_state_position_and_hint() -> None:
    error = PgError("42703", "no such column", hint="Use b.", position=8)
    [(type_, body)] = _split(responses.error_response(error))
    fields = {part[:1]: part[1:] for part in body.rstrip(b"\0").split(b"\0")}
    assert type_ == b"E"
    assert fields == {
        b"S": b"ERROR",
        b"V": b"ERROR",
        b"C": b"42703",
        b"M": b"no such column",
        b"H": b"Use b.",
        b"P": b"8",
    }


def test_a_notice_has_its_own_severity() -> None:
    [(type_, body)] = _split(responses.notice_response(PgError("01000", "m", severity="WARNING")))
    assert type_ == b"N"
    assert b"SWARNING\0" in body


@given(st.text(max_size=20))
def test_texts_have_no_zero_byte_inside(value: str) -> None:
    assert responses.text(value).index(b"\0") == len(responses.text(value)) - 1


def test_fixed_messages_have_their_length() -> None:
    for data in (
        responses.AUTHENTICATION_OK,
        responses.PARSE_COMPLETE,
        responses.BIND_COMPLETE,
        responses.CLOSE_COMPLETE,
        responses.NO_DATA,
        responses.EMPTY_QUERY,
        responses.PORTAL_SUSPENDED,
        responses.COPY_DONE,
        responses.ready_for_query("I"),
        responses.command_complete("SELECT 1"),
        responses.parameter_description([20, 25]),
        responses.copy_response(b"G", True, 3),
        responses.authentication_sasl(["SCRAM-SHA-256"]),
    ):
        assert len(_split(data)) == 1
