"""Random expressions of every type, several functions deep: nestvec's values are PostgreSQL's."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg
import pytest
from integration_tests.fixtures.answers import LAZY, differing
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_expressions import ExpressionWriter
from integration_tests.fixtures.random_numerics import NAME, NumericWriter
from integration_tests.fixtures.random_numerics import create_statements as create_amounts
from integration_tests.fixtures.random_rows import (
    create_in_milvus,
    create_in_postgresql,
    limit_numbers,
    random_rows,
)
from integration_tests.fixtures.random_typed import create_statements
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi
from nestvec.milvus.connection import open_milvus

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other statements."""

UNKNOWN_TYPE: Final = re.compile("polymorphic type|is not unique|could not determine")
"""Errors of PostgreSQL for a constant or a call whose type it does not choose; nestvec takes a text."""

DIGITS: Final = re.compile(
    r'Overflow in|Could not cast value|Could not convert string "\d{39}|out of range|beyond 64 bits'
)
"""Numbers that need more digits than DuckDB has, or than PostgreSQL's wrapping shifts have."""

ROUNDED: Final = re.compile(r"(?:stddev|variance|var_)[a-z_]*\(.*OVER \(")
"""Deviations of computed NUMERICs over windows, which are doubles."""

DIFFERED: Final = Path(__file__).with_name("expressions.sql").read_text(encoding="utf-8").splitlines()
"""Statements that once had another answer than PostgreSQL's, or none."""


EXACT: Final = (
    "SELECT 1.0 / 3, 10 / 4.0, 7.5 % 2, round(2.5, 1), coalesce(NULL, 1.50), sqrt(2.0), 2 ^ 0.5, 3 * 1e40",
    "SELECT id, w / 3, round(w / 7, 2), coalesce(w, 0), greatest(w, 1), w * 1e30, w + 1, -w FROM typed",
    "SELECT id, w / 3 AS third FROM typed WHERE w / 3 > 0.5 ORDER BY third DESC LIMIT 5",
    "SELECT sum(w) / count(w), round(avg(w), 3), avg(w), sum(w), max(w) FROM typed",
    "SELECT k, sum(w) / 3, round(avg(w), 2) FROM typed GROUP BY k",
    "SELECT k, sum(w / 3), max(w / 7), avg(w / 3), sum(w / nullif(k, 0)) FROM typed GROUP BY k",
    "SELECT round(w / 7, 1), count(*) FROM typed GROUP BY 1",
    "SELECT 1.50, 2.50::numeric(5,1), '1.50'::numeric, 1e2, 1.50 + 1, 1.50 * 2.0, 1e20 + 1, 2 / 3 * 1.5",
)
"""Statements whose numbers have all of PostgreSQL's digits, and its zeros at their ends."""

DIGITS_OF_SHAPES: Final = Path(__file__).with_name("digits.sql").read_text(encoding="utf-8").splitlines()
"""Others: rows that are one, sets of groups, arrays, VALUES, functions of digits."""


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by PostgreSQL."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection

    def outcome(self, statement: str) -> tuple[str, str]:
        """How the answers compare, in a word, and how they differ; empty for not at all."""
        try:
            expected: Any = self.postgresql.execute(statement.encode()).fetchall()
        except psycopg.Error as error:
            expected = error
        try:
            answered: Any = self.nestvec.execute(statement).fetchall()
        except dbapi.NotSupportedError:
            return "not supported", ""
        except dbapi.Error as error:
            answered = error
        if isinstance(expected, psycopg.Error):
            text = str(expected)
            # psycopg has errors of its own, for times that Python does not have.
            free = isinstance(answered, dbapi.Error) or not expected.sqlstate
            excused = free or LAZY.search(text) or UNKNOWN_TYPE.search(text)
            return "an error", "" if excused else f"PostgreSQL refuses it: {text}\n  nestvec: {answered[:2]}"
        if isinstance(answered, dbapi.Error):
            limit = DIGITS.search(str(answered))
            return ("too many digits", "") if limit else ("refused", f"nestvec refuses it: {answered}")
        missing, extra = differing(expected, answered)
        return "same", f"missing {missing[:2]}, extra {extra[:2]}" if missing or extra else ""


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path, rows = str(tmp_path_factory.mktemp("expressions") / "rows.db"), random_rows(Random(37), 30)
    # Sums and products of some do not overflow.
    limit_numbers(rows)
    for row in rows:
        row["b"] = row["b"] and row["b"] % 1000
        row["s"] = row["s"] and row["s"] % 100
    with open_milvus(path) as client:
        create_in_milvus(client, rows)
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        oracle.execute("SET TimeZone = 'UTC'")
        create_in_postgresql(oracle, rows)
        for statement in (*create_statements(seed=7, number=30), *create_amounts(seed=3, number=24)):
            connection.execute(statement)
            oracle.execute(statement.encode())
        yield Twins(connection, oracle)
        oracle.execute(f"DROP TABLE rows, typed, {NAME}".encode())


def check_numerics(twins: Twins, report: Report, seeds: range) -> None:
    """Queries whose NUMERICs are equal in all digits, but for the zeros at their ends."""
    outcomes, differences = Counter[str](), []
    for seed in seeds:
        statement = NumericWriter(Random(seed)).statement()
        outcome, difference = twins.outcome(statement)
        if outcome == "same" and not ROUNDED.search(statement):
            expected = twins.postgresql.execute(statement.encode()).fetchall()
            missing = Counter(map(digits, expected)) - Counter(
                map(digits, twins.nestvec.execute(statement).fetchall())
            )
            difference = difference or (f"missing {list(missing)[:2]}" if missing else "")
        outcomes[outcome] += 1
        if difference:
            differences.append(f"{seed}: {statement}\n  {difference}")
    report(f"{len(seeds)} queries of NUMERICs: {dict(outcomes)}, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])
    assert outcomes["same"] > len(seeds) * 3 // 4


def digits(row: Sequence[Any]) -> tuple[Any, ...]:
    """The values of a row, of numbers all digits, of doubles those that both engines have."""
    return tuple(
        float(f"{value:.12g}")
        if isinstance(value, float)
        else f"{value:f}".rstrip("0").rstrip(".")
        if isinstance(value, Decimal) and "." in f"{value:f}"
        else str(value)
        for value in row
    )


def check(twins: Twins, report: Report, seeds: range) -> None:
    """One expression of each seed."""
    outcomes, differences = Counter[str](), []
    for seed in seeds:
        statement = ExpressionWriter(Random(seed)).statement()
        outcome, difference = twins.outcome(statement)
        outcomes[outcome] += 1
        if difference:
            differences.append(f"{seed}: {statement}\n  {difference}")
    report(f"{len(seeds)} expressions: {dict(outcomes)}, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])
    assert outcomes["same"] > len(seeds) * 3 // 4


def test_random_expressions_have_postgresqls_values(twins: Twins, report: Report) -> None:
    check(twins, report, range(200))


def test_random_queries_of_numerics_have_all_digits_of_postgresql(twins: Twins, report: Report) -> None:
    check_numerics(twins, report, range(150))


@pytest.mark.parametrize("statement", DIFFERED)
def test_an_expression_that_differed_has_postgresqls_value(twins: Twins, statement: str) -> None:
    assert twins.outcome(statement) == ("same", "")


@pytest.mark.parametrize("statement", (*EXACT, *DIGITS_OF_SHAPES))
def test_a_computed_numeric_has_postgresqls_digits(twins: Twins, statement: str) -> None:
    expected = twins.postgresql.execute(statement.encode()).fetchall()
    answered = twins.nestvec.execute(statement).fetchall()
    assert sorted(map(str, answered)) == sorted(map(str, expected))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_many_random_expressions_have_postgresqls_values(twins: Twins, report: Report, part: int) -> None:
    first = FIRST_SEED + 1_000 * part
    check(twins, report, range(first, first + 1_000))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(5))
def test_many_random_queries_of_numerics_have_all_digits(twins: Twins, report: Report, part: int) -> None:
    first = FIRST_SEED + 1_000 * part
    check_numerics(twins, report, range(first, first + 1_000))
