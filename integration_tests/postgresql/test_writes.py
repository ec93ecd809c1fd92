"""Random writes by nestvec on a real Milvus Lite, and by PostgreSQL: the same rows are left and returned."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import psycopg
import pytest
from integration_tests.fixtures.answers import LAZY, multiset, psycopg_form
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_rows import (
    create_in_milvus,
    create_in_postgresql,
    limit_numbers,
    random_rows,
)
from integration_tests.fixtures.random_writes import COLUMNS, NAME, WriteWriter
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi
from nestvec.milvus.connection import open_milvus

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other statements."""

LIMITS = ("column nums[]", "column tags[]", "finite number")
"""Milvus stores no NULL inside an array, and no number that is not finite."""

STATEMENTS_OF_A_STATE = 8
"""Writes one after the other before the rows are those of the beginning again."""


@dataclass
class Twins:
    """The same rows by nestvec and by PostgreSQL, and what was wrong."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection

    def reset(self) -> None:
        """The first forty rows, in both."""
        for connection in (self.nestvec, self.postgresql):
            connection.execute(f"DELETE FROM {NAME} WHERE id IS NOT NULL")
            connection.execute(f"INSERT INTO {NAME} ({COLUMNS}) SELECT {COLUMNS} FROM rows WHERE id < 40")

    def difference(self, statement: str, parameters: dict[str, Any]) -> str:
        """What differs after a statement; empty for nothing."""
        expected = outcome(self.postgresql, psycopg_form(statement) if parameters else statement, parameters)
        actual = outcome(self.nestvec, statement, parameters)
        if isinstance(expected, Exception) or isinstance(actual, Exception):
            self.reset()
            both = isinstance(expected, Exception) and isinstance(actual, Exception)
            # Window functions in UPDATE are allowed here, and not there.
            more = LAZY.search(str(expected)) or "not allowed in" in str(expected)
            excused = isinstance(expected, Exception) and more
            excused = excused or any(limit in str(actual) for limit in LIMITS)
            return "" if both or excused else f"PostgreSQL: {expected}\n  nestvec: {actual}"
        read = f"SELECT {COLUMNS} FROM {NAME}"
        states = [outcome(connection, read, {}) for connection in (self.postgresql, self.nestvec)]
        if (expected, states[0]) == (actual, states[1]):
            return ""
        self.reset()
        return (
            f"PostgreSQL: {expected}\n  nestvec: {actual}\n  {states[0] - states[1]} {states[1] - states[0]}"
        )


def outcome(connection: Any, statement: str, parameters: dict[str, Any]) -> Any:
    """The rows that a statement returns, or the number that it changes, or its error."""
    try:
        cursor = connection.execute(statement, parameters or None)
        rows = cursor.fetchall() if cursor.description else None
    except (psycopg.Error, dbapi.Error) as error:
        return error
    return Counter([cursor.rowcount]) if rows is None else multiset([list(map(vector, row)) for row in rows])


def vector(value: Any) -> Any:
    """A vector of PostgreSQL as numbers."""
    is_text = isinstance(value, str) and value.startswith("[") and value.count(",") == 1
    return json.loads(value) if is_text and value.strip("[],-0123456789") == "" else value


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path, rows = str(tmp_path_factory.mktemp("writes") / "rows.db"), random_rows(Random(29), 60)
    # SQL writes numbers that are finite, and a REAL has no more than this.
    limit_numbers(rows)
    with open_milvus(path) as client:
        for name in ("rows", NAME):
            create_in_milvus(client, rows[:40] if name == NAME else rows, name)
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        oracle.execute("SET TimeZone = 'UTC'")
        for name in ("rows", NAME):
            create_in_postgresql(oracle, rows[:40] if name == NAME else rows, name)
        oracle.execute("ALTER TABLE copied ADD PRIMARY KEY (id)")
        yield Twins(connection, oracle)
        oracle.execute("DROP TABLE rows, copied")


def check(twins: Twins, report: Report, seeds: range) -> None:
    differences = []
    for seed in seeds:
        if seed % STATEMENTS_OF_A_STATE == 0:
            twins.reset()
        writer = WriteWriter(Random(seed))
        statement = writer.statement()
        difference = twins.difference(statement, dict(writer.parameters))
        if difference:
            differences.append(f"{seed}: {statement}\n  {writer.parameters}\n  {difference}")
    report(f"{len(seeds)} writes as PostgreSQL makes them, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])


@pytest.mark.parametrize("part", range(2))
def test_random_writes_leave_what_postgresql_leaves(twins: Twins, report: Report, part: int) -> None:
    check(twins, report, range(48 * part, 48 * (part + 1)))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(4))
def test_many_random_writes_leave_what_postgresql_leaves(twins: Twins, report: Report, part: int) -> None:
    first = FIRST_SEED + 1_000 * part
    check(twins, report, range(first, first + 1_000))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM copied WHERE id IN (SELECT id FROM rows ORDER BY a NULLS FIRST, id LIMIT 4)",
        "UPDATE copied SET t = trim(BOTH 'a' FROM u) WHERE id < 9",
        "UPDATE copied SET a = 1 WHERE s NOT BETWEEN SYMMETRIC 2 AND 1 RETURNING id",
        "UPDATE copied SET f = a > 0, g = a = 1 WHERE id < 9",
        "UPDATE copied SET f = f AND g OR a < 3, g = f IS TRUE RETURNING id, f, g",
        "INSERT INTO copied (id, u, g, v) VALUES (1, 'a', TRUE, '[1,1]') "
        "ON CONFLICT (id) DO UPDATE SET g = copied.a >= 0 AND EXCLUDED.g",
    ],
)
def test_a_write_that_was_refused_leaves_what_postgresql_leaves(twins: Twins, statement: str) -> None:
    twins.reset()
    assert twins.difference(statement, {}) == ""
    twins.reset()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE copied SET meta = meta->'x' WHERE id = 1",
        "INSERT INTO copied (id, u, g, v, meta) SELECT 500, u, g, v, meta->'x' FROM copied WHERE id = 1",
        "INSERT INTO copied (id, u, g, v) VALUES (1, 'a', TRUE, '[1,1]') "
        "ON CONFLICT (id) DO UPDATE SET meta = copied.meta->'x'",
    ],
)
def test_a_string_inside_json_is_not_the_document_that_it_spells(twins: Twins, statement: str) -> None:
    twins.reset()
    twins.nestvec.execute("""UPDATE copied SET meta = '{"x": "{}"}' WHERE id = 1""")
    # PostgreSQL keeps the string, but a column of Milvus has objects and lists.
    with pytest.raises(dbapi.DataError, match="neither a JSON object nor a list"):
        twins.nestvec.execute(statement)
    twins.reset()
