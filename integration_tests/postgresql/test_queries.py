"""Random queries of wider forms, also through views and COPY: nestvec's answers are PostgreSQL's."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import psycopg
import pytest
from integration_tests.fixtures.answers import casts_may_fail, compare
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.random_queries import query_writer
from integration_tests.fixtures.random_rows import create_in_milvus, create_in_postgresql, random_rows
from integration_tests.fixtures.random_scopes import ScopeWriter
from integration_tests.fixtures.reports import Report

import nestvec
from nestvec import dbapi
from nestvec.milvus.connection import open_milvus

FIRST_SEED: Final = int(os.environ.get("NESTVEC_SEED", "1000"))
"""Where the seeds of a nightly run begin: another number, other statements."""

EVERY: Final = 10
"""Of so many queries, one is also read through a view, and another written by COPY."""


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by PostgreSQL."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection
    folder: Path

    def through_view(self, query: str) -> str:
        """How a view of the query differs; empty for not at all."""
        name = "seen"
        try:
            self.postgresql.execute(f"CREATE VIEW {name} AS {query}".encode())
        except psycopg.Error:
            return ""
        try:
            self.nestvec.execute(f"CREATE VIEW {name} AS {query}")
            return compare(self.nestvec, self.postgresql, f"SELECT * FROM {name}", {})
        except dbapi.Error as error:
            return f"nestvec refuses the view: {error}"
        finally:
            self.postgresql.execute(f"DROP VIEW {name}".encode())
            self.nestvec.execute(f"DROP VIEW IF EXISTS {name}")

    def through_copy(self, query: str) -> str:
        """How a file that COPY writes differs; empty for not at all."""
        path = self.folder / "written.csv"
        try:
            with self.postgresql.cursor().copy(
                f"COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)".encode()
            ) as copy:
                expected = b"".join(bytes(part) for part in copy).decode()
        except psycopg.Error:
            return ""
        try:
            self.nestvec.execute(f"COPY ({query}) TO '{path}' WITH (FORMAT csv, HEADER)")
        except dbapi.Error as error:
            return f"nestvec refuses to copy: {error}"
        texts = (expected, path.read_bytes().decode())
        files = [Counter(map(tuple, csv.reader(io.StringIO(text, newline="")))) for text in texts]
        missing, extra = files[0] - files[1], files[1] - files[0]
        return f"COPY: missing {list(missing)[:3]}, extra {list(extra)[:3]}" if missing or extra else ""


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    folder = tmp_path_factory.mktemp("queries")
    rows = random_rows(Random(31), 60)
    with open_milvus(str(folder / "rows.db")) as client:
        create_in_milvus(client, rows)
    with nestvec.connect(str(folder / "rows.db")) as connection, postgresql.connect() as oracle:
        # Views of one name have other columns each time.
        oracle.prepare_threshold = None
        oracle.execute("SET TimeZone = 'UTC'")
        create_in_postgresql(oracle, rows)
        yield Twins(connection, oracle, folder)
        oracle.execute("DROP TABLE rows")


def check(twins: Twins, report: Report, seeds: range) -> None:
    """One query of each seed."""
    differences = []
    for seed in seeds:
        writer = query_writer(seed)
        query, parameters = writer.statement(), dict(writer.parameters)
        difference = compare(twins.nestvec, twins.postgresql, query, parameters)
        if not difference and not parameters and seed % EVERY == 0 and not query.startswith("VALUES"):
            difference = twins.through_view(query)
        if not difference and seed % EVERY == 1:
            query, parameters = writer.texts(), dict(writer.parameters)
            difference = "" if parameters else twins.through_copy(query)
        # Which rows a cast reads is for each planner to choose, in a view and in COPY too.
        is_refused = difference.startswith("nestvec refuses")
        if difference and not (is_refused and casts_may_fail(twins.postgresql, query)):
            differences.append(f"{seed}: {query}\n  {parameters}\n  {difference}")
    report(f"{len(seeds)} queries as PostgreSQL answers them, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])


def test_random_queries_answer_as_postgresql(twins: Twins, report: Report) -> None:
    check(twins, report, range(100))


def check_names(twins: Twins, report: Report, seeds: range) -> None:
    """One query of each seed whose tables, common table expressions and aliases share names."""
    queries = [(seed, ScopeWriter(Random(seed)).query()) for seed in seeds]
    outcomes = ((seed, query, compare(twins.nestvec, twins.postgresql, query, {})) for seed, query in queries)
    differences = [f"{seed}: {query}\n  {difference}" for seed, query, difference in outcomes if difference]
    report(f"{len(seeds)} queries resolve names as PostgreSQL does, {len(differences)} differences")
    assert not differences, "\n".join(differences[:10])


def test_names_are_resolved_as_in_postgresql(twins: Twins, report: Report) -> None:
    check_names(twins, report, range(60))


@pytest.mark.nightly
def test_many_names_are_resolved_as_in_postgresql(twins: Twins, report: Report) -> None:
    check_names(twins, report, range(FIRST_SEED, FIRST_SEED + 2_000))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_many_random_queries_answer_as_postgresql(twins: Twins, report: Report, part: int) -> None:
    first = FIRST_SEED + 1_000 * part
    check(twins, report, range(first, first + 1_000))
