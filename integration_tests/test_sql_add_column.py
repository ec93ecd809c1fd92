"""ADD COLUMN and DROP COLUMN on the real Milvus Lite, which copies the rows: one copy for all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from integration_tests.fixtures.changes import Doomed, Killed, Mortal, no_late_writers
from integration_tests.fixtures.pgwire import run_pg
from pymilvus import MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.sql import Session, execute
from nestvec.sql.result import StatementResult
from nestvec_schemas.errors import (
    IngestError,
    JournalMismatch,
    NestvecError,
    SqlNullViolation,
    SqlTypeMismatch,
    SqlUnknownName,
)

__all__ = ["no_late_writers"]

pytestmark = pytest.mark.usefixtures("no_late_writers")

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, a int, v vector(2))"
ROWS = "INSERT INTO items VALUES (1, 10, '[1,2]'), (2, NULL, NULL)"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path / "columns.db")) as opened:
        yield opened


@pytest.fixture
def run(client: MilvusClient) -> Any:
    session = Session()

    def run(statement: str) -> Any:
        result: StatementResult = execute(client, statement, session=session)
        return list(result.rows) if result.columns else result.tag

    return run


def test_a_vector_column_is_added_and_filled(run: Any) -> None:
    run("CREATE TABLE items (id bigint PRIMARY KEY, name text)")
    run("INSERT INTO items VALUES (1, 'a'), (2, 'b')")
    assert run("ALTER TABLE items ADD COLUMN embedding vector(3)") == "ALTER TABLE"
    assert run("SELECT * FROM items ORDER BY id") == [(1, "a", None), (2, "b", None)]
    assert run("SELECT id FROM items WHERE embedding IS NULL ORDER BY id") == [(1,), (2,)]
    run("UPDATE items SET embedding = '[1,2,3]' WHERE id = 2")
    run("INSERT INTO items VALUES (3, 'c', '[4,5,6]'), (4, 'd', NULL)")
    assert run("SELECT id, embedding FROM items ORDER BY embedding <-> '[3,3,3]', id") == [
        (2, [1.0, 2.0, 3.0]), (3, [4.0, 5.0, 6.0]), (1, None), (4, None),
    ]  # fmt: skip
    assert run("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)") == "CREATE INDEX"
    assert run("SELECT id FROM items ORDER BY embedding <-> '[3,3,3]' LIMIT 1") == [(2,)]


def test_columns_of_every_type_have_their_defaults_in_rows_before_and_after(run: Any) -> None:
    run(ITEMS)
    run(ROWS)
    types = {
        "n": ("numeric(10,2) NOT NULL", "1.5"),
        "t": ("text", "'it''s'"),
        "d": ("date", "'2024-02-29'"),
        "u": ("uuid", "'11111111-2222-3333-4444-555555555555'"),
        "j": ("jsonb", """'{"a": [1]}'"""),
        "r": ("int[]", "'{1,2}'"),
        "f": ("float8", "2 ^ 0.5"),
        "h": ("halfvec(2)", "'[1,2]'"),
        "b": ("bit(3)", "'101'"),
        "s": ("sparsevec(4)", "'{1:1,3:2}/4'"),
        "w": ("vector(2) NOT NULL", "'[3,4]'"),
    }
    added = (f"ADD COLUMN {name} {kind} DEFAULT {value}" for name, (kind, value) in types.items())
    run(f"ALTER TABLE items {', '.join(added)}")
    created = (f"{name} {kind} DEFAULT {value}" for name, (kind, value) in types.items())
    run(f"CREATE TABLE others (id bigint PRIMARY KEY, a int, v vector(2), {', '.join(created)})")
    run("INSERT INTO items (id) VALUES (3)")
    run("INSERT INTO others (id) VALUES (3)")
    assert run("DESCRIBE items") == run("DESCRIBE others")
    names = ", ".join(types)
    expected = run(f"SELECT {names} FROM others")
    assert run(f"SELECT {names} FROM items") == expected * 3
    assert expected[0][0] == Decimal("1.50")
    assert [row[:3] for row in run("SELECT * FROM items ORDER BY id")] == [
        (1, 10, [1.0, 2.0]), (2, None, None), (3, None, None),
    ]  # fmt: skip


def test_now_is_one_time_and_a_random_value_one_for_each_row(run: Any) -> None:
    run(ITEMS)
    run(ROWS)
    run(
        "ALTER TABLE items ADD COLUMN at timestamptz NOT NULL DEFAULT now(), "
        "ADD COLUMN key uuid NOT NULL DEFAULT gen_random_uuid()"
    )
    assert run("SELECT count(DISTINCT at), count(at), count(DISTINCT key) FROM items") == [(1, 2, 2)]
    before = run("SELECT at, key FROM items ORDER BY id")
    run("ALTER TABLE items ADD COLUMN c int")
    assert run("SELECT at, key FROM items ORDER BY id") == before
    run("INSERT INTO items (id) VALUES (3)")
    assert run("SELECT count(DISTINCT at), count(DISTINCT key) FROM items") == [(2, 3)]


def test_columns_are_dropped_and_added_by_one_copy(run: Any, client: MilvusClient) -> None:
    run(ITEMS)
    run(ROWS)
    run("ALTER TABLE items DROP COLUMN a, ADD COLUMN a text DEFAULT 'x', ADD COLUMN b int, DROP COLUMN v")
    assert client.list_collections() == ["items__1"]
    assert run("SELECT * FROM items ORDER BY id") == [(1, "x", None), (2, "x", None)]
    assert [row[0] for row in run("DESCRIBE items")] == ["id", "a", "b"]
    run("INSERT INTO items (id, b) VALUES (3, 3)")
    run("ALTER TABLE items ADD COLUMN v vector(2)")
    assert "nestvec_no_vector" not in {
        field["name"] for field in client.describe_collection("items")["fields"]
    }
    run("INSERT INTO items (id, v) VALUES (4, '[1,1]')")
    assert run("SELECT id, b, v FROM items ORDER BY v <-> '[0,0]', id") == [
        (4, None, [1.0, 1.0]), (1, None, None), (2, None, None), (3, 3, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ("ADD COLUMN b int, ADD COLUMN c int NOT NULL", SqlNullViolation),
        ("ADD COLUMN b int, ADD COLUMN a int", SqlTypeMismatch),
        ("DROP COLUMN a, DROP COLUMN id", SqlTypeMismatch),
        ("DROP COLUMN a, ADD COLUMN d date DEFAULT 'x'", SqlTypeMismatch),
    ],
)
def test_nothing_is_done_if_a_part_is_refused(
    run: Any, client: MilvusClient, actions: str, error: type[NestvecError]
) -> None:
    run(ITEMS)
    run(ROWS)
    described = run("DESCRIBE items")
    with pytest.raises(error):
        run(f"ALTER TABLE items {actions}")
    assert client.list_collections() == ["items"]
    assert run("DESCRIBE items") == described


def test_not_null_is_for_tables_without_rows(run: Any) -> None:
    run(ITEMS)
    assert (
        run("ALTER TABLE items ADD COLUMN c int NOT NULL, ADD COLUMN w vector(2) NOT NULL") == "ALTER TABLE"
    )
    with pytest.raises(SqlNullViolation):
        run("INSERT INTO items (id, w) VALUES (1, '[1,2]')")
    run("INSERT INTO items (id, c, w) VALUES (1, 1, '[1,2]')")
    with pytest.raises(SqlNullViolation, match="column d of items contains null values"):
        run("ALTER TABLE items ADD COLUMN d int NOT NULL")


def test_a_table_keeps_indexes_keys_and_partitions(run: Any) -> None:
    run(
        "CREATE TABLE items (id bigserial PRIMARY KEY, owner varchar(20), v vector(2)) "
        "PARTITION BY HASH (owner) WITH (dynamic = true)"
    )
    run("CREATE INDEX by_v ON items USING hnsw (v vector_l2_ops)")
    run("INSERT INTO items (owner, v, extra) VALUES ('a', '[1,2]', 5), ('b', NULL, NULL)")
    before = run("SELECT id, owner, v, \"$meta\"->>'extra' FROM items ORDER BY id")
    indexes = [row for row in run("DESCRIBE items") if row[0] == "v"]
    run("ALTER TABLE items ADD COLUMN c int DEFAULT 4")
    assert run("SELECT id, owner, v, \"$meta\"->>'extra' FROM items ORDER BY id") == before
    assert [row for row in run("DESCRIBE items") if row[0] == "v"] == indexes
    run("INSERT INTO items (owner) VALUES ('c')")
    assert len({row[0] for row in run("SELECT id FROM items")}) == 3
    with pytest.raises(IngestError, match="dynamic field of the same name as a new field: extra"):
        run("ALTER TABLE items ADD COLUMN extra int")
    # Another statement may follow: the one that was refused left nothing.
    run("ALTER TABLE items ADD COLUMN e int")
    assert run("SELECT c, e, \"$meta\"->>'extra' FROM items WHERE owner = 'a'") == [(4, None, "5")]


@pytest.mark.parametrize(
    ("method", "switched"),
    [
        ("create_collection", False),
        ("upsert", False),
        ("rename_collection", True),
        ("create_alias", True),
        ("drop_collection", True),
    ],
)
def test_a_statement_that_is_killed_is_completed_by_itself(
    client: MilvusClient, run: Any, method: str, switched: bool
) -> None:
    run(ITEMS)
    run(ROWS)
    statement = "ALTER TABLE items ADD COLUMN at timestamptz DEFAULT now(), ADD COLUMN w vector(2)"
    doomed: Any = Doomed(client, method)
    with pytest.raises(Killed):
        execute(doomed, statement, session=Session())
    if switched:
        # As in PostgreSQL where the connection was lost after the commit.
        with pytest.raises(SqlTypeMismatch, match="already has a column of this name: at"):
            run(statement)
    else:
        with pytest.raises(JournalMismatch, match="another change of items was interrupted") as error:
            run("ALTER TABLE items ADD COLUMN other int")
        assert error.value.value == "add at, w"
        run(statement)
    assert run("SELECT id, a, v, w FROM items ORDER BY id") == [
        (1, 10, [1.0, 2.0], None), (2, None, None, None),
    ]  # fmt: skip
    assert run("SELECT count(at), count(DISTINCT at) FROM items") == [(2, 1)]
    assert client.list_collections() == ["items__1"]


@pytest.mark.parametrize("seed", range(3))
def test_a_statement_that_is_killed_anywhere_continues(client: MilvusClient, run: Any, seed: int) -> None:
    run(ITEMS)
    rows = {number: None if number % 3 else [float(number), 1.0] for number in range(60)}
    values = (f"({number}, {number}, {str(v) if v is None else repr(str(v))})" for number, v in rows.items())
    run(f"INSERT INTO items VALUES {', '.join(values)}".replace("None", "NULL"))
    rng, kills = random.Random(seed), 0
    statement = (
        "ALTER TABLE items ADD COLUMN w vector(2), ADD COLUMN at timestamptz DEFAULT now(), DROP COLUMN a, "
        "ADD COLUMN key uuid NOT NULL DEFAULT gen_random_uuid()"
    )
    while True:
        mortal: Any = Mortal(client, rng.randrange(1, 40 + 4 * kills))
        try:
            execute(mortal, statement, session=Session())
            break
        except Killed:
            kills += 1
            assert kills < 100
        except SqlUnknownName as error:
            # It was killed after the name led to the new table: PostgreSQL would have committed.
            assert "no such column: a" in str(error)
            break
        number = rng.randrange(1_000, 9_000)
        if client.has_collection("items") and "w" not in {
            field["name"] for field in client.describe_collection("items")["fields"]
        }:
            execute(client, f"INSERT INTO items VALUES ({number}, 1, '[7,7]')", session=Session())
            rows[number] = [7.0, 7.0]
    assert kills
    query = "SELECT id, v, w FROM items ORDER BY id"
    assert list(execute(client, query, session=Session()).rows) == [
        (number, vector, None) for number, vector in sorted(rows.items())
    ]
    counts = "SELECT count(DISTINCT at), count(at) - count(*), count(DISTINCT key) FROM items"
    assert list(execute(client, counts, session=Session()).rows) == [(1, 0, len(rows))]
    assert [name for name in client.list_collections() if name.startswith("items")] == ["items__1"]
    assert "nestvec.change" not in client.describe_collection("items")["properties"]


def test_a_copied_table_is_listed_under_its_name(tmp_path: Path) -> None:
    database = tmp_path / "columns.db"
    with open_milvus(str(database)) as client:
        session = Session()
        for statement in (ITEMS, ROWS, "CREATE TABLE year__2024 (id bigint PRIMARY KEY)"):
            execute(client, statement, session=session)
        execute(client, "ALTER TABLE items ADD COLUMN b text NOT NULL DEFAULT 'x'", session=session)
        assert execute(client, "SHOW TABLES", session=session).rows == (("items",), ("year__2024",))
    engine = sa.create_engine(f"nestvec:///{database}")
    inspected = sa.inspect(engine)
    assert inspected.get_table_names() == ["items", "year__2024"]
    assert inspected.has_table("items")
    assert [column["name"] for column in inspected.get_columns("items")] == ["id", "a", "v", "b"]
    engine.dispose()
    with run_pg(database) as server, psycopg.connect(server.address, autocommit=True) as opened:
        query = (
            "SELECT attname FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0 ORDER BY 1"
        )
        opened.execute("ALTER TABLE items ADD COLUMN c int, DROP COLUMN a")
        assert [row[0] for row in opened.execute(query)] == ["b", "c", "id", "v"]
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
        assert [row[0] for row in opened.execute(query)] == ["items", "year__2024"]
