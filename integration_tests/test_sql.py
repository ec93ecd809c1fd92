"""SQL on the real Milvus Lite, with the real encoder behind its functions."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from integration_tests.fixtures.services import vacant_address
from pymilvus import DataType, Function, FunctionType, MilvusClient

from nestvec.cli import cli
from nestvec.milvus.calls import MilvusCalls
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.providers import PROVIDERS
from nestvec.service.in_process import serve_in_process
from nestvec.sql import execute
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlUnknownName

DIM = 64
METRICS = {"doc_cos": "COSINE", "doc_l2": "L2", "doc_ip": "IP"}
TEXTS = (
    "Read rows from a CSV file",
    "Compute the square root of a number",
    "Open a network socket",
    "Sort a list in place",
    "Write a row to a spreadsheet file",
    "Start a new thread of control",
)
TAGS = (None, "io", "math", "100%", "100x", 'q"q', "back\\slash", "two\nlines", "é𝄞", "it's")


@pytest.fixture(scope="module")
def service() -> str:
    return vacant_address()


@pytest.fixture(scope="module")
def database(service: str, models: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with ``docs``: six real texts, embedded by the service under three metrics."""
    uri = str(tmp_path_factory.mktemp("sql") / "docs.db")
    with serve_in_process([service], models), open_milvus(uri) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("doc", DataType.VARCHAR, max_length=500)
        schema.add_field("year", DataType.INT16, nullable=True)
        schema.add_field("Kind", DataType.VARCHAR, max_length=20, nullable=True)
        index = client.prepare_index_params()
        for column, metric in METRICS.items():
            schema.add_field(column, DataType.FLOAT_VECTOR, dim=DIM)
            params = PROVIDERS["openai"].write_params(service, EmbeddingConfig("minilm", DIM), MilvusCalls())
            schema.add_function(
                Function(f"fill_{column}", FunctionType.TEXTEMBEDDING, ["doc"], [column], params=params)
            )
            index.add_index(column, index_type="AUTOINDEX", metric_type=metric)
        client.create_collection("docs", schema=schema, index_params=index)
        rows = [
            {"id": n, "doc": text, "year": 2000 + n, "Kind": "even" if n % 2 == 0 else None}
            for n, text in enumerate(TEXTS)
        ]
        client.insert("docs", rows)
    return uri


@pytest.fixture
def client(database: str, service: str, models: Path) -> Iterator[MilvusClient]:
    with serve_in_process([service], models), open_milvus(database) as opened:
        yield opened


def test_the_nearest_text_comes_first(client: MilvusClient) -> None:
    answer = execute(client, "SELECT id, doc FROM docs ORDER BY doc_cos <=> 'how do I parse a csv' LIMIT 3")
    assert answer.columns == ("id", "doc")
    assert answer.rows[0] == (0, TEXTS[0])
    assert len(answer.rows) == 3
    assert answer.seconds > 0


def test_where_offset_and_aliases(client: MilvusClient) -> None:
    every = "SELECT id FROM docs ORDER BY doc_cos <=> 'files' LIMIT 6"
    ids = [row[0] for row in execute(client, every).rows]
    shifted = execute(client, every.replace("LIMIT 6", "LIMIT 3 OFFSET 2"))
    assert [row[0] for row in shifted.rows] == ids[2:5]
    odd = execute(client, every.replace(" ORDER", ' WHERE "Kind" IS NULL AND 2000 < year ORDER'))
    assert [row[0] for row in odd.rows] == [one for one in ids if one % 2]
    aliased = execute(client, "SELECT d.Kind AS kind FROM Docs AS d WHERE d.id = 0")
    assert (aliased.columns, aliased.rows) == (("kind",), (("even",),))
    assert execute(client, every.replace("LIMIT 6", "LIMIT 0")).rows == ()


@pytest.mark.parametrize(("column", "operator"), [("doc_cos", "<=>"), ("doc_l2", "<->"), ("doc_ip", "<#>")])
def test_distances_are_those_of_pgvector(client: MilvusClient, column: str, operator: str) -> None:
    """Compared with the distance computed from the stored vectors and the text's own."""
    text = TEXTS[2]
    found = execute(
        client, f"SELECT id, {column}, {column} {operator} '{text}' AS d FROM docs ORDER BY d LIMIT 6"
    )
    vectors = {row[0]: row[1] for row in found.rows}
    assert all(isinstance(vector, list) and len(vector) == DIM for vector in vectors.values())
    query = vectors[2]
    dot = {n: sum(a * b for a, b in zip(query, vector, strict=True)) for n, vector in vectors.items()}
    expected = {
        "<=>": lambda n: 1 - dot[n],
        "<->": lambda n: math.dist(query, vectors[n]),
        "<#>": lambda n: -dot[n],
    }[operator]
    distances = [row[2] for row in found.rows]
    assert distances == sorted(distances)
    assert distances == pytest.approx(
        [expected(row[0]) for row in found.rows], abs=2e-3 if operator == "<->" else 1e-5
    )


def test_a_similarity_is_one_minus_the_distance(client: MilvusClient) -> None:
    found = execute(
        client,
        "SELECT doc_cos <=> 'sockets' AS d, 1 - (doc_cos <=> 'sockets') AS s, id FROM docs "
        "ORDER BY s DESC LIMIT 6",
    )
    assert found.rows[0][2] == 2
    assert [row[0] + row[1] for row in found.rows] == pytest.approx([1.0] * 6)


def test_a_vector_instead_of_a_text_needs_no_service(database: str) -> None:
    with open_milvus(database) as client:
        stored = execute(client, "SELECT doc_cos FROM docs WHERE id = 3").rows[0][0]
        asked = f"SELECT id FROM docs ORDER BY doc_cos <=> '{json.dumps(stored)}' LIMIT 1"
        assert execute(client, asked).rows == ((3,),)
        assert execute(client, asked.replace(f"'{json.dumps(stored)}'", "$1"), [stored]).rows == ((3,),)


def test_star_is_every_column(client: MilvusClient) -> None:
    found = execute(client, "SELECT * FROM docs WHERE id = 1")
    assert found.columns == ("id", "doc", "year", "Kind", *METRICS)
    assert found.rows[0][:4] == (1, TEXTS[1], 2001, None)
    assert len(found.rows[0][4]) == DIM


def test_an_unknown_collection(client: MilvusClient) -> None:
    with pytest.raises(SqlUnknownName, match="Did you mean 'docs'"):
        execute(client, "SELECT * FROM dcos")


def test_the_command(database: str, models: Path) -> None:
    """The command starts the service by itself, and only for a text."""
    at = ["--uri", database, "--models", str(models)]
    done = CliRunner().invoke(
        cli, ["sql", *at, "SELECT id, doc, doc_cos FROM docs ORDER BY doc_cos <=> 'a csv file' LIMIT 2"]
    )
    assert done.exit_code == 0, done.output
    assert TEXTS[0] in done.stdout
    assert "… 64 dims]" in done.stdout
    assert "2 rows in" in done.stderr
    done = CliRunner().invoke(
        cli,
        ["sql", *at, "--json", "--timing", "-"],
        input="SELECT id, year, doc_l2 FROM docs WHERE id < 2;\n",
    )
    rows = json.loads(done.stdout)
    assert [(row["id"], row["year"], len(row["doc_l2"])) for row in rows] == [(0, 2000, 64), (1, 2001, 64)]
    assert "parsed and planned in" in done.stderr
    assert "127.0.0.1" not in done.stderr
    done = CliRunner().invoke(cli, ["sql", *at, "SELECT id FROM docs WHERE id > 99"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no rows in" in done.stderr
    done = CliRunner().invoke(cli, ["sql", *at, "--json", "SELECT id FROM docs WHERE id > 99"])
    assert json.loads(done.stdout) == []
    done = CliRunner().invoke(cli, ["sql", *at, "-"], input=b"SELECT '\xff' FROM docs")
    assert "a character that is not allowed (U+DCFF)" in str(done.exception)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MilvusClient, sqlite3.Connection]]:
    """The same rows, NULLs among them, in Milvus Lite and in SQLite."""
    lite = sqlite3.connect(":memory:")
    lite.execute("PRAGMA case_sensitive_like = ON")
    lite.execute("CREATE TABLE t (id INTEGER, tag TEXT, small INTEGER, big INTEGER, part REAL, flag BOOLEAN)")
    rows = [
        (
            n,
            TAGS[n % 10],
            (None, 1, -5, 127)[n % 4],
            (0, 2**63 - 1, -(2**63) + 1)[n % 3],
            (None, 0.5, -2.5)[n % 3],
            (None, 1, 0)[n // 4 % 3],
        )
        for n in range(60)
    ]
    lite.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    names = ("id", "tag", "small", "big", "part", "flag")
    with open_milvus(str(tmp_path_factory.mktemp("twins") / "t.db")) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("tag", DataType.VARCHAR, max_length=50, nullable=True)
        schema.add_field("small", DataType.INT8, nullable=True)
        schema.add_field("big", DataType.INT64)
        schema.add_field("part", DataType.FLOAT, nullable=True)
        schema.add_field("flag", DataType.BOOL, nullable=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
        index = client.prepare_index_params()
        index.add_index("v", index_type="FLAT", metric_type="COSINE")
        client.create_collection("t", schema=schema, index_params=index)
        stored = [dict(zip(names, row, strict=True)) | {"v": [1.0, 0.0]} for row in rows]
        client.insert(
            "t", [row | {"flag": None if row["flag"] is None else bool(row["flag"])} for row in stored]
        )
        yield client, lite


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


LEAVES = [
    *(f"tag {operator} {quoted(tag)}" for tag in TAGS if tag for operator in ("=", "<>", "<", ">=")),
    *(f"small {operator} {n}" for n in (-5, 1, 300) for operator in ("=", "<>", "<", "<=", ">", ">=")),
    *(f"{n} {operator} part" for n in ("-2.5", "0.5", "1e30", "0") for operator in ("=", "<>", "<", ">=")),
    *(f"big {operator} {n}" for n in (2**63 - 1, -(2**63) + 1) for operator in ("=", "<>", "<", ">")),
    "small IN (1, -5)",
    "small NOT IN (1, -5)",
    "small NOT IN (300)",
    "part IN (0.5, 3)",
    "part NOT IN (0.5)",
    "tag IN ('io', 'it''s', 'two\nlines')",
    "tag NOT IN ('io', '100%')",
    "small BETWEEN -5 AND 1",
    "small NOT BETWEEN -4 AND 2",
    "tag BETWEEN 'a' AND 'n'",
    "tag LIKE '1%'",
    "tag NOT LIKE '1%'",
    "tag LIKE '%o%s'",
    "tag LIKE '%'",
    "tag NOT LIKE '%'",
    "tag LIKE 'io'",
    "tag NOT LIKE 'io'",
    "tag LIKE '%q'",
    "tag LIKE '%\n%'",
    "tag LIKE ''",
    "tag LIKE '%.%'",
    "tag LIKE 'é%'",
    "tag IS NULL",
    "tag IS NOT NULL",
    "flag IS NULL",
    "flag",
    "flag = TRUE",
    "flag <> TRUE",
    "flag = FALSE",
    "flag IN (FALSE)",
]


@pytest.mark.parametrize("leaf", LEAVES)
def test_conditions_agree_with_sqlite(twins: tuple[MilvusClient, sqlite3.Connection], leaf: str) -> None:
    client, lite = twins
    for text in (leaf, f"NOT ({leaf})"):
        expected = lite.execute(f"SELECT id FROM t WHERE {text} ORDER BY id").fetchall()
        assert sorted(execute(client, f"SELECT id FROM t WHERE {text}").rows) == expected


def test_combinations_agree_with_sqlite(twins: tuple[MilvusClient, sqlite3.Connection]) -> None:
    client, lite = twins
    chance = random.Random(7)

    def condition(depth: int) -> str:
        kind = chance.randrange(4) if depth else 3
        if kind == 3:
            return chance.choice(LEAVES)
        if kind == 2:
            return f"NOT ({condition(depth - 1)})"
        return f"({condition(depth - 1)} {('AND', 'OR')[kind]} {condition(depth - 1)})"

    for _ in range(150):
        text = condition(4)
        expected = lite.execute(f"SELECT id FROM t WHERE {text} ORDER BY id").fetchall()
        assert sorted(execute(client, f"SELECT id FROM t WHERE {text}").rows) == expected, text


def test_the_deepest_and_longest_conditions_pass(twins: tuple[MilvusClient, sqlite3.Connection]) -> None:
    client, _ = twins
    nested = "id = 1 OR id = 2"
    for level in range(32):
        nested = f"({nested}) {'OR' if level % 2 else 'AND'} id = {1 if level % 2 == 0 else 50}"
    assert execute(client, f"SELECT id FROM t WHERE {nested}").rows
    many = ", ".join(map(str, range(10_000)))
    assert len(execute(client, f"SELECT id FROM t WHERE id IN ({many})").rows) == 60


def test_too_many_rows_are_an_error(twins: tuple[MilvusClient, sqlite3.Connection]) -> None:
    client, _ = twins
    assert len(execute(client, "SELECT id FROM t").rows) == 60
    assert len(execute(client, "SELECT id FROM t OFFSET 16383").rows) == 0
    client.insert(
        "t",
        [
            {"id": n, "tag": None, "small": None, "big": 0, "part": None, "flag": None, "v": [1.0, 0.0]}
            for n in range(1000, 1000 + 16384 - 61)
        ],
    )
    assert len(execute(client, "SELECT id FROM t").rows) == 16383
    client.insert(
        "t", [{"id": 999, "tag": None, "small": None, "big": 0, "part": None, "flag": None, "v": [1.0, 0.0]}]
    )
    assert len(execute(client, "SELECT id FROM t").rows) == 16384
    assert len(execute(client, "SELECT id FROM t LIMIT 16384").rows) == 16384


def test_the_catalog_reads_what_was_created(client: MilvusClient) -> None:
    table = read_table(client, "docs")
    assert dict(table.metrics) == METRICS
    assert {one.column for one in table.embeddings} == set(METRICS)
