"""Random SELECTs by nestvec on a real Milvus Lite, and by PostgreSQL on the same rows: 0 differences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import psycopg
import pytest
from integration_tests.fixtures.answers import compare
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_conditions import LEAVES, VECTOR_LEAVES, ConditionWriter
from integration_tests.fixtures.random_rows import create_in_milvus, create_in_postgresql, random_rows
from integration_tests.fixtures.random_statements import writer
from integration_tests.fixtures.random_typed import TypedWriter, create_statements
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi
from nestvec.milvus.connection import open_milvus

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other statements."""

FORMS = (
    "SELECT id FROM rows WHERE {where}",
    "SELECT id, a, t FROM rows WHERE {where} ORDER BY v <-> '[1, 2]', id LIMIT 7",
    "SELECT id, v <=> '[1, 2]' AS distance FROM rows WHERE {where} AND v <-> '[1, 2]' < 3",
    "SELECT count(*), min(id), max(u) FROM rows WHERE {where}",
    "SELECT id FROM (SELECT * FROM rows OFFSET 0) AS x WHERE {where}",
    "SELECT id, ({where}) AS holds FROM rows",
    "SELECT id, CASE WHEN {where} THEN 1 ELSE 0 END AS x FROM rows ORDER BY v <-> '[1, 2]', id LIMIT 9",
    "SELECT count(*) FILTER (WHERE {where}) AS x, count(*) AS n FROM rows",
    "SELECT id FROM rows WHERE {where} UNION ALL SELECT id FROM rows WHERE NOT ({where})",
    "WITH w AS (SELECT * FROM rows WHERE {where}) SELECT x.id, count(y.id) AS n FROM w AS x "
    "LEFT JOIN rows AS y ON y.a = x.s GROUP BY x.id",
    "SELECT f, count(*) AS n, sum(a) AS x FROM rows WHERE {where} GROUP BY f HAVING count(*) > 1",
    "SELECT DISTINCT ON (f) f, id FROM rows WHERE {where} ORDER BY f, id DESC",
    "SELECT id, row_number() OVER (PARTITION BY f ORDER BY id) AS x FROM rows WHERE {where}",
    "SELECT id, v <=> '[1, 2]' AS distance FROM rows WHERE {where} ORDER BY distance, id LIMIT 5 OFFSET 2",
    "SELECT id FROM rows WHERE id < 40 AND ({where}) IS NOT FALSE",
)
"""Statements that push a condition down in different ways, or not at all."""

DIFFERED = Path(__file__).with_name("answers.sql").read_text(encoding="utf-8").splitlines()
"""Statements that once had another answer than PostgreSQL's."""


CALLED = Path(__file__).with_name("functions.sql").read_text(encoding="utf-8").splitlines()
"""Examples of PostgreSQL's manual for its functions and operators, and calls that once differed."""

REFUSED = (
    "regexp_replace('Thomas', '.', 'X', 3, 2)",
    "cardinality(ARRAY[[1, 2], [3, 4]])",
    "rtrim('\\x1234'::bytea, '\\x34'::bytea)",
    "row_to_json(row(1, 'a'))",
    "json_object('{a, b}', '{1, 2}')",
    "current_timestamp(0)",
    "current_schema",
    "version()",
    "array_position(ARRAY[3, 1, 2, 1], 1, 3)",
    "regexp_count('', '')",
    "regexp_replace('abc', 'a|ab', 'X')",
    "regexp_replace('abc', (SELECT 'a|ab'), 'X')",
    "regexp_replace('abc', 'b*', 'X', 'g')",
    "regexp_replace('xaaabbb', 'a*b+?', 'X')",
    "regexp_split_to_array('abc', 'b*')",
    "regexp_split_to_array('aab', '^a')",
)
"""Calls that DuckDB answers, but otherwise."""


NO_DATES = (
    "'2024-01-01 xyz'::date",
    "'2024-01-01xyz'::date",
    "'2024-01-01 12:xx'::date",
    "'24-01-01'::date",
    "('2024-01-01' || ' x')::date",
    "date '2024-01-02' > '2024-01-01 xyz'",
    "date '2024-01-02' IN ('2024-01-02 xyz')",
)
"""Texts of which DuckDB would read a part."""


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by PostgreSQL."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path, rows = str(tmp_path_factory.mktemp("answers") / "rows.db"), random_rows(Random(23), 60)
    with open_milvus(path) as client:
        create_in_milvus(client, rows)
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        create_in_postgresql(oracle, rows)
        oracle.execute("SET TimeZone = 'UTC'")
        for statement in create_statements(seed=5, number=60):
            connection.execute(statement)
            oracle.execute(statement.encode())
        yield Twins(connection, oracle)
        oracle.execute("DROP TABLE rows, typed")


def check(twins: Twins, report: Report, seeds: range) -> None:
    """One condition, one statement and one over mapped types of each seed."""
    differences = []
    for seed in seeds:
        conditions = ConditionWriter(Random(seed), leaves=(*LEAVES, *VECTOR_LEAVES))
        statements, typed = writer(seed), TypedWriter(Random(seed))
        where = conditions.condition(conditions.draw.randint(0, 3))
        written = (
            (FORMS[seed % len(FORMS)].format(where=where), conditions.parameters),
            (statements.statement(), statements.parameters),
            (typed.statement(), typed.parameters),
        )
        for statement, parameters in written:
            difference = compare(twins.nestvec, twins.postgresql, statement, dict(parameters))
            if difference:
                differences.append(f"{seed}: {statement}\n  {parameters}\n  {difference}")
    report(f"{3 * len(seeds)} statements as PostgreSQL answers them, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])


@pytest.mark.parametrize("part", range(4))
def test_random_statements_answer_as_postgresql(twins: Twins, report: Report, part: int) -> None:
    check(twins, report, range(50 * part, 50 * (part + 1)))


@pytest.mark.parametrize("statement", DIFFERED)
def test_a_statement_that_differed_answers_as_postgresql(twins: Twins, statement: str) -> None:
    expected = twins.postgresql.execute(statement.encode()).fetchall()
    assert compare(twins.nestvec, twins.postgresql, statement, {}) == ""
    assert expected


def test_functions_give_what_postgresql_gives(twins: Twins) -> None:
    statements = [f"SELECT {called}" for called in CALLED]
    compared = {each: compare(twins.nestvec, twins.postgresql, each, {}) for each in statements}
    assert {each: difference for each, difference in compared.items() if difference} == {}


@pytest.mark.parametrize("called", REFUSED)
def test_a_function_with_another_meaning_in_duckdb_is_refused(twins: Twins, called: str) -> None:
    assert twins.postgresql.execute(f"SELECT {called}".encode()).fetchall()
    with pytest.raises(dbapi.Error):
        twins.nestvec.execute(f"SELECT {called}")


@pytest.mark.parametrize("expression", NO_DATES)
def test_a_text_that_is_no_date_is_an_error_as_in_postgresql(twins: Twins, expression: str) -> None:
    with pytest.raises(psycopg.errors.DataError):
        twins.postgresql.execute(f"SELECT {expression}".encode())
    with pytest.raises(dbapi.DataError, match="invalid input syntax for type date"):
        twins.nestvec.execute(f"SELECT {expression}")


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_many_random_statements_answer_as_postgresql(twins: Twins, report: Report, part: int) -> None:
    first = FIRST_SEED + 1_000 * part
    check(twins, report, range(first, first + 1_000))
