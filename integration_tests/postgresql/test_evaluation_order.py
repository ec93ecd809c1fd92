"""AND, OR, CASE, IN, BETWEEN and FILTER compute no more operands than PostgreSQL does, and in its order.

What is not computed cannot be an error: ``a <> 0 AND 10 / a > 2`` divides by nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import psycopg
import pytest
from integration_tests.fixtures.answers import differing
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other statements."""

NAME: Final = "divided"
CREATE: Final = (
    f"CREATE TABLE {NAME} (id BIGINT PRIMARY KEY, a INT, b BIGINT, t TEXT, f BOOL, meta JSONB, v VECTOR(2))",
    f"INSERT INTO {NAME} VALUES (1, 3, 10, '12', true, '{{\"x\": 1}}', '[1, 0]'), "
    "(2, 0, 4000000000000000000, 'abc', false, '{\"x\": \"y\"}', '[0, 1]'), "
    "(3, NULL, NULL, NULL, NULL, '[]', '[1, 1]'), (4, 7, 3, '', true, '{\"x\": null}', '[2, 1]'), "
    "(5, -3, -5, ' 7 ', NULL, '{\"x\": \"8\"}', '[1, 2]'), (6, 5, 0, '0', false, '{}', '[0.5, 1]')",
)

TESTS: Final = (
    "a <> 0", "a = 0", "a > 0", "a IS NULL", "b < 1000", "b > 1000", "b <> 0", "f", "NOT f", "f IS NULL",
    "t ~ '^[0-9]+$'", "t = ''", "jsonb_typeof(meta) = 'object'", "jsonb_typeof(meta->'x') = 'number'",
    "meta ? 'x'", "id < 4", "a IN (0, 3)", "a BETWEEN 1 AND 5",
    "id IN (SELECT 2 * n FROM generate_series(1, 3) n)",
)  # fmt: skip
"""Conditions that are never an error."""
COMPUTED: Final = (
    "10 / a > 2", "10 % a = 1", "b * 1000000000 > 5", "b / a > 0", "t::int > 5", "(meta->>'x')::int > 0",
    "sqrt(a) > 1", "ln(b) > 1", "substring('abcdef', 1, a) = 'abc'", "split_part('a b c', ' ', a) = 'c'",
    "(t || '0')::bigint > 7", "power(a, 0.5) > 1", "a::smallint * 10000 > b::int", "chr(a) = 'x'",
    "repeat('ab', 10 / a) = 'ababab'", "(a / (b - 3)) IS NULL", "1.5 / a < 1",
    "date '2024-01-01' + 10 / a IS NULL",
)  # fmt: skip
"""Conditions that are an error for some rows."""

FORMS: Final = (
    "SELECT id, {x} AS x FROM divided",
    "SELECT id, CASE WHEN {x} THEN 'yes' WHEN f THEN 'perhaps' ELSE 'no' END AS x FROM divided",
    "SELECT id FROM divided WHERE ({x}) IS NOT FALSE",
    "SELECT count(*) FILTER (WHERE ({x}) IS TRUE) AS n, max(id) AS m FROM divided",
    "SELECT id, coalesce({x}, f, true) AS x FROM divided",
    "SELECT {x} AS x, count(*) AS n FROM divided GROUP BY 1",
    "SELECT bool_or({x}) AS x, bool_and({x}) AS y FROM divided",
    "SELECT id, x FROM (SELECT id, {x} AS x FROM divided OFFSET 0) AS d WHERE x",
    "SELECT id FROM divided ORDER BY {x} NULLS FIRST, id",
)

STATEMENTS: Final = (
    "SELECT id FROM divided WHERE a <> 0 AND 10 / a > 2",
    "SELECT id FROM divided WHERE 10 / a > 2 AND a <> 0",
    "SELECT id FROM divided WHERE a = 0 OR 10 / a > 2",
    "SELECT id, a <> 0 AND 10 / a > 2, a = 0 OR 10 / a > 2, NOT (a = 0 OR 10 / a < 2) FROM divided",
    "SELECT id, (a <> 0 AND 10 / a > 2) IS TRUE, CASE a WHEN 0 THEN 0 ELSE 10 / a END FROM divided",
    "SELECT id, a IN (0, 10 / a), a NOT IN (0, 10 / a), a BETWEEN 1 AND 10 / a FROM divided",
    "SELECT id, b < 1000 AND b * 1000000000000000 > 5 FROM divided",
    "SELECT id, t ~ '^[0-9]+$' AND t::int > 5 FROM divided",
    "SELECT sum(10 / a) FILTER (WHERE a <> 0), avg(10 / a) FILTER (WHERE a <> 0) FROM divided",
    "SELECT json_agg(10 / a ORDER BY id) FILTER (WHERE a <> 0) FROM divided",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY b) FILTER (WHERE a <> 0 AND 10 / a > 0) FROM divided",
    "SELECT f, max(10 / a) FILTER (WHERE a <> 0 AND 10 / a > 0) FROM divided GROUP BY f",
    "SELECT id, sum(10 / a) FILTER (WHERE a <> 0) OVER (ORDER BY id) FROM divided",
    "SELECT f, count(*) FROM divided GROUP BY f HAVING min(a) <> 0 AND 10 / min(a) < 9",
    "SELECT x.id, y.id FROM divided x JOIN divided y ON x.id = y.id AND (x.a <> 0 AND 10 / x.a > 2) = true",
    "SELECT x.id, (SELECT count(*) FROM divided y WHERE (x.a <> 0 AND 10 / x.a > 2) = true) FROM divided x",
    "WITH w AS (SELECT * FROM divided WHERE a <> 0) SELECT id FROM w WHERE 10 / a > 2 AND b < 99",
    "SELECT id FROM (SELECT * FROM divided WHERE t ~ '^[0-9]+$' AND a > 0) AS d WHERE t::int > 5",
    "SELECT id FROM divided WHERE (a <> 0 AND 10 / a > 2) = true ORDER BY v <=> '[1, 0]' LIMIT 2",
    "SELECT id, (a = 0 OR 10 / a > 2) FROM divided UNION ALL SELECT id, a <> 0 AND 10 / a > 2 FROM divided",
    "SELECT n, n <> 0 AND 10 / n > 2 FROM (VALUES (0), (1), (5)) AS t (n)",
    "SELECT sum(a / 2), sum(10 / b) FILTER (WHERE b <> 0), pg_typeof(sum(a / 2::smallint)) FROM divided",
)
REFUSED: Final = (
    "SELECT id, 10 / a > 2 AND a <> 0 FROM divided",
    "SELECT id, 10 / a > 2 OR a = 0 FROM divided",
    "SELECT id, a IS NULL OR 10 / a > 2 FROM divided",
    "SELECT id, NULL OR 10 / a > 2, f IS TRUE AND 10 / a > 2 FROM divided",
    "SELECT id, a IN (3, 10 / a) FROM divided",
    "SELECT sum(10 / a) FILTER (WHERE id > 0) FROM divided",
    "SELECT id FROM divided WHERE a = 0 AND 10 / a > 2",
    "SELECT id, meta->>'x' = 'y' AND (meta->>'x')::int > 0 FROM divided",
    "SELECT id, b > 1000 AND b * 1000000000 > 5 FROM divided",
)
"""Statements that come to the value that cannot be computed."""


@dataclass
class OperandWriter:
    """Random AND and OR, and what has them."""

    draw: Random

    def condition(self, depth: int) -> str:
        if depth == 0 or self.draw.random() < 0.15:
            return self.draw.choice(self.draw.choice((TESTS, COMPUTED)))
        kind, parts = self.draw.random(), [self.condition(depth - 1) for _ in range(self.draw.randint(2, 3))]
        if kind < 0.75:
            return f"({self.draw.choice((' AND ', ' OR ')).join(parts)})"
        if kind < 0.85:
            return f"NOT {parts[0]}" if parts[0].startswith("(") else f"({parts[0]}) IS NOT TRUE"
        if kind < 0.93:
            return f"CASE WHEN {parts[0]} THEN {parts[1]} ELSE f END"
        return f"coalesce(nullif({parts[0]}, false), {parts[1]})"

    def statement(self) -> str:
        return self.draw.choice(FORMS).format(x=self.condition(self.draw.randint(1, 3)))


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by PostgreSQL."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection

    def outcome(self, statement: str) -> tuple[str, str]:
        """How the answers compare, in a word, and how they differ; empty for not at all."""
        expected: Any = answer(self.postgresql, statement)
        answered: Any = answer(self.nestvec, statement)
        if isinstance(expected, psycopg.Error):
            # An error of a value that is not part of the answer is none here: DuckDB leaves it out.
            is_refused = isinstance(answered, dbapi.DataError)
            return ("an error" if is_refused else "an error of PostgreSQL alone"), ""
        if isinstance(answered, dbapi.Error):
            return "refused by nestvec", f"nestvec refuses it: {answered}"
        missing, extra = differing(expected, answered)
        return "same", f"missing {missing[:2]}, extra {extra[:2]}" if missing or extra else ""


def answer(connection: Any, statement: str) -> Any:
    """The rows of a statement, or its error."""
    try:
        return connection.execute(statement).fetchall()
    except (psycopg.Error, dbapi.Error) as error:
        return error


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path = str(tmp_path_factory.mktemp("order") / "rows.db")
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        for statement in CREATE:
            connection.execute(statement)
            oracle.execute(statement.encode())
        yield Twins(connection, oracle)
        oracle.execute(f"DROP TABLE {NAME}".encode())


@pytest.mark.parametrize("statement", STATEMENTS)
def test_operands_that_are_not_needed_are_no_errors(twins: Twins, statement: str) -> None:
    assert twins.outcome(statement) == ("same", "")


@pytest.mark.parametrize("statement", REFUSED)
def test_operands_that_are_needed_are_errors(twins: Twins, statement: str) -> None:
    with pytest.raises(psycopg.errors.DataError):
        twins.postgresql.execute(statement.encode())
    with pytest.raises(dbapi.DataError):
        twins.nestvec.execute(statement)


def test_a_write_computes_what_it_needs(twins: Twins) -> None:
    update = f"UPDATE {NAME} SET f = a <> 0 AND 10 / a > 2 WHERE (a <> 0 AND 10 / a > 2) IS NOT NULL"
    read = f"SELECT id, f FROM {NAME} ORDER BY id"
    for connection in (twins.nestvec, twins.postgresql):
        connection.execute(update)
    assert twins.nestvec.execute(read).fetchall() == twins.postgresql.execute(read.encode()).fetchall()


def check(twins: Twins, report: Report, seeds: range) -> None:
    """One statement of each seed."""
    outcomes, differences = Counter[str](), []
    for seed in seeds:
        statement = OperandWriter(Random(seed)).statement()
        outcome, difference = twins.outcome(statement)
        outcomes[outcome] += 1
        if difference:
            differences.append(f"{seed}: {statement}\n  {difference}")
    report(f"{len(seeds)} statements with lazy operands: {dict(outcomes)}, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])
    assert outcomes["same"] > len(seeds) // 5
    assert outcomes["an error"] > len(seeds) // 5


def test_random_operands_are_computed_as_in_postgresql(twins: Twins, report: Report) -> None:
    check(twins, report, range(120))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_many_random_operands_are_computed_as_in_postgresql(twins: Twins, report: Report, part: int) -> None:
    first = FIRST_SEED + 1_000 * part
    check(twins, report, range(first, first + 1_000))
