"""Values of SQL types: what is stored reads back as it was, and sorts as the values do."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.sql.execute.read import read_values
from nestvec.sqltypes import from_stored, parse_sql_type, storage, to_stored
from nestvec.sqltypes.arrays import parse_array
from nestvec_schemas.errors import RowRejected, SqlDataError


def column(sql_type: str, type_: str = "", dim: int | None = None) -> Column:
    kind = parse_sql_type(sql_type)
    assert kind is not None
    return Column("c", type_ or storage(kind)[0], TypeParams(dim=dim, sql_type=sql_type))


def round_trip(sql_type: str, value: object, type_: str = "", dim: int | None = None) -> Any:
    target = column(sql_type, type_, dim)
    return from_stored(target, to_stored(target, value))


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**60), max_value=10**60)


@given(NUMBERS)
def test_a_numeric_reads_back_as_it_was(value: Decimal) -> None:
    assert round_trip("numeric", value) == value


@given(NUMBERS, NUMBERS)
def test_stored_numerics_sort_as_the_numbers_do(first: Decimal, second: Decimal) -> None:
    target = column("numeric")
    stored = (to_stored(target, first), to_stored(target, second))
    assert (first < second, first == second) == (stored[0] < stored[1], stored[0] == stored[1])


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**7), max_value=10**7))
def test_a_numeric_with_a_scale_is_rounded_half_away_from_zero(value: Decimal) -> None:
    expected = value.quantize(Decimal("0.01"), "ROUND_HALF_UP")
    assert round_trip("numeric(10,2)", value) == expected
    assert round_trip("numeric(30,2)", value) == expected


@given(st.dates())
def test_a_date_reads_back_as_it_was(value: dt.date) -> None:
    assert round_trip("date", value) == value
    assert round_trip("date", value.isoformat()) == value


@given(st.datetimes())
def test_a_timestamp_reads_back_as_it_was(value: dt.datetime) -> None:
    assert round_trip("timestamp", value) == value
    assert round_trip("timestamp", value.isoformat(" ")) == value


ZONED = st.datetimes(
    min_value=dt.datetime(2, 1, 1),
    max_value=dt.datetime(9998, 1, 1),
    timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))]),
)


@given(ZONED)
def test_a_timestamp_with_a_zone_is_the_same_moment(value: dt.datetime) -> None:
    read = round_trip("timestamptz", value)
    assert read == value
    assert read.tzinfo is not None
    assert round_trip("timestamptz", value.isoformat()) == value


@given(st.times())
def test_a_time_reads_back_as_it_was(value: dt.time) -> None:
    assert round_trip("time", value) == value
    assert round_trip("time", value.isoformat()) == value


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_bytes_read_back_and_sort_as_they_are(first: bytes, second: bytes) -> None:
    target = column("bytea")
    assert round_trip("bytea", first) == first
    assert round_trip("bytea", memoryview(first)) == first
    assert round_trip("bytea", "\\x" + first.hex()) == first
    assert (first < second) == (to_stored(target, first) < to_stored(target, second))


@given(st.uuids())
def test_a_uuid_reads_back_from_each_of_its_notations(value: uuid.UUID) -> None:
    for written in (value, str(value), str(value).upper(), f"{{{value}}}", value.hex):
        assert round_trip("uuid", written) == value


@pytest.mark.parametrize(
    ("sql_type", "text", "expected"),
    [
        ("timestamptz", "2024-01-31 13:45:00+01", dt.datetime(2024, 1, 31, 12, 45, tzinfo=dt.UTC)),
        ("timestamptz", "2024-01-31T13:45:00Z", dt.datetime(2024, 1, 31, 13, 45, tzinfo=dt.UTC)),
        ("timestamptz", "2024-07-01 12:00 Europe/Berlin", dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC)),
        ("timestamptz", dt.date(2024, 1, 31), dt.datetime(2024, 1, 31, tzinfo=dt.UTC)),
        ("timestamp", "2024-01-31 13:45:00+01", dt.datetime(2024, 1, 31, 13, 45)),
        ("timestamp", "2024-01-31 24:00:00", dt.datetime(2024, 2, 1)),
        ("timestamp", "2024-01-31 13:45:00.1234567", dt.datetime(2024, 1, 31, 13, 45, 0, 123457)),
        ("timestamp", "2024-01-31 13:45:00.12345651", dt.datetime(2024, 1, 31, 13, 45, 0, 123457)),
        ("timestamptz", "2024-01-31 13:45 PST", dt.datetime(2024, 1, 31, 21, 45, tzinfo=dt.UTC)),
        ("timestamptz", "Jan 31, 2024 1:45 PM -07", dt.datetime(2024, 1, 31, 20, 45, tzinfo=dt.UTC)),
        ("date", "2024-01-31 24:00", dt.date(2024, 1, 31)),
        ("date", "1/31/2024 AD", dt.date(2024, 1, 31)),
        ("time", "12:30:00 AM", dt.time(0, 30)),
        ("timestamp", "epoch", dt.datetime(1970, 1, 1)),
        ("date", "20240131", dt.date(2024, 1, 31)),
        ("date", "2024-1-3", dt.date(2024, 1, 3)),
        ("date", dt.datetime(2024, 1, 31, 13), dt.date(2024, 1, 31)),
        ("numeric", 0.1 + 0.2, Decimal("0.3")),
        ("numeric", "1e3", Decimal(1000)),
        ("int4", "12", 12),
        ("bytea", r"a\\b\001", b"a\\b\x01"),
        ("date[]", ["2024-01-31"], [dt.date(2024, 1, 31)]),
    ],
)
def test_texts_in_the_notation_of_postgresql(sql_type: str, text: object, expected: object) -> None:
    assert round_trip(sql_type, text) == expected


@pytest.mark.parametrize(
    ("sql_type", "value"),
    [
        ("date", "2024-02-30"), ("date", "soon"), ("date", 5), ("timestamp", "2024-01-31 25:00"),
        ("timestamptz", "2024-01-31 10:00 Mars/Olympus"), ("time", "24:30"), ("uuid", "x" * 36),
        ("numeric", "NaN"), ("numeric", "1__0"), ("numeric", True), ("numeric(4,2)", "100"),
        ("int2", 32768), ("int4", 1 << 31), ("bytea", "\\xabc"), ("bytea", "\\9"), ("bytea", b"x" * 32_768),
        ("numeric", "9" * 1_001), ("timestamp", "99999-01-01"), ("date", "infinity"),
        ("date", "0044-03-15 BC"), ("timestamptz", "2024-01-31 10:00 XYZ"), ("date", "today"),
        ("time", "10:00 Europe/Berlin"), ("timestamptz", "0001-01-01 00:00+23"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_type_is_rejected(sql_type: str, value: object) -> None:
    with pytest.raises(RowRejected):
        to_stored(column(sql_type), value)


@pytest.mark.parametrize(
    ("sql_type", "value"),
    [("date", dt.datetime(2024, 1, 31, 1)), ("numeric(4,2)", "1.005"), ("int4", 1.5)],
)
def test_a_comparison_does_not_round(sql_type: str, value: object) -> None:
    with pytest.raises(RowRejected):
        to_stored(column(sql_type), value, exact=True)


@given(st.lists(st.floats(-60_000, 60_000, width=16), min_size=3, max_size=3))
def test_a_halfvec_keeps_numbers_of_16_bits(value: list[float]) -> None:
    assert round_trip("halfvec(3)", value, "FLOAT16_VECTOR", 3) == value
    assert round_trip("halfvec(3)", value, "FLOAT_VECTOR", 3) == value


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_a_bfloat16_vector_is_rounded_as_ml_dtypes_rounds(value: list[float]) -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    expected = np.asarray(value, np.float32).astype(bfloat16).astype(np.float32)
    if not np.isfinite(expected).all():
        with pytest.raises(RowRejected, match="out of range for type bfloat16_vector"):
            to_stored(column("bfloat16_vector(3)"), value)
        return
    assert round_trip("bfloat16_vector(3)", value, "BFLOAT16_VECTOR", 3) == expected.tolist()
    assert round_trip("bfloat16_vector(3)", value, "FLOAT_VECTOR", 3) == expected.tolist()


@given(st.text("01", min_size=11, max_size=11))
def test_bits_read_back_from_both_ways_to_store_them(bits: str) -> None:
    assert round_trip("bit(11)", bits, "BINARY_VECTOR", 16) == bits
    assert round_trip("bit(11)", bits, "FLOAT_VECTOR", 16) == bits


@pytest.mark.parametrize(
    "value", ["{1:1.5,3:2}/5", {0: 1.5, 2: 2.0}, [1.5, 0, 2, 0, 0], "[1.5,0,2,0,0]", "{3:2,1:1.5,2:0}/5"]
)
def test_a_sparse_vector_in_each_of_its_notations(value: object) -> None:
    target = column("sparsevec(5)")
    assert to_stored(target, value) == {0: 1.5, 2: 2.0}
    assert round_trip("sparsevec(5)", value) == "{1:1.5,3:2}/5"


@pytest.mark.parametrize("value", ["{0:1}/5", "{6:1}/5", "{1:1}/4", "{1:1", "[1]", "{1:1,1:2}/5"])
def test_what_is_not_a_sparse_vector_of_these_dims_is_rejected(value: object) -> None:
    with pytest.raises(RowRejected):
        to_stored(column("sparsevec(5)"), value)


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("{}", []), ("{a,b}", ["a", "b"]), ('{"a, b","c\\"d"}', ["a, b", 'c"d']),
        (" { a b , c } ", ["a b", "c"]),
        ("{a,NULL}", None), ("{{a}}", None), ("{a", None), ("{a,}", None), ("{,a}", None),
    ],
)  # fmt: skip
def test_the_text_of_an_array(text: str, elements: list[str] | None) -> None:
    assert parse_array(text) == elements


@pytest.mark.parametrize(
    ("sql_type", "milvus_type", "stored"),
    [
        ("uuid", "VARCHAR", "nonsense"),
        ("uuid", "VARCHAR", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
        ("numeric", "VARCHAR", "12.5"),
        ("numeric", "VARCHAR", ""),
        ("bytea", "VARCHAR", "zz"),
        ("bytea", "VARCHAR", "FF"),
        ("time", "INT64", 86_400_000_000),
        ("date", "INT64", 10**15),
        ("nope(3)", "VARCHAR", "text"),
    ],
)
def test_what_another_client_wrote_in_another_form_is_an_error_by_name(
    sql_type: str, milvus_type: str, stored: object
) -> None:
    born = Column("born", milvus_type, TypeParams(sql_type=sql_type))
    table = Table("people", (born,))
    with pytest.raises(SqlDataError, match="column born"):
        read_values(table, [{"born": stored}])
