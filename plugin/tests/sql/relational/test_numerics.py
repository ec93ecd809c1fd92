"""Digits of NUMERIC: each is what PostgreSQL 16 writes, and errors say what it says."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from random import Random

import pytest

from nestvec.sql.relational.functions.numerics import extreme_numeric, numeric_key, numeric_text


@pytest.mark.parametrize(
    ("operation", "left", "right", "expected"),
    [
        ("/", "1", "3", "0.33333333333333333333"),
        ("/", "10", "4", "2.5000000000000000"),
        ("/", "12345678901234.5678", "7", "1763668414462.0811"),
        ("%", "-7.50", "2", "-1.50"),
        ("div", "7.9", "-2", "-3"),
        ("*", "1.50", "2.0", "3.000"),
        ("power", "99999999999999999999", "2", "9999999999999999999800000000000000000001"),
        ("power", "2", "0.5", "1.4142135623730950"),
        ("power", "10000", "-0.25", "0.1000000000000000"),
        ("round", "2.5", "0", "3"),
        ("round", "-1234.5", "-2", "-1200"),
        ("trunc", "1.259", "2", "1.25"),
        ("cast", "1.255", "10002", "1.26"),
        ("sqrt", "0.00", "", "0.000000000000000"),
        ("sqrt", "1.000000000000471", "", "1.000000000000235"),
        ("sqrt", "123456789.12", "", "11111.11106595556"),
        ("exp", "0.5", "", "1.6487212707001281"),
        ("exp", "-3.25", "", "0.03877420783172201"),
        ("exp", "37.129", "", "13332752541229689.095"),
        ("exp", "0.000000001", "", "1.0000000010000000"),
        ("ln", "0.9999999999", "", "-0.00000000010000000000500000"),
        ("log", "7", "123.456", "2.4748752246455190"),
        ("power", "1.05", "12", "1.7958563260221292"),
        ("power", "2.5", "-3.7", "0.03369938443095648"),
        ("power", "0.001", "5", "0.0000000000000010000000000000000"),
        ("power", "1.5", "-2", "0.4444444444444444"),
        ("ln", "2", "", "0.6931471805599453"),
        ("log10", "20.5", "", "1.3117538610557543"),
        ("neg", "0.00", "", "0.00"),
        ("double", "0.1", "", "0.1"),
        ("+", "NaN", "1", "NaN"),
        ("nullif", "2.50", "2.5", ""),
    ],
)
def test_a_result_has_postgresqls_digits(operation: str, left: str, right: str, expected: str) -> None:
    assert numeric_text(operation, left, right) == expected


@pytest.mark.parametrize(
    ("operation", "left", "right", "cause"),
    [
        ("/", "1", "0", "division by zero"),
        ("%", "1", "0", "division by zero"),
        ("sqrt", "-1", "", "square root"),
        ("ln", "0", "", "logarithm of zero"),
        ("power", "0", "-1", "zero raised"),
        ("power", "-8", "0.5", "fractional power"),
        ("power", "10", "100000", "overflow"),
        ("exp", "1e6", "", "overflow"),
        ("cast", "1000", "3000", "overflow"),
        ("value", "1e999999", "", "overflow"),
        ("value", "abc", "", "invalid input syntax for type numeric: 'abc'"),
    ],
)
def test_what_postgresql_refuses_is_an_error(operation: str, left: str, right: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        numeric_text(operation, left, right)


def test_the_greatest_passes_over_null_and_takes_nan_for_more_than_all() -> None:
    assert extreme_numeric("greatest", ["1.50", None, "1.5"]) == "1.50"
    assert extreme_numeric("greatest", ["1", "NaN"]) == "NaN"
    assert extreme_numeric("least", ["NaN", "-2.0", "Infinity"]) == "-2.0"
    assert extreme_numeric("least", [None]) == ""


def _random_numbers(seed: int, number: int) -> list[str]:
    draw = Random(seed)
    return [
        draw.choice(["", "-"])
        + str(draw.randrange(10 ** draw.randint(1, 9)))
        + draw.choice(["", ".", f".{draw.randrange(10**6):06d}", ".5", ".000", f".000{draw.randrange(99)}"])
        for _ in range(number)
    ]


def test_keys_of_numbers_sort_as_the_numbers() -> None:
    texts = [*_random_numbers(1, 2_000), "0", "-0.00", "1.50", "1.5", "10", "9.99", "Infinity", "-Infinity"]
    by_key = sorted(texts, key=numeric_key)
    assert [Decimal(text) for text in by_key] == sorted(map(Decimal, texts))
    assert len(set(map(numeric_key, texts))) == len(set(map(Decimal, texts)))


@pytest.mark.parametrize(("operation", "rounding"), [("round", ROUND_HALF_UP), ("trunc", ROUND_DOWN)])
def test_short_numbers_are_rounded_as_decimals_are(operation: str, rounding: str) -> None:
    for at, text in enumerate(_random_numbers(2, 2_000)):
        places = at % 9
        expected = Decimal(text).quantize(Decimal(1).scaleb(-places), rounding)
        written = f"{expected if expected else abs(expected):f}"
        assert numeric_text(operation, text, str(places)) == written, text
