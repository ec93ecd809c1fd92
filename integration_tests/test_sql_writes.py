"""Writes of SQL on a real Milvus: concurrent updates from two processes, and what queries compute."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

import nestvec
from nestvec import dbapi

INCREMENT = """\
import sys
import nestvec
from nestvec import dbapi
with nestvec.connect(sys.argv[1]) as connection:
    for _ in range(int(sys.argv[2])):
        connection.execute("UPDATE counters SET n = n + 1 WHERE id = 1")
"""


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a Milvus Lite that several processes share."""
    port = free_port()
    command = [Path(sys.executable).with_name("milvus-lite"), "server", "--data-dir", tmp_path / "data"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            try:
                nestvec.connect(address, timeout=5).close()
                break
            except dbapi.OperationalError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def test_no_update_of_two_processes_is_lost(server: str) -> None:
    each = 15
    with nestvec.connect(server) as connection:
        connection.execute("CREATE TABLE counters (id INT PRIMARY KEY, n INT, v VECTOR(2))")
        connection.execute("INSERT INTO counters VALUES (1, 0, '[1, 2]')")
        command = [sys.executable, "-c", INCREMENT, server, str(each)]
        processes = [subprocess.Popen(command) for _ in range(2)]
        for process in processes:
            assert process.wait(300) == 0
        assert connection.execute("SELECT n FROM counters").fetchall() == [(2 * each,)]
        assert connection.execute("SHOW TABLES").fetchall() == [("counters",)]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[dbapi.Connection]:
    with nestvec.connect(tmp_path / "writes.db") as opened:
        yield opened


EVENTS = """CREATE TABLE events (id UUID PRIMARY KEY, day DATE NOT NULL, at TIMESTAMPTZ, price NUMERIC(8, 2),
    raw BYTEA, code BIT(5), half HALFVEC(2), v VECTOR(2))"""
FIRST, SECOND = uuid.UUID(int=1), uuid.UUID(int=2)
NOON = dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC)


def test_values_of_every_type_are_the_same_after_reopening(tmp_path: Path) -> None:
    row = (FIRST, NOON.date(), NOON, Decimal("12.50"), b"\x00\xff", "10110", [0.5, 1.0], [1.0, 2.0])
    path = tmp_path / "events.db"
    with nestvec.connect(path) as connection:
        connection.execute(EVENTS)
        connection.execute("INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", row)
    with nestvec.connect(path) as connection:
        assert connection.execute("SELECT * FROM events").fetchall() == [row]
        for condition, value in (
            ("id = $1", FIRST),
            ("day >= $1", NOON.date()),
            ("at BETWEEN $1 AND $1", NOON),
            ("price = $1", Decimal("12.5")),
            ("raw = $1", b"\x00\xff"),
            ("price < $1", Decimal("12.501")),
        ):
            found = connection.execute(f"SELECT id FROM events WHERE {condition}", [value])
            assert found.fetchall() == [(FIRST,)], condition


def test_an_update_computes_values_of_these_types(connection: dbapi.Connection) -> None:
    connection.execute(EVENTS)
    columns = "id, day, price, code, half, v"
    insert = f"INSERT INTO events ({columns}) VALUES ($1, $2, $3, '00000', '[1,2]', '[1,2]')"
    connection.cursor().executemany(
        insert, [(FIRST, NOON.date(), Decimal("1.25")), (SECOND, NOON.date(), Decimal("2.50"))]
    )
    changed = connection.execute(
        "UPDATE events SET day = day + 1, price = price * 3 WHERE price > 1.999 RETURNING id, day, price"
    )
    assert changed.fetchall() == [(SECOND, dt.date(2024, 2, 1), Decimal("7.50"))]
    connection.execute(
        "CREATE TABLE days (id BIGSERIAL PRIMARY KEY, day DATE, total NUMERIC(10, 2), v VECTOR(2))"
    )
    copied = connection.execute(
        "INSERT INTO days (day, total, v) SELECT day, sum(price), '[1,2]' FROM events GROUP BY day"
    )
    assert copied.statusmessage == "INSERT 0 2"
    assert connection.execute("SELECT day, total FROM days ORDER BY day").fetchall() == [
        (dt.date(2024, 1, 31), Decimal("1.25")),
        (dt.date(2024, 2, 1), Decimal("7.50")),
    ]
    assert connection.execute("DELETE FROM events USING days WHERE events.day = days.day").rowcount == 2


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO events (id, day, price, v) VALUES ('x', '2024-01-01', 1, '[1,2]')", dbapi.DataError),
        ("INSERT INTO events (id, day, v) VALUES (:id, '2024-02-30', '[1,2]')", dbapi.DataError),
        ("INSERT INTO events (id, day, v) VALUES (:id, NULL, '[1,2]')", dbapi.IntegrityError),
        ("UPDATE events SET price = 1000000", dbapi.DataError),
        ("SELECT 1 / 0", dbapi.DataError),
    ],
)
def test_errors_have_the_classes_of_postgresql(
    connection: dbapi.Connection, statement: str, error: type[dbapi.Error]
) -> None:
    connection.execute(EVENTS)
    with pytest.raises(error):
        connection.execute(statement, {"id": FIRST})


README = [
    ("CREATE EXTENSION vector", None),
    ("CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3))", None),
    ("INSERT INTO items (embedding) VALUES ('[1,2,3]'), ('[4,5,6]')", None),
    ("SELECT id FROM items ORDER BY embedding <-> '[3,1,2]' LIMIT 5", [(1,), (2,)]),
    (
        "INSERT INTO items (id, embedding) VALUES (1, '[1,2,3]'), (2, '[4,5,6]') "
        "ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding",
        None,
    ),
    ("UPDATE items SET embedding = '[1,2,3]' WHERE id = 1", None),
    (
        "SELECT id FROM items WHERE id != 1 "
        "ORDER BY embedding <-> (SELECT embedding FROM items WHERE id = 1) LIMIT 5",
        [(2,)],
    ),
    ("SELECT id FROM items WHERE embedding <-> '[3,1,2]' < 5", [(1,)]),
    ("SELECT AVG(embedding) FROM items", [([2.5, 3.5, 4.5],)]),
    ("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64)", None),
    ("SELECT id FROM items ORDER BY embedding <=> '[3,1,2]' LIMIT 5", [(2,), (1,)]),
    ("DROP INDEX items_embedding_idx", None),
    ("CREATE INDEX ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = 100)", None),
    ("DELETE FROM items WHERE id = 1", None),
    ("CREATE TABLE bits (id bigserial PRIMARY KEY, embedding bit(3))", None),
    ("INSERT INTO bits (embedding) VALUES ('000'), ('111')", None),
    ("SELECT id, embedding FROM bits ORDER BY embedding <~> '101' LIMIT 5", [(2, "111"), (1, "000")]),
    ("CREATE TABLE sparse (id bigserial PRIMARY KEY, embedding sparsevec(5))", None),
    ("INSERT INTO sparse (embedding) VALUES ('{1:1,3:2,5:3}/5'), ('{1:4,3:5,5:6}/5')", None),
    ("SELECT id FROM sparse ORDER BY embedding <-> '{1:3,3:1,5:2}/5' LIMIT 5", [(1,), (2,)]),
]


def test_the_statements_of_pgvectors_readme(connection: dbapi.Connection) -> None:
    for statement, expected in README:
        cursor = connection.execute(statement)
        if expected is not None:
            assert cursor.fetchall() == expected, statement
