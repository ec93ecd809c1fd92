"""PEP 249, its async version, SQLAlchemy and pandas on the real Milvus Lite."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import DataType, MilvusClient
from sqlalchemy.dialects import registry

import nestvec
from nestvec import dbapi
from nestvec.milvus.connection import open_milvus
from nestvec.sqlalchemy import NestvecDialect
from nestvec_schemas.errors import NestvecError

ROWS = [
    {
        "id": n,
        "title": None if n % 4 == 3 else f"title {n}",
        "tags": ["a", "b"][: n % 3],
        "meta": {"n": n},
        "v": [1.0, float(n), 0.0],
    }
    for n in range(20)
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("dbapi") / "demo.db")
    client = MilvusClient(uri)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("title", DataType.VARCHAR, max_length=200, nullable=True)
    schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=10)
    schema.add_field("meta", DataType.JSON)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=3)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection("papers", schema=schema, index_params=index)
    client.insert("papers", ROWS)
    client.close()
    return uri


@pytest.fixture(scope="module")
def connection(database: str) -> Iterator[dbapi.Connection]:
    with nestvec.connect(database) as opened:
        yield opened


def ids(uri: str) -> str:
    """What another process finds, which cannot open the database while this one holds it."""
    code = f"import nestvec; print(len(nestvec.connect({uri!r}).execute('SELECT id FROM papers').fetchall()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


def test_a_cursor(connection: dbapi.Connection) -> None:
    with connection.cursor() as cursor:
        assert cursor.execute("SELECT id, title FROM papers WHERE id < :top", {"top": 3}) is cursor
        assert cursor.rowcount == 3
        assert sorted(cursor) == [(0, "title 0"), (1, "title 1"), (2, "title 2")]
        cursor.execute("SELECT id FROM papers ORDER BY v <=> $1 LIMIT 3", [[1, 5, 0]])
        assert cursor.fetchone() == (5,)
        assert sorted(cursor.fetchmany(9)) == [(4,), (6,)]
        assert cursor.fetchall() == []
    with pytest.raises(dbapi.InterfaceError, match="closed"):
        cursor.execute("SELECT id FROM papers")


def test_arrow_and_pandas(connection: dbapi.Connection) -> None:
    statement = "SELECT id, title, tags, meta, v, v <=> :q AS d FROM papers ORDER BY d LIMIT 20"
    found = connection.execute(statement, {"q": np.array([1.0, 0.0, 0.0], np.float32)}).arrow()
    assert str(found.schema.field("v").type) == "fixed_size_list<item: float>[3]"
    assert str(found.schema.field("tags").type) == "list<item: string>"
    assert found.column("meta").to_pylist()[0] == '{"n":0}'
    assert found.column("id").to_pylist()[0] == 0
    frame = connection.execute(statement, {"q": [1, 0, 0]}).df()
    assert frame.shape == (20, 6)
    assert frame["d"].is_monotonic_increasing


def test_errors_are_pep_249s(connection: dbapi.Connection, tmp_path: Path) -> None:
    with pytest.raises(dbapi.ProgrammingError, match="Did you mean 'title'") as raised:
        connection.execute("SELECT titel FROM papers")
    assert raised.value.position == 7
    with pytest.raises(dbapi.ProgrammingError, match="Did you mean 'papers'"):
        connection.execute("SELECT id FROM paper")
    with pytest.raises(dbapi.OperationalError, match="folder"):
        nestvec.connect(tmp_path / "none" / "at.db")
    with pytest.raises(dbapi.OperationalError):
        asyncio.run(opened_and_closed(str(tmp_path / "none" / "at.db")))


async def opened_and_closed(uri: str) -> None:
    await (await nestvec.aconnect(uri)).close()


def test_threads_share_a_connection(connection: dbapi.Connection) -> None:
    def one(n: int) -> object:
        return connection.execute(
            "SELECT id FROM papers ORDER BY v <=> :q LIMIT 1", {"q": [1, n, 0]}
        ).fetchone()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(20))) == [(n,) for n in range(20)]


def test_the_last_connection_releases_the_database(database: str) -> None:
    """Close is local: other connections of this process, pymilvus's own too, stay open."""
    first, second, own = nestvec.connect(database), nestvec.connect(database), MilvusClient(database)
    first.close()
    assert len(second.execute("SELECT id FROM papers").fetchall()) == 20
    second.close()
    assert own.has_collection("papers")
    own.close()


def test_closed(tmp_path: Path) -> None:
    connection = nestvec.connect(tmp_path / "new.db")
    cursor = connection.cursor()
    connection.commit()
    connection.rollback()
    connection.close()
    connection.close()
    for used in (connection.cursor, connection.commit, connection.rollback):
        with pytest.raises(dbapi.InterfaceError, match="closed"):
            used()
    with pytest.raises(dbapi.InterfaceError, match="closed"):
        cursor.execute("SELECT id FROM papers")
    done = ids(str(tmp_path / "new.db"))
    assert "no collection of this name" in done or "The database is empty" in done


def test_the_async_version(tmp_path: Path, database: str) -> None:
    async def asked() -> None:
        async with nestvec.aconnect(database) as connection:
            cursor = await connection.execute("SELECT id FROM papers WHERE id < :top", {"top": 3})
            assert sorted([row async for row in cursor]) == [(0,), (1,), (2,)]
            statement = "SELECT id FROM papers ORDER BY v <=> :q LIMIT 1"
            found = await asyncio.gather(*(connection.execute(statement, {"q": [1, n, 0]}) for n in range(8)))
            assert [await one.fetchone() for one in found] == [(n,) for n in range(8)]
            async with connection.cursor() as cursor:
                await cursor.execute("SET nestvec.recall = 0.5")
                await cursor.execute("SHOW nestvec.recall")
                assert await cursor.fetchall() == [("0.5",)]
                assert (await cursor.execute("SELECT id, v FROM papers LIMIT 2")).arrow().num_rows == 2
            with pytest.raises(dbapi.ProgrammingError, match="Did you mean 'title'"):
                await connection.execute("SELECT titel FROM papers")
            await connection.commit()
            await connection.rollback()
        with pytest.raises(dbapi.InterfaceError, match="closed"):
            connection.cursor()
        with pytest.raises(dbapi.InterfaceError, match="not open yet"):
            nestvec.aconnect(database).cursor()

    asyncio.run(asked())


_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "' OR 1 = 1 --",
            '" or id >= 0 or title == "',
            "x'); DROP TABLE papers; --",
            "\\",
            "\\' or true or '",
            'title 1" or "" == "',
            ":top",
            "$1",
            "{x}",
            "%",
            "*/ SELECT",
        ]
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_TEXTS)
def test_a_parameter_is_a_value_and_nothing_else(connection: dbapi.Connection, text: str) -> None:
    """Whatever its text, it matches the titles that equal it, and the collection is unchanged."""
    for statement, values in (
        ("SELECT id FROM papers WHERE title = :t", {"t": text}),
        ("SELECT id FROM papers WHERE title = $1", [text]),
        ("SELECT id FROM papers WHERE title IN (:t)", {"t": text}),
    ):
        try:
            found = connection.execute(statement, values).fetchall()
        except NestvecError as error:
            assert isinstance(error, dbapi.DatabaseError)
            continue
        assert found == [(row["id"],) for row in ROWS if row["title"] == text]
    assert len(connection.execute("SELECT id FROM papers").fetchall()) == len(ROWS)


@pytest.fixture(scope="module")
def engine(database: str) -> Iterator[sqlalchemy.Engine]:
    registry.register("nestvec", "nestvec.sqlalchemy", "NestvecDialect")
    made = sqlalchemy.create_engine(f"nestvec:///{database}")
    yield made
    made.dispose()


def test_sqlalchemy_runs_text(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as opened:
        found = opened.execute(
            sqlalchemy.text("SELECT id, meta FROM papers WHERE id < :n"), {"n": 2}
        ).mappings()
        assert sorted(found, key=lambda row: row["id"]) == [
            {"id": 0, "meta": {"n": 0}},
            {"id": 1, "meta": {"n": 1}},
        ]
        near = sqlalchemy.text("SELECT id FROM papers ORDER BY v <=> :q LIMIT 1")
        assert opened.execute(near, {"q": [1, 7, 0]}).scalar_one() == 7
    with (
        engine.connect() as again,
        pytest.raises(sqlalchemy.exc.ProgrammingError, match="Did you mean 'title'"),
    ):
        again.execute(sqlalchemy.text("SELECT titel FROM papers"))


def test_sqlalchemy_reflects(engine: sqlalchemy.Engine) -> None:
    inspector = sqlalchemy.inspect(engine)
    assert inspector.get_table_names() == ["papers"]
    assert inspector.has_table("papers")
    assert not inspector.has_table("notes")
    assert inspector.get_pk_constraint("papers")["constrained_columns"] == ["id"]
    table = sqlalchemy.Table("papers", sqlalchemy.MetaData(), autoload_with=engine)
    types = {column.name: str(column.type) for column in table.columns}
    assert types == {
        "id": "BIGINT",
        "title": "VARCHAR(200)",
        "tags": "ARRAY",
        "meta": "JSONB",
        "v": "VECTOR(3)",
    }
    assert [column.nullable for column in table.columns] == [False, True, False, False, False]
    with pytest.raises(sqlalchemy.exc.NoSuchTableError):
        sqlalchemy.Table("notes", sqlalchemy.MetaData(), autoload_with=engine)
    with engine.connect() as opened:
        rows = opened.execute(sqlalchemy.select(table.c.meta).where(table.c.id == 3)).all()
    assert rows == [({"n": 3},)]


def test_pandas_reads_sql(engine: sqlalchemy.Engine, connection: dbapi.Connection) -> None:
    ask = "SELECT id, title FROM papers WHERE id < :n"
    frame = pandas.read_sql(sqlalchemy.text(ask), engine, params={"n": 3})
    assert sorted(frame["id"]) == [0, 1, 2]
    with pytest.warns(UserWarning, match="SQLAlchemy"):
        plain = pandas.read_sql(ask, connection, params={"n": 3})
    assert sorted(plain["id"]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("nestvec:///demo.db", (["demo.db"], {})),
        ("nestvec:////abs/demo.db?models=m", (["/abs/demo.db"], {"models": "m"})),
        ("nestvec://h", (["http://h:19530"], {"token": None, "database": ""})),
        ("nestvec://key@[::1]/db", (["http://[::1]:19530"], {"token": "key", "database": "db"})),
        ("nestvec://u:p%40@h:1/db?secure=true", (["https://h:1"], {"token": "u:p@", "database": "db"})),
    ],
)
def test_urls(url: str, arguments: object) -> None:
    assert NestvecDialect().create_connect_args(sqlalchemy.make_url(url)) == arguments


@pytest.mark.parametrize("url", ["nestvec:///demo", "nestvec://", "nestvec:///a.db?tokn=1"])
def test_urls_that_are_wrong(url: str) -> None:
    with pytest.raises(sqlalchemy.exc.ArgumentError):
        NestvecDialect().create_connect_args(sqlalchemy.make_url(url))


def test_rows_are_written_by_parameters(tmp_path: Path) -> None:
    with nestvec.connect(tmp_path / "written.db") as connection:
        cursor = connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, title VARCHAR(50), v VECTOR(2))")
        assert (cursor.description, cursor.rowcount) == (None, -1)
        odd = "'); DROP TABLE t; --"
        given = [{"id": n, "title": odd if n == 7 else f"t{n}", "v": [1.0, n]} for n in range(300)]
        cursor.executemany("INSERT INTO t (id, title, v) VALUES (:id, :title, :v)", given)
        assert (cursor.rowcount, cursor.lastrowid) == (300, None)
        assert cursor.execute("SELECT title FROM t WHERE id = 7").fetchall() == [(odd,)]
        cursor.executemany("DELETE FROM t WHERE id = $1", [[n] for n in range(10)])
        assert cursor.rowcount == 10
        assert cursor.executemany("INSERT INTO t (id, title, v) VALUES ($1, $2, $3)", []).rowcount == 0
        assert cursor.execute("SELECT id FROM t").rowcount == 290
        with pytest.raises(dbapi.DataError):
            cursor.executemany("INSERT INTO t (id, title, v) VALUES ($1, $2, $3)", [[1, "a", [1.0]]])
        connection.execute("DROP TABLE t")
        with pytest.raises(dbapi.ProgrammingError):
            connection.execute("SELECT id FROM t")


def test_async_writes_take_turns(tmp_path: Path) -> None:
    async def written() -> None:
        async with nestvec.aconnect(tmp_path / "written.db") as connection:
            await connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v VECTOR(2))")
            statement = "INSERT INTO t (id, v) VALUES ($1, $2)"
            await asyncio.gather(*(connection.execute(statement, [n, [1.0, n]]) for n in range(10)))
            async with connection.cursor() as cursor:
                await cursor.executemany(statement, [[n, [1.0, n]] for n in range(10, 30)])
                assert cursor.rowcount == 20
                found = await cursor.execute("SELECT id FROM t")
                assert sorted([row[0] async for row in found]) == list(range(30))

    asyncio.run(written())


def test_sqlalchemys_expression_language(tmp_path: Path) -> None:
    registry.register("nestvec", "nestvec.sqlalchemy", "NestvecDialect")
    engine = sqlalchemy.create_engine(f"nestvec:///{tmp_path / 'core.db'}")
    with engine.begin() as opened:
        columns = "id BIGINT PRIMARY KEY, title VARCHAR(9), meta JSONB, tags TEXT[], v VECTOR(2)"
        opened.execute(sqlalchemy.text(f"CREATE TABLE t ({columns})"))
    table = sqlalchemy.Table("t", sqlalchemy.MetaData(), autoload_with=engine)
    rows = [{"id": n, "title": f"t{n}", "meta": {"k": [n]}, "tags": ["a"], "v": [1.0, n]} for n in range(5)]
    with engine.begin() as opened:
        opened.execute(table.insert(), rows)
        assert opened.execute(table.update().where(table.c.id == 1).values(title="new")).rowcount == 1
        assert opened.execute(table.delete().where(table.c.id.in_([2, 3]))).rowcount == 2
        assert opened.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)) == 3
        last = sqlalchemy.select(table).order_by(table.c.id.desc()).limit(1)
        assert dict(opened.execute(last).mappings().one()) == rows[4]
        near = sqlalchemy.select(table.c.title).order_by(table.c.v.op("<=>")([1.0, 1.0])).limit(1)
        assert opened.scalar(near) == "new"
    engine.dispose()


def test_partitions_and_levels(tmp_path: Path) -> None:
    uri = str(tmp_path / "parts.db")
    with nestvec.connect(uri) as connection:
        connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v VECTOR(2))")
        with open_milvus(uri) as client:
            for at, name in enumerate(("north", "south")):
                client.create_partition("t", name)
                rows = [{"id": 10 * at + n, "v": [1.0, n]} for n in range(3)]
                client.insert("t", rows, partition_name=name)
        searched = "SELECT id FROM t ORDER BY v <=> '[1, 1]' LIMIT 9"
        for names, expected in (("south", {10, 11, 12}), ("north,south", {0, 1, 2, 10, 11, 12})):
            connection.execute("SET nestvec.partitions = :names", {"names": names})
            assert {row[0] for row in connection.execute("SELECT id FROM t")} == expected
            assert {row[0] for row in connection.execute(searched)} == expected
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (len(expected),)
        connection.execute("SET nestvec.partitions = 'nort'")
        for statement in (searched, "SELECT count(*) FROM t"):
            with pytest.raises(dbapi.ProgrammingError, match="Did you mean 'north'"):
                connection.execute(statement)
        connection.execute("RESET nestvec.partitions")
        for level in ("strong", "bounded", "session", "eventually"):
            connection.execute(f"SET nestvec.consistency = {level}")
            assert connection.execute("SELECT id FROM t").rowcount == 6
