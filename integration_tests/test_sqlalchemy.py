"""SQLAlchemy's expressions, ORM and reflection, pandas and Alembic on the real Milvus Lite."""

from __future__ import annotations

import datetime
import logging
import uuid
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas  # type: ignore[import-untyped]
import pgvector
import pgvector.sqlalchemy
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from pymilvus import MilvusClient
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from nestvec.sqlalchemy import Bit, Bm25, HalfVec, SparseVec, Vector

COLUMNS = """
    id BIGINT PRIMARY KEY, title VARCHAR(100) NOT NULL, price NUMERIC(10, 2), exact NUMERIC, code UUID,
    born DATE, seen TIMESTAMP, seen_tz TIMESTAMPTZ, opens TIME, raw BYTEA, half HALFVEC(3), bits BIT(8),
    weights SPARSEVEC(5), v VECTOR(3), tags TEXT[], sizes INT[], days DATE[], meta JSONB, score REAL,
    ratio DOUBLE PRECISION, ok BOOLEAN, small SMALLINT DEFAULT 3, n INT,
    words SPARSEVEC GENERATED ALWAYS AS (BM25(title)) STORED
"""
FIRST: dict[str, Any] = {
    "id": 1,
    "title": "heat flow",
    "price": Decimal("1.50"),
    "exact": Decimal("2.5"),
    "code": uuid.UUID(int=1),
    "born": datetime.date(2020, 1, 2),
    "seen": datetime.datetime(2020, 1, 2, 3, 4),
    "seen_tz": datetime.datetime(2020, 1, 2, 2, 4, tzinfo=datetime.UTC),
    "opens": datetime.time(3, 4),
    "raw": b"\n\x00",
    "half": [1.0, 2.0, 3.0],
    "bits": "10101010",
    "weights": "{1:1}/5",
    "v": [1.0, 2.0, 3.0],
    "tags": ["a", "b"],
    "sizes": [1, 2],
    "days": [datetime.date(2020, 1, 1)],
    "meta": {"a": 1, "s": "x"},
    "score": 1.5,
    "ratio": 2.5,
    "ok": True,
    "small": 3,
    "n": 7,
}


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "papers"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(50))
    code: Mapped[uuid.UUID | None]
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    born: Mapped[datetime.date | None]
    seen: Mapped[datetime.datetime | None] = mapped_column(sa.DateTime(timezone=True))
    raw: Mapped[bytes | None]
    score: Mapped[float | None]
    meta: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON)
    tags: Mapped[list[str] | None] = mapped_column(sa.ARRAY(sa.Text))
    v: Mapped[list[float]] = mapped_column(Vector(3))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    path = tmp_path_factory.mktemp("sqlalchemy") / "demo.db"
    made = sa.create_engine(f"nestvec:///{path}", pool_size=1, max_overflow=0, pool_timeout=60)
    with made.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE kinds ({COLUMNS})"))
    Base.metadata.create_all(made)
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def kinds(engine: sa.Engine) -> sa.Table:
    table = sa.Table("kinds", sa.MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), FIRST)
        connection.execute(
            sa.text(
                "INSERT INTO kinds (id, title, n, v, half, bits, weights)"
                " VALUES (2, 'Bees', 1, :v, :v, '00000001', '{2:1}/5')"
            ),
            {"v": [-1.0, 0.0, 0.0]},
        )
    return table


def test_every_type_is_reflected_and_read_back(engine: sa.Engine, kinds: sa.Table) -> None:
    shown = {column.name: repr(column.type) for column in kinds.columns}
    assert shown["price"] == "Numeric(precision=10, scale=2)"
    assert shown["seen_tz"] == "DateTime(timezone=True)"
    assert shown["days"] == "ARRAY(Date())"
    classes = {"half": HalfVec, "bits": Bit, "weights": SparseVec, "words": Bm25, "v": Vector}
    assert {name: type(kinds.c[name].type) for name in classes} == classes
    with engine.connect() as connection:
        row = connection.execute(sa.select(kinds).where(kinds.c.id == 1)).mappings().one()
    assert dict(row) == FIRST | {"words": None}


def test_a_reflected_table_is_created_again(engine: sa.Engine, kinds: sa.Table) -> None:
    copied = kinds.to_metadata(sa.MetaData(), name="kinds_again")
    copied.create(engine)
    again = sa.Table("kinds_again", sa.MetaData(), autoload_with=engine)
    assert [repr(column.type) for column in again.c] == [repr(column.type) for column in kinds.c]
    with engine.begin() as connection:
        connection.execute(again.insert(), {name: value for name, value in FIRST.items() if name != "small"})
        ranked = sa.select(again.c.id).order_by(again.c.words.bm25_score("heat")).limit(1)
        assert connection.scalar(ranked) == 1
        again.drop(connection)
    assert "kinds_again" not in sa.inspect(engine).get_table_names()


Condition = Callable[[Any], sa.ColumnElement[bool]]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (lambda c: c.title.ilike("HEAT%"), [1]),
        (lambda c: c.title.contains("ee"), [2]),
        (lambda c: c.title.icontains("FLOW"), [1]),
        (lambda c: c.title.contains("%", autoescape=True), []),
        (lambda c: c.title.startswith("B"), [2]),
        (lambda c: c.title.regexp_match("^h.a"), [1]),
        (lambda c: c.id.in_([]), []),
        (lambda c: c.id.not_in([]), [1, 2]),
        (lambda c: c.id.in_([2, 9]), [2]),
        (lambda c: sa.tuple_(c.id, c.n).in_([(1, 7)]), [1]),
        (lambda c: c.born.is_(None), [2]),
        (lambda c: c.born == datetime.date(2020, 1, 2), [1]),
        (lambda c: c.price == Decimal("1.5"), [1]),
        (lambda c: c.code == uuid.UUID(int=1), [1]),
        (lambda c: c.ok, [1]),
        (lambda c: ~c.ok, []),
        (lambda c: c.n.is_distinct_from(7), [2]),
        (lambda c: c.meta["s"].as_string() == "x", [1]),
        (lambda c: c.meta["a"].as_integer() > 0, [1]),
        (lambda c: c.meta[("a",)].as_string() == "1", [1]),
        (lambda c: c.meta.contains({"a": 1}), [1]),
        (lambda c: c.meta.has_key("s"), [1]),
        (lambda c: c.tags.any("a"), [1]),
        (lambda c: c.tags.contains(["b"]), [1]),
        (lambda c: c.tags.overlap(["z", "a"]), [1]),
        (lambda c: c.tags[1] == "a", [1]),
        (lambda c: c.v.l2_distance([1, 2, 3]) < 0.5, [1]),
        (lambda c: c.v.cosine_distance([1, 2, 3]) > 1, [2]),
    ],
)
def test_conditions(engine: sa.Engine, kinds: sa.Table, condition: Condition, ids: list[int]) -> None:
    with engine.connect() as connection:
        rows = connection.scalars(sa.select(kinds.c.id).where(condition(kinds.c)).order_by(kinds.c.id))
        assert rows.all() == ids


@pytest.mark.parametrize(
    ("column", "method", "value", "nearest"),
    [
        ("v", "cosine_distance", [1, 2, 3], 1),
        ("v", "l2_distance", [-1, 0, 0], 2),
        ("v", "max_inner_product", [1, 1, 1], 1),
        ("v", "l1_distance", [-1, 0, 0], 2),
        ("half", "cosine_distance", [-1, 0, 0], 2),
        ("bits", "hamming_distance", "00000011", 2),
        ("bits", "jaccard_distance", "10101000", 1),
        ("weights", "max_inner_product", "{2:1}/5", 2),
        ("words", "bm25_score", "bees", 2),
    ],
)
def test_distances(
    engine: sa.Engine, kinds: sa.Table, column: str, method: str, value: object, nearest: int
) -> None:
    distance = (
        kinds.c.words.bm25_score(value)
        if method == "bm25"
        else getattr(kinds.c[column].comparator, method)(value)
    )
    ranked = sa.select(kinds.c.id, distance.label("d")).order_by(distance).limit(1)
    with engine.connect() as connection:
        row = connection.execute(ranked).one()
    assert row[0] == nearest
    assert isinstance(row[1], float)


def test_queries(engine: sa.Engine, kinds: sa.Table) -> None:
    other = kinds.alias("other")
    inner = sa.select(kinds.c.id).where(kinds.c.n == 7).cte("sevens")
    with engine.connect() as connection:
        ids = sa.select(kinds.c.id).order_by(kinds.c.id)
        assert connection.scalars(ids.offset(1)).all() == [2]
        assert connection.scalars(ids.limit(1).offset(1)).all() == [2]
        assert connection.scalar(sa.select(sa.exists().where(kinds.c.id == 1))) is True
        correlated = ids.where(sa.exists().where(other.c.n > kinds.c.n))
        assert connection.scalars(correlated).all() == [2]
        joined = sa.select(kinds.c.id, other.c.title).join(other, other.c.n == kinds.c.id)
        assert connection.execute(joined).all() == [(1, "Bees")]
        outer = sa.select(kinds.c.id, other.c.id).outerjoin(other, other.c.n == kinds.c.id)
        assert sorted(connection.execute(outer).tuples(), key=str) == [(1, 2), (2, None)]
        assert connection.scalars(sa.select(inner.c.id)).all() == [1]
        assert connection.scalar(sa.select(sa.func.count()).select_from(kinds)) == 2
        assert connection.scalars(sa.select(kinds.c.n / 2).order_by(kinds.c.id)).first() == 3.5


def test_intervals_slices_and_names_of_views(engine: sa.Engine, kinds: sa.Table) -> None:
    seen, day = kinds.c.seen, datetime.timedelta(days=1, microseconds=5)
    first = datetime.datetime(2020, 1, 2, 3, 4)
    with engine.connect() as connection:
        row = sa.select(seen + day, seen - first, kinds.c.tags[1:2], kinds.c.tags[2]).where(kinds.c.id == 1)
        assert connection.execute(row).one() == (first + day, datetime.timedelta(0), ["a", "b"], "b")
        earlier = sa.select(kinds.c.id).where(seen - datetime.datetime(2020, 1, 1) > day)
        assert connection.scalars(earlier.where(kinds.c.id == 1)).all() == [1]
        connection.execute(sa.text("CREATE VIEW named AS SELECT 1 AS one"))
        connection.commit()
        inspector = sa.inspect(connection)
        assert (inspector.get_view_names(), inspector.get_sequence_names()) == (["named"], [])
        connection.execute(sa.text("DROP VIEW named"))
        connection.commit()


def test_the_orm(engine: sa.Engine) -> None:
    utc = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    with Session(engine) as session:
        papers = [
            Paper(
                title=f"t{n}",
                code=uuid.UUID(int=n),
                price=Decimal("1.5"),
                born=utc.date(),
                seen=utc,
                raw=b"x",
                score=1.5,
                meta={"n": n},
                tags=["a"],
                v=[1.0, n, 0.0],
            )
            for n in range(3)
        ]
        session.add_all(papers)
        session.flush()
        keys = [paper.id for paper in papers]
        session.commit()
        session.expire_all()
        # Each object has the key of its own row.
        assert [session.get_one(Paper, key).meta for key in keys] == [{"n": 0}, {"n": 1}, {"n": 2}]
        paper = session.get_one(Paper, keys[1])
        values = (paper.code, paper.price, paper.born, paper.seen, paper.raw, paper.tags, paper.v)
        expected = (uuid.UUID(int=1), Decimal("1.50"), utc.date(), utc, b"x", ["a"], [1.0, 1.0, 0.0])
        assert values == expected
        paper.title = "new"
        session.delete(session.get_one(Paper, keys[0]))
        session.commit()
        near = sa.select(Paper).order_by(Paper.v.cosine_distance([0, 1, 0])).limit(1)
        assert session.scalars(near).one().id == keys[2]
        assert session.scalars(sa.select(Paper.title).order_by(Paper.title)).all() == ["new", "t2"]


def titles(engine: sa.Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(sa.select(Paper.title)))


def test_a_rollback_says_that_it_undid_nothing(engine: sa.Engine) -> None:
    with Session(engine) as session:
        session.add(Paper(title="flushed", v=[1, 1, 1]))
        session.flush()
        with pytest.raises(sa.exc.NotSupportedError, match="ROLLBACK of 1 statement"):
            session.rollback()
        assert session.scalar(sa.select(Paper.title).where(Paper.title == "flushed")) == "flushed"
        session.rollback()
    with (
        pytest.raises(sa.exc.NotSupportedError, match="COMMIT where they are to stay"),
        engine.connect() as open_,
    ):
        open_.execute(sa.insert(Paper).values(title="forgotten", v=[1, 2, 3]))
    with engine.begin() as connection:
        connection.execute(sa.text("SET nestvec.rollback = 'warn'"))
        connection.execute(sa.insert(Paper).values(title="warned", v=[1, 2, 3]))
        with pytest.warns(UserWarning, match="ROLLBACK of 1 statement"):
            connection.get_transaction().rollback()  # type: ignore[union-attr]
    assert {"flushed", "forgotten", "warned"} <= titles(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("RESET nestvec.rollback"))


def test_savepoints_lose_nothing_in_silence(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        with connection.begin_nested():
            connection.execute(sa.insert(Paper).values(title="nested", v=[1, 2, 3]))
        with pytest.raises(sa.exc.ProgrammingError, match="nope"), connection.begin_nested():
            connection.execute(sa.text("SELECT nope FROM papers"))
        nested = connection.begin_nested()
        nested.rollback()
        with (
            pytest.warns(UserWarning, match="to a savepoint because of an error: 1 statement stays"),
            pytest.raises(ValueError, match="mine"),
            connection.begin_nested(),
        ):
            connection.execute(sa.insert(Paper).values(title="nested twice", v=[1, 2, 3]))
            raise ValueError("mine")
        nested = connection.begin_nested()
        connection.execute(sa.insert(Paper).values(title="nested again", v=[1, 2, 3]))
        with pytest.raises(sa.exc.NotSupportedError, match=r"ROLLBACK TO sa_savepoint_\d of 1 statement"):
            nested.rollback()
    assert {"nested", "nested twice", "nested again"} <= titles(engine)


def test_a_rollback_does_not_hide_the_error_that_it_follows(engine: sa.Engine) -> None:
    with (
        pytest.warns(UserWarning, match="because of an error: 1 statement stays in effect"),
        pytest.raises(sa.exc.ProgrammingError, match="no such column: nope"),
        engine.begin() as connection,
    ):
        connection.execute(sa.insert(Paper).values(title="before", v=[1, 2, 3]))
        connection.execute(sa.text("SELECT nope FROM papers"))
    with (
        pytest.warns(UserWarning, match="2 statements stay in effect"),
        pytest.raises(ValueError, match="mine"),
        Session(engine) as session,
        session.begin(),
    ):
        session.add(Paper(title="flushed twice", v=[1, 1, 1]))
        session.flush()
        session.add(Paper(title="and again", v=[1, 1, 1]))
        session.flush()
        raise ValueError("mine")


def test_the_pool_reports_a_connection_without_commit(engine: sa.Engine) -> None:
    raw = engine.raw_connection()
    raw.cursor().execute("INSERT INTO papers (title, v) VALUES ('raw', '[1,2,3]')")
    with pytest.warns(UserWarning, match=r"without commit\(\): 1 statement stays"):
        raw.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "raw" in titles(engine)


def test_pandas_writes_and_reads_tables(engine: sa.Engine) -> None:
    frame = pandas.DataFrame(
        {
            "id": [1, 2],
            "s": ["x", None],
            "f": [0.5, 2.0],
            "t": pandas.to_datetime(["2020-01-01", "2020-01-02"]),
        }
    )
    frame["v"] = [[1.0, 2.0], [3.0, 4.0]]
    types = {"v": Vector(2)}
    frame.to_sql("frame", engine, index=False, dtype=types)
    read = pandas.read_sql_table("frame", engine).sort_values("id", ignore_index=True)
    assert read["s"].tolist()[0] == "x"
    assert read["s"].isna().tolist() == [False, True]
    assert read["t"].tolist() == frame["t"].tolist()
    assert read["v"].tolist() == frame["v"].tolist()
    keyless = frame.drop(columns="id")
    keyless.to_sql("keyless", engine, index=False, dtype=types)
    keyless.to_sql("keyless", engine, index=False, dtype=types, if_exists="append")
    assert len(pandas.read_sql_table("keyless", engine)) == 4
    frame.assign(s="replaced").to_sql("frame", engine, index=False, dtype=types, if_exists="replace")
    assert set(pandas.read_sql_table("frame", engine)["s"]) == {"replaced"}
    assert not [name for name in sa.inspect(engine).get_table_names() if "dropped" in name]


@pytest.mark.filterwarnings("ignore:The connection was")
@pytest.mark.parametrize("part", ["columns", "rows"])
def test_a_replacement_that_fails_leaves_the_old_table(engine: sa.Engine, part: str) -> None:
    table = f"kept_{part}"
    frame = pandas.DataFrame({"id": [1, 2], "v": [[1.0, 2.0], [3.0, 4.0]]})
    frame.to_sql(table, engine, index=False, dtype={"v": Vector(2)})
    wrong = frame if part == "columns" else frame.assign(v=[[1.0], [2.0]])
    types = {"v": Vector(40_000 if part == "columns" else 2)}
    with pytest.raises(Exception, match="32768" if part == "columns" else "column v has 2 dims"):
        wrong.to_sql(table, engine, index=False, dtype=types, if_exists="replace")
    assert sorted(pandas.read_sql_table(table, engine)["id"]) == [1, 2]
    reflected = sa.Table(table, sa.MetaData(), autoload_with=engine)
    with pytest.raises(ValueError, match="mine"), engine.begin() as connection:
        reflected.drop(connection)
        raise ValueError("mine")
    assert not [name for name in sa.inspect(engine).get_table_names() if "dropped" in name]
    assert sorted(pandas.read_sql_table(table, engine)["id"]) == [1, 2]


def test_a_collection_with_aliases_is_dropped_at_once(engine: sa.Engine) -> None:
    table = sa.Table(
        "aliased",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("v", Vector(2)),
    )
    table.create(engine)
    # Milvus would refuse to drop what an alias leads to, at COMMIT and beside its replacement.
    MilvusClient(str(engine.url.database)).create_alias("aliased", "readers")
    with engine.connect() as connection:
        table.drop(connection)
        assert not [name for name in sa.inspect(connection).get_table_names() if "aliased" in name]
        connection.commit()


def test_indexes_are_created_and_reflected(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    table = sa.Table(
        "indexed", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("v", Vector(4))
    )
    sa.Index(
        "indexed_v", table.c.v, postgresql_using="hnsw", postgresql_with={"m": 16},
        postgresql_ops={"v": "vector_l2_ops"},
    )  # fmt: skip
    metadata.create_all(engine)
    (index,) = sa.inspect(engine).get_indexes("indexed")
    assert (index["name"], index["column_names"]) == ("indexed_v", ["v"])
    assert index["dialect_options"] == {"postgresql_using": "hnsw", "postgresql_ops": {"v": "vector_l2_ops"}}
    metadata.drop_all(engine)


def test_postgresqls_upsert(engine: sa.Engine, kinds: sa.Table) -> None:
    row = {"id": 2, "title": "Bees", "n": 1, "v": [-1.0, 0.0, 0.0], "half": [-1.0, 0.0, 0.0]}
    written = postgresql.insert(kinds).values(**row, bits="00000001", weights="{2:1}/5")
    with engine.begin() as connection:
        upsert = written.on_conflict_do_update(index_elements=["id"], set_={"n": written.excluded.n})
        assert connection.execute(upsert.returning(kinds.c.id, kinds.c.n)).all() == [(2, 1)]
        connection.execute(written.on_conflict_do_nothing())


MODELS = """
import sqlalchemy as sa
from nestvec.sqlalchemy import Vector
metadata = sa.MetaData()
sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.String(50)),
         sa.Column("v", Vector(3), nullable=False))
"""


@pytest.fixture
def loggers() -> Iterator[None]:
    """The loggers as they were: Alembic's env.py configures logging, which disables those that exist."""
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    disabled = {logger.name: logger.disabled for logger in loggers}
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    for name, state in disabled.items():
        logging.getLogger(name).disabled = state
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.usefixtures("loggers")
def test_alembic_migrates(tmp_path: Path) -> None:
    uri = f"nestvec:///{tmp_path / 'migrated.db'}"
    config = Config(tmp_path / "alembic.ini")
    folder = tmp_path / "migrations"
    command.init(config, str(folder))
    config.set_main_option("sqlalchemy.url", uri)
    config.set_main_option("script_location", str(folder))
    environment = folder / "env.py"
    source = environment.read_text()
    assert "target_metadata = None" in source
    environment.write_text(source.replace("target_metadata = None", f"{MODELS}\ntarget_metadata = metadata"))
    command.revision(config, "first", autogenerate=True)
    command.upgrade(config, "head")
    command.upgrade(config, "head")
    command.check(config)
    engine = sa.create_engine(uri)
    assert sorted(sa.inspect(engine).get_table_names()) == ["alembic_version", "notes"]
    engine.dispose()
    command.downgrade(config, "base")
    engine = sa.create_engine(uri)
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_the_types_of_pgvector_read_and_write_vectors(engine: sa.Engine) -> None:
    table = sa.Table(
        "pgvectors",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("v", pgvector.sqlalchemy.VECTOR(2)),
        sa.Column("h", pgvector.sqlalchemy.HALFVEC(2)),
        sa.Column("s", pgvector.sqlalchemy.SPARSEVEC(5)),
    )
    table.create(engine)
    sparse = pgvector.SparseVector({0: 1.5, 3: 2.0}, 5)
    with engine.connect() as connection:
        connection.execute(table.insert(), [{"id": 1, "v": np.array([1, 2]), "h": [3, 4], "s": sparse}])
        connection.commit()
        row = connection.execute(sa.select(table).order_by(table.c.v.cosine_distance([1, 2]))).one()
        assert row == (1, [1.0, 2.0], [3.0, 4.0], sparse)
        mean = connection.scalar(sa.select(pgvector.sqlalchemy.avg(table.c.v)))
        assert list(mean) == [1.0, 2.0]
    table.drop(engine)
