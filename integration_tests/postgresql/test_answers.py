"""Random SELECTs by nestvec on a real Milvus Lite, and by PostgreSQL on the same rows: 0 differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import psycopg
import pytest
from integration_tests.fixtures.answers import compare
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_conditions import ConditionWriter
from integration_tests.fixtures.random_rows import create_in_milvus, create_in_postgresql, random_rows
from integration_tests.fixtures.random_statements import writer
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi
from nestvec.milvus.connection import open_milvus

FORMS = (
    "SELECT id FROM rows WHERE {where}",
    "SELECT id, a, t FROM rows WHERE {where} ORDER BY v <-> '[1, 2]', id LIMIT 7",
    "SELECT id, v <=> '[1, 2]' AS distance FROM rows WHERE {where} AND v <-> '[1, 2]' < 3",
    "SELECT count(*), min(id), max(u) FROM rows WHERE {where}",
)
"""Statements that push a condition down in different ways."""


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
        yield Twins(connection, oracle)
        oracle.execute("DROP TABLE rows")


def check(twins: Twins, report: Report, seeds: range) -> None:
    """One condition and one statement of each seed."""
    differences = []
    for seed in seeds:
        conditions, statements = ConditionWriter(Random(seed)), writer(seed)
        where = conditions.condition(conditions.draw.randint(0, 3))
        written = (
            (FORMS[seed % len(FORMS)].format(where=where), conditions.parameters),
            (statements.statement(), statements.parameters),
        )
        for statement, parameters in written:
            difference = compare(twins.nestvec, twins.postgresql, statement, dict(parameters))
            if difference:
                differences.append(f"{seed}: {statement}\n  {parameters}\n  {difference}")
    report(f"{2 * len(seeds)} statements as PostgreSQL answers them, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])


@pytest.mark.parametrize("part", range(5))
def test_random_statements_answer_as_postgresql(twins: Twins, report: Report, part: int) -> None:
    check(twins, report, range(50 * part, 50 * (part + 1)))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_many_random_statements_answer_as_postgresql(twins: Twins, report: Report, part: int) -> None:
    check(twins, report, range(1_000 + 1_000 * part, 1_000 + 1_000 * (part + 1)))
