"""Tables without a primary key, by nestvec on a real Milvus Lite and by PostgreSQL: the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.answers import multiset
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import PostgresServer

TABLES = (
    "CREATE TABLE items (embedding vector(3), a int, s text)",
    "CREATE TABLE other (a int, c text)",
    "CREATE TABLE single (d int)",
)
ROWS = (
    "INSERT INTO items VALUES ('[1,2,3]', 1, 'x'), ('[1,2,3]', 1, 'x'), ('[4,5,6]', 2, 'y')",
    "INSERT INTO items (a) VALUES (NULL)",
    "INSERT INTO other VALUES (1, 'p'), (1, 'p'), (2, 'q'), (9, NULL)",
    "INSERT INTO single VALUES (1), (2)",
)

STATEMENTS = r"""
SELECT * FROM items
SELECT DISTINCT * FROM items
SELECT DISTINCT ON (a) * FROM items ORDER BY a
SELECT a, count(*) FROM items GROUP BY a
SELECT count(*), count(DISTINCT s) FROM items
SELECT * FROM items ORDER BY embedding <-> '[3,3,3]' LIMIT 3
SELECT a FROM items ORDER BY embedding <=> '[3,3,3]', a LIMIT 2 OFFSET 1
SELECT * FROM items WHERE a = 1 AND false
SELECT * FROM items i JOIN other o ON o.a = i.a
SELECT * FROM items NATURAL JOIN other
SELECT count(*) FROM items NATURAL JOIN other
SELECT * FROM items NATURAL LEFT JOIN other
SELECT count(*) FROM single NATURAL JOIN other
SELECT * FROM single NATURAL JOIN other
SELECT * FROM other, items NATURAL JOIN single
SELECT * FROM items JOIN other USING (a)
SELECT * FROM items WHERE EXISTS (SELECT * FROM other WHERE other.a = items.a)
SELECT * FROM items WHERE a IN (SELECT * FROM single)
SELECT to_jsonb(o) FROM other o
SELECT to_jsonb(s) FROM other o LEFT JOIN single s ON s.d = o.a
SELECT * FROM other AS o (p, q)
SELECT * FROM other AS o (p, q, r)
SELECT * FROM other UNION ALL SELECT * FROM other
SELECT *, row_number() OVER (ORDER BY a) FROM single s JOIN other o ON s.d = o.a WHERE o.a = 2
INSERT INTO items SELECT * FROM items RETURNING *
INSERT INTO items (s) VALUES ('z'), ('z') RETURNING *
INSERT INTO items VALUES ('[1,2,3]', 1, 'x') ON CONFLICT DO NOTHING RETURNING a
INSERT INTO items VALUES ('[1,2,3]', 1, 'x') ON CONFLICT (a) DO NOTHING
INSERT INTO items (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET s = EXCLUDED.s
INSERT INTO other VALUES (1, 'p', 3)
INSERT INTO other (nothing) VALUES (1)
UPDATE items SET a = 5 WHERE s = 'x' RETURNING *
UPDATE items SET a = a + 1, s = s || a RETURNING *
UPDATE items i SET s = o.c FROM (SELECT DISTINCT * FROM other) o WHERE o.a = i.a RETURNING i.*
DELETE FROM items WHERE a = 2 RETURNING *
DELETE FROM items USING single WHERE single.d = items.a
DELETE FROM items
ALTER TABLE other ADD COLUMN e int DEFAULT 5
ALTER TABLE items DROP COLUMN s
ALTER TABLE items RENAME TO things
CREATE TABLE copied AS SELECT a AS id, embedding FROM items
CREATE UNLOGGED TABLE copied (a int)
CREATE UNLOGGED TABLE copied AS SELECT * FROM other
CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (m = 1)
CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (m = 101)
CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (ef_construction = 3)
CREATE INDEX ON items USING ivfflat (embedding vector_l2_ops) WITH (lists = 32769)
CREATE VIEW seen AS SELECT * FROM items
TRUNCATE items
""".strip().splitlines()

FOLLOWING = ("SELECT * FROM items", "SELECT * FROM other", "SELECT * FROM things", "SELECT * FROM copied")

CATALOGS = """
SELECT column_name, ordinal_position FROM information_schema.columns WHERE table_name = 'items' ORDER BY 2
SELECT attname FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0 ORDER BY attnum
SELECT count(*) FROM pg_constraint WHERE conrelid = 'items'::regclass
SELECT count(*) FROM pg_index WHERE indrelid = 'single'::regclass
SELECT relnatts FROM pg_class WHERE relname = 'items'
""".strip().splitlines()


@dataclass
class Twins:
    """The same tables by nestvec, over PostgreSQL's protocol, and by PostgreSQL."""

    nestvec: psycopg.Connection
    postgresql: psycopg.Connection

    def create(self) -> None:
        for connection in (self.nestvec, self.postgresql):
            for name in ("items", "other", "single", "things", "copied"):
                connection.execute(f"DROP TABLE IF EXISTS {name} CASCADE")
            for statement in (*TABLES, *ROWS):
                connection.execute(statement)

    def difference(self, statement: str, after: str = "") -> str:
        """What differs; empty for nothing."""
        answered, expected = outcome(self.nestvec, statement), outcome(self.postgresql, statement)
        return "" if answered == expected else f"{after} {statement}: {answered}, PostgreSQL: {expected}"


def outcome(connection: psycopg.Connection, statement: str) -> Any:
    """The rows without their order, and their number; or the SQLSTATE."""
    try:
        cursor = connection.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate
    names = [column.name for column in cursor.description or ()]
    rows = multiset([tuple(map(str, row)) for row in cursor.fetchall()]) if names else None
    return names, rows, cursor.rowcount


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    database: Path = tmp_path_factory.mktemp("keyless") / "keyless.db"
    with (
        run_pg(database) as server,
        psycopg.connect(server.address, autocommit=True) as nestvec,
        postgresql.connect() as connection,
    ):
        connection.autocommit = True
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("CREATE SCHEMA keyless")
        connection.execute("SET search_path = keyless, public")
        yield Twins(nestvec, connection)
        connection.execute("DROP SCHEMA keyless CASCADE")


def test_statements_answer_as_postgresql(twins: Twins) -> None:
    twins.create()
    wrong = list[str]()
    for statement in STATEMENTS:
        wrong.append(twins.difference(statement))
        if not statement.startswith("SELECT"):
            wrong += [twins.difference(query, f"after {statement},") for query in FOLLOWING]
            twins.create()
    assert "\n".join(filter(None, wrong)) == ""


def test_catalogs_have_the_columns_of_postgresql(twins: Twins) -> None:
    twins.create()
    assert "\n".join(filter(None, map(twins.difference, CATALOGS))) == ""


def test_copies_have_the_columns_of_postgresql(twins: Twins) -> None:
    twins.create()
    copies = []
    for connection in (twins.nestvec, twins.postgresql):
        with connection.cursor().copy("COPY other FROM STDIN") as copy:
            copy.write("1\tp\n1\tp\n3\t\\N\n")
        with connection.cursor().copy("COPY other TO STDOUT (FORMAT csv, HEADER)") as copy:
            header, *lines = b"".join(map(bytes, copy)).decode().splitlines()
            copies.append((header, sorted(lines)))
    assert copies[0] == copies[1]
