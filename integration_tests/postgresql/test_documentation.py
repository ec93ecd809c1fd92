"""Statements as pgvector's documentation writes them, here and on the real pgvector: the same answers.

``pgvector_documentation.sql`` has them in scenes, each on an empty database. A statement that pgserver's
pgvector is too old for is run here only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.reports import Report
from pymilvus import MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.sql import Session, execute
from nestvec_schemas.errors import NestvecError

SCENES = [
    (scene.splitlines()[0].removeprefix("-- "), scene.splitlines()[1:])
    for scene in Path(__file__)
    .with_name("pgvector_documentation.sql")
    .read_text("utf-8")
    .strip()
    .split("\n\n")
]
REFUSED: Final = {
    "SELECT extname FROM pg_extension WHERE extname = 'vector'": "no collection of this name: pg_extension",
}
"""Statements that nestvec refuses, and what its error names: catalogs are behind ``nestvec pg`` alone."""


_TOO_OLD = re.compile("does not exist|unrecognized|invalid configuration parameter name")
"""What a pgvector says to a function, a type or a setting that it does not have yet."""


@pytest.fixture
def database(postgresql: PostgresServer) -> Iterator[psycopg.Connection]:
    """An empty database with the extension."""
    with postgresql.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        yield connection


def in_pgvector(connection: psycopg.Connection, statement: str) -> list[tuple[Any, ...]] | str:
    """The rows, or the error."""
    try:
        cursor = connection.execute(cast(Any, statement))
    except psycopg.Error as error:
        return str(error).splitlines()[0]
    return cursor.fetchall() if cursor.description else []


def in_nestvec(client: MilvusClient, session: Session, statement: str) -> list[tuple[Any, ...]] | str:
    """The rows, or the error."""
    try:
        return list(execute(client, statement, session=session).rows)
    except NestvecError as error:
        return str(error).splitlines()[0]


def comparable(value: Any) -> Any:
    """A value without the differences of how the drivers show it."""
    if isinstance(value, str) and re.fullmatch(r"\[[-+.,\deE]*\]", value):
        return [float(part) for part in value[1:-1].split(",")]
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [comparable(item) for item in value]
    return value


def same(first: Any, second: Any) -> bool:
    """Whether two values are the same, but for the last digits of a 32-bit number."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    if any(value is None or isinstance(value, (str, date)) for value in (first, second)):
        return bool(first == second)
    return math.isclose(float(first), float(second), rel_tol=1e-5, abs_tol=1e-6)


def outcome(ours: list[tuple[Any, ...]] | str, theirs: list[tuple[Any, ...]] | str, ordered: bool) -> str:
    if isinstance(ours, str):
        return "refused by both" if isinstance(theirs, str) else "refused"
    if isinstance(theirs, str):
        return "newer than this pgvector" if _TOO_OLD.search(theirs) else "only here"
    first, second = ([comparable(row) for row in rows] for rows in (ours, theirs))
    if not ordered:
        first, second = sorted(first, key=repr), sorted(second, key=repr)
    return "same" if same(first, second) else "differs"


@pytest.mark.parametrize(("title", "statements"), SCENES, ids=[title for title, _ in SCENES])
def test_statements_answer_as_pgvector(
    title: str, statements: list[str], database: psycopg.Connection, tmp_path: Path, report: Report
) -> None:
    outcomes, failures = Counter[str](), list[str]()
    with open_milvus(str(tmp_path / "documentation.db")) as client:
        session = Session()
        for statement in statements:
            theirs = in_pgvector(database, statement)
            ours = in_nestvec(client, session, statement)
            kind = outcome(ours, theirs, " ORDER BY " in statement)
            named = REFUSED.get(statement)
            if kind == "refused" and named is not None and named in str(ours):
                kind = "refused by name"
            outcomes[kind] += 1
            if kind in ("differs", "refused", "only here"):
                failures.append(f"{kind}: {statement}\n  here     {ours}\n  pgvector {theirs}")
    report(f"{title}: {dict(outcomes)}")
    assert not failures, "\n".join(failures)
