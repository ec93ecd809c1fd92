"""Spellings of PostgreSQL that mean the same as others."""

from __future__ import annotations

import pytest
from sqlglot import exp

from nestvec.sql.bind.ddl.column_types import bind_type
from nestvec.sql.parse.completeness import check_consumed, check_select_consumed
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlSyntaxError, SqlTypeMismatch, SqlUnknownName

LIMITS = [
    "SELECT id FROM t LIMIT ALL",
    "SELECT id FROM t LIMIT NULL OFFSET NULL",
    "SELECT id FROM t OFFSET NULL LIMIT ALL",
    "SELECT id FROM (SELECT id FROM t LIMIT ALL) AS x",
    "SELECT id FROM t UNION SELECT id FROM u LIMIT ALL",
]


@pytest.mark.parametrize("statement", LIMITS)
def test_limit_all_is_no_limit(statement: str) -> None:
    parsed = parse(statement)
    check_select_consumed(parsed.source, parsed.tree)
    assert parsed.tree.find(exp.Limit, exp.Offset) is None


def test_a_limit_stays() -> None:
    assert parse('SELECT "all" FROM t LIMIT 3 OFFSET 2').tree.find(exp.Limit) is not None


TYPES = [
    ("FLOAT", "DOUBLE", ""),
    ("FLOAT(1)", "FLOAT", ""),
    ("FLOAT(24)", "FLOAT", ""),
    ("FLOAT(25)", "DOUBLE", ""),
    ("FLOAT(53)", "DOUBLE", ""),
    ("float4", "FLOAT", ""),
    ("FLOAT8", "DOUBLE", ""),
    ("REAL", "FLOAT", ""),
    ("TIMESTAMP WITH TIME ZONE", "INT64", "timestamptz"),
    ("TIMESTAMP(3) WITH TIME ZONE", "INT64", "timestamptz(3)"),
    ("TIMESTAMP WITHOUT TIME ZONE", "INT64", "timestamp"),
    ("TIMESTAMP(0) WITHOUT TIME ZONE", "INT64", "timestamp(0)"),
    ("TIME WITHOUT TIME ZONE", "INT64", "time"),
]


@pytest.mark.parametrize(("written", "stored", "sql"), TYPES)
def test_types_of_postgres_in_full(written: str, stored: str, sql: str) -> None:
    parsed = parse(f"CREATE TABLE t (id BIGINT PRIMARY KEY, x {written} NOT NULL, v VECTOR(2))")
    check_consumed(parsed.source, parsed.tree)
    column = parsed.tree.find(exp.Schema).expressions[1]  # type: ignore[union-attr]
    bound = bind_type(parsed.source, column.args["kind"], parsed.source.text.index(written))
    assert (bound.name, str(bound.sql or "")) == (stored, sql)
    cast = parse(f"SELECT x::{written} FROM t")
    check_select_consumed(cast.source, cast.tree)


def test_sizes_of_float_have_a_range() -> None:
    with pytest.raises(SqlTypeMismatch, match="precision of FLOAT is out of range: 54"):
        parse("CREATE TABLE t (id BIGINT PRIMARY KEY, x FLOAT(54))")


@pytest.mark.parametrize("stray", ["id ZONE", "id WITHOUT"])
def test_the_words_of_zones_are_words_elsewhere(stray: str) -> None:
    with pytest.raises(SqlSyntaxError):
        parsed = parse(f"CREATE TABLE t (id BIGINT PRIMARY KEY {stray[2:]})")
        check_consumed(parsed.source, parsed.tree)


def test_bfloat16_has_milvus_name_of_its_type() -> None:
    parsed = parse("CREATE TABLE t (id BIGINT PRIMARY KEY, v BFLOAT16(2))")
    column = parsed.tree.find(exp.Schema).expressions[1]  # type: ignore[union-attr]
    with pytest.raises(SqlUnknownName, match=r"BFLOAT16_VECTOR"):
        bind_type(parsed.source, column.args["kind"], 0)
