"""DECLARE, FETCH, MOVE and CLOSE, compared with PostgreSQL, and the cursors of drivers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from integration_tests.fixtures.pgwire import RunningPg, run_pg
from integration_tests.fixtures.postgres import PostgresServer, run_postgres

from nestvec.pgwire.settings import PgLimits, PgSettings

ROWS = 7
"""Rows of the cursors."""
NUMBERS = (*range(-9, 10), "ALL")
WAYS = ("", "FORWARD", "BACKWARD", "ABSOLUTE", "RELATIVE")
WORDS = ("NEXT", "PRIOR", "FIRST", "LAST", "FORWARD", "BACKWARD", "")


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    with run_pg(tmp_path_factory.mktemp("cursors") / "pg.db") as running:
        with psycopg.connect(running.address, autocommit=True) as connection:
            connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v VECTOR(2) NOT NULL)")
            with connection.cursor() as cursor:
                rows = [(number, f"[1,{number}]") for number in range(1, ROWS + 1)]
                cursor.executemany("INSERT INTO t VALUES (%s, %s)", rows)
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        yield server


def _steps(seed: int) -> list[str]:
    """Random directions, as they stand before the name of a cursor."""
    chosen = random.Random(seed)
    steps = list[str]()
    for _ in range(12):
        verb = chosen.choice(("FETCH", "FETCH", "MOVE"))
        if chosen.random() < 0.3:
            steps.append(f"{verb} {chosen.choice(WORDS)} FROM c")
        else:
            steps.append(f"{verb} {chosen.choice(WAYS)} {chosen.choice(NUMBERS)} IN c")
    return steps


def _answers(connection: psycopg.Connection[Any], declare: str, steps: list[str]) -> list[object]:
    """What each step returns, up to the first error."""
    answers = list[object]()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            for statement in (declare, *steps):
                cursor.execute(statement)
                answers.append((cursor.statusmessage, cursor.fetchall() if cursor.description else None))
        except psycopg.Error as error:
            answers.append(error.sqlstate)
        cursor.execute("ROLLBACK")
    return answers


@pytest.mark.parametrize("kind", ["SCROLL", "NO SCROLL"])
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_random_directions_return_what_postgresql_returns(
    pg: RunningPg, postgres: PostgresServer, kind: str, protocol: str
) -> None:
    ours_by = psycopg.ClientCursor if protocol == "simple" else psycopg.Cursor
    with (
        psycopg.connect(pg.address, autocommit=True, cursor_factory=ours_by) as ours,
        postgres.connect() as theirs,
    ):
        ours.prepare_threshold = 0 if protocol == "extended" else None
        ours_declare = f"DECLARE c {kind} CURSOR FOR SELECT id FROM t ORDER BY id"
        theirs_declare = (
            f"DECLARE c {kind} CURSOR FOR SELECT n::bigint AS id FROM generate_series(1, {ROWS}) AS g(n)"
        )
        for seed in range(60):
            steps = _steps(seed)
            assert _answers(ours, ours_declare, steps) == _answers(theirs, theirs_declare, steps), steps


def test_a_cursor_ends_with_its_transaction_unless_it_is_held(pg: RunningPg) -> None:
    with psycopg.connect(pg.address, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.NoActiveSqlTransaction, match="transaction blocks"):
            connection.execute("DECLARE c CURSOR FOR SELECT id FROM t")
        connection.execute('DECLARE "Held" CURSOR WITH HOLD FOR SELECT id FROM t WHERE id > %s', (5,))
        connection.execute("BEGIN")
        connection.execute("DECLARE c CURSOR FOR SELECT id FROM t")
        with pytest.raises(psycopg.errors.DuplicateCursor):
            connection.execute("DECLARE c CURSOR FOR SELECT id FROM t")
        connection.execute("ROLLBACK")
        with pytest.raises(psycopg.errors.InvalidCursorName, match='cursor "c" does not exist'):
            connection.execute("FETCH c")
        assert connection.execute('FETCH ALL "Held"').fetchall() == [(6,), (7,)]
        connection.execute('CLOSE "Held"')
        with pytest.raises(psycopg.errors.InvalidCursorName):
            connection.execute('FETCH "Held"')


def test_only_queries_are_declared(pg: RunningPg) -> None:
    with psycopg.connect(pg.address, autocommit=True) as connection:
        for query in ("DELETE FROM t", "WITH gone AS (DELETE FROM t RETURNING id) SELECT id FROM gone"):
            with pytest.raises(psycopg.Error, match=r"DECLARE CURSOR takes|WITH"):
                connection.execute(f"DECLARE c CURSOR WITH HOLD FOR {query}")
        with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
            connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT nope FROM t")
        assert raised.value.diag.statement_position == "39"
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)


def test_the_cursors_of_drivers_return_rows_in_parts(pg: RunningPg) -> None:
    with psycopg.connect(pg.address) as connection:
        for binary in (False, True):
            with connection.cursor("named", binary=binary, scrollable=True) as cursor:
                cursor.execute("SELECT id, v FROM t WHERE id > %s ORDER BY id", (1,))
                assert [row[0] for row in cursor.fetchmany(3)] == [2, 3, 4]
                cursor.scroll(-2)
                assert [row[0] for row in cursor] == [3, 4, 5, 6, 7]
    engine = sqlalchemy.create_engine(pg.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        statement = sqlalchemy.select(sqlalchemy.literal_column("id")).select_from(sqlalchemy.text("t"))
        rows = connection.execute(statement.order_by(sqlalchemy.text("id")).execution_options(yield_per=2))
        assert [len(part) for part in rows.partitions()] == [2, 2, 2, 1]
    engine.dispose()


def _held(connection: psycopg.Connection[Any], declare: str, end: str) -> object:
    """The rows of a cursor WITH HOLD after the end of the transaction that declared it, or an SQLSTATE."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(declare)
        try:
            for statement in end.split(";"):
                cursor.execute(statement.encode())
        except psycopg.Error:
            cursor.execute("COMMIT")
        try:
            return cursor.execute("FETCH ALL c").fetchall()
        except psycopg.Error as error:
            return error.sqlstate
        finally:
            cursor.execute("CLOSE ALL")


@pytest.mark.parametrize(
    "end", ["COMMIT", "END", "ROLLBACK", "ABORT", "COMMIT; BEGIN; ROLLBACK", "SELECT 1/0"]
)
def test_a_held_cursor_outlives_only_a_commit(pg: RunningPg, postgres: PostgresServer, end: str) -> None:
    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        declare = "DECLARE c CURSOR WITH HOLD FOR SELECT {} ORDER BY 1"
        rows = _held(ours, declare.format("id FROM t"), end)
        assert rows == _held(
            theirs, declare.format(f"n::bigint FROM generate_series(1, {ROWS}) AS g(n)"), end
        )
        assert isinstance(rows, list) == end.startswith(("COMMIT", "END"))


def test_cursors_share_the_memory_of_their_connection(tmp_path: Path) -> None:
    limits = PgLimits(cursor_bytes=4 << 20)
    declare = "DECLARE {} CURSOR WITH HOLD FOR SELECT repeat('x', 1000) FROM generate_series(1, 1000)"
    with (
        run_pg(tmp_path / "pg.db", PgSettings(limits)) as running,
        psycopg.connect(running.address, autocommit=True) as connection,
        psycopg.connect(running.address, autocommit=True) as other,
    ):
        for name in ("a", "b", "c"):
            connection.execute(declare.format(name))
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="MiB") as raised:
            connection.execute(declare.format("d"))
        assert "--cursor-memory" in str(raised.value.diag.message_hint)
        other.execute(declare.format("d"))
        connection.execute("CLOSE a")
        connection.execute(declare.format("d"))
        assert len(connection.execute("FETCH ALL d").fetchall()) == 1000
