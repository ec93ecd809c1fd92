"""PostgreSQL's protocol on the real Milvus Lite: psycopg, asyncpg, pgvector's client, SQLAlchemy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import numpy as np
import pandas
import pgvector.asyncpg
import pgvector.psycopg
import psycopg
import pytest
import sqlalchemy
from integration_tests.fixtures.pgwire import RunningPg, run_pg
from integration_tests.fixtures.services import vacant_address
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Session

from nestvec.pgwire.settings import PgLimits, PgSettings
from nestvec.sql.settings import SessionSettings

TEXTS = ("Read rows from a CSV file", "Compute the square root of a number", "Open a network socket")


@pytest.fixture(scope="module")
def pg(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    """A server with ``items``, whose vectors are the application's, and ``docs``, embedded by the service."""
    service = vacant_address()
    sql = SessionSettings(service=service, models=models)
    with run_pg(tmp_path_factory.mktemp("pgwire") / "pg.db", PgSettings(sql=sql)) as running:
        with psycopg.connect(running.address, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(50), price DOUBLE PRECISION, "
                "ok BOOLEAN, small SMALLINT, meta JSONB, tags TEXT[], v VECTOR(3) NOT NULL)"
            )
            connection.execute(
                "INSERT INTO items VALUES (1, 'a', 1.5, true, 2, '{\"k\": 1}', ARRAY['p', 'q'], '[1,2,3]'), "
                "(2, 'b', 2.5, false, 3, '{\"k\": [2]}', ARRAY['r'], '[4,5,6]'), "
                "(3, 'it''s', NULL, NULL, NULL, NULL, ARRAY['s'], '[1,0,0]')"
            )
            connection.execute(
                "CREATE TABLE docs (id BIGINT PRIMARY KEY, doc TEXT, "
                "doc_64 VECTOR(64) GENERATED ALWAYS AS (EMBED(doc, 'minilm')) STORED)"
            )
            for number, text in enumerate(TEXTS):
                connection.execute("INSERT INTO docs (id, doc) VALUES (%s, %s)", (number, text))
        yield running


@pytest.fixture
def connection(pg: RunningPg) -> Iterator[psycopg.Connection]:
    with psycopg.connect(pg.address, autocommit=True) as opened:
        yield opened


def test_values_arrive_as_python_values(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "SELECT id, name, price, ok, small, meta, tags, v FROM items ORDER BY id"
    ).fetchall()
    assert rows == [
        (1, "a", 1.5, True, 2, {"k": 1}, ["p", "q"], "[1,2,3]"),
        (2, "b", 2.5, False, 3, {"k": [2]}, ["r"], "[4,5,6]"),
        (3, "it's", None, None, None, None, ["s"], "[1,0,0]"),
    ]


def test_binary_values_are_the_same(connection: psycopg.Connection) -> None:
    pgvector.psycopg.register_vector(connection)
    statement = "SELECT id, name, price, ok, small, meta, tags, v FROM items ORDER BY id"
    text = connection.execute(statement).fetchall()
    assert connection.cursor(binary=True).execute(statement).fetchall() == text


def test_a_text_is_embedded_by_the_service(connection: psycopg.Connection) -> None:
    statement = "SELECT id FROM docs ORDER BY doc_64 <=> %s LIMIT 1"
    assert connection.execute(statement, ("parse a csv",)).fetchall() == [(0,)]
    assert connection.execute(statement, ("sqrt",)).fetchall() == [(1,)]


def test_pgvectors_client_sends_and_reads_vectors(connection: psycopg.Connection) -> None:
    pgvector.psycopg.register_vector(connection)
    row = connection.execute(
        "SELECT id, v FROM items ORDER BY v <=> %s LIMIT 1", (np.array([1, 2, 3]),)
    ).fetchone()
    assert row is not None
    assert row[0] == 1
    assert row[1].to_list() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("name = %s", ("a",), [1]),
        ("id = %s", ("2",), [2]),
        ("id = %s AND price > %s", (2, Decimal("2.25")), [2]),
        ("id = ANY(%s)", ([1, 3],), [1, 3]),
        ("id IN (%s, %s)", (1, 2), [1, 2]),
        ("ok = %s", (True,), [1]),
        ("name LIKE %s", ("it%",), [3]),
        ("id BETWEEN %s AND %s", (2, 3), [2, 3]),
    ],
)
def test_parameters(
    connection: psycopg.Connection, condition: str, values: tuple[object, ...], expected: list[int]
) -> None:
    statement = f"SELECT id FROM items WHERE {condition} ORDER BY id"
    for binary in (False, True):
        rows = connection.execute(statement.replace("%s", "%b" if binary else "%s"), values).fetchall()
        assert [row[0] for row in rows] == expected


def test_prepared_statements_are_used_again(connection: psycopg.Connection) -> None:
    found = [
        connection.execute("SELECT name FROM items WHERE id = %s", (number % 3 + 1,), prepare=True).fetchone()
        for number in range(9)
    ]
    assert found == [("a",), ("b",), ("it's",)] * 3


def test_a_prepared_statement_ends_with_the_columns_that_it_had(pg: RunningPg) -> None:
    statement = "SELECT * FROM changing ORDER BY id"
    with (
        psycopg.connect(pg.address, autocommit=True) as connection,
        psycopg.connect(pg.address, autocommit=True) as other,
    ):
        other.execute("CREATE TABLE changing (id BIGINT PRIMARY KEY, n INT, v VECTOR(2))")
        other.execute("INSERT INTO changing VALUES (1, 1, '[1,2]')")
        assert connection.execute(statement, prepare=True).fetchall() == [(1, 1, "[1,2]")]
        other.execute("DROP TABLE changing")
        other.execute("CREATE TABLE changing (id BIGINT PRIMARY KEY, name TEXT, v VECTOR(2))")
        other.execute("INSERT INTO changing VALUES (1, 'a', '[1,2]')")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="must not change result type"):
            connection.execute(statement, prepare=True)
        other.execute("DROP TABLE changing")
        other.execute("CREATE TABLE changing (id BIGINT PRIMARY KEY, n DOUBLE PRECISION, v VECTOR(2))")
        other.execute("INSERT INTO changing VALUES (1, 2.5, '[1,2]')")
        # Neither 2 nor 2.5 as an integer.
        with pytest.raises(psycopg.Error):
            connection.execute(statement, prepare=True, binary=True)
        other.execute("DROP TABLE changing")


def test_an_error_has_state_position_and_hint(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
        connection.execute("SELECT id, nam FROM items")
    diagnostics = raised.value.diag
    assert diagnostics.statement_position == "12"
    assert diagnostics.message_hint is not None
    assert "'name'" in diagnostics.message_hint
    with pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT 1 FROM nothing")
    with pytest.raises(psycopg.errors.SyntaxError):
        connection.execute("SELEC 1")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO items (id, v) VALUES (1, '[1,1,1]')")
    with pytest.raises(psycopg.errors.NotNullViolation):
        connection.execute("INSERT INTO items (id) VALUES (77)")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_several_statements_of_one_query(connection: psycopg.Connection) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT 1; ; SELECT 2 -- ;\n; SELECT ';'")
    values = [cursor.fetchone()]
    while cursor.nextset():
        values += [cursor.fetchone()]
    assert values == [(1,), (2,), (";",)]


def test_a_with_that_writes_is_a_write(pg: RunningPg) -> None:
    """Its Describe does not run it, and its block cannot be rolled back."""
    statement = (
        "WITH moved AS (SELECT id + 600 AS id, v FROM items WHERE id = 1) "
        "INSERT INTO items (id, v) SELECT id, v FROM moved RETURNING id + 1"
    )

    async def prepare() -> None:
        connection = await asyncpg.connect(pg.url)
        await connection.prepare(statement)
        await connection.close()

    asyncio.run(prepare())
    with psycopg.connect(pg.address) as connection:
        assert connection.execute("SELECT count(*) FROM items WHERE id = 601").fetchone() == (0,)
        connection.execute(statement.removesuffix(" + 1"))
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="1 statement"):
            connection.rollback()
        connection.execute("DELETE FROM items WHERE id = 601")
        connection.commit()


def test_the_position_counts_from_the_start_of_the_query(pg: RunningPg) -> None:
    with psycopg.connect(pg.address, autocommit=True) as connection:
        query = "SELECT 1; SELECT nope FROM items"
        result = connection.pgconn.exec_(query.encode())
    position = result.error_field(psycopg.pq.DiagnosticField.STATEMENT_POSITION)
    assert position is not None
    assert query[int(position) - 1 :].startswith("nope")


def test_transactions_are_honest(pg: RunningPg) -> None:
    with psycopg.connect(pg.address) as connection:
        connection.execute("SELECT 1")
        assert connection.info.transaction_status == TransactionStatus.INTRANS
        connection.rollback()
        connection.execute("INSERT INTO items (id, v) VALUES (50, '[1,1,1]')")
        connection.commit()
        connection.execute("DELETE FROM items WHERE id = 50")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="1 statement"):
            connection.rollback()
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert connection.execute("SELECT count(*) FROM items WHERE id = 50").fetchone() == (0,)
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute("SELECT nope FROM items")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.execute("INSERT INTO items (id, v) VALUES (50, '[1,1,1]')")
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute("SELECT nope FROM items")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=r"(?s)1 statement.*failed before.*nope"):
            connection.rollback()
        connection.execute("DELETE FROM items WHERE id = 50")
        connection.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO items (id, v) VALUES (1, '[1,2]')",
        "INSERT INTO items (id, v) VALUES (1, '[1,1,1]')",
        "INSERT INTO nope (id) VALUES (1)",
        "UPDATE items SET id = 2 WHERE id = 1",
        "DELETE FROM items WHERE nope = 1",
        "CREATE TABLE items (id bigint PRIMARY KEY, v vector(3))",
        "DROP TABLE nope",
    ],
)
def test_a_statement_that_changed_nothing_is_rolled_back(pg: RunningPg, statement: str) -> None:
    with psycopg.connect(pg.address) as connection:
        connection.execute("DELETE FROM items WHERE id = 2147483647")
        with pytest.raises(psycopg.Error):
            connection.execute(statement)
        connection.rollback()


WRITES = (
    "INSERT INTO items (id, v) VALUES (77, '[1,1,1]')",
    "UPDATE items SET v = '[1,1,1]' WHERE id = 1",
    "/* a comment */ DELETE FROM items WHERE id = 1",
    "WITH x AS (SELECT 1) DELETE FROM items WHERE id = 1",
    "CREATE TABLE others (id bigint PRIMARY KEY, v vector(3))",
    "DROP TABLE items",
    "COPY items (id, v) FROM STDIN",
)


@pytest.mark.parametrize("write", WRITES)
def test_a_read_only_transaction_refuses_writes(pg: RunningPg, write: str) -> None:
    with psycopg.connect(pg.address) as connection:
        connection.read_only = True
        rows = connection.execute("SELECT * FROM items ORDER BY id").fetchall()
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="in a read-only transaction"):
            connection.execute(write)
        connection.rollback()
        with connection.cursor().copy("COPY items (id) TO STDOUT") as copy:
            assert len(list(copy)) == len(rows)
        assert connection.execute("SELECT * FROM items ORDER BY id").fetchall() == rows


def test_a_session_is_read_only_by_default_until_that_changes(pg: RunningPg) -> None:
    insert = "INSERT INTO items (id, v) VALUES (78, '[1,1,1]')"
    options = "-c default_transaction_read_only=on"
    with psycopg.connect(pg.address, options=options, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(insert)
        connection.execute("BEGIN READ WRITE")
        connection.execute(insert)
        connection.execute("COMMIT")
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        connection.execute("DELETE FROM items WHERE id = 78")
        connection.execute("BEGIN")
        connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="cannot execute INSERT"):
            connection.execute(insert)
        connection.execute("ROLLBACK")
        connection.execute("SET TRANSACTION READ ONLY")  # of no transaction
        connection.execute("DELETE FROM items WHERE id = 78")


@pytest.mark.parametrize(
    "setting",
    ["bytea_output = 'escape'", "extra_float_digits = 0", "search_path = 'other'", "role = 'admin'"],
)
def test_a_setting_without_effect_is_refused(connection: psycopg.Connection, setting: str) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="always"):
        connection.execute(f"SET {setting}")


@pytest.mark.parametrize("setting", ["extra_float_digits = 3", 'search_path = "$user", public, other'])
def test_a_setting_that_is_in_force_is_accepted(connection: psycopg.Connection, setting: str) -> None:
    connection.execute(f"SET {setting}")


@pytest.mark.parametrize(("policy", "notices"), [("warn", 1), ("ignore", 0)])
def test_a_rollback_is_what_the_setting_says(pg: RunningPg, policy: str, notices: int) -> None:
    received: list[str | None] = []
    with psycopg.connect(pg.address) as connection:
        connection.add_notice_handler(lambda notice: received.append(notice.severity_nonlocalized))
        connection.execute(f"SET nestvec.rollback = '{policy}'")
        connection.execute("INSERT INTO items (id, v) VALUES (50, '[1,1,1]')")
        connection.rollback()
        assert connection.info.transaction_status == TransactionStatus.IDLE
        connection.execute("DELETE FROM items WHERE id = 50")
        connection.commit()
    assert received == ["WARNING"] * notices


def test_copy_in_and_out(connection: psycopg.Connection) -> None:
    pgvector.psycopg.register_vector(connection)
    cursor = connection.cursor()
    with cursor.copy("COPY items (id, name, v) FROM STDIN") as copy:
        for number in range(100, 1300):
            copy.write_row((number, f"tab\t{number}" if number % 2 else None, f"[1,2,{number}]"))
    assert cursor.statusmessage == "COPY 1200"
    with cursor.copy(
        "COPY (SELECT id, name FROM items WHERE id < 103 ORDER BY id) TO STDOUT (FORMAT csv)"
    ) as copy:
        assert b"".join(map(bytes, copy)) == b"1,a\n2,b\n3,it's\n100,\n101,tab\t101\n102,\n"
    with cursor.copy("COPY items (id, v) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "vector"])
        copy.write_row((2000, np.array([7, 8, 9])))
    assert connection.execute("SELECT v FROM items WHERE id = 2000").fetchone()[0].to_list() == [
        7.0,
        8.0,
        9.0,
    ]
    with (
        pytest.raises(psycopg.errors.UniqueViolation) as raised,
        cursor.copy("COPY items (id, v) FROM STDIN") as copy,
    ):
        copy.write(b"2000\t[1,1,1]\n")
    assert raised.value.diag.message_detail == "No row of this COPY was stored."
    with (
        pytest.raises(psycopg.errors.BadCopyFileFormat),
        cursor.copy("COPY items (id, v) FROM STDIN") as copy,
    ):
        copy.write(b"2001\n")
    deleted = connection.execute("DELETE FROM items WHERE id >= 100")
    assert deleted.rowcount == 1201


def test_named_cursors_return_rows_in_parts(pg: RunningPg) -> None:
    async def read() -> list[int]:
        connection = await asyncpg.connect(pg.url)
        try:
            async with connection.transaction():
                statement = "SELECT id FROM items ORDER BY id"
                return [row["id"] async for row in connection.cursor(statement, prefetch=2)]
        finally:
            await connection.close()

    assert asyncio.run(read()) == [1, 2, 3]


def test_asyncpg(pg: RunningPg) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(pg.url)
        try:
            await _ask_with_asyncpg(connection)
        finally:
            await connection.close()

    asyncio.run(run())


async def _ask_with_asyncpg(connection: asyncpg.Connection) -> None:
    assert connection.get_server_version().major == 16
    row = await connection.fetchrow("SELECT id, name, price, ok, small, tags, v FROM items WHERE id = $1", 1)
    assert tuple(row) == (1, "a", 1.5, True, 2, ["p", "q"], "[1,2,3]")
    rows = await connection.fetch(
        "SELECT id FROM items WHERE id = ANY($1) ORDER BY id LIMIT $2", [1, 2, 3], 2
    )
    assert [row["id"] for row in rows] == [1, 2]
    await pgvector.asyncpg.register_vector(connection)
    nearest = await connection.fetchval(
        "SELECT v FROM items ORDER BY v <=> $1 LIMIT 1", np.array([4, 5, 6], np.float32)
    )
    assert nearest.to_list() == [4.0, 5.0, 6.0]
    assert (
        await connection.fetchval("SELECT id FROM docs ORDER BY doc_64 <=> $1 LIMIT 1", "a TCP socket") == 2
    )
    vector = np.array([1, 1, 1], np.float32)
    tag = await connection.execute("INSERT INTO items (id, name, v) VALUES ($1, $2, $3)", 300, "n", vector)
    assert tag == "INSERT 0 1"
    records = [(301, "r", vector, ["x"]), (302, None, vector, [])]
    columns = ["id", "name", "v", "tags"]
    assert await connection.copy_records_to_table("items", records=records, columns=columns) == "COPY 2"
    with pytest.raises(asyncpg.UndefinedColumnError):
        await connection.fetch("SELECT nope FROM items")
    rows = await connection.fetch("DELETE FROM items WHERE id >= $1 RETURNING id", 300)
    assert sorted(row["id"] for row in rows) == [300, 301, 302]
    await connection.reset()


def test_sqlalchemys_own_dialect(pg: RunningPg, monkeypatch: pytest.MonkeyPatch) -> None:
    # pgvector.sqlalchemy, which another test may have imported, adds it.
    monkeypatch.delitem(postgresql.base.ischema_names, "vector", raising=False)
    engine = sqlalchemy.create_engine(pg.url.replace("postgresql:", "postgresql+psycopg:"))
    inspector = sqlalchemy.inspect(engine)
    assert sorted(inspector.get_table_names()) == ["docs", "items"]
    with pytest.warns(sqlalchemy.exc.SAWarning, match="vector"):
        columns = {column["name"]: column for column in inspector.get_columns("items")}
    shown = {name: str(column["type"]) for name, column in columns.items()}
    assert shown["id"] == "BIGINT"
    assert shown["name"] == "VARCHAR(50)"
    assert shown["meta"] == "JSONB"
    assert columns["v"]["nullable"] is False
    assert inspector.get_pk_constraint("items")["constrained_columns"] == ["id"]
    assert inspector.has_table("items")
    assert not inspector.has_table("nothing")
    with pytest.warns(sqlalchemy.exc.SAWarning, match="vector"):
        table = sqlalchemy.Table("items", sqlalchemy.MetaData(), autoload_with=engine)
    base = type("Base", (DeclarativeBase,), {})
    item = type("Item", (base,), {"__table__": table})
    with Session(engine) as session:
        assert session.get(item, 1).name == "a"
        statement = sqlalchemy.select(table.c.id).where(table.c.name.like("%'s")).order_by(table.c.id)
        assert session.scalars(statement).all() == [3]
    frame = pandas.read_sql("SELECT id, price FROM items ORDER BY id", engine)
    assert frame["id"].tolist() == [1, 2, 3]
    engine.dispose()


def test_times_of_another_zone_are_not_taken_for_those_of_utc(pg: RunningPg) -> None:
    with psycopg.connect(pg.address, autocommit=True, options="-c TimeZone=Asia/Tokyo") as connection:
        assert connection.info.parameter_status("TimeZone") == "UTC"
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="always UTC"):
            connection.execute("SET TIME ZONE 'Asia/Tokyo'")
        connection.execute("SET TimeZone = 'UTC'")


def test_names_of_settings_at_the_start_have_any_case(pg: RunningPg) -> None:
    options = "-c Nestvec.Recall=0.8 -c NESTVEC.MODELS=/etc"
    with psycopg.connect(pg.address, autocommit=True, options=options) as connection:
        assert connection.execute("SHOW nestvec.recall").fetchone() == ("0.8",)
        assert connection.execute("SHOW nestvec.models").fetchone() != ("/etc",)


def test_settings(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="models"):
        connection.execute("SET nestvec.models = '/etc'")
    with connection.transaction():
        connection.execute("SET LOCAL nestvec.recall = 0.8")
    assert connection.execute("SHOW nestvec.recall").fetchone() == ("0.99",)
    connection.execute("SET nestvec.recall = 0.9")
    assert connection.execute("SHOW nestvec.recall").fetchone() == ("0.9",)
    connection.execute("SET application_name TO 'tests'")
    assert connection.info.parameter_status("application_name") == "tests"
    with pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("SET no_such_setting = 1")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute("SET client_encoding = 'latin1'")
    assert connection.execute("SELECT current_setting('server_version')").fetchone() == ("16.4",)
    assert connection.execute("SELECT set_config('work_mem', '8MB', false)").fetchone() == ("8MB",)
    assert connection.execute("SHOW work_mem").fetchone() == ("8MB",)


def test_connections_above_the_limit_are_refused(tmp_path: Path) -> None:
    with (
        run_pg(tmp_path / "limit.db", PgSettings(PgLimits(connections=1))) as running,
        psycopg.connect(running.address, autocommit=True),
        pytest.raises(psycopg.OperationalError, match="too many clients"),
    ):
        psycopg.connect(running.address)
