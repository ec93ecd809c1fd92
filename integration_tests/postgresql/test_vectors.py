"""Random statements over vectors: nestvec's values are pgvector's, in all 32 bits of each number."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np
import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_vectors import NAME, VectorWriter, create_statements
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other statements."""

_VECTOR: Final = re.compile(r"\[[-+.,\deE]+\]")


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by pgvector."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection

    def difference(self, statement: str) -> str:
        """How the answers differ; empty if they are the same, or both are errors."""
        try:
            expected: Any = self.postgresql.execute(statement.encode()).fetchall()
        except psycopg.Error as error:
            expected = error
        try:
            answered: Any = self.nestvec.execute(statement).fetchall()
        except dbapi.Error as error:
            answered = error
        if isinstance(expected, psycopg.Error) or isinstance(answered, dbapi.Error):
            both = isinstance(expected, psycopg.Error) and isinstance(answered, dbapi.Error)
            return "" if both else f"pgvector: {str(expected)[:200]}\n  nestvec: {str(answered)[:200]}"
        rows, others = Counter(map(comparable, expected)), Counter(map(comparable, answered))
        missing, extra = list((rows - others).elements()), list((others - rows).elements())
        for row in list(missing):
            match = next((other for other in extra if all(map(is_close, row, other))), None)
            if match is not None:
                missing.remove(row)
                extra.remove(match)
        return f"missing {missing[:2]}, extra {extra[:2]}" if missing or extra else ""


def is_close(value: Any, other: Any) -> bool:
    """Whether values are the same, or distances that pgvector measures in 32 bits."""
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=1e-4, abs_tol=1e-4)
    return bool(value == other)


def comparable(row: Any) -> tuple[Any, ...]:
    """A row with its vectors as numbers of 32 bits."""
    return tuple(map(_comparable, row))


def _comparable(value: Any) -> Any:
    if isinstance(value, str) and _VECTOR.fullmatch(value):
        value = json.loads(value)
    if isinstance(value, list):
        return tuple(float(np.float32(number)) + 0.0 for number in value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    return value


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path = str(tmp_path_factory.mktemp("vectors") / "rows.db")
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        for statement in create_statements(seed=5, number=24):
            connection.execute(statement)
            oracle.execute(statement.encode())
        yield Twins(connection, oracle)
        oracle.execute(f"DROP TABLE {NAME}".encode())


def check(twins: Twins, report: Report, seeds: range) -> None:
    """One statement of each seed."""
    differences = []
    for seed in seeds:
        statement = VectorWriter(Random(seed)).statement()
        difference = twins.difference(statement)
        if difference:
            differences.append(f"{seed}: {statement}\n  {difference}")
    report(f"{len(seeds)} statements over vectors, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])


def test_random_statements_over_vectors_have_pgvectors_values(twins: Twins, report: Report) -> None:
    check(twins, report, range(200))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(5))
def test_many_random_statements_over_vectors(twins: Twins, report: Report, part: int) -> None:
    first = FIRST_SEED + 1_000 * part
    check(twins, report, range(first, first + 1_000))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id, v <-> ('[1,2,3]'::vector)::text::vector FROM dense",
        "SELECT id, w <#> greatest('[-7,-1,0.5]'::vector, '[1,1,1e-3]') + '[2,-1,2]' FROM dense",
        "SELECT id, coalesce(NULL, '[1,2,3]'::vector) <=> v FROM dense",
        "SELECT id FROM dense WHERE v <-> least('[1,2,3]'::vector, '[1,1,3]') < 3",
        "SELECT id, v <-> least('[1,2]'::vector, '[1,1]') FROM dense",
    ],
)
def test_a_distance_to_a_vector_that_functions_compute_is_pgvectors(twins: Twins, statement: str) -> None:
    assert twins.difference(statement) == ""
