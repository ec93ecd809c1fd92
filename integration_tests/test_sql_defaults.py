"""Defaults that Milvus cannot hold, on the real Milvus Lite: every way to write a row applies them."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from integration_tests.fixtures.pgwire import run_pg

import nestvec
from nestvec import dbapi

DOCS = """CREATE TABLE docs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    content text,
    metadata jsonb NOT NULL DEFAULT '{}',
    tags text[] DEFAULT '{}',
    embedding vector(3) DEFAULT '[1, 2, 3]',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires timestamptz DEFAULT now() + interval '7 days',
    day date DEFAULT current_date,
    lucky double precision DEFAULT random(),
    price numeric DEFAULT 1.5
)"""
WEEK = datetime.timedelta(days=7)
IN_ANOTHER_PROCESS = """
import sys, nestvec
with nestvec.connect(sys.argv[1]) as connection:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO docs (content) VALUES ('other') RETURNING id, metadata, expires - created_at")
    print(cursor.fetchone()[1], cursor.rowcount)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "defaults.db"


@pytest.fixture
def connection(database: Path) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(database)) as opened:
        opened.execute(DOCS)
        yield opened


def rows(connection: dbapi.Connection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()


def check_defaults(connection: dbapi.Connection, count: int) -> None:
    """Every row of ``docs`` has all defaults, and a key and a random number of its own."""
    columns = "id, metadata, tags, embedding, expires - created_at, lucky, price::text"
    stored = rows(connection, f"SELECT {columns} FROM docs")
    assert len(stored) == count
    assert len({row[0] for row in stored}) == len({row[5] for row in stored}) == count
    expected = {"{} [] [1.0, 2.0, 3.0] 7 days, 0:00:00 1.5"}
    shown = {
        f"{json.dumps(row[1])} {row[2]} {row[3]} {datetime.timedelta(days=row[4].days)} {row[6]}"
        for row in stored
    }
    assert shown == expected, stored
    assert all(isinstance(row[0], uuid.UUID) and 0 <= row[5] < 1 for row in stored)


def test_every_form_of_insert_applies_defaults(connection: dbapi.Connection) -> None:
    before = datetime.datetime.now(datetime.UTC)
    connection.execute("INSERT INTO docs (content) VALUES ('a'), ('b')")
    connection.execute("INSERT INTO docs (content, metadata, lucky) VALUES ('c', DEFAULT, DEFAULT)")
    connection.execute("INSERT INTO docs (content, metadata) VALUES (upper('d'), DEFAULT), (DEFAULT, '{}')")
    connection.execute("INSERT INTO docs DEFAULT VALUES")
    connection.execute("INSERT INTO docs (content) SELECT content || '2' FROM docs WHERE content = 'a'")
    connection.cursor().executemany("INSERT INTO docs (content) VALUES ($1)", [("e",), ("f",)])
    check_defaults(connection, 9)
    times = rows(connection, "SELECT content, created_at, day FROM docs")
    after = datetime.datetime.now(datetime.UTC)
    assert all(before <= row[1] <= after for row in times)
    created = {row[0]: row[1] for row in times}
    assert created["a"] == created["b"] < created["c"]
    assert sorted(name for name, at in created.items() if at == created["D"]) in (["D"], ["D", None])


def test_returning_has_the_defaults(connection: dbapi.Connection) -> None:
    cursor = connection.execute(
        "INSERT INTO docs (content) VALUES ('a'), ('b') "
        "RETURNING id, metadata, expires = created_at + '7 days'"
    )
    first, second = cursor.fetchall()
    assert first[1:] == second[1:] == ({}, True)
    assert first[0] != second[0]


def test_a_null_is_stored_where_a_value_is_written(connection: dbapi.Connection) -> None:
    connection.execute("INSERT INTO docs (content, tags, expires) VALUES ('a', NULL, NULL)")
    assert rows(connection, "SELECT tags, expires, metadata FROM docs") == [(None, None, {})]
    with pytest.raises(dbapi.IntegrityError, match="metadata cannot be NULL"):
        connection.execute("INSERT INTO docs (metadata) VALUES (NULL)")
    connection.execute("INSERT INTO docs (content, embedding) VALUES ('b', NULL), ('c', DEFAULT)")
    assert rows(connection, "SELECT content FROM docs WHERE embedding IS NULL") == [("b",)]


def test_a_vector_that_is_missing_is_a_null_too(connection: dbapi.Connection) -> None:
    connection.execute("CREATE TABLE plain (id int PRIMARY KEY, v vector(2), w vector(2) NOT NULL)")
    connection.execute("INSERT INTO plain (id, w) VALUES (1, '[1,2]')")
    assert rows(connection, "SELECT * FROM plain") == [(1, None, [1.0, 2.0])]
    with pytest.raises(dbapi.IntegrityError, match=r"w is missing\. .*unless CREATE TABLE says NOT NULL"):
        connection.execute("INSERT INTO plain (id) VALUES (2)")


def test_set_default_is_evaluated_for_each_row(connection: dbapi.Connection) -> None:
    connection.execute(
        "INSERT INTO docs (content, metadata, tags, lucky, expires) "
        """VALUES ('a', '{"a": 1}', ARRAY['x'], 5, NULL), ('b', '[]', NULL, 5, NULL)"""
    )
    connection.execute("UPDATE docs SET (metadata, tags) = (DEFAULT, DEFAULT)")
    cursor = connection.execute(
        "UPDATE docs SET lucky = DEFAULT, created_at = DEFAULT, expires = DEFAULT, embedding = DEFAULT"
    )
    assert cursor.rowcount == 2
    check_defaults(connection, 2)


def test_a_conflict_sets_defaults(connection: dbapi.Connection) -> None:
    key = uuid.UUID(int=7)
    connection.execute("""INSERT INTO docs (id, metadata, lucky) VALUES ($1, '{"a": 1}', 5)""", (key,))
    connection.execute(
        "INSERT INTO docs (id, content) VALUES ($1, 'new') ON CONFLICT (id) DO UPDATE SET "
        "content = EXCLUDED.content, metadata = DEFAULT, lucky = EXCLUDED.lucky",
        (key,),
    )
    check_defaults(connection, 1)
    assert rows(connection, "SELECT content FROM docs") == [("new",)]


def test_copy_and_ingest_apply_defaults_but_for_keys(connection: dbapi.Connection, tmp_path: Path) -> None:
    connection.execute(
        "CREATE TABLE files (id int PRIMARY KEY, t text, n jsonb DEFAULT '{}', v vector(2) DEFAULT '[1,2]', "
        "at timestamptz NOT NULL DEFAULT now(), lucky float8 DEFAULT random())"
    )
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps({"id": id, "t": "x"}) + "\n" for id in range(1, 1_502)))
    assert connection.execute(f"COPY files FROM '{lines}'").rowcount == 1_501
    stored = rows(connection, "SELECT count(*), count(DISTINCT at), count(DISTINCT lucky) FROM files")
    assert stored == [(1_501, 1, 1_501)]
    assert rows(connection, "SELECT n, v FROM files WHERE id = 1501") == [({}, [1.0, 2.0])]
    keyless = tmp_path / "keyless.jsonl"
    keyless.write_text('{"content": "x"}\n')
    with pytest.warns(UserWarning, match="1 rejected"):
        connection.execute(f"COPY docs FROM '{keyless}'")


def test_a_database_keeps_its_defaults(database: Path) -> None:
    with nestvec.connect(str(database)) as opened:
        opened.execute(DOCS)
        opened.execute("INSERT INTO docs (content) VALUES ('a')")
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(database)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "{} 1", done.stderr
    with nestvec.connect(str(database)) as opened:
        opened.execute("INSERT INTO docs (content) VALUES ('b')")
        check_defaults(opened, 3)


def test_defaults_are_set_and_dropped(connection: dbapi.Connection) -> None:
    connection.execute("""ALTER TABLE docs ALTER COLUMN metadata SET DEFAULT '{"v": 2}'""")
    connection.execute("ALTER TABLE docs ALTER tags DROP DEFAULT")
    connection.execute("ALTER TABLE docs ALTER price SET DEFAULT 2.5")
    connection.execute("ALTER TABLE docs ALTER day SET DEFAULT NULL")
    connection.execute("INSERT INTO docs (content) VALUES ('a')")
    stored = rows(connection, "SELECT metadata, tags, price::text, day FROM docs")
    assert stored == [({"v": 2}, None, "2.5", None)]
    described = {row[0]: row[4] for row in rows(connection, "DESCRIBE docs")}
    assert described["metadata"] == """'{"v": 2}'"""
    assert (described["tags"], described["price"], described["created_at"]) == (None, "2.5", "now()")
    with pytest.raises(dbapi.NotSupportedError, match="the default of column price, which Milvus holds"):
        connection.execute("ALTER TABLE docs ALTER price DROP DEFAULT")
    with pytest.raises(dbapi.DataError, match="column day: this is not a date"):
        connection.execute("ALTER TABLE docs ALTER day SET DEFAULT 'x'")
    with pytest.raises(dbapi.NotSupportedError, match="this form of ALTER COLUMN"):
        connection.execute("ALTER TABLE docs ALTER day DROP NOT NULL")


def test_a_change_of_the_collection_keeps_defaults(connection: dbapi.Connection) -> None:
    connection.execute(
        "CREATE TABLE two (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), m jsonb DEFAULT '{}', "
        "v vector(2) DEFAULT '[1,2]', w vector(2) DEFAULT '[3,4]')"
    )
    connection.execute("INSERT INTO two DEFAULT VALUES")
    connection.execute("ALTER TABLE two DROP COLUMN w")
    connection.execute("INSERT INTO two DEFAULT VALUES")
    assert rows(connection, "SELECT m, v FROM two") == [({}, [1.0, 2.0])] * 2
    connection.execute("ALTER TABLE two RENAME TO three")
    connection.execute("INSERT INTO three DEFAULT VALUES")
    assert rows(connection, "SELECT count(*) FROM three") == [(3,)]


def test_sqlalchemy_makes_writes_and_reflects_defaults(database: Path) -> None:
    engine = sa.create_engine(f"nestvec:///{database}")
    metadata = sa.MetaData()
    notes = sa.Table(
        "notes", metadata,
        sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()),
        sa.Column("body", sa.Text),
        sa.Column("meta", sa.JSON, server_default=sa.text("'{}'")),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("v", nestvec.sqlalchemy.Vector(2), server_default="[1,2]"),
    )  # fmt: skip
    metadata.create_all(engine)
    with engine.begin() as opened:
        key = opened.execute(sa.insert(notes).values(body="a")).inserted_primary_key
        assert key is not None and isinstance(key[0], uuid.UUID)
        opened.execute(sa.insert(notes), [{"body": "b"}, {"body": "c"}])
        stored = opened.execute(sa.select(notes)).all()
    assert {row.meta == {} and list(row.v) == [1.0, 2.0] and row.at.tzinfo is not None for row in stored} == {
        True
    }
    reflected = sa.inspect(engine).get_columns("notes")
    assert [column["default"] for column in reflected] == [
        "gen_random_uuid()", None, "'{}'", "now()", "'[1,2]'",
    ]  # fmt: skip
    engine.dispose()


def test_a_key_whose_default_exists_is_a_duplicate(connection: dbapi.Connection) -> None:
    connection.execute("CREATE TABLE settings (id bigint PRIMARY KEY DEFAULT 7, name text)")
    connection.execute("INSERT INTO settings (name) VALUES ('a')")
    for statement in (
        "INSERT INTO settings (name) VALUES ('b')",
        "INSERT INTO settings DEFAULT VALUES",
        "INSERT INTO settings (name) SELECT 'b'",
    ):
        with pytest.raises(dbapi.IntegrityError, match="a row with this id already exists: 7"):
            connection.execute(statement)
    with pytest.raises(dbapi.IntegrityError, match="occurs twice in this statement: 7"):
        connection.execute("INSERT INTO settings (name) VALUES ('b'), ('c')")
    assert rows(connection, "SELECT * FROM settings") == [(7, "a")]


def test_defaults_are_of_a_time_zone(connection: dbapi.Connection) -> None:
    connection.execute(
        "CREATE TABLE logs (id int PRIMARY KEY, at timestamp DEFAULT (now() AT TIME ZONE 'utc'), "
        "local timestamp NOT NULL DEFAULT now() at time zone 'Asia/Tokyo')"
    )
    connection.execute("INSERT INTO logs (id) VALUES (1)")
    assert rows(connection, "SELECT local - at FROM logs") == [(datetime.timedelta(hours=9),)]
    connection.execute("ALTER TABLE logs ALTER local SET DEFAULT (now() AT TIME ZONE 'UTC')")
    connection.execute("INSERT INTO logs (id) VALUES (2)")
    assert rows(connection, "SELECT local - at FROM logs WHERE id = 2") == [(datetime.timedelta(0),)]
    connection.execute("DELETE FROM logs WHERE at < now() AT TIME ZONE 'utc' + interval '1 day' AND id = 1")
    assert rows(connection, "SELECT id FROM logs") == [(2,)]
    with pytest.raises(dbapi.ProgrammingError, match="'AT'"):
        connection.execute("CREATE TABLE times (id int PRIMARY KEY, hour int DEFAULT 1 AT)")


def test_the_wire_copies_and_shows_defaults(database: Path) -> None:
    with run_pg(database) as server, psycopg.connect(server.address, autocommit=True) as opened:
        opened.execute(DOCS)
        with opened.cursor().copy("COPY docs (content) FROM STDIN") as copy:
            copy.write("a\nb\n")
        stored = opened.execute("SELECT id, metadata, expires - created_at FROM docs").fetchall()
        assert len({row[0] for row in stored}) == 2
        assert {(str(row[1]), row[2]) for row in stored} == {("{}", WEEK)}
        query = "SELECT column_default FROM information_schema.columns WHERE table_name = 'docs'"
        assert [row[0] for row in opened.execute(f"{query} ORDER BY ordinal_position")] == [
            "gen_random_uuid()", None, "'{}'::jsonb", "'{}'::text[]", "'[1, 2, 3]'::vector", "now()",
            "now() + interval '7 days'", "current_date", "random()", "'1.5'::numeric",
        ]  # fmt: skip
        for statement in ("INSERT INTO docs (metadata) VALUES (NULL)", "UPDATE docs SET metadata = NULL"):
            with pytest.raises(psycopg.errors.NotNullViolation):
                opened.execute(statement)
