from __future__ import annotations

import math
import struct
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.types.decode import decoder
from nestvec.pgwire.types.encode import encoder
from nestvec.sqltypes import oids
from nestvec.sqltypes.intervals import interval_parts
from nestvec.sqltypes.texts import any_text

FLOAT32 = st.floats(width=32, allow_nan=False)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
DATES = st.dates(date(1, 1, 1), date(9999, 12, 31))
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 30))
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    oids.BOOL: st.booleans(),
    oids.INT2: st.integers(-(2**15), 2**15 - 1),
    oids.INT4: st.integers(-(2**31), 2**31 - 1),
    oids.INT8: st.integers(-(2**63), 2**63 - 1),
    oids.OID: st.integers(0, 2**32 - 1),
    oids.FLOAT4: FLOAT32,
    oids.FLOAT8: st.floats(allow_nan=False),
    oids.NUMERIC: st.decimals(allow_nan=False, allow_infinity=False, places=6) | st.just(Decimal("1E+20")),
    oids.TEXT: TEXT,
    oids.VARCHAR: TEXT,
    oids.BYTEA: st.binary(max_size=20),
    oids.DATE: DATES,
    oids.TIME: st.times(),
    oids.TIMESTAMP: MOMENTS,
    oids.TIMESTAMPTZ: MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
    oids.INTERVAL: st.timedeltas(timedelta(-9999), timedelta(9999)),
    oids.UUID: st.uuids(),
    oids.JSONB: st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
    oids.VECTOR: st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
    oids.HALFVEC: st.lists(
        st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1, max_size=8
    ),
    oids.BFLOAT16_VECTOR: st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1),
    oids.SPARSEVEC: st.dictionaries(
        st.integers(0, 1000),
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=5,
    ),
    oids.BIT: st.text("01", min_size=1, max_size=20),
}
VALUES = st.sampled_from(sorted(SCALARS)).flatmap(lambda oid: st.tuples(st.just(oid), SCALARS[oid]))


@settings(max_examples=600)
@given(VALUES, st.booleans())
def test_a_value_is_decoded_as_it_was_encoded(typed: tuple[int, Any], binary: bool) -> None:
    oid, value = typed
    decoded = decoder(oid, binary)(encoder(oid, binary)(value))
    assert _stored(oid, decoded) == _stored(oid, value)


def _stored(oid: int, value: Any) -> Any:
    """A value as its type stores it: text has as many digits as its 32 bits need."""
    if oid in (oids.FLOAT4, *oids.DENSE_VECTORS):
        return np.asarray(value, np.float32).tolist()
    if oid == oids.SPARSEVEC:
        return {index: float(np.float32(weight)) for index, weight in value.items()}
    return value


@settings(max_examples=300)
@given(
    st.sampled_from([oid for oid in sorted(SCALARS) if oids.BY_OID[oid].array]).flatmap(
        lambda oid: st.tuples(st.just(oid), st.lists(st.none() | SCALARS[oid], max_size=6))
    ),
    st.booleans(),
)
def test_an_array_is_decoded_as_it_was_encoded(typed: tuple[int, list[Any]], binary: bool) -> None:
    element, values = typed
    array = oids.array_of(element)
    decoded = decoder(array, binary)(encoder(array, binary)(values))
    assert [None if value is None else _stored(element, value) for value in decoded] == [
        None if value is None else _stored(element, value) for value in values
    ]


@settings(max_examples=800)
@given(st.sampled_from(sorted(oids.BY_OID)), st.booleans(), st.binary(max_size=60))
def test_no_bytes_lead_to_another_error(oid: int, binary: bool, data: bytes) -> None:
    try:
        decoder(oid, binary)(data)
    except PgError as error:
        assert len(error.sqlstate) == 5
    except UnicodeDecodeError:
        pytest.fail("bytes that are not UTF-8 have an error of their own")


@pytest.mark.parametrize(
    ("oid", "value", "expected"),
    [
        (oids.FLOAT8, 1e15, b"1e+15"),
        (oids.FLOAT8, 123456789012345.0, b"123456789012345"),
        (oids.FLOAT8, 1.5e-05, b"1.5e-05"),
        (oids.FLOAT8, 0.0001, b"0.0001"),
        (oids.FLOAT8, -0.0, b"-0"),
        (oids.FLOAT8, math.inf, b"Infinity"),
        (oids.FLOAT8, math.nan, b"NaN"),
        (oids.FLOAT4, 2.2, b"2.2"),
        (oids.FLOAT4, 1e6, b"1e+06"),
        (oids.NUMERIC, Decimal("1E+3"), b"1000"),
        (oids.BOOL, True, b"t"),
        (oids.JSONB, {"a": [1, None]}, b'{"a": [1, null]}'),
        (oids.BYTEA, b"\0\xff", b"\\x00ff"),
        (oids.TIMESTAMP, datetime(2026, 1, 31, 8, 30, 0, 500000), b"2026-01-31 08:30:00.5"),
        (oids.TIMESTAMPTZ, datetime(2026, 1, 31, 8, tzinfo=UTC), b"2026-01-31 08:00:00+00"),
        (oids.array_of(oids.TEXT), ["a b", "NULL", 'q"q', None, ""], b'{"a b","NULL","q\\"q",NULL,""}'),
        (oids.array_of(oids.INT4), [[1, 2], [3, 4]], b"{{1,2},{3,4}}"),
        (oids.VECTOR, [1.0, 2.5, -3.0], b"[1,2.5,-3]"),
        (oids.VECTOR, [999999.94, 1234567.0, 1e-4, 1e-5, -0.0], b"[999999.94,1.234567e+06,0.0001,1e-05,-0]"),
        (oids.SPARSEVEC, {0: 1234567.0, 2: 10.0}, b"{1:1.234567e+06,3:10}/3"),
        (oids.SPARSEVEC, {0: 0.5, 6: 2.0}, b"{1:0.5,7:2}/7"),
        (22, [1, 2], b"1 2"),
    ],
)
def test_text_is_postgresqls(oid: int, value: Any, expected: bytes) -> None:
    assert encoder(oid, binary=False)(value) == expected


def test_binary_vectors_are_pgvectors() -> None:
    pgvector = pytest.importorskip("pgvector")
    numbers = [1.0, -2.5, 0.25]
    assert encoder(oids.VECTOR, binary=True)(numbers) == pgvector.Vector(numbers).to_binary()
    assert encoder(oids.HALFVEC, binary=True)(numbers) == pgvector.HalfVector(numbers).to_binary()
    sparse = pgvector.SparseVector({0: 1.0, 4: 0.5}, 5)
    assert encoder(oids.SPARSEVEC, binary=True)({0: 1.0, 4: 0.5}) == sparse.to_binary()


@pytest.mark.parametrize("value", ["12a", "", "9223372036854775808", "1.5"])
def test_a_malformed_integer_is_an_error_of_data(value: str) -> None:
    with pytest.raises(PgError) as raised:
        decoder(oids.INT8, binary=False)(value.encode())
    assert raised.value.sqlstate.startswith("22")


def test_an_integer_out_of_range_is_an_error_of_data() -> None:
    with pytest.raises(PgError, match="out of range") as raised:
        encoder(oids.INT2, binary=True)(40_000)
    assert raised.value.sqlstate == "22003"


def test_an_array_does_not_allocate_by_what_its_dimensions_say() -> None:
    head = struct.pack("!iiI", 2, 0, oids.INT4) + struct.pack("!iiii", 2**30, 1, 2**30, 1)
    with pytest.raises(PgError, match="dimensions"):
        decoder(oids.array_of(oids.INT4), binary=True)(head)


@pytest.mark.parametrize("text", ["{", "{1,2", "{1,}", "1,2", '{"a}', "{1}}", "{" * 10 + "}" * 10])
def test_a_malformed_array_is_an_error_of_data(text: str) -> None:
    with pytest.raises(PgError, match="malformed array"):
        decoder(oids.array_of(oids.TEXT), binary=False)(text.encode())


def test_values_of_any_type_have_a_text() -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    assert any_text(True) == b"t"
    assert any_text(np.float64(1.5)) == b"1.5"
    assert any_text(moment) == b"2026-01-31 00:00:00+00"
    assert any_text(date(2026, 1, 31)) == b"2026-01-31"
    assert any_text(time(8, 30)) == b"08:30:00"
    assert any_text(timedelta(days=1, seconds=5)) == b"1 day 00:00:05"
    assert any_text(uuid.UUID(int=1)) == b"00000000-0000-0000-0000-000000000001"
    assert any_text({"a": 1}) == b'{"a": 1}'
    assert any_text([1.0, 2.0]) == b"[1,2]"


def test_a_sparse_vector_keeps_its_dim() -> None:
    text = "{1:0.5,3:2}/100"
    data = encoder(oids.SPARSEVEC, True)(text)
    assert data == struct.pack("!iii2i2f", 100, 2, 0, 0, 2, 0.5, 2.0)
    assert encoder(oids.SPARSEVEC, False)(text) == text.encode()


@pytest.mark.parametrize("text", ["1e131072", "-1e999999999", "1e-16384", "1e-999999999"])
def test_a_number_is_refused_that_would_be_written_with_too_many_digits(text: str) -> None:
    """The first numbers that PostgreSQL 16 does not take."""
    with pytest.raises(PgError) as raised:
        decoder(oids.NUMERIC, False)(text.encode())
    assert raised.value.sqlstate == "22003"


def test_the_widest_vector_is_sent() -> None:
    assert encoder(oids.VECTOR, True)([0.0] * 32_768)[:2] == b"\x80\0"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1 year 2 mons -3 days +04:05:06.7", (14, -3, 14_706_700_000)),
        ("1 days 0 seconds 0 microseconds", (0, 1, 0)),
        ("1 years 0 mons 0 days 0 hours 0 mins 0.0 secs", (12, 0, 0)),
        ("0d5s7us", (0, 0, 5_000_007)),
        ("365 days, 1:02:03", (0, 365, 3_723_000_000)),
        ("@ 1.5 months 2 hours ago", (-1, -15, -7_200_000_000)),
        ("1.5 days", (0, 1, 43_200_000_000)),
    ],
)
def test_an_interval_is_read_as_drivers_write_it(text: str, parts: tuple[int, int, int]) -> None:
    interval = decoder(oids.INTERVAL, False)(text.encode())
    assert interval_parts(interval) == parts
    assert interval_parts(decoder(oids.INTERVAL, True)(encoder(oids.INTERVAL, True)(interval))) == parts


@pytest.mark.parametrize("text", ["", "x", "1 day x", "1d 2", "1:2:3:4", "1 fortnight"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(PgError, match="invalid input syntax for type interval"):
        decoder(oids.INTERVAL, False)(text.encode())


def test_the_time_after_a_date_is_left_out() -> None:
    assert decoder(oids.DATE, False)(b"2024-02-29T00:00:00.000+00:00") == date(2024, 2, 29)


@pytest.mark.parametrize(
    "text", [b"2024-02-29 12:30:00.5 +00:00", b"2024-02-29 13:30:00.500 +0100", b"Feb 29 2024 12:30:00.5 UTC"]
)
def test_moments_are_read_as_in_statements(text: bytes) -> None:
    moment = datetime(2024, 2, 29, 12, 30, 0, 500_000, UTC)
    assert decoder(oids.TIMESTAMPTZ, False)(text) == moment
