"""Random patterns of to_char(), to_date() and to_timestamp(): nestvec's values are PostgreSQL's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.reports import Report

from nestvec.sql.relational.formats.numbers import format_number
from nestvec.sql.relational.formats.read_times import read_moment
from nestvec.sql.relational.formats.time_patterns import FIELDS
from nestvec.sql.relational.formats.time_texts import format_interval, format_moment

_DIGITS: Final = ("999", "9,999,999", "099", "000", "9G999", "FM990", "0")
_SIGNS: Final = ("", "FM", "S", "MI", "SG", "PL", "FMS")
_ENDS: Final = ("", "S", "MI", "PR", "th", "PL", "SG", " %")
_KEYS: Final = (
    "9", "9", "0", ".", ",", "G", "D", "S", "MI", "PL", "SG", "PR", "FM", "TH", "th", "x",
)  # fmt: skip
_NUMBERS: Final = (0, 1, -1, 12, 125.8, -125.8, 0.1, -0.004, 9.995, 2.5, 1234567.891, 485, 1e10, -999.99)
_TYPES: Final = {"int": 0, "numeric": 0, "float8": 15, "float4": 6}
_TEXTS: Final = {
    "YYYY": ("2024", "1999", "02024", "3"), "YY": ("24", "99"), "MM": ("1", "01", "12", "13"),
    "DD": ("1", "05", "31"), "Mon": ("Jan", "FEB", "xx"), "Month": ("January", "may"), "Day": ("Monday",),
    "HH24": ("0", "13", "24"), "HH12": ("1", "12", "13"), "MI": ("5", "59", "60"), "SS": ("7", "59"),
    "MS": ("5", "050", "123"), "US": ("123456", "1"), "AM": ("am", "PM", "x"), "DDD": ("100", "366"),
}  # fmt: skip
_BETWEEN: Final = ("-", " ", "/", ":", "", "T", '"T"', "  ", ", ", ".")
_DAY: Final = 86_400_000_000


@pytest.fixture(scope="module")
def oracle(postgresql: PostgresServer) -> Iterator[psycopg.Connection]:
    with postgresql.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def expected(oracle: psycopg.Connection, statement: str, *values: Any) -> Any:
    """PostgreSQL's answer; an exception for an error."""
    try:
        row = oracle.execute(statement.encode(), values).fetchone()
    except psycopg.Error as error:
        return error
    return row if row is None else row[0]


def compare(report: Report, cases: Iterator[tuple[str, Any, Callable[[], Any]]]) -> None:
    outcomes, differences = Counter[str](), []
    for case, value, compute in cases:
        try:
            computed = compute()
        except ValueError as error:
            refused = not isinstance(value, psycopg.Error)
            outcomes["refused" if refused else "an error"] += 1
            if refused and "not supported" not in str(error) and "out of range" not in str(error):
                differences.append(f"{case}: {value!r}, nestvec refuses it: {error}")
            continue
        outcomes["same"] += 1
        if computed != value:
            differences.append(f"{case}: PostgreSQL {value!r}, nestvec {computed!r}")
    report(f"patterns: {dict(outcomes)}, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])
    assert outcomes["same"] > 200


def test_numbers_by_random_patterns(oracle: psycopg.Connection, report: Report) -> None:
    def cases() -> Iterator[tuple[str, Any, Callable[[], Any]]]:
        draw = Random(5)
        for _ in range(500):
            pattern = (
                draw.choice(_SIGNS) + draw.choice(_DIGITS) + draw.choice(("", ".99", ".00", "D9", ".90"))
            )
            pattern += draw.choice(_ENDS)
            if draw.random() < 0.4:
                pattern = "".join(draw.choices(_KEYS, k=draw.randint(1, 8)))
            kind, digits = draw.choice(list(_TYPES.items()))
            number = draw.choice((*_NUMBERS, draw.randint(-5000, 5000), draw.uniform(-5000, 5000)))
            value = int(number) % 2_000_000_000 if kind == "int" else number
            text = str(expected(oracle, f"SELECT %s::text::{kind}::text", str(value)))
            answer = expected(oracle, f"SELECT to_char(%s::{kind}, %s::text)", text, pattern)
            yield (
                f"to_char({text}::{kind}, '{pattern}')",
                answer,
                lambda text=text, pattern=pattern, digits=digits: format_number(text, pattern, digits),
            )

    compare(report, cases())


def test_moments_by_random_patterns(oracle: psycopg.Connection, report: Report) -> None:
    def cases() -> Iterator[tuple[str, Any, Callable[[], Any]]]:
        draw = Random(6)
        for _ in range(500):
            pattern = _random_pattern(draw, FIELDS)
            micros = draw.choice((draw.randint(-(10**16), 10**17), draw.randint(0, 10**9) * 1_000_000))
            zoned = draw.random() < 0.5
            moment = "'epoch'::timestamp" + ("tz" if zoned else "")
            moment += f" + make_interval(days => {micros // _DAY}, secs => {micros % _DAY // 1_000_000})"
            moment += f" + {micros % 1_000_000} * interval '1 microsecond'"
            yield (
                f"to_char({micros}, '{pattern}')",
                expected(oracle, f"SELECT to_char({moment}, %s::text)", pattern),
                lambda micros=micros, pattern=pattern, zoned=zoned: format_moment(micros, pattern, zoned),
            )

    compare(report, cases())


def test_intervals_by_random_patterns(oracle: psycopg.Connection, report: Report) -> None:
    def cases() -> Iterator[tuple[str, Any, Callable[[], Any]]]:
        draw = Random(7)
        for _ in range(300):
            pattern = _random_pattern(draw, ("HH24", "MI", "SS", "DD", "MM", "YYYY", "MS", "US"))
            parts = (draw.randint(-30, 30), draw.randint(-40, 40), draw.randint(-(10**5), 10**5) * 1_000_000)
            interval = f"make_interval(months => {parts[0]}, days => {parts[1]})"
            interval += f" + {parts[2]} * interval '1 microsecond'"
            yield (
                f"to_char({parts}, '{pattern}')",
                expected(oracle, f"SELECT to_char({interval}, %s::text)", pattern),
                lambda parts=parts, pattern=pattern: format_interval(*parts, pattern),
            )

    compare(report, cases())


def test_texts_by_random_patterns(oracle: psycopg.Connection, report: Report) -> None:
    def cases() -> Iterator[tuple[str, Any, Callable[[], Any]]]:
        draw = Random(8)
        for _ in range(800):
            fields = ["YYYY", draw.choice(("MM", "Mon", "Month")), "DD"]
            clocks = ((), ("HH24", "MI", "SS"), ("HH12", "MI", "AM"), ("HH24", "MI", "SS", "MS"))
            fields += draw.choice(clocks) if draw.random() < 0.7 else draw.choices(list(_TEXTS), k=2)
            if draw.random() < 0.2:
                draw.shuffle(fields)
            pattern = text = ""
            for field in fields:
                between = draw.choice(_BETWEEN)
                pattern += draw.choice(("", "", "", "FM")) + field + between
                text += draw.choice(_TEXTS[field])
                text += draw.choice((between.strip('"'), between.strip('"'), " ", "-"))
            moment = "extract(epoch FROM to_timestamp(%s::text, %s::text)) * 1000000"
            yield (
                f"to_timestamp('{text}', '{pattern}')",
                expected(oracle, f"SELECT {moment}", text, pattern),
                lambda text=text, pattern=pattern: read_moment(text, pattern),
            )

    compare(report, cases())


def _random_pattern(draw: Random, fields: tuple[str, ...]) -> str:
    def part() -> str:
        if draw.random() < 0.4:
            return draw.choice((" ", "-", "/", ":", ".", ",", "T", "x", '"lit"', '\\"', '"a\\"b"'))
        return draw.choice(("", "", "FM", "TM")) + draw.choice(fields) + draw.choice(("", "", "", "th", "TH"))

    return "".join(part() for _ in range(draw.randint(1, 6)))


@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 5000, "0" * 4400 + "2024"])
def test_numbers_of_thousands_of_digits(oracle: psycopg.Connection, text: str) -> None:
    value = expected(oracle, "SELECT extract(epoch FROM to_date(%s::text, 'YYYY')) * 1000000", text)
    if not isinstance(value, psycopg.Error):
        assert read_moment(text, "YYYY") == value
        return
    with pytest.raises(ValueError, match=r"out of range|not supported") as raised:
        read_moment(text, "YYYY")
    assert "limit" not in str(raised.value)
