"""Joins of searches with tables of a real PostgreSQL, which DuckDB's extension reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration_tests.fixtures.postgres import PostgresServer, run_postgres

import nestvec
from nestvec import dbapi

NEAREST = "(SELECT id FROM papers ORDER BY v <-> '[4,0]' LIMIT 3) AS near"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with run_postgres() as running, running.connect() as connection:
        connection.execute(
            "CREATE TABLE orders (paper bigint, place int, code text, price numeric(8, 2), at timestamptz,"
            " note jsonb, tags text[])"
        )
        connection.execute(
            "INSERT INTO orders SELECT n % 100, n, 'it''s ' || n % 100, n / 4.0, '2024-02-29 12:00+02', "
            "'{\"a\": 1}', '{x,y}' FROM generate_series(1, 1000) AS n"
        )
        connection.execute("CREATE SCHEMA shop")
        connection.execute("CREATE TABLE shop.customers AS SELECT 4 AS id, 'Ada' AS name")
        yield running


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(tmp_path_factory.mktemp("postgres") / "papers.db")) as connection:
        connection.execute("CREATE TABLE papers (id BIGINT PRIMARY KEY, code TEXT, v VECTOR(2))")
        connection.execute("CREATE INDEX ON papers USING hnsw (v vector_l2_ops)")
        for n in range(10):
            connection.execute("INSERT INTO papers VALUES ($1, $2, $3)", [n, f"it's {n}", [n, 0]])
        yield connection


@pytest.fixture
def attached(db: dbapi.Connection, server: PostgresServer) -> dbapi.Connection:
    """A connection with the server attached; skips where DuckDB does not have the extension."""
    from nestvec.sql.relational.engine import open_engine
    from nestvec.sql.relational.postgres import PostgresTable
    from nestvec_schemas.errors import SqlNotSupported

    try:
        with open_engine(postgres=[PostgresTable("pg", server.address, "public", "orders")]):
            pass
    except SqlNotSupported as error:
        pytest.skip(f"{error} It is tested where a DuckDB with the extension is installed.")
    db.attach_postgres("pg", server.address)
    return db


def test_a_search_is_joined_with_a_table_of_postgresql(
    attached: dbapi.Connection, server: PostgresServer
) -> None:
    for join, column in (("o.paper = near.id", "id"), ("o.code = near.code", "code")):
        near = NEAREST.replace("SELECT id", "SELECT id, code")
        joined = attached.execute(
            f"SELECT near.id, o.place, o.code, o.price, o.tags FROM {near} "
            f"JOIN pg.public.orders AS o ON {join} WHERE o.place > 50 ORDER BY 1, 2"
        ).fetchall()
        keys = [row[0] for row in attached.execute(f"SELECT {column} FROM {near}").fetchall()]
        of_orders = "paper" if column == "id" else "code"
        with server.connect() as connection:
            expected = connection.execute(
                "SELECT paper, place, code, price, tags FROM orders"
                f" WHERE {of_orders} = ANY(%s) AND place > 50 ORDER BY 1, 2",
                [keys],
            ).fetchall()
        assert joined == expected
        assert len(joined) > 10


def test_tables_are_named_by_server_schema_and_table(attached: dbapi.Connection) -> None:
    assert attached.execute("SELECT count(*), sum(price) FROM pg.orders").fetchall()[0][0] == 1000
    assert attached.execute("SELECT c.name FROM pg.shop.customers AS c").fetchall() == [("Ada",)]
    both = "WITH orders AS (SELECT 1 AS n) SELECT n, name FROM orders, pg.shop.customers"
    assert attached.execute(both).fetchall() == [(1, "Ada")]
    with pytest.raises(dbapi.ProgrammingError, match=r"no table of this name in pg: public\.nothing"):
        attached.execute("SELECT * FROM pg.nothing")
    with pytest.raises(dbapi.Error):
        attached.execute("SELECT * FROM other.public.orders")
    with pytest.raises(dbapi.ProgrammingError, match="no server of this name is attached: other"):
        attached.execute("SELECT 1 FROM papers AS p JOIN other.public.papers AS o ON o.id = p.id")


def test_a_plan_names_the_table_and_no_address(attached: dbapi.Connection, server: PostgresServer) -> None:
    statement = f"EXPLAIN SELECT price FROM {NEAREST} JOIN pg.orders AS o ON o.paper = near.id"
    plan = "\n".join(row[0] for row in attached.execute(statement).fetchall())
    assert "pg.public.orders" in plan
    assert "filter: paper in ranking_0.id" in plan
    assert str(server.folder) not in plan


def test_new_tables_and_rows_are_seen_and_nothing_is_written(
    attached: dbapi.Connection, server: PostgresServer
) -> None:
    with server.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS later")
        connection.execute("CREATE TABLE later AS SELECT 1 AS n")
        assert attached.execute("SELECT n FROM pg.later").fetchall() == [(1,)]
        connection.execute("ALTER TABLE later ADD COLUMN m int DEFAULT 2")
        connection.execute("INSERT INTO later VALUES (3, 4)")
        assert attached.execute("SELECT n, m FROM pg.later ORDER BY n").fetchall() == [(1, 2), (3, 4)]
        for statement in (
            "INSERT INTO pg.later VALUES (5, 6)",
            "DELETE FROM pg.later",
            "DROP TABLE pg.later",
        ):
            with pytest.raises(dbapi.Error):
                attached.execute(statement)
        assert connection.execute("SELECT count(*) FROM later").fetchone() == (2,)


def test_an_error_of_the_server_hides_its_address(attached: dbapi.Connection) -> None:
    attached.attach_postgres("gone", "host=/nowhere user=me password=secret")
    with pytest.raises(dbapi.OperationalError, match="PostgreSQL does not answer") as caught:
        attached.execute("SELECT * FROM gone.orders")
    assert "secret" not in str(caught.value)
    assert "gone" in str(caught.value)


WITHOUT_EXTENSION = """
import sys, nestvec
sys.modules["duckdb_extension_postgres_scanner"] = None
with nestvec.connect(sys.argv[1]) as db:
    db.attach_postgres("pg", "host=/nowhere")
    try:
        db.execute("SELECT * FROM pg.public.orders")
    except nestvec.dbapi.NotSupportedError as error:
        print(error)
"""


def test_without_the_extension_the_error_names_the_command_that_installs_it(tmp_path: Path) -> None:
    # DuckDB looks for extensions in the home folder.
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTENSION, str(tmp_path / "a.db")],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "INSTALL postgres" in ran.stdout, ran.stderr
    assert not list(tmp_path.rglob("*.duckdb_extension"))


@pytest.mark.parametrize("name", ["", "Shop", "a.b", "public", "a b"])
def test_a_server_has_a_name_in_lower_case(db: dbapi.Connection, name: str) -> None:
    with pytest.raises(dbapi.InterfaceError, match="name"):
        db.attach_postgres(name, "host=/nowhere")
