"""Tables without vectors, beside those with vectors, on the real Milvus Lite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas  # type: ignore[import-untyped]
import psycopg
import pytest
import sqlalchemy as sa
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.services import vacant_address

import nestvec
from nestvec import dbapi
from nestvec.milvus.catalog import LOCKS_COLLECTION
from nestvec.milvus.catalog.column_properties import HIDDEN_VECTOR
from nestvec.milvus.connection import open_milvus
from nestvec.sql import Session, SessionSettings, execute

AUTHORS = "CREATE TABLE authors (id bigserial PRIMARY KEY, name text NOT NULL, born int, meta jsonb)"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "plain.db"


@pytest.fixture
def connection(database: Path) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(database)) as opened:
        opened.execute(AUTHORS)
        opened.execute("INSERT INTO authors (name, born) VALUES ('ann', 1950), ('bob', 1960)")
        yield opened


def rows(connection: dbapi.Connection, statement: str) -> list[tuple[object, ...]]:
    return connection.execute(statement).fetchall()


def test_an_unknown_table_shows_those_of_the_user_alone(database: Path) -> None:
    with open_milvus(str(database)) as client:
        client.create_collection(LOCKS_COLLECTION, dimension=2)
    with nestvec.connect(str(database)) as opened:
        opened.execute(AUTHORS)
        for statement in ("SELECT * FROM author", "SELECT a.id FROM authors a, author b"):
            with pytest.raises(dbapi.ProgrammingError, match=r"author\. Available: authors\. Did you mean"):
                opened.execute(statement)


def test_statements_see_no_vector(connection: dbapi.Connection) -> None:
    assert rows(connection, "SELECT * FROM authors ORDER BY id") == [
        (1, "ann", 1950, None), (2, "bob", 1960, None),
    ]  # fmt: skip
    assert [row[0] for row in rows(connection, "DESCRIBE authors")] == ["id", "name", "born", "meta"]
    assert rows(connection, "SHOW INDEXES FROM authors") == []
    with pytest.raises(dbapi.ProgrammingError, match=r"no such column.*Available: id, name, born, meta\."):
        connection.execute(f"SELECT {HIDDEN_VECTOR} FROM authors")
    with pytest.raises(dbapi.ProgrammingError, match="this name is nestvec's own"):
        connection.execute(f"CREATE TABLE other (id int PRIMARY KEY, {HIDDEN_VECTOR} vector(2))")


def test_rows_are_written_and_joined(connection: dbapi.Connection) -> None:
    connection.execute("CREATE TABLE books (id int PRIMARY KEY, author_id bigint, v vector(2))")
    connection.execute("INSERT INTO books VALUES (1, 1, '[1,0]'), (2, 2, '[0,1]'), (3, 1, '[1,1]')")
    joined = "SELECT b.id, a.name FROM books b JOIN authors a ON a.id = b.author_id "
    assert rows(connection, f"{joined} ORDER BY b.v <-> '[1,0]' LIMIT 2") == [(1, "ann"), (3, "ann")]
    changed = "UPDATE authors SET name = upper(name), born = DEFAULT WHERE id = 1 RETURNING *"
    assert rows(connection, changed) == [(1, "ANN", None, None)]
    conflict = "ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name || authors.born RETURNING name"
    assert rows(connection, f"INSERT INTO authors (id, name) VALUES (2, 'b') {conflict}") == [("b1960",)]
    assert connection.execute("DELETE FROM authors WHERE born IS NULL").rowcount == 1
    assert rows(connection, "INSERT INTO authors (name) SELECT 'from ' || id FROM books RETURNING name") == [
        ("from 1",), ("from 2",), ("from 3",),
    ]  # fmt: skip
    connection.execute("CREATE INDEX by_born ON authors (born)")
    assert [row[:2] for row in rows(connection, "SHOW INDEXES FROM authors")] == [("by_born", "born")]
    assert rows(connection, "SELECT count(*), min(born) FROM authors") == [(4, 1960)]
    connection.execute("TRUNCATE authors")
    assert rows(connection, "SELECT * FROM authors") == []


def test_copies_and_results_of_queries(connection: dbapi.Connection, tmp_path: Path) -> None:
    lines = tmp_path / "more.jsonl"
    lines.write_text("".join(json.dumps({"name": f"n{at}"}) + "\n" for at in range(600)))
    assert connection.execute(f"COPY authors FROM '{lines}'").rowcount == 600
    connection.execute(f"COPY authors TO '{tmp_path / 'all.csv'}'")
    assert (tmp_path / "all.csv").read_text().splitlines()[0] == "id,name,born,meta"
    connection.execute("CREATE TABLE old AS SELECT id, name FROM authors WHERE born < 1955")
    connection.execute("CREATE TABLE years AS SELECT DISTINCT born FROM authors WHERE born IS NOT NULL")
    assert rows(connection, "SELECT * FROM old") == [(1, "ann")]
    assert rows(connection, "SELECT born FROM years ORDER BY 1") == [(1950,), (1960,)]


def test_sqlalchemy_and_pandas_write_tables_without_vectors(database: Path) -> None:
    engine = sa.create_engine(f"nestvec:///{database}")
    frame = pandas.DataFrame({"name": ["a", "b"], "size": [1, 2]})
    frame.to_sql("frames", engine, index=False)
    assert pandas.read_sql_table("frames", engine)[["name", "size"]].to_dict("list") == frame.to_dict("list")
    assert [column["name"] for column in sa.inspect(engine).get_columns("frames")] == [
        "name", "size",
    ]  # fmt: skip
    assert sa.inspect(engine).get_pk_constraint("frames")["constrained_columns"] == []
    assert sa.inspect(engine).get_indexes("frames") == []
    engine.dispose()


def test_a_table_of_alembic_with_a_visible_vector_is_read(database: Path) -> None:
    with nestvec.connect(str(database)) as opened:
        opened.execute(
            "CREATE TABLE alembic_version "
            "(row_id BIGSERIAL PRIMARY KEY, version_num VARCHAR(32) NOT NULL, no_vector VECTOR(2) NOT NULL)"
        )
        opened.execute("INSERT INTO alembic_version (version_num) VALUES ('a1')")
        opened.execute("UPDATE alembic_version SET version_num = 'b2' WHERE version_num = 'a1'")
        assert rows(opened, "SELECT * FROM alembic_version") == [(1, "b2")]


def test_the_wire_lists_no_vector_and_copies_both_ways(database: Path) -> None:
    with run_pg(database) as server, psycopg.connect(server.address, autocommit=True) as opened:
        opened.execute(AUTHORS)
        with opened.cursor().copy("COPY authors (name, born) FROM STDIN") as copy:
            copy.write("ann\t1950\nbob\t\\N\n")
        with opened.cursor().copy("COPY authors (id, born, meta) TO STDOUT") as copy:
            assert [list(row)[1:] for row in copy.rows()] == [
                ["1950", None], [None, None],
            ]  # fmt: skip
        for query in (
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'authors' ORDER BY 1",
            "SELECT attname FROM pg_attribute WHERE attrelid = 'authors'::regclass AND attnum > 0 ORDER BY 1",
        ):
            assert [row[0] for row in opened.execute(query)] == ["born", "id", "meta", "name"]


def test_a_change_carries_rows_over(exiting: Path, database: Path) -> None:
    session = Session(SessionSettings(service=vacant_address(), models=exiting))
    with open_milvus(str(database)) as client:
        for statement in (
            AUTHORS,
            "INSERT INTO authors (name) VALUES ('heat'), ('wings')",
            "ALTER TABLE authors ADD COLUMN v VECTOR(64) GENERATED ALWAYS AS (EMBED(name, 'minilm')) STORED",
            "INSERT INTO authors (name) VALUES ('sockets')",
        ):
            execute(client, statement, session=session)
        query = "SELECT name, vector_dims(v) FROM authors ORDER BY id"
        assert execute(client, query, session=session).rows == (
            ("heat", 64), ("wings", 64), ("sockets", 64),
        )  # fmt: skip
    session.close()
