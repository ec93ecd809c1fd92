"""Writes of SQL on a real Milvus: concurrent updates from two processes, and what queries compute."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from integration_tests.fixtures.services import vacant_ports
from pymilvus import MilvusClient, MilvusException

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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a Milvus Lite that several processes share."""
    (port,) = vacant_ports(1)
    program, data = str(Path(sys.executable).with_name("milvus-lite")), str(tmp_path / "data")
    command = [program, "server", "--data-dir", data]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 600
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


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("INSERT INTO t VALUES (3, 3, '[1,2]') RETURNING 1 / (n - 3)", [(1, 1), (2, 2), (3, 3)]),
        ("UPDATE t SET n = n + 1 RETURNING 1 / (n - 3)", [(1, 2), (2, 3)]),
        ("DELETE FROM t RETURNING 1 / (n - 2)", [(1, 1), (2, 2)]),
        ("DELETE FROM t WHERE n % 2 = 0 RETURNING 1 / (n - 2)", [(1, 1), (2, 2)]),
    ],
)
def test_an_error_in_returning_says_what_was_written(
    tmp_path: Path, statement: str, rows: list[tuple[int, int]]
) -> None:
    with nestvec.connect(str(tmp_path / "t.db")) as connection:
        connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT, v VECTOR(2))")
        connection.execute("INSERT INTO t VALUES (1, 1, '[1,2]'), (2, 2, '[1,2]')")
        connection.commit()
        with pytest.raises(dbapi.DataError, match="division by zero") as caught:
            connection.execute(statement)
        assert connection.execute("SELECT id, n FROM t ORDER BY id").fetchall() == rows
        if rows == [(1, 1), (2, 2)]:
            connection.rollback()
            return
        assert re.search(r"(1 row was|2 rows were) written, and stay", str(caught.value))
        with pytest.raises(dbapi.NotSupportedError, match="ROLLBACK of 1 statement"):
            connection.rollback()


def test_returning_has_columns_of_the_other_tables(tmp_path: Path) -> None:
    with nestvec.connect(str(tmp_path / "t.db")) as connection:
        connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT)")
        connection.execute("INSERT INTO t VALUES (1, 1)")
        changed = connection.execute("UPDATE t SET n = 5 FROM t AS u WHERE u.id = t.id RETURNING *")
        assert changed.fetchall() == [(1, 5, 1, 1)]
        changed = connection.execute(
            "UPDATE t SET n = t.n + u.n FROM t AS u WHERE u.id = t.id RETURNING t.*, u.n"
        )
        assert changed.fetchall() == [(1, 10, 5)]
        removed = connection.execute(
            "DELETE FROM t USING t AS u WHERE u.id = t.id RETURNING t.n, u.id AS same"
        )
        assert (removed.fetchall(), removed.rowcount) == ([(10, 1)], 1)
        with pytest.raises(dbapi.NotSupportedError, match="a subquery in RETURNING beside columns of other"):
            connection.execute("DELETE FROM t USING t AS u WHERE u.id = t.id RETURNING u.id, (SELECT 1)")
        with pytest.raises(dbapi.NotSupportedError, match="of which each call gives another value"):
            connection.execute("UPDATE t SET n = random() FROM t AS u WHERE u.id = t.id RETURNING u.id, t.n")
        connection.commit()


def test_sets_of_parameters_before_one_that_fails_are_told_and_counted(tmp_path: Path) -> None:
    statement = "INSERT INTO t VALUES (1, 1, '[1,2]') ON CONFLICT (id) DO UPDATE SET n = t.n + 6 / $1"
    with nestvec.connect(str(tmp_path / "t.db")) as connection:
        connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT, v VECTOR(2))")
        connection.commit()
        with pytest.raises(dbapi.DataError, match="2 rows were written, and stay"):
            connection.cursor().executemany(statement, [(1,), (2,), (0,)])
        assert connection.execute("SELECT n FROM t").fetchall() == [(4,)]
        with pytest.raises(dbapi.NotSupportedError, match="ROLLBACK of 1 statement"):
            connection.rollback()


def test_a_refused_id_writes_none_of_the_generated_ones(tmp_path: Path) -> None:
    with nestvec.connect(str(tmp_path / "t.db")) as connection:
        connection.execute("CREATE TABLE t (id BIGSERIAL PRIMARY KEY, n INT, v VECTOR(2))")
        connection.execute("INSERT INTO t (id, n, v) VALUES (1, 1, '[1,2]')")
        with pytest.raises(dbapi.IntegrityError, match="already exists: 1"):
            connection.execute("INSERT INTO t (id, n, v) VALUES (DEFAULT, 2, '[1,2]'), (1, 3, '[1,2]')")
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_the_statements_of_pgvectors_readme(connection: dbapi.Connection) -> None:
    for statement, expected in README:
        cursor = connection.execute(statement)
        if expected is not None:
            assert cursor.fetchall() == expected, statement


def test_views_stay_with_the_database(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    with nestvec.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT, v VECTOR(2))")
        connection.execute("INSERT INTO t VALUES (1, 10, '[1,2]'), (2, 20, '[3,4]')")
        connection.execute("CREATE VIEW large (key, twice) AS SELECT id, a * 2 FROM t WHERE a > 15")
        connection.execute("CREATE VIEW nearest AS SELECT id FROM t ORDER BY v <-> '[3,4]' LIMIT 1")
        with pytest.raises(dbapi.ProgrammingError, match="no such column: nope"):
            connection.execute("CREATE VIEW wrong AS SELECT nope FROM t")
        with pytest.raises(dbapi.NotSupportedError, match="a parameter in a view"):
            connection.execute("CREATE VIEW wrong AS SELECT id FROM t WHERE id = $1", [1])
        with pytest.raises(dbapi.ProgrammingError, match="a view of this name exists: large"):
            connection.execute("CREATE TABLE large (id INT PRIMARY KEY, v VECTOR(2))")
    with nestvec.connect(path) as connection:
        joined = "SELECT t.id, large.twice FROM t LEFT JOIN large ON t.id = large.key ORDER BY t.id"
        assert connection.execute(joined).fetchall() == [(1, None), (2, 40)]
        assert connection.execute("SELECT * FROM nearest").fetchall() == [(2,)]
        assert connection.execute("DELETE FROM t USING large WHERE t.id = large.key").rowcount == 1
        connection.execute("DROP VIEW large")
        with pytest.raises(dbapi.ProgrammingError, match="no collection of this name: large"):
            connection.execute("SELECT * FROM large")


@pytest.mark.parametrize("extension", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_what_copy_writes_it_reads_back(connection: dbapi.Connection, tmp_path: Path, extension: str) -> None:
    columns = (
        "(id INT PRIMARY KEY, day DATE, price NUMERIC(8, 2), name TEXT, raw BYTEA, tags TEXT[], v VECTOR(2))"
    )
    path = tmp_path / f"rows.{extension}"
    for name in ("written", "read_back"):
        connection.execute(f"CREATE TABLE {name} {columns}")
    row = [1, NOON.date(), Decimal("1.20"), 'a "b", c', b"\x00\xff", ["x", "y"], [1.0, 2.0]]
    connection.execute("INSERT INTO written VALUES ($1, $2, $3, $4, $5, $6, $7)", row)
    connection.execute("INSERT INTO written (id, v) VALUES (2, '[3,4]')")
    assert connection.execute("COPY written TO :path", {"path": str(path)}).statusmessage == "COPY 2"
    assert connection.execute("COPY read_back FROM :path", {"path": str(path)}).rowcount == 2
    rows = "SELECT * FROM {} ORDER BY id"
    expected = connection.execute(rows.format("written")).fetchall()
    assert connection.execute(rows.format("read_back")).fetchall() == expected
    assert sorted(file.name for file in tmp_path.glob(f"*.{extension}*")) == [path.name]


def test_copy_warns_of_the_rows_that_it_rejects(connection: dbapi.Connection, tmp_path: Path) -> None:
    connection.execute("CREATE TABLE counts (id INT PRIMARY KEY, n INT, v VECTOR(2))")
    path = tmp_path / "counts.csv"
    path.write_text('id,n,v\nx,1,"[1, 2]"\ny,2,"[1, 2]"\n')
    with pytest.warns(UserWarning, match=r"COPY 0 \(2 rejected, in .*counts\.csv\.rejected\.jsonl\)"):
        cursor = connection.execute(f"COPY counts FROM '{path}'")
    assert cursor.rowcount == 0
    with pytest.raises(dbapi.NotSupportedError, match="Write FROM '-'"):
        connection.execute("COPY counts FROM STDIN (FORMAT csv)")


def test_a_table_from_a_query(connection: dbapi.Connection) -> None:
    connection.execute(EVENTS)
    connection.execute(
        "INSERT INTO events (id, day, price, code, half, v) "
        "VALUES ($1, '2024-01-31', 1.25, '00000', '[1,2]', '[1,2]')",
        [FIRST],
    )
    made = connection.execute(
        "CREATE TABLE days AS SELECT day, sum(price) AS total, avg(v) AS v FROM events GROUP BY day"
    )
    assert made.statusmessage == "SELECT 1"
    rows = connection.execute("SELECT day, total, v FROM days").fetchall()
    assert rows == [(dt.date(2024, 1, 31), Decimal("1.25"), [1.0, 2.0])]
    connection.execute("CREATE TABLE plain AS SELECT day FROM events")
    assert connection.execute("SELECT day FROM plain").fetchall() == [(dt.date(2024, 1, 31),)]


def test_a_table_from_a_query_keeps_types(connection: dbapi.Connection) -> None:
    connection.execute(
        "CREATE TABLE t (id UUID PRIMARY KEY, j JSONB, exact NUMERIC, days DATE[], raw BYTEA, v VECTOR(2))"
    )
    row = (FIRST, {"a": 1}, Decimal("1.125"), [NOON.date()], b"\x00", [1.0, 2.0])
    connection.execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6)", row)
    connection.execute("CREATE TABLE copied AS SELECT * FROM t")
    assert connection.execute("SELECT * FROM copied").fetchall() == [row]
    described = [connection.execute(f"DESCRIBE {name}").fetchall() for name in ("t", "copied")]
    types = [{row[0]: row[1] for row in rows} for rows in described]
    assert types[1] == types[0]


def test_a_numeric_that_duckdb_cannot_hold_is_not_rounded(connection: dbapi.Connection) -> None:
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, n NUMERIC, v VECTOR(2))")
    number = Decimal("0." + 44 * "1")
    connection.execute("INSERT INTO t VALUES (1, $1, '[1,2]')", [number])
    with pytest.raises(dbapi.NotSupportedError):
        connection.execute("UPDATE t SET n = n + 1")
    assert connection.execute("SELECT n FROM t").fetchall() == [(number,)]


@pytest.mark.parametrize(
    ("statement", "refused", "told"),
    [
        ("UPDATE t SET n = 5 WHERE id > 0", "upsert", "2 rows were written, and stay"),
        ("UPDATE t SET n = n + 5", "upsert", "2 rows were written, and stay"),
        (
            "INSERT INTO t (id, n, v) VALUES (1, 1, '[1,2]'), (3, 3, '[1,2]') "
            "ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n",
            "upsert",
            "1 row was written, and stays",
        ),
        ("DELETE FROM t WHERE lower(s) ~ 'x' OR n + 0 > 0", "delete", "2 rows were deleted, and stay so"),
    ],
)
def test_an_error_in_a_second_request_says_what_the_first_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, refused: str, told: str
) -> None:
    path = str(tmp_path / "t.db")
    with nestvec.connect(path) as connection:
        connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT, v VECTOR(2), s TEXT)")
        client = MilvusClient(path)
        client.create_partition("t", "other")
        connection.execute("INSERT INTO t VALUES (1, 1, '[1,2]', 'x'), (2, 2, '[1,2]', 'x')")
        connection.execute("SET nestvec.partitions = 'other'")
        connection.execute("INSERT INTO t VALUES (3, 3, '[1,2]', 'x'), (4, 4, '[1,2]', 'x')")
        connection.execute("RESET nestvec.partitions")
        connection.commit()
        method, calls = getattr(MilvusClient, refused), []

        def second_fails(self: MilvusClient, name: str, *values: Any, **options: Any) -> Any:
            calls.append(name)
            if calls.count("t") == 2:
                raise MilvusException(1100, "invalid parameter")
            return method(self, name, *values, **options)

        monkeypatch.setattr(MilvusClient, refused, second_fails)
        monkeypatch.setattr("nestvec.sql.statements.dml.delete.MAX_IDS_PER_FILTER", 2)
        with pytest.raises(dbapi.Error, match=told):
            connection.execute(statement)
        monkeypatch.undo()
        with pytest.raises(dbapi.NotSupportedError, match="ROLLBACK of 1 statement"):
            connection.rollback()
