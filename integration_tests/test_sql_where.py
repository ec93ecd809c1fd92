"""WHERE on the real Milvus Lite, against DuckDB on the same rows: NULLs and three-valued logic included."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from pymilvus import DataType, MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.sql import Session, execute

ROWS = 120
WORDS = ("ab", "abc", "b", "c%d", "é", "it's", "12", "true")
LISTS = ([], ["a"], ["a", "b"], ["b", "c", "d"], ["it's", "a"])


def rows() -> list[dict[str, Any]]:
    draw = random.Random(7)

    def maybe(value: Any) -> Any:
        return value if draw.random() > 0.2 else None

    def inside() -> dict[str, Any]:
        found = {
            "s": draw.choice([*WORDS, 12, 7, True]),
            "n": draw.randint(-3, 3),
            "deep": {"x": [draw.choice(WORDS), 1]},
        }
        return {key: value for key, value in found.items() if draw.random() > 0.25}

    return [
        {
            "id": number,
            "a": maybe(draw.randint(-3, 3)),
            "b": maybe(draw.randint(-3, 3)),
            "p": maybe(draw.choice([-1.5, 0.0, 0.25, 2.0])),
            "t": maybe(draw.choice(WORDS)),
            "u": draw.choice(WORDS),
            "f": maybe(draw.random() > 0.5),
            "tags": maybe(draw.choice(LISTS)),
            "nums": maybe(draw.sample(range(5), draw.randint(0, 3))),
            "meta": maybe(inside()),
        }
        for number in range(ROWS)
    ]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusClient]:
    with open_milvus(str(tmp_path_factory.mktemp("where") / "rows.db")) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        for name, kind in (("a", DataType.INT32), ("b", DataType.INT64), ("p", DataType.DOUBLE)):
            schema.add_field(name, kind, nullable=True)
        schema.add_field("t", DataType.VARCHAR, max_length=50, nullable=True)
        schema.add_field("u", DataType.VARCHAR, max_length=50)
        schema.add_field("f", DataType.BOOL, nullable=True)
        text: dict[str, Any] = {"element_type": DataType.VARCHAR, "max_length": 20}
        schema.add_field("tags", DataType.ARRAY, max_capacity=8, nullable=True, **text)
        schema.add_field("nums", DataType.ARRAY, max_capacity=8, nullable=True, element_type=DataType.INT64)
        schema.add_field("meta", DataType.JSON, nullable=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
        index = client.prepare_index_params()
        index.add_index("v", index_type="FLAT", metric_type="COSINE")
        client.create_collection("rows", schema=schema, index_params=index)
        client.insert("rows", [{**row, "v": [1.0, float(row["id"])]} for row in rows()])
        yield client


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as duck:
        duck.execute(
            "CREATE TABLE rows (id BIGINT, a INT, b BIGINT, p DOUBLE, t TEXT, u TEXT, f BOOLEAN, "
            "tags TEXT[], nums BIGINT[], meta JSON)"
        )
        for row in rows():
            meta = None if row["meta"] is None else json.dumps(row["meta"])
            duck.execute(
                "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [*list(row.values())[:-1], meta],
            )
        yield duck


def condition(draw: random.Random, depth: int) -> str:
    if depth:
        kind = draw.randrange(5)
        if kind == 0:
            return f"NOT ({condition(draw, depth - 1)})"
        if kind < 4:
            word = draw.choice(("AND", "OR"))
            return f"({condition(draw, depth - 1)} {word} {condition(draw, depth - 1)})"
    return draw.choice(LEAVES)(draw)


def text(draw: random.Random) -> str:
    return "'" + draw.choice(WORDS).replace("'", "''") + "'"


def words(draw: random.Random) -> str:
    return "[" + ", ".join(text(draw) for _ in range(draw.randint(1, 3))) + "]"


def number(draw: random.Random) -> int:
    return draw.randint(-3, 3)


def compared(draw: random.Random) -> str:
    return draw.choice(("=", "<>", "<", "<=", ">", ">="))


LEAVES = (
    lambda d: f"{d.choice('abp')} {compared(d)} {number(d)}",
    lambda d: f"{d.choice('tu')} {compared(d)} {text(d)}",
    lambda d: f"a {compared(d)} b",
    lambda d: f"t {compared(d)} u",
    lambda d: f"{d.choice('abptuf')} IS {d.choice(['', 'NOT '])}NULL",
    lambda d: f"f IS {d.choice(['', 'NOT '])}{d.choice(['TRUE', 'FALSE'])}",
    lambda d: d.choice(["f", "NOT f", "f = TRUE", "f <> FALSE"]),
    lambda d: f"a {d.choice(['', 'NOT '])}IN ({number(d)}, {number(d)})",
    lambda d: f"a = ANY(ARRAY[{number(d)}, {number(d)}])",
    lambda d: f"a {d.choice(['', 'NOT '])}BETWEEN {number(d)} AND {number(d)}",
    lambda d: f"t {d.choice(['', 'NOT '])}LIKE '{d.choice(['a%', '%b', '%b%', 'ab'])}'",
    lambda d: f"tags {d.choice(['@>', '&&'])} ARRAY{words(d)}",
    lambda d: f"{text(d)} = ANY(tags)",
    lambda d: f"nums {d.choice(['@>', '&&'])} ARRAY[{d.randint(0, 4)}, {d.randint(0, 4)}]::bigint[]",
    lambda d: f"cardinality(nums) {compared(d)} {d.randint(0, 3)}",
    lambda d: f"nums[{d.randint(1, 3)}] {compared(d)} {d.randint(0, 4)}",
    lambda d: f"tags[1] = {text(d)}",
    lambda d: f"meta->>'s' {d.choice(['=', '<>'])} {text(d)}",
    lambda d: f"meta->>'s' IN ({text(d)}, {text(d)})",
    lambda d: f"(meta->>'n')::int {compared(d)} {number(d)}",
    lambda d: f"meta->'deep'->'x'->>0 {d.choice(['=', '<>'])} {text(d)}",
    lambda d: f"meta->>'{d.choice(['s', 'n', 'gone'])}' IS {d.choice(['', 'NOT '])}NULL",
)


def in_duckdb(where: str) -> str:
    """The same in DuckDB, whose CARDINALITY is of maps, whose ->> binds more loosely than PostgreSQL's, and
    whose ANY of a NULL list is false where PostgreSQL's is NULL."""
    found = where.replace("cardinality(", "len(")
    found = re.sub(r"(?<!\()meta[^ ]*->>('\w+'|0)", r"(\g<0>)", found)
    return re.sub(r"('(?:[^']|'')*') = ANY\(tags\)", r"list_contains(tags, \1)", found)


def both(client: MilvusClient, duck: duckdb.DuckDBPyConnection, where: str) -> None:
    asked = in_duckdb(where)
    expected = [row[0] for row in duck.execute(f"SELECT id FROM rows WHERE {asked} ORDER BY id").fetchall()]
    found = sorted(row[0] for row in execute(client, f"SELECT id FROM rows WHERE {where}").rows)
    assert found == expected, where


@pytest.mark.parametrize("leaf", range(len(LEAVES)))
def test_each_condition_and_its_opposite(
    client: MilvusClient, duck: duckdb.DuckDBPyConnection, leaf: int
) -> None:
    draw = random.Random(leaf)
    for _ in range(6):
        found = LEAVES[leaf](draw)
        both(client, duck, found)
        if " LIKE " not in found:
            both(client, duck, f"NOT ({found})")


def test_conditions_of_conditions(client: MilvusClient, duck: duckdb.DuckDBPyConnection) -> None:
    draw = random.Random(3)
    for _ in range(100):
        both(client, duck, condition(draw, draw.randint(1, 3)))


def test_parameters_are_the_constants_that_they_stand_for(client: MilvusClient) -> None:
    session = Session()

    def ids(where: str, given: Any = None) -> list[Any]:
        return sorted(execute(client, f"SELECT id FROM rows WHERE {where}", given, session=session).rows)

    assert ids("a = :n AND t <> :w", {"n": 1, "w": "b"}) == ids("a = 1 AND t <> 'b'")
    assert ids("id = ANY($1)", [[1, 5, 7]]) == [(1,), (5,), (7,)]
    assert ids("tags && :some", {"some": ("b", "x")}) == ids("tags && ARRAY['b', 'x']")
    assert ids("t = :w", {"w": "' OR 1 = 1 --"}) == []
    many = list(range(10_000))
    assert len(ids("id = ANY(:many)", {"many": many})) == ROWS
