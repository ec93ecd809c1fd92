"""Statements of a connection whose collections another client dropped and created again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from integration_tests.fixtures.lite_server import LiteServer
from pymilvus import MilvusClient

import nestvec
from nestvec import dbapi
from nestvec.sql.schema_changes import MAPPED_SECONDS


@pytest.fixture
def db(tmp_path: Path) -> Iterator[dbapi.Connection]:
    """A connection that knows ``t`` and ``s`` with other columns than they have by now."""
    path = str(tmp_path / "changed.db")
    with nestvec.connect(path) as connection, nestvec.connect(path) as other:
        for name in ("t", "s"):
            connection.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, old INT, v VECTOR(2))")
            connection.execute(f"INSERT INTO {name} VALUES (1, 1, '[1,2]')")
            assert connection.execute(f"SELECT old FROM {name}").fetchall() == [(1,)]
        for name in ("t", "s"):
            MilvusClient(path).drop_collection(name)
            other.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, a INT, b INT, v VECTOR(2))")
            other.execute(f"INSERT INTO {name} VALUES (1, 10, 20, '[1,2]'), (2, 30, 40, '[3,4]')")
        yield connection


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE t SET a = s.b FROM s WHERE s.id = t.id", [(1, 20, 20), (2, 40, 40)]),
        ("UPDATE t SET b = a + 1 WHERE a::text = '10'", [(1, 10, 11), (2, 30, 40)]),
        ("DELETE FROM t USING s WHERE s.id = t.id AND s.b = 40", [(1, 10, 20)]),
        ("DELETE FROM t WHERE b::text ~ '^2'", [(2, 30, 40)]),
        (
            "INSERT INTO t (id, a, b, v) SELECT id + 5, b, a, v FROM s WHERE id = 1",
            [(1, 10, 20), (2, 30, 40), (6, 20, 10)],
        ),
        ("INSERT INTO t VALUES (7, 1, 2, '[0,0]')", [(1, 10, 20), (2, 30, 40), (7, 1, 2)]),
        ("UPDATE t SET a = 0", [(1, 0, 20), (2, 0, 40)]),
    ],
)
def test_changes_are_made_to_the_collections_that_there_are(
    db: dbapi.Connection, statement: str, expected: list[tuple[int, int, int]]
) -> None:
    db.execute(statement)
    assert db.execute("SELECT id, a, b FROM t ORDER BY id").fetchall() == expected


@pytest.mark.parametrize(
    "query",
    [
        "SELECT sum(b) OVER () FROM t ORDER BY id",
        "SELECT t.b + s.b FROM t JOIN s USING (id) ORDER BY id",
        "WITH x AS (SELECT * FROM t) SELECT b FROM x ORDER BY id",
    ],
)
def test_queries_read_the_collections_that_there_are(db: dbapi.Connection, query: str) -> None:
    assert len(db.execute(query).fetchall()) == 2


def test_an_error_of_the_statement_is_raised_once_more(db: dbapi.Connection) -> None:
    with pytest.raises(dbapi.ProgrammingError, match="nothing"):
        db.execute("UPDATE t SET a = s.nothing FROM s")
    with pytest.raises(dbapi.ProgrammingError, match="old"):
        db.execute("UPDATE t SET old = s.b FROM s")
    assert db.execute("SELECT a FROM t ORDER BY id").fetchall() == [(10,), (30,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT v FROM w ORDER BY id",
        "SELECT coalesce(old::text, '') FROM w",
        "SELECT old FROM w WHERE id + 0 = 1",
        "SELECT id, old, v <-> :v AS d FROM w ORDER BY d",
    ],
)
def test_a_column_that_is_gone_or_has_another_type_is_never_null(tmp_path: Path, query: str) -> None:
    path = str(tmp_path / "changed.db")
    parameters = {"v": [1.0, 2.0]} if ":v" in query else None
    with nestvec.connect(path) as connection, nestvec.connect(path) as other:
        connection.execute("CREATE TABLE w (id BIGINT PRIMARY KEY, old TEXT, v VECTOR(2))")
        connection.execute("INSERT INTO w VALUES (1, 'x', '[1,2]')")
        assert connection.execute(query, parameters).fetchall()
        other.execute("DROP TABLE w")
        other.execute("CREATE TABLE w (id BIGINT PRIMARY KEY, new DOUBLE PRECISION, u VECTOR(3))")
        other.execute("INSERT INTO w VALUES (1, 2.5, '[1,2,3]')")
        with pytest.raises(dbapi.ProgrammingError, match="no such column"):
            connection.execute(query, parameters)
        other.execute("DROP TABLE w")
        other.execute("CREATE TABLE w (id BIGINT PRIMARY KEY, old INT, v VECTOR(2))")
        other.execute("INSERT INTO w VALUES (1, 7, '[1,2]')")
        assert len(connection.execute(query, parameters).fetchall()) == 1


_CREATE = "CREATE TABLE c (id BIGINT PRIMARY KEY, a INT, v VECTOR(2))"
_INSERT = "INSERT INTO c VALUES (1, 10, '[1,2]')"
_ROW = (10, 1, [1.0, 2.0], Decimal("7.500"))
_WIDER = (
    "DROP TABLE c",
    "CREATE TABLE c (a INT, id BIGINT PRIMARY KEY, v VECTOR(2), n NUMERIC(6, 3))",
    "INSERT INTO c VALUES (10, 1, '[1,2]', 7.5)",
)

_OTHER_PROCESS = """
import sys, nestvec
with nestvec.connect(sys.argv[1]) as connection:
    for statement in sys.stdin:
        connection.execute(statement)
        print("done", flush=True)
"""

Elsewhere = Callable[..., None]
"""Runs statements in another process."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteServer]:
    running = LiteServer(tmp_path_factory.mktemp("changed") / "milvus")
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def elsewhere(server: LiteServer) -> Iterator[Elsewhere]:
    command = [sys.executable, "-c", _OTHER_PROCESS, server.uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        commands, answers = process.stdin, process.stdout
        assert commands is not None
        assert answers is not None

        def run(*statements: str) -> None:
            for statement in statements:
                commands.write(statement + "\n")
                commands.flush()
                assert answers.readline() == "done\n", statement

        yield run


@pytest.fixture
def shared(server: LiteServer) -> Iterator[dbapi.Connection]:
    """A connection that has read ``c`` just now, whose clock stands still."""
    with nestvec.connect(server.uri) as connection:
        for view in connection.execute("SHOW VIEWS").fetchall():
            connection.execute(f"DROP VIEW {view[0]}")
        connection.execute("DROP TABLE IF EXISTS c")
        connection.execute(_CREATE)
        connection.execute(_INSERT)
        connection.session.search_cache.clock = lambda: 0.0
        assert connection.execute("SELECT a FROM c").fetchall() == [(10,)]
        yield connection


@pytest.mark.parametrize(
    ("statement", "columns", "rows"),
    [
        ("SELECT * FROM c", "a id v n", [_ROW]),
        (
            "SELECT c.* FROM c ORDER BY v <=> '[1,2]' LIMIT 1",
            "a id v n",
            [_ROW],
        ),
        ("WITH x AS (SELECT * FROM c) SELECT * FROM x", "a id v n", [_ROW]),
        ("SELECT id FROM c NATURAL JOIN (SELECT 1 AS id, 8 AS n) AS x", "id", []),
        ("UPDATE c SET a = 11 RETURNING *", "a id v n", [(11, *_ROW[1:])]),
        ("INSERT INTO c VALUES (5, 6, '[0,0]', 1.25) RETURNING id, n", "id n", [(6, Decimal("1.250"))]),
        ("DELETE FROM c RETURNING *", "a id v n", [_ROW]),
    ],
)
def test_columns_that_another_process_adds_are_seen_at_once(
    elsewhere: Elsewhere,
    shared: dbapi.Connection,
    statement: str,
    columns: str,
    rows: list[tuple[object, ...]],
) -> None:
    elsewhere(*_WIDER)
    cursor = shared.execute(statement)
    assert [column[0] for column in cursor.description or ()] == columns.split()
    assert cursor.fetchall() == rows


def test_values_are_inserted_by_the_order_that_the_columns_have_now(
    elsewhere: Elsewhere, shared: dbapi.Connection
) -> None:
    elsewhere(*_WIDER, "DELETE FROM c")
    shared.execute("INSERT INTO c VALUES (20, 2, '[0,0]', 0.5), (30, 3, '[0,0]', NULL)")
    shared.execute("INSERT INTO c VALUES (40, 4, '[0,0]')")
    rows = shared.execute("SELECT id, a, n FROM c ORDER BY id").fetchall()
    assert rows == [(2, 20, Decimal("0.500")), (3, 30, None), (4, 40, None)]


def test_views_read_the_columns_that_their_collections_have_now(
    elsewhere: Elsewhere, shared: dbapi.Connection
) -> None:
    shared.execute("CREATE VIEW seen AS SELECT * FROM c")
    assert shared.execute("SELECT a FROM seen").fetchall() == [(10,)]
    elsewhere(
        "DROP TABLE c",
        "CREATE TABLE c (id BIGINT PRIMARY KEY, a TEXT, v VECTOR(2))",
        "INSERT INTO c VALUES (1, 'ten', '[1,2]')",
    )
    assert shared.execute("SELECT a FROM seen").fetchall() == [("ten",)]


def test_fractions_are_not_cut_off_by_the_type_of_before(
    elsewhere: Elsewhere, shared: dbapi.Connection
) -> None:
    assert shared.execute("SELECT sum(a) FROM c").fetchall() == [(10,)]
    elsewhere(
        "DROP TABLE c",
        "CREATE TABLE c (id BIGINT PRIMARY KEY, a DOUBLE PRECISION, v VECTOR(2))",
        "INSERT INTO c VALUES (1, 1.5, '[1,2]')",
    )
    assert shared.execute("SELECT sum(a) FROM c").fetchall() == [(1.5,)]


def test_values_that_are_stored_by_a_mapping_are_compared_after_a_second(
    elsewhere: Elsewhere, shared: dbapi.Connection
) -> None:
    create = "CREATE TABLE c (id BIGINT PRIMARY KEY, n NUMERIC(8, {}), v VECTOR(2))"
    insert = "INSERT INTO c VALUES (1, 1.25, '[1,2]')"
    elsewhere("DROP TABLE c", create.format(2), insert)
    assert shared.execute("SELECT n FROM c").fetchall() == [(Decimal("1.25"),)]
    elsewhere("DROP TABLE c", create.format(4), insert)
    shared.session.search_cache.clock = lambda: MAPPED_SECONDS
    assert shared.execute("SELECT n FROM c").fetchall() == [(Decimal("1.2500"),)]


def test_another_connection_of_the_process_sees_every_change_at_once(
    server: LiteServer, shared: dbapi.Connection
) -> None:
    plan = "EXPLAIN SELECT id FROM c ORDER BY v <-> '[1,2]' LIMIT 1"
    assert "index: HNSW" not in str(shared.execute(plan).fetchall())
    with nestvec.connect(server.uri) as other:
        other.execute("DROP INDEX IF EXISTS c_v_idx")
        other.execute("CREATE INDEX ON c USING hnsw (v vector_l2_ops)")
        assert "index: HNSW" in str(shared.execute(plan).fetchall())
