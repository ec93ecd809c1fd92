"""COPY with every option, by ``nestvec pg`` and by PostgreSQL: the same bytes, rows and SQLSTATEs."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import PostgresServer

Sides = tuple[psycopg.Connection[Any], psycopg.Connection[Any]]

OPTIONS = (
    "FORMAT csv", "FORMAT text", "FORMAT binary", "FORMAT csv", "FORMAT csv", "HEADER", "HEADER match",
    "HEADER false", "HEADER 'on'", "HEADER maybe", "DELIMITER ';'", "DELIMITER E'\\t'", "DELIMITER 'a'",
    "DELIMITER '::'", "NULL ''", "NULL 'NIL'", "NULL E'\\n'", "NULL ';'", "QUOTE ''''", "QUOTE ','",
    "ESCAPE '\\'", "FORCE_QUOTE *", "FORCE_QUOTE (a)", "FORCE_QUOTE (b, \"Cd\")", "FORCE_QUOTE (nope)",
    "FORCE_NOT_NULL (a, b)", "FORCE_NOT_NULL (nope)", "FORCE_NULL (b)", "FORCE_NULL (\"Cd\")",
    "ENCODING 'utf8'", "FORMAT xml",
)  # fmt: skip
OLD = (
    "CSV", "CSV HEADER", "BINARY", "DELIMITER ';'", "CSV DELIMITER AS '|' NULL AS 'NIL'", "CSV FORCE QUOTE *",
    "WITH CSV HEADER FORCE QUOTE a, \"Cd\"", "CSV FORCE NOT NULL a, b", "CSV FORCE NULL b", "FORCE QUOTE a",
    "CSV CSV", "CSV FORCE QUOTE", "HEADER",
)  # fmt: skip
INPUTS = (
    'v,a,b,Cd\n"[0,1]",1,,x\n', '"[0,1]",1,"",""\n"[0,1]",2,,\n', "'[0,1]',1,'',''\n", "[0,1];1;;x\n",
    "[0,1]\t1\t\\N\tx\n[0,1]\t2\t\t\\N\n", '"[0,1]",1,"NIL",NIL\n"[1,1]",2,x,"a,b"\n',
    'v,a,b\n"[0,1]",1,2,3\n', 'v,a,b,c\n"[0,1]",1,2,3\n', 'v,a,b,Cd\n', "",
)  # fmt: skip


@pytest.fixture(scope="module")
def sides(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Connections to nestvec and to PostgreSQL."""
    with (
        run_pg(tmp_path_factory.mktemp("copies") / "pg.db") as running,
        psycopg.connect(running.address, autocommit=True) as ours,
        postgresql.connect() as theirs,
    ):
        ours.execute(
            "CREATE TABLE read (k BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY, a TEXT, b TEXT, "
            '"Cd" TEXT, v VECTOR(2) NOT NULL)'
        )
        theirs.execute('CREATE TABLE read (k serial, a TEXT, b TEXT, "Cd" TEXT, v VECTOR(2) NOT NULL)')
        yield ours, theirs
        theirs.execute("DROP TABLE read")


def _clauses(draw: Random) -> Iterator[str]:
    yield from OLD
    for _ in range(250):
        drawn = draw.sample(OPTIONS, draw.randint(0, 3))
        # Of an option that is there twice and wrong, PostgreSQL tells either.
        chosen = list({option.split(" ", 1)[0]: option for option in drawn}.values())
        if draw.random() < 0.6:
            chosen = ["FORMAT csv", *(option for option in chosen if not option.startswith("FORMAT"))]
        yield f"({', '.join(chosen)})" if chosen else ""


def _written(connection: psycopg.Connection[Any], clause: str) -> object:
    query = (
        "SELECT * FROM (VALUES ('x', NULL, 'q\"r'), ('', 'NIL', 'a;b,c'), ('1', '', 'y')) AS t(a, b, \"Cd\")"
    )
    with connection.cursor() as cursor:
        try:
            with cursor.copy(f"COPY ({query}) TO STDOUT {clause}".encode()) as copy:
                return b"".join(bytes(part) for part in copy)
        except psycopg.Error as error:
            return error.sqlstate


def _rows(connection: psycopg.Connection[Any], clause: str, data: str) -> object:
    with connection.cursor() as cursor:
        try:
            with cursor.copy(f'COPY read (v, a, b, "Cd") FROM STDIN {clause}'.encode()) as copy:
                copy.write(data.encode())
            return sorted(cursor.execute('SELECT a, b, "Cd" FROM read').fetchall(), key=repr)
        except psycopg.Error as error:
            return error.sqlstate
        finally:
            cursor.execute("DELETE FROM read")


def test_written_bytes_are_postgresqls(sides: Sides) -> None:
    seen = set[bool]()
    for clause in _clauses(Random(1)):
        ours, theirs = (_written(side, clause) for side in sides)
        assert ours == theirs, clause
        seen.add(isinstance(theirs, bytes))
    assert seen == {True, False}


def test_read_rows_are_postgresqls(sides: Sides) -> None:
    draw, seen = Random(2), set[bool]()
    for clause in _clauses(draw):
        data = draw.choice(INPUTS)
        ours, theirs = (_rows(side, clause, data) for side in sides)
        if isinstance(theirs, str) and theirs.startswith("22P"):
            # Of a row with several faults, PostgreSQL tells the first from the left.
            assert isinstance(ours, str), (clause, data)
            assert ours[:3] == "22P", (clause, data)
            continue
        assert ours == theirs, (clause, data)
        seen.add(isinstance(theirs, list))
    assert seen == {True, False}
