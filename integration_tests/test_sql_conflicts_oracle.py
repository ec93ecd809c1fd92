"""ON CONFLICT DO UPDATE with computed values, against PostgreSQL on the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.postgres import run_postgres

import nestvec
from nestvec import dbapi

COLUMNS = "id bigint primary key, n int, price numeric(8, 2), at date, tags int[], meta jsonb, u uuid, t text"
ROWS = """(1, 5, 1.5, '2024-02-28', '{1,2}', '{"a": 1}', '00000000-0000-0000-0000-000000000001', 'one'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, 7, 99.99, '1999-12-31', '{}', '[]', NULL, 'it''s')"""
NEW = """(1, 10, 2.25, '2024-03-01', '{3}', '{"b": 2}', '00000000-0000-0000-0000-000000000002', 'two'),
    (2, 1, 1, '2000-01-01', '{9}', '{}', NULL, ''), (4, 4, 4, '2004-04-04', '{4}', '[4]', NULL, 'four')"""
READ = "SELECT id, n, price, at, tags, meta, u, t FROM counts ORDER BY id"

CONFLICTS = [
    "SET n = counts.n + EXCLUDED.n",
    "SET n = n + 1",
    "SET n = coalesce(n, 0) + excluded.n * 2, price = EXCLUDED.price, t = 'constant'",
    "SET price = counts.price * 1.5 + EXCLUDED.price",
    "SET price = n / 2, n = price",
    "SET at = EXCLUDED.at + 1, t = upper(counts.t) || EXCLUDED.t",
    "SET n = least(counts.n, EXCLUDED.n), t = counts.at::text",
    "SET n = CASE WHEN EXCLUDED.n > counts.n THEN EXCLUDED.n ELSE counts.n END",
    "SET n = (SELECT max(n) FROM (VALUES (3), (4)) AS v(n)) + counts.n",
    "SET meta = counts.meta, u = coalesce(EXCLUDED.u, counts.u)",
    "SET n = EXCLUDED.id, t = EXCLUDED.id",
    "SET n = EXCLUDED.n WHERE counts.n < 6",
    "SET n = 0 WHERE counts.t IS NULL OR EXCLUDED.t = 'four'",
    "SET n = counts.n + 1 WHERE n IS NOT NULL AND EXCLUDED.price > 2",
    "SET t = NULL, n = DEFAULT",
    "SET n = cardinality(counts.tags) + cardinality(EXCLUDED.tags)",
    "SET tags = EXCLUDED.id",
    "SET at = EXCLUDED.n",
    "SET u = EXCLUDED.t",
    "SET n = EXCLUDED.price, price = EXCLUDED.n",
    "SET meta = EXCLUDED.n",
    "SET n = 1 / (counts.n - 5)",
    "SET n = 2147483647 + EXCLUDED.n",
    "SET t = nothing + 1",
    "SET n = EXCLUDED.nothing + 1",
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[psycopg.Connection]:
    with run_postgres() as server, server.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(tmp_path_factory.mktemp("conflicts") / "counts.db")) as connection:
        yield connection


def answers(connection: Any, vector: str, statement: str) -> list[Any]:
    """The rows of a statement with RETURNING, or that it fails, and the rows of the table afterwards."""
    connection.execute("DROP TABLE IF EXISTS counts")
    connection.execute(f"CREATE TABLE counts ({COLUMNS}{vector})")
    names = "id, n, price, at, tags, meta, u, t"
    values, new = (ROWS, NEW) if vector == "" else [text.replace("),", ", '[1,2]'),") for text in (ROWS, NEW)]
    if vector:
        names, values, new = f"{names}, v", values[:-1] + ", '[1,2]')", new[:-1] + ", '[1,2]')"
    connection.execute(f"INSERT INTO counts ({names}) VALUES {values}")
    try:
        insert = f"INSERT INTO counts ({names}) VALUES {new} ON CONFLICT (id) DO UPDATE {statement}"
        returned: Any = sorted(connection.execute(f"{insert} RETURNING id, n").fetchall())
    except (psycopg.Error, dbapi.Error):
        returned = "an error"
    return [returned, connection.execute(READ).fetchall()]


@pytest.mark.parametrize("statement", CONFLICTS)
def test_computed_values_are_postgresqls(
    db: dbapi.Connection, postgres: psycopg.Connection, statement: str
) -> None:
    assert answers(db, ", v vector(2)", statement) == answers(postgres, "", statement)


@pytest.mark.parametrize(
    "assignment",
    ["n = EXCLUDED.n", "m = EXCLUDED.n", "m = coalesce(EXCLUDED.n, 0) + d.n", "at = EXCLUDED.day, n = 2"],
)
def test_excluded_has_the_defaults_of_columns_that_the_row_omits(
    db: dbapi.Connection, postgres: psycopg.Connection, assignment: str
) -> None:
    def rows_of(connection: Any, vector: str) -> Any:
        connection.execute("DROP TABLE IF EXISTS d")
        columns = f"n int default 7, m int, day date default '2024-02-29', at date{vector}"
        connection.execute(f"CREATE TABLE d (id bigint primary key, {columns})")
        v, value = (", v", ", '[1,2]'") if vector else ("", "")
        connection.execute(f"INSERT INTO d (id, n, m{v}) VALUES (1, 1, 1{value})")
        connection.execute(
            f"INSERT INTO d (id{v}) VALUES (1{value}) ON CONFLICT (id) DO UPDATE SET {assignment}"
        )
        return connection.execute("SELECT id, n, m, day, at FROM d").fetchall()

    assert rows_of(db, ", v vector(2)") == rows_of(postgres, "")


def test_an_alias_names_the_stored_row(db: dbapi.Connection) -> None:
    db.execute("DROP TABLE IF EXISTS counts")
    db.execute("CREATE TABLE counts (id BIGINT PRIMARY KEY, n INT, v VECTOR(2))")
    for expected in (1, 2, 4):
        db.execute(
            "INSERT INTO counts AS c VALUES (1, :n, '[1,2]') ON CONFLICT (id) DO UPDATE SET n = c.n + :n",
            {"n": max(1, expected // 2)},
        )
        assert db.execute("SELECT n FROM counts").fetchall() == [(expected,)]
    with pytest.raises(dbapi.ProgrammingError):
        db.execute(
            "INSERT INTO counts AS c VALUES (1, 1, '[1,2]') ON CONFLICT (id) DO UPDATE SET n = counts.n + 1"
        )


def test_many_rows_and_many_sets_of_parameters(db: dbapi.Connection) -> None:
    db.execute("DROP TABLE IF EXISTS counts")
    db.execute("CREATE TABLE counts (id TEXT PRIMARY KEY, n INT, v VECTOR(2))")
    insert = (
        "INSERT INTO counts SELECT 'key ' || i, i, '[1,2]'::vector FROM generate_series(1, 2500) AS g(i) "
        "ON CONFLICT (id) DO UPDATE SET n = counts.n + EXCLUDED.n"
    )
    for _ in range(2):
        db.execute(insert)
    assert db.execute("SELECT count(*), sum(n) FROM counts").fetchall() == [(2500, 2500 * 2501)]
    cursor = db.cursor()
    cursor.executemany(
        "INSERT INTO counts VALUES ($1, $2, '[1,2]') ON CONFLICT (id) DO UPDATE SET n = $2",
        [("key 1", 70), ("key 2", 80)],
    )
    assert cursor.rowcount == 2
    assert db.execute("SELECT n FROM counts WHERE id IN ('key 1', 'key 2') ORDER BY id").fetchall() == [
        (70,),
        (80,),
    ]


def test_increments_of_two_connections_are_all_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "increments.db")
    statement = "INSERT INTO t VALUES (1, 1, '[1,2]') ON CONFLICT (id) DO UPDATE SET n = t.n + EXCLUDED.n"
    with nestvec.connect(path) as first, nestvec.connect(path) as second:
        first.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT, v VECTOR(2))")
        first.execute(statement)
        threads = [
            Thread(target=lambda c: [c.execute(statement) for _ in range(8)], args=(connection,))
            for connection in (first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        assert first.execute("SELECT n FROM t").fetchall() == [(17,)]
