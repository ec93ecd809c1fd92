"""Statements of a connection whose collections another client dropped and created again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient

import nestvec
from nestvec import dbapi


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
