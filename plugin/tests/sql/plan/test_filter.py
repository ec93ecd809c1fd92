"""Constants and conditions as Milvus's filter language has them, read back by Milvus Lite's own parser."""

from __future__ import annotations

import sqlite3
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from milvus_lite.search.filter.parser import parse_expr
from milvus_lite.search.filter.tokens import TokenKind, tokenize
from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.sql.bind.conditions.nodes import And, Condition, InList, IsNull, Or
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.select import bind_query
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.filter import literal, render_filter

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
INTEGERS = st.integers(-(2**63) + 1, 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COLUMN = Column("c", "VARCHAR")


def bound(statement: str, table: Table) -> Condition | None:
    parsed = parse(statement)
    assert isinstance(parsed.tree, exp.Select)
    return bind_query(parsed.source, parsed.tree, table, Params()).where


def where(statement: str, column: Column) -> Condition:
    found = bound(f"SELECT c FROM t WHERE {statement}", Table("t", (column,)))
    assert found is not None
    return found


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@given(TEXTS)
def test_a_text_survives_sql_and_the_filter(text: str) -> None:
    rendered = render_filter(where(f"c = {quoted(text)}", COLUMN))
    value = tokenize(rendered)[2]
    assert (value.kind, value.value) == (TokenKind.STRING, text)
    assert [token.kind for token in tokenize(rendered)][-1] == TokenKind.EOF
    assert len(tokenize(rendered)) == 4
    assert not set("\r\n") & set(rendered)


@given(TEXTS)
def test_only_escapes_that_go_reads_too(text: str) -> None:
    inner = literal(text)[1:-1].replace("\\\\", "")
    assert all(inner[at + 1] in '"nr' for at, one in enumerate(inner) if one == "\\")


@given(INTEGERS)
def test_a_whole_number_survives(number: int) -> None:
    sign = "-" if number < 0 else ""
    tokens = tokenize(render_filter(where(f"c = {sign}{abs(number)}", Column("c", "INT64"))))
    assert (-1 if number < 0 else 1) * tokens[-2].value == number


@given(FLOATS)
def test_a_float_survives(number: float) -> None:
    tokens = tokenize(render_filter(where(f"c = {number!r}", Column("c", "DOUBLE"))))
    assert tokens[-2].kind == TokenKind.FLOAT
    assert (-1 if number < 0 else 1) * tokens[-2].value == number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_is_rounded_as_its_column_is(number: float) -> None:
    found = where(f"c = {number!r}", Column("c", "FLOAT"))
    assert struct.pack("<d", found.value) == struct.pack("<d", number)


NAMES = ("a", "b", "t", "f")
LEAVES = st.sampled_from(
    [
        "a = 1",
        "a <> 1",
        "a > 0",
        "2 >= a",
        "b < 0",
        "a IN (1, 2)",
        "a NOT IN (1)",
        "b BETWEEN -1 AND 1",
        "b NOT BETWEEN 0 AND 1",
        "a IS NULL",
        "b IS NOT NULL",
        "t = 'x'",
        "t <> 'x'",
        "t NOT IN ('x', 'y')",
        "t LIKE 'x%'",
        "t NOT LIKE '%y'",
        "t LIKE 'x'",
        "f",
        "f = FALSE",
        "f <> TRUE",
    ]
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("NOT ({})".format, inner),
        st.builds("({} AND {})".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
    ),
    max_leaves=8,
)
ROWS = [
    (a, b, t, f) for a in (None, 1, 2) for b in (None, -1, 0) for t in (None, "x", "xy") for f in (None, 0, 1)
]


@pytest.fixture(scope="module")
def sqlite() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    connection.execute("CREATE TABLE t (a INTEGER, b INTEGER, t TEXT, f BOOLEAN)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", ROWS)
    return connection


def holds(condition: Condition, row: dict[str, object]) -> bool:
    """The result of an engine to which comparisons with NULL are false, but NOT IN is true."""
    if isinstance(condition, And):
        return all(holds(part, row) for part in condition.parts)
    if isinstance(condition, Or):
        return any(holds(part, row) for part in condition.parts)
    value = row[condition.column.name]
    if isinstance(condition, IsNull):
        return (value is None) != condition.negated
    if value is None:
        return False
    if isinstance(condition, InList):
        return (value in condition.values) != condition.negated
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    operator, other = (
        ("NOT LIKE" if condition.negated else "LIKE", condition.pattern)
        if hasattr(condition, "pattern")
        else (condition.operator, condition.value)
    )
    return bool(connection.execute(f"SELECT ? {operator} ?", (value, other)).fetchone()[0])


@settings(max_examples=60, deadline=None)
@given(CONDITIONS)
def test_without_not_null_may_count_as_false(sqlite: sqlite3.Connection, text: str) -> None:
    types = {"a": "INT64", "b": "INT8", "t": "VARCHAR", "f": "BOOL"}
    table = Table("t", tuple(Column(name, kind, nullable=True) for name, kind in types.items()))
    condition = bound(f"SELECT a FROM t WHERE {text}", table)
    assert condition is not None
    expected = sqlite.execute(f"SELECT rowid FROM t WHERE {text}").fetchall()
    found = [(at,) for at, row in enumerate(ROWS, 1) if holds(condition, dict(zip(types, row, strict=True)))]
    assert found == expected
    parse_expr(render_filter(condition))
