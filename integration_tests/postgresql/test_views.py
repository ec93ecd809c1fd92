"""Views by ``nestvec pg`` and by PostgreSQL: what catalogs show of them, and the errors that name them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy
from integration_tests.fixtures.pgwire import RunningPg, run_pg
from integration_tests.fixtures.postgres import PostgresServer

TABLE = "CREATE TABLE base (id BIGINT PRIMARY KEY, name TEXT, price DOUBLE PRECISION, v VECTOR(2) NOT NULL)"
VIEWS = (
    "CREATE VIEW cheap AS SELECT id, name, price FROM base WHERE price < 10",
    'CREATE VIEW "Twice" (key, double) AS SELECT id, price * 2 FROM base',
    "CREATE VIEW names AS SELECT count(*) AS n, name FROM cheap GROUP BY name",
)
SHOWN = {
    "pg_class": "SELECT relname, relkind, relnatts, relhasindex FROM pg_class WHERE relkind = 'v' AND "
    "relnamespace = 'public'::regnamespace ORDER BY relname",
    "pg_attribute": "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnum FROM "
    "pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'v' AND c.relnamespace = 2200 "
    "AND a.attnum > 0 ORDER BY 1, 4",
    "pg_views": "SELECT schemaname, viewname FROM pg_views WHERE schemaname = 'public' ORDER BY viewname",
    "pg_tables": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    "tables": "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' "
    "ORDER BY table_name",
    "columns": "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_schema = 'public' AND table_name <> 'base' ORDER BY table_name, ordinal_position",
    "views": "SELECT table_name FROM information_schema.views WHERE table_schema = 'public' ORDER BY 1",
}
ERRORS = {
    "DROP TABLE cheap": True,
    "DROP TABLE IF EXISTS cheap": True,
    "DROP VIEW base": True,
    "DROP VIEW IF EXISTS base": True,
    "TRUNCATE cheap": False,
    "INSERT INTO names VALUES (1, 'a')": False,
    "UPDATE names SET n = 1": False,
    "DELETE FROM names": False,
    "CREATE INDEX ON cheap (id)": False,
    "COPY cheap TO STDOUT": True,
    "CREATE TABLE cheap (id BIGINT PRIMARY KEY, v VECTOR(2) NOT NULL)": False,
}
"""Statements that need a table where they name a view, and whether hints are the same, too."""


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    with run_pg(tmp_path_factory.mktemp("views") / "pg.db") as running:
        yield running


@pytest.fixture(scope="module")
def sides(
    pg: RunningPg, postgresql: PostgresServer
) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """Connections to nestvec and to PostgreSQL with the same views."""
    with postgresql.connect() as server:
        server.execute("CREATE DATABASE views")
        address = postgresql.address.replace("dbname=postgres", "dbname=views")
        with (
            psycopg.connect(pg.address, autocommit=True) as ours,
            psycopg.connect(address, autocommit=True) as theirs,
        ):
            theirs.execute("CREATE EXTENSION vector")
            for side in (ours, theirs):
                for statement in (TABLE, *VIEWS):
                    side.execute(statement)
            yield ours, theirs
        server.execute("DROP DATABASE views")


@pytest.mark.parametrize("query", SHOWN.values(), ids=SHOWN)
def test_catalogs_show_the_views_that_postgresql_shows(
    sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]], query: str
) -> None:
    ours, theirs = (side.execute(query).fetchall() for side in sides)
    assert ours == theirs
    assert ours


@pytest.mark.parametrize("statement", ERRORS)
def test_errors_are_postgresqls(
    sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]], statement: str
) -> None:
    ours, theirs = (_error(side, statement) for side in sides)
    assert ours.sqlstate == theirs.sqlstate
    if "CREATE TABLE" not in statement:
        assert ours.diag.message_primary == theirs.diag.message_primary
    if ERRORS[statement]:
        assert ours.diag.message_hint == theirs.diag.message_hint


def _error(connection: psycopg.Connection[Any], statement: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as raised, connection.cursor() as cursor:
        if statement.startswith("COPY"):
            with cursor.copy(statement) as copy:
                copy.read()
        else:
            cursor.execute(statement)
    return raised.value


def test_a_view_cannot_become_one_that_reads_itself(
    sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]],
) -> None:
    ours, theirs = sides
    for query in ("SELECT * FROM cheap", "SELECT id, name, price FROM (SELECT * FROM cheap) AS x"):
        with pytest.raises(psycopg.Error, match="itself"):
            ours.execute(f"CREATE OR REPLACE VIEW cheap AS {query}")
    with pytest.raises(psycopg.Error, match="itself"):
        ours.execute("CREATE OR REPLACE VIEW cheap AS SELECT n AS id, name, 1.0 AS price FROM names")
    # A name that WITH defines is another one.
    replaced = "CREATE OR REPLACE VIEW other AS WITH other AS (SELECT 1 AS one) SELECT one FROM other"
    for side in sides:
        side.execute("CREATE VIEW other AS SELECT 0 AS one")
        side.execute(replaced)
        assert side.execute("SELECT one FROM other").fetchall() == [(1,)]
        side.execute("DROP VIEW other")
    assert ours.execute("SELECT * FROM cheap").fetchall() == theirs.execute("SELECT * FROM cheap").fetchall()


def test_sqlalchemys_own_dialect_reflects_views(
    pg: RunningPg, sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]]
) -> None:
    engine = sqlalchemy.create_engine(pg.url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        inspector = sqlalchemy.inspect(engine)
        assert sorted(inspector.get_view_names()) == ["Twice", "cheap", "names"]
        assert inspector.get_table_names() == ["base"]
        assert [column["name"] for column in inspector.get_columns("names")] == ["n", "name"]
        assert "price < 10" in str(inspector.get_view_definition("cheap"))
        reflected = sqlalchemy.Table("Twice", sqlalchemy.MetaData(), autoload_with=engine)
        assert [column.name for column in reflected.columns] == ["key", "double"]
    finally:
        engine.dispose()


def test_what_another_process_does_with_a_view_is_seen(
    pg: RunningPg, sides: tuple[psycopg.Connection[Any], psycopg.Connection[Any]]
) -> None:
    ours, _ = sides
    with psycopg.connect(pg.address, autocommit=True) as other:
        other.execute("CREATE VIEW passing AS SELECT 1 AS one")
        assert ours.execute("SELECT * FROM passing").fetchall() == [(1,)]
        assert ("passing",) in ours.execute("SELECT viewname FROM pg_views").fetchall()
        other.execute("CREATE OR REPLACE VIEW passing AS SELECT 'b' AS letter")
        assert ours.execute("SELECT letter FROM passing").fetchall() == [("b",)]
        other.execute("DROP VIEW passing")
        with pytest.raises(psycopg.errors.UndefinedTable):
            ours.execute("SELECT * FROM passing")
