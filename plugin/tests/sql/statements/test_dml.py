"""INSERT, UPDATE and DELETE: how they are bound, and where their errors point. No Milvus."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.milvus.catalog import Column, EmbeddingColumn, LexicalColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import BlockingCall, Call, Steps, drive
from nestvec.sql import Session
from nestvec.sql.bind.params import bind_params
from nestvec.sql.execute.read import ids_filter
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import parse
from nestvec.sql.parse.source import SourceText
from nestvec.sql.statements import execute_steps
from nestvec.sql.statements.dml.insert import Insert, bind_insert
from nestvec.sql.statements.dml.update import bind_update
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import (
    NestvecError,
    SqlDataError,
    SqlError,
    SqlNotSupported,
    SqlNullViolation,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
)

TABLE = Table(
    "papers",
    (
        Column("id", "INT64", primary=True),
        Column("title", "VARCHAR", nullable=True, type_params=TypeParams(max_length=10)),
        Column("abstract", "VARCHAR", type_params=TypeParams(max_length=100)),
        Column("year", "INT16", nullable=True),
        Column("stars", "INT32", has_default=True, default=3),
        Column(
            "tags",
            "ARRAY",
            nullable=True,
            type_params=TypeParams(element_type="VARCHAR", max_length=5, max_capacity=3),
        ),
        Column("meta", "JSON", nullable=True),
        Column("ok", "BOOL", nullable=True),
        Column("score", "DOUBLE", nullable=True),
        Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
        Column("abstract_64", "FLOAT_VECTOR", type_params=TypeParams(dim=64)),
        Column("words", "SPARSE_FLOAT_VECTOR"),
    ),
    embeddings=(
        EmbeddingColumn(
            "abstract", "abstract_64", Endpoint("openai", "http://127.0.0.1:1", EmbeddingConfig("minilm", 64))
        ),
    ),
    lexical=(LexicalColumn("abstract", "words"),),
    metrics={"v": "COSINE", "abstract_64": "COSINE", "words": "BM25"},
    generated={"abstract_64": "abstract", "words": "abstract"},
)
BASE = "INSERT INTO papers (id, abstract, v"


def inserted(statement: str, given: Any = None, table: Table = TABLE) -> Insert:
    parsed = parse(statement)
    return bind_insert(parsed.source, parsed.tree, table, bind_params(given))


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("title", "'x'", "x"),
        ("title", "NULL", None),
        ("year", "-3", -3),
        ("year", "2000.0", 2000),
        ("ok", "TRUE", True),
        ("score", "1", 1.0),
        ("score", "-1.5e3", -1500.0),
        ("score", "'1e3'", 1000.0),
        ("year", "1.5", 2),
        ("year", "-2.5", -3),
        ("year", "' 12 '", 12),
        ("ok", "'yes'", True),
        ("tags", "'{a,b}'", ["a", "b"]),
        ("tags", "ARRAY['a', 'b']", ["a", "b"]),
        ("tags", "'{abc,b}'::varchar(2)[]", ["ab", "b"]),
        ("tags", "ARRAY[]", []),
        ("tags", "'[\"a\"]'", ["a"]),
        ("tags", ":p", ["a", "b"]),
        ("meta", "'{\"a\": [1]}'", {"a": [1]}),
        ("meta", "'[1, 2]'::jsonb", [1, 2]),
        ("meta", ":d", {"a": 1}),
        ("v", "ARRAY[3, 4.5]", [3.0, 4.5]),
        ("v", "'[3, 4]'::vector", [3.0, 4.0]),
        ("v", "'[3, 4]'::vector(2)", [3.0, 4.0]),
    ],
)
def test_values_become_what_milvus_takes(column: str, value: str, stored: object) -> None:
    others = {"id": "1", "abstract": "'a'", "v": "'[1, 2]'"} | {column: value}
    statement = f"INSERT INTO papers ({', '.join(others)}) VALUES ({', '.join(others.values())})"
    row = inserted(statement, {"p": ("a", "b"), "d": {"a": 1}}).rows[0]
    assert row[column] == stored
    assert row.get("stars") is None


def test_default_columns_are_in_order_without_generated_ones() -> None:
    found = inserted("INSERT INTO papers VALUES (1, 't', 'a', 2000, DEFAULT, NULL, NULL, NULL, 1, '[1, 2]')")
    assert found.columns == ("id", "title", "abstract", "year", "stars", "tags", "meta", "ok", "score", "v")
    assert "stars" not in found.rows[0]


def test_values_that_are_left_out_at_the_end_of_a_row_are_null() -> None:
    keys = Table("t", TABLE.columns[:2])
    found = inserted("INSERT INTO t VALUES (1), (2)", table=keys)
    assert [row["id"] for row in found.rows] == [1, 2]
    with pytest.raises(SqlSyntaxError, match="2 values for 1 columns"):
        inserted("INSERT INTO t VALUES (1), (2, 'x')", table=keys)
    with pytest.raises(SqlSyntaxError, match="3 values for 2 columns"):
        inserted("INSERT INTO t VALUES (1, 'x', 3)", table=keys)


def test_parameters_need_no_spaces_between_them() -> None:
    found = inserted("INSERT INTO papers (id,abstract,v) VALUES ($1,$2,$3),($4,$2,$3)", (1, "a", [1, 2], 4))
    assert [row["id"] for row in found.rows] == [1, 4]


VALUES = "VALUES (1, 'a', '[1, 2]'"
REFUSED = [
    (SqlUnknownName, "no such column: yeer.*'year'", f"{BASE}, ‸yeer) {VALUES}, 3)"),
    (SqlSyntaxError, "column v is named twice", f"{BASE}, ‸V) {VALUES}, 3)"),
    (SqlTypeMismatch, "generated column.*_64.*computed from abstract", f"{BASE}, ‸abstract_64) {VALUES}, 3)"),
    (SqlTypeMismatch, "a generated column.*words", f"{BASE}, ‸words) {VALUES}, 3)"),
    (SqlSyntaxError, "4 values for 3 columns", f"{BASE}) {VALUES}, ‸3)"),
    (SqlSyntaxError, "2 values for 3 columns", f"{BASE}) {VALUES}), (‸2, 'b')"),
    (SqlDataError, "year is outside INT16: 70000", f"{BASE}, year) {VALUES}, ‸70000)"),
    (SqlDataError, "year is not a whole number: x",
     f"{BASE}, year) {VALUES}, 1), (2, 'b', '[1, 2]', ‸'x')"),
    (SqlDataError, "title has 11 bytes", f"{BASE}, title) {VALUES}, ‸'éééééa')"),
    (SqlDataError, "tags has more than 3 elements",
     f"{BASE}, tags) {VALUES}, ARRAY[‸'a', 'b', 'c', 'd'])"),
    (SqlTypeMismatch, "tags is TEXT|tags is VARCHAR.*a,b", f"{BASE}, tags) {VALUES}, ‸'{{a,b')"),
    (SqlTypeMismatch, "meta is JSONB.*Write it as", f"{BASE}, meta) {VALUES}, ‸'{{')"),
    (SqlDataError, "meta is neither a JSON object nor", f"{BASE}, meta) {VALUES}, ‸3)"),
    (SqlDataError, "v has 2 dims: 1 numbers",
     "INSERT INTO papers (id, abstract, v) VALUES (1, 'a', ‸'[1]')"),
    (SqlTypeMismatch, "v is VECTOR.*: abc", "INSERT INTO papers (id, abstract, v) VALUES (1, 'a', ‸'abc')"),
    (SqlNullViolation, "abstract cannot be NULL",
     "INSERT INTO papers (id, abstract, v) VALUES (1, ‸NULL, '[1, 2]')"),
    (SqlSyntaxError, "nothing to embed", "INSERT INTO papers (id, abstract, v) VALUES (1, ‸'', '[1, 2]')"),
    (SqlNullViolation, "column v is missing", "INSERT INTO papers (id, abstract) VALUES (‸1, 'a')"),
    (SqlNullViolation, "column stars cannot be NULL", f"{BASE}, stars) {VALUES}, ‸NULL)"),
    (SqlNotSupported, "this cast", f"{BASE}, year) {VALUES}, ‸'3'::text)"),
    (SqlNotSupported, "arithmetic", f"{BASE}, year) {VALUES}, ‸1 + 2)"),
    (SqlSyntaxError, "the parameter y has no value", f"{BASE}, year) {VALUES}, ‸:y)"),
    (SqlNotSupported, "anything but the primary key", f"{BASE}) {VALUES}) ON CONFLICT (‸v) DO NOTHING"),
    (SqlSyntaxError, "ON CONFLICT has no action", f"{BASE}) {VALUES}) ON CONFLICT (‸id)"),
    (SqlTypeMismatch, "a generated column",
     f"{BASE}) {VALUES}) ON CONFLICT (id) DO UPDATE SET ‸words = EXCLUDED.v"),
    (SqlDataError, "year is not a whole", f"{BASE}) {VALUES}) ON CONFLICT (id) DO UPDATE SET year = ‸'x'"),
    (SqlNotSupported, "SET on the primary key", f"{BASE}) {VALUES}) ON CONFLICT (id) DO UPDATE SET ‸id = 3"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "said", "marked"), REFUSED, ids=[ascii(case[2])[-70:] for case in REFUSED])
def test_an_invalid_insert_is_marked(kind: type[SqlError], said: str, marked: str) -> None:
    with pytest.raises(SqlError, match=said) as caught:
        inserted(marked.replace("‸", ""))
    assert type(caught.value) is kind
    assert caught.value.position == marked.index("‸")


UPDATES = [
    (SqlTypeMismatch, "a primary key cannot be changed", "UPDATE papers SET ‸id = 3"),
    (SqlTypeMismatch, "a generated column", "UPDATE papers SET ‸words = 3"),
    (SqlUnknownName, "no such column: yeer", "UPDATE papers SET ‸yeer = 3"),
    (SqlSyntaxError, "column year is set twice", "UPDATE papers SET year = 3, ‸year = 4"),
    (SqlDataError, "outside INT16", "UPDATE papers SET year = ‸70000"),
    (SqlNullViolation, "abstract cannot be NULL", "UPDATE papers SET abstract = ‸NULL"),
    (SqlTypeMismatch, "the column has no default", "UPDATE papers SET abstract = ‸DEFAULT"),
    (SqlUnknownName, "no such column: yer", "UPDATE papers SET year = 1 WHERE ‸yer = 1"),
    (SqlSyntaxError, "1 values for 2 columns", "UPDATE papers SET (year, ok) = ‸1"),
    (SqlNotSupported, "SET of anything but a column", "UPDATE papers SET ‸tags[1] = 'a'"),
    (
        SqlNotSupported,
        r"\* in a query that SET assigns is not supported",
        "UPDATE papers SET (year, stars) = (SELECT ‸* FROM papers)",
    ),
    (SqlSyntaxError, "VALUES of one row", "UPDATE papers SET (year, stars) = (VALUES (‸1, 2), (3, 4))"),
    (
        SqlDataError,
        "column meta: an integer of JSON is beyond 64 bits: 18446744073709551616",
        "UPDATE papers SET meta = ‸'[18446744073709551616]'",
    ),
]


@pytest.mark.parametrize(("kind", "said", "marked"), UPDATES, ids=[case[2] for case in UPDATES])
def test_an_invalid_update_is_marked(kind: type[SqlError], said: str, marked: str) -> None:
    parsed = parse(marked.replace("‸", ""))
    with pytest.raises(SqlError, match=said) as caught:
        bind_update(parsed.source, parsed.tree, TABLE, bind_params(None))
    assert type(caught.value) is kind
    assert caught.value.position == marked.index("‸")


def test_json_paths_in_where_are_read() -> None:
    statement = "UPDATE papers SET year = 1 WHERE meta->>'kind' = 'x' AND meta->'a'->>'b' = 'y'"
    parsed = parse(statement)
    check_consumed(parsed.source, parsed.tree)
    found = bind_update(parsed.source, parsed.tree, TABLE, bind_params(None))
    assert found.filter == 'meta["kind"] == "x" and meta["a"]["b"] == "y"'


def test_an_update_sets_values() -> None:
    changes = "(ok, title) = (TRUE, 'x'), year = -3, stars = DEFAULT"
    parsed = parse(f"UPDATE papers AS p SET {changes} WHERE id = 7")
    found = bind_update(parsed.source, parsed.tree, TABLE, bind_params(None))
    assert [(one.column.name, one.value) for one in found.assignments] == [
        ("ok", True), ("title", "x"), ("year", -3), ("stars", 3),
    ]  # fmt: skip
    assert found.filter == "id == 7"


def test_ids_in_a_filter() -> None:
    keyed = Table("t", (Column("id", "VARCHAR", primary=True, type_params=TypeParams(max_length=9)),))
    assert ids_filter(TABLE, [1, -2]) == "id in [1, -2]"
    assert ids_filter(keyed, ['a"b']) == 'id in ["a\\"b"]'
    uuid = UUID("00000000-0000-0000-0000-0000000000ff")
    mapped = Table("t", (Column("id", "VARCHAR", primary=True, type_params=TypeParams(sql_type="uuid")),))
    assert ids_filter(mapped, [uuid]) == ids_filter(mapped, [str(uuid)]) == f'id in ["{uuid}"]'


class _Empty:
    """A Milvus that has ``papers`` without a row, and takes whatever is written."""

    def __init__(self) -> None:
        self.written: list[str] = []
        """The calls that change rows."""

    def __getattr__(self, name: str) -> Any:
        answers = {
            "query": [], "list_indexes": [], "list_collections": ["papers"], "has_collection": False,
            "get_server_version": "milvus_lite", "get_load_state": {"state": None},
            "describe_collection": {"fields": []},
        }  # fmt: skip

        def answer(*args: Any, **kwargs: Any) -> Any:
            if name == "query" and "count(*)" in kwargs.get("output_fields", ()):
                return [{"count(*)": 0}]
            # An UPDATE claims the table by a row of another collection.
            if name in ("insert", "upsert", "delete") and args[:1] == ("papers",):
                self.written.append(name)
            return answers.get(name, {})

        return answer


class _Unchanged(Session):
    """A session whose collections are as it read them."""

    def refresh_changed(self, tree: exp.Expr, remembered: Collection[str]) -> Steps[bool]:
        yield from ()
        return False


COMPUTED = [
    (SqlUnknownName, "no such column: yer", "UPDATE papers SET year = ‸yer + 1"),
    (SqlSyntaxError, "column year is set twice", "UPDATE papers SET year = year + 1, ‸year = year + 2"),
    (SqlUnknownName, "no such column: yer", "UPDATE papers SET year = 1 RETURNING id, ‸yer + 1"),
    (SqlUnknownName, "the function nope", "DELETE FROM papers RETURNING ‸nope(id)"),
    (
        SqlSyntaxError,
        "aggregate functions are not allowed in RETURNING",
        "DELETE FROM papers RETURNING ‸sum(id)",
    ),
]


@pytest.mark.parametrize(("kind", "said", "marked"), COMPUTED, ids=[case[2] for case in COMPUTED])
def test_what_cannot_be_computed_is_an_error_before_anything_is_written(
    kind: type[SqlError], said: str, marked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table(self: Session, source: SourceText, node: exp.Table) -> Steps[Table]:
        yield from ()
        return TABLE

    monkeypatch.setattr(Session, "table", table)
    milvus = _Empty()
    steps = execute_steps(_Unchanged(tables={"papers": TABLE}), marked.replace("‸", ""), None)
    with pytest.raises(SqlError) as caught:
        drive(cast(MilvusClient, milvus), steps)
    assert said in str(caught.value)
    assert type(caught.value) is kind
    assert caught.value.position == marked.index("‸")
    assert not milvus.written


WORDS = """
    CREATE TABLE INDEX papers t ( ) , id BIGINT PRIMARY KEY INT VARCHAR(9) TEXT[] VECTOR(3) DEFAULT NULL NOT
    GENERATED ALWAYS AS STORED EMBED(abstract,'minilm') BM25(abstract) IDENTITY PARTITION BY HASH WITH = m 16
    ON USING hnsw vector_l2_ops DROP IF EXISTS ALTER ADD COLUMN RENAME TO INSERT INTO VALUES 'x' 1 -1 :p $1
    ARRAY[1] '[1,2]' CONFLICT DO UPDATE NOTHING SET EXCLUDED.year year abstract v tags * RETURNING DELETE
    FROM WHERE TRUNCATE COPY 'f.csv' FORMAT csv DESCRIBE SHOW TABLES INDEXES BEGIN COMMIT ; TRUE ::jsonb +"""
PIECES = WORDS.split()
STARTS = (
    "CREATE TABLE t (", "CREATE INDEX ON papers", "DROP TABLE", "ALTER TABLE papers", "INSERT INTO papers",
    "INSERT INTO papers (id, abstract, v) VALUES", "UPDATE papers SET", "DELETE FROM papers", "COPY papers",
    "SHOW", "DESCRIBE", "TRUNCATE", "BEGIN", "DROP INDEX",
    "INSERT INTO papers (id, abstract, v) VALUES (1, 'a', '[1,2]')",
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(STARTS), st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_pieces_run_or_raise_a_nestvec_error(start: str, pieces: list[str]) -> None:
    """Blocking calls need a real Milvus, and are skipped."""
    steps = execute_steps(
        Session(tables={"papers": TABLE}), f"{start} {' '.join(pieces)}", {"p": 3, "1": "x"}
    )
    milvus = cast(MilvusClient, _Empty())

    def asked() -> Any:
        answer: Any = None
        while True:
            request = steps.send(answer)
            if isinstance(request, BlockingCall):
                return
            method = getattr(milvus, cast(Call, request).method)
            answer = method(*request.args, **request.kwargs)

    with suppress(StopIteration, NestvecError):
        asked()
