"""Vectors of every type in a Milvus Lite: created, written, computed, searched, shown by every surface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from integration_tests.fixtures.pgwire import run_pg

import nestvec
from nestvec import dbapi
from nestvec.sqlalchemy import BFloat16Vector, HalfVec, Vector

_TABLE: Final = """CREATE TABLE items (
    id BIGINT PRIMARY KEY, k INT, v VECTOR(3) NOT NULL, h HALFVEC(2) NOT NULL, b BFLOAT16_VECTOR(2) NOT NULL,
    s SPARSEVEC(3) NOT NULL, t BIT(3) NOT NULL
)"""
_ROWS: Final = """INSERT INTO items (id, k, v, h, b, s, t) VALUES
    (1, 1, '[1,2,3]', '[0.1,2]', '[0.1,70000]', '{1:1.5,3:2}/3', '101'),
    (2, 1, '[4,5,6]', '[3,4]', '[3,4]', '{2:1}/3', '011'),
    (3, 2, '[1,2,3]', '[5,6]', '[5,6]', '{2:1}/3', '111')"""

_ANSWERS: Final[tuple[tuple[str, list[tuple[Any, ...]]], ...]] = (
    ("SELECT id, b FROM items WHERE id = 1", [(1, [0.10009765625, 70144.0])]),
    ("SELECT id FROM items ORDER BY b <-> '[3,4]' LIMIT 2", [(2,), (3,)]),
    ("SELECT b + b, b::text, b::vector FROM items WHERE id = 2", [([6.0, 8.0], "[3,4]", [3.0, 4.0])]),
    ("SELECT avg(b), avg(h), sum(v) FROM items WHERE id > 1", [([4.0, 5.0], [4.0, 5.0], [5.0, 7.0, 9.0])]),
    ("SELECT id, avg(v) OVER (PARTITION BY k) FROM items ORDER BY id LIMIT 1", [(1, [2.5, 3.5, 4.5])]),
    ("SELECT count(DISTINCT v), count(DISTINCT s) FROM items", [(2, 2)]),
    ("SELECT id FROM items WHERE v >= '[1,2,3]' AND v <= '[2,0,0]' ORDER BY id", [(1,), (3,)]),
    ("SELECT id FROM items ORDER BY s, id", [(2,), (3,), (1,)]),
    ("SELECT s <#> '{1:1}/3', t <~> '101', l2_normalize(s) FROM items WHERE id = 1",
     [(-1.5, 0.0, "{1:0.6,3:0.8}/3")]),
    ("SELECT k, avg(v) <-> '[1,2,3]' AS d FROM items GROUP BY k ORDER BY d LIMIT 1", [(2, 0.0)]),
    ("SELECT coalesce(nullif(v, '[1,2,3]'), v + v) FROM items WHERE id = 1", [([2.0, 4.0, 6.0],)]),
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    with nestvec.connect(str(folder / "rows.db")) as connection:
        connection.execute(_TABLE)
        connection.execute(_ROWS)
    return folder / "rows.db"


@pytest.fixture
def connection(path: Path) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(path)) as connected:
        yield connected


@pytest.mark.parametrize(("statement", "rows"), _ANSWERS)
def test_vectors_are_computed_and_searched(
    connection: dbapi.Connection, statement: str, rows: list[tuple[Any, ...]]
) -> None:
    assert connection.execute(statement).fetchall() == rows


@pytest.mark.parametrize("vector", [[1.0, 2.0, 3.0], (1, 2, 3), np.array([1, 2, 3], np.float32), "[1,2,3]"])
@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("SELECT id FROM items WHERE v = :q ORDER BY id", [(1,), (3,)]),
        ("SELECT id FROM items WHERE v IN (:q) ORDER BY id", [(1,), (3,)]),
        (
            "SELECT v + :q, :q - v, v || :q FROM items WHERE id = 1",
            [([2, 4, 6], [0, 0, 0], [1, 2, 3, 1, 2, 3])],
        ),
        ("SELECT CASE WHEN id = 2 THEN :q ELSE v END FROM items WHERE id = 2", [([1, 2, 3],)]),
        ("SELECT least(v, :q) FROM items WHERE id = 2", [([1, 2, 3],)]),
        ("SELECT avg(v + :q) FROM items WHERE id = 1", [([2, 4, 6],)]),
    ],
)
def test_a_parameter_is_a_vector_where_one_is_expected(
    connection: dbapi.Connection, statement: str, rows: list[tuple[Any, ...]], vector: Any
) -> None:
    assert connection.execute(statement, {"q": vector}).fetchall() == rows


def test_computed_vectors_are_written(connection: dbapi.Connection, tmp_path: Path) -> None:
    connection.execute("CREATE TABLE copies AS SELECT id, v + v AS v FROM items")
    connection.execute("INSERT INTO copies (id, v) SELECT id + 10, l2_normalize('[3,0,4]') FROM items")
    connection.execute("UPDATE copies SET v = v - '[1,1,1]' WHERE id = 1")
    rows = connection.execute("SELECT id, v FROM copies WHERE id IN (1, 2, 11) ORDER BY id").fetchall()
    assert rows == [(1, [1, 3, 5]), (2, [8, 10, 12]), (11, np.float32([0.6, 0, 0.8]).tolist())]
    target = tmp_path / "out.csv"
    connection.execute(f"COPY (SELECT id, v + v AS w FROM copies WHERE id = 1) TO '{target}'")
    assert target.read_text("utf-8").splitlines()[-1] == '1,"[2.0,6.0,10.0]"'
    connection.execute("CREATE TABLE nothing AS SELECT id, v FROM items WHERE false")
    described = connection.execute("DESCRIBE nothing").fetchall()
    assert [row[:2] for row in described] == [("id", "BIGINT"), ("v", "VECTOR(3)")]
    with pytest.raises(dbapi.DataError, match="4 numbers"):
        connection.execute("UPDATE copies SET v = v || '[1]' WHERE id = 1")
    for name in ("copies", "nothing"):
        connection.execute(f"DROP TABLE {name}")


def test_sqlalchemy_reflects_each_type_of_vector(path: Path) -> None:
    columns = sa.inspect(sa.create_engine(f"nestvec:///{path}")).get_columns("items")
    types = {column["name"]: column["type"] for column in columns}
    assert [type(types[name]) for name in "vhb"] == [Vector, HalfVec, BFloat16Vector]
    assert str(types["b"]) == "BFLOAT16_VECTOR(2)"


_TEXTS: Final = {
    "b": "[3,4]", "b + b": "[6,8]", "coalesce(b, '[1,2]')": "[3,4]", "h + h": "[6,8]", "s": "{2:1}/3",
    "v || '[1]'": "[4,5,6,1]", "l2_normalize(h)": "[0.60009766,0.7998047]", "b::text": "[3,4]",
    "ARRAY[1.5, 2]::bfloat16_vector": "[1.5,2]", "(SELECT avg(v) FROM items)": "[2,3,4]",
}  # fmt: skip
"""Expressions over the second row, and what psql shows."""

_SHOWN: Final = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attnum > 0 AND attrelid = 'items'::regclass ORDER BY attnum"""


def test_clients_of_postgresql_see_each_type_of_vector(path: Path) -> None:
    with run_pg(path) as server, psycopg.connect(server.address) as client:
        shown = dict(client.execute(_SHOWN).fetchall())
        assert [shown[name] for name in "vhbst"] == [
            "vector(3)", "halfvec(2)", "bfloat16_vector(2)", "sparsevec(3)", "bit(3)",
        ]  # fmt: skip
        row = client.execute(f"SELECT {', '.join(_TEXTS)} FROM items WHERE id = 2".encode()).fetchone()
        assert row == tuple(_TEXTS.values())
        parameter = client.execute("SELECT id FROM items WHERE b = %s AND v < %s", ("[3,4]", "[9,0,0]"))
        assert parameter.fetchall() == [(2,)]
