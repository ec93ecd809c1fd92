"""NULL in vector columns on the real Milvus Lite: every way to write and read one, across restarts."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from integration_tests.fixtures.lite_server import LiteServer
from pymilvus import MilvusClient

import nestvec
from nestvec import dbapi
from nestvec.milvus.null_vectors import clients

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, k int, v vector(3), w vector(2) NOT NULL DEFAULT '[1,0]')"
READ = "SELECT id, v FROM items ORDER BY id"
IN_ANOTHER_PROCESS = """
import sys, nestvec
with nestvec.connect(sys.argv[1]) as connection:
    print(connection.execute("SELECT id FROM items ORDER BY v <-> '[0,0,1]' LIMIT 9").fetchall())
    print(connection.execute("SELECT count(*), count(v) FROM items").fetchone())
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "nulls.db"


@pytest.fixture
def connection(database: Path) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(database)) as opened:
        opened.execute(ITEMS)
        opened.execute(
            "INSERT INTO items (id, k, v) VALUES (1, 1, '[0,0,2]'), (2, 1, NULL), (3, 2, '[0,0,1]')"
        )
        opened.execute("INSERT INTO items (id, k) VALUES (4, 2)")
        yield opened


def rows(connection: dbapi.Connection, query: str, parameters: object = None) -> list[tuple[object, ...]]:
    return connection.execute(query, parameters).fetchall()


def test_a_null_comes_last_and_beyond_the_last_vector(connection: dbapi.Connection) -> None:
    nearest = "SELECT id, v <-> '[0,0,1]' FROM items ORDER BY v <-> '[0,0,1]'"
    assert rows(connection, f"{nearest} LIMIT 2") == [(3, 0.0), (1, 1.0)]
    assert rows(connection, f"{nearest} LIMIT 3") == [(3, 0.0), (1, 1.0), (2, None)]
    assert rows(connection, f"{nearest} LIMIT 2 OFFSET 1") == [(1, 1.0), (2, None)]
    assert rows(connection, f"{nearest} LIMIT 5 OFFSET 3") == [(4, None)]
    assert rows(connection, f"{nearest}") == [(3, 0.0), (1, 1.0), (2, None), (4, None)]
    assert rows(connection, f"{nearest.replace('ORDER', 'WHERE k = 2 ORDER')} LIMIT 9") == [
        (3, 0.0),
        (4, None),
    ]
    assert rows(connection, "SELECT id FROM items WHERE v <-> '[0,0,1]' < 9 ORDER BY id") == [(1,), (3,)]


def test_a_null_is_none_in_every_client(connection: dbapi.Connection, database: Path) -> None:
    expected = [(1, [0.0, 0.0, 2.0]), (2, None), (3, [0.0, 0.0, 1.0]), (4, None)]
    assert rows(connection, READ) == expected
    assert [row[0] for row in rows(connection, "SELECT id FROM items WHERE v IS NULL ORDER BY id")] == [2, 4]
    assert rows(connection, "SELECT count(*), count(v), avg(v) FROM items") == [(4, 2, [0.0, 0.0, 1.5])]

    async def read() -> object:
        async with dbapi.aconnect(str(database)) as opened:
            await opened.execute("INSERT INTO items (id, v) VALUES (5, NULL)")
            return await (await opened.execute(READ)).fetchall()

    assert asyncio.run(read()) == [*expected, (5, None)]


def test_a_null_becomes_a_vector_and_a_vector_a_null(connection: dbapi.Connection) -> None:
    connection.execute("UPDATE items SET v = :v WHERE id = 2", {"v": np.array([1, 1, 1], np.float32)})
    connection.execute("UPDATE items SET v = NULL WHERE id = 1")
    connection.execute("UPDATE items SET k = 7 WHERE id = 4")
    connection.execute(
        "INSERT INTO items (id, v) VALUES (3, :v), (6, :v) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v",
        {"v": None},
    )
    expected = [(1, None), (2, [1.0, 1.0, 1.0]), (3, None), (4, None), (6, None)]
    assert rows(connection, READ) == expected
    assert rows(connection, "SELECT id FROM items ORDER BY v <=> '[1,1,1]' LIMIT 1") == [(2,)]
    assert rows(connection, "DELETE FROM items WHERE v IS NULL RETURNING v") == [(None,)] * 4


def test_an_index_finds_no_null_and_misses_no_row(connection: dbapi.Connection) -> None:
    connection.execute("INSERT INTO items (id, k, v) SELECT 100 + n, n, ARRAY[n, 1, 0]::vector FROM "
                       "generate_series(1, 300) AS n")  # fmt: skip
    connection.execute("INSERT INTO items (id, k) SELECT 1000 + n, n FROM generate_series(1, 300) AS n")
    connection.execute("CREATE INDEX ON items USING hnsw (v vector_l2_ops)")
    nearest = rows(connection, "SELECT id, v FROM items ORDER BY v <-> '[150,1,0]' LIMIT 320")
    assert [row[0] for row in nearest[:1]] == [250]
    assert sum(row[1] is None for row in nearest) == 320 - 302


@pytest.mark.parametrize("kind", ["halfvec(3)", "bit(3)", "sparsevec(3)", "bfloat16_vector(3)"])
def test_vectors_of_every_type_may_be_null(connection: dbapi.Connection, kind: str) -> None:
    connection.execute(f"CREATE TABLE others (id int PRIMARY KEY, v {kind})")
    text = {"bit(3)": "101", "sparsevec(3)": "{1:1,3:2}/3"}.get(kind, "[1,0,2]")
    connection.execute(f"INSERT INTO others VALUES (1, '{text}'), (2, NULL)")
    assert rows(connection, "SELECT id, v IS NULL, v::text FROM others ORDER BY id") == [
        (1, False, text),
        (2, True, None),
    ]
    operator = "<~>" if kind == "bit(3)" else "<->"
    nearest = f"SELECT id FROM others ORDER BY v {operator} '{text}' LIMIT 5"
    assert rows(connection, nearest) == [(1,), (2,)]


def test_another_process_reads_it_after_a_restart(connection: dbapi.Connection, database: Path) -> None:
    connection.close()
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(database)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["[(3,), (1,), (2,), (4,)]", "(4, 2)"]


def test_pymilvus_alone_writes_beside_it(connection: dbapi.Connection, database: Path) -> None:
    client = MilvusClient(str(database))
    client.insert("items", [{"id": 9, "k": 1, "v": [0.0, 0.0, 9.0], "w": [1.0, 0.0]}])
    client.close()
    assert rows(connection, "SELECT v FROM items WHERE id = 9") == [([0.0, 0.0, 9.0],)]


def test_the_first_null_of_a_server_waits_until_all_processes_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(clients, "time", SimpleNamespace(sleep=waits.append))
    server = LiteServer(tmp_path / "data")
    server.start()
    try:
        with nestvec.connect(server.uri) as connection:
            connection.execute(ITEMS)
            connection.execute("INSERT INTO items (id, v) VALUES (1, '[1,2,3]')")
            assert waits == []
            connection.execute("INSERT INTO items (id, v) VALUES (2, NULL)")
            connection.execute("INSERT INTO items (id, v) VALUES (3, NULL)")
            assert [wait > 10 for wait in waits] == [True]
            assert rows(connection, READ) == [(1, [1.0, 2.0, 3.0]), (2, None), (3, None)]
    finally:
        server.kill()


def test_files_have_nulls(connection: dbapi.Connection, database: Path, tmp_path: Path) -> None:
    copied, ingested = tmp_path / "rows.csv", tmp_path / "rows.jsonl"
    copied.write_text('id,k,v\n10,1,\n11,1,"[1,2,3]"\n')
    connection.execute(f"COPY items FROM '{copied}' WITH (FORMAT csv, HEADER)")
    connection.execute(f"COPY (SELECT id, v FROM items WHERE id > 9) TO '{tmp_path}/out.csv' WITH (HEADER)")
    assert (tmp_path / "out.csv").read_text() == 'id,v\n10,\n11,"[1.0,2.0,3.0]"\n'
    connection.close()
    ingested.write_text("".join(json.dumps(row) + "\n" for row in (
        {"id": 20, "v": None}, {"id": 21}, {"id": 22, "v": [3, 2, 1]},
    )))  # fmt: skip
    arguments = ["ingest", str(ingested), "--collection", "items", "--uri", str(database)]
    program = "from nestvec.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with nestvec.connect(str(database)) as reopened:
        assert rows(reopened, "SELECT id, v FROM items WHERE id >= 10 ORDER BY id") == [
            (10, None), (11, [1.0, 2.0, 3.0]), (20, None), (21, None), (22, [3.0, 2.0, 1.0]),
        ]  # fmt: skip


def test_a_column_of_before_takes_no_null(connection: dbapi.Connection) -> None:
    with pytest.raises(dbapi.IntegrityError, match="w cannot be NULL"):
        connection.execute("UPDATE items SET w = NULL")
    with pytest.raises(dbapi.ProgrammingError, match="this name is nestvec's own"):
        connection.execute("CREATE TABLE x (id int PRIMARY KEY, nestvec_null_v boolean, v vector(2))")
    shown = connection.execute("SHOW COLUMNS FROM items").fetchall()
    assert not any("nestvec_null" in str(row) for row in shown)
