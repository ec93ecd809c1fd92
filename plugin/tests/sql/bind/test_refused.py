"""Statements that are refused: which error, what it names, and where its mark stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.sql.plan.nodes import Plan
from nestvec_schemas.errors import (
    SqlError,
    SqlNotSupported,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
)

# Each statement has ‸ before the place where the error's mark must stand.
NOT_SUPPORTED = [
    ("the function own_one()", "SELECT ‸own_one(name) FROM pydoc"),
    ("a window function", "SELECT ‸row_number() OVER () FROM pydoc"),
    ("FILTER", "SELECT ‸sum(id) FILTER (WHERE public) FROM pydoc"),
    ("a subquery", "SELECT (SELECT ‸1) FROM pydoc"),
    ("a second output column named id", "SELECT id, ‸id FROM pydoc"),
    ("* with more", "SELECT ‸* EXCEPT (id) FROM pydoc"),
    ("a name with more than two parts", "SELECT ‸a.b.id FROM pydoc"),
    ("a distance without ORDER BY", "SELECT ‸doc_64 <=> 'x' FROM pydoc"),
    ("a distance other than", "SELECT ‸doc_64 <=> 'y' FROM pydoc ORDER BY doc_64 <=> 'x' LIMIT 1"),
    ("SELECT INTO", "SELECT id ‸INTO x FROM pydoc"),
    ("more than one table in FROM", "SELECT id FROM pydoc, ‸other"),
    ("JOIN", "SELECT id FROM pydoc LEFT ‸JOIN b ON TRUE"),
    ("a subquery in FROM", "SELECT id FROM (SELECT ‸1) x"),
    ("a schema-qualified table", "SELECT id FROM ‸other.pydoc"),
    ("ONLY", "SELECT id FROM ONLY ‸pydoc"),
    ("TABLESAMPLE", "SELECT id FROM ‸pydoc TABLESAMPLE SYSTEM (1)"),
    ("column names after", "SELECT id FROM pydoc ‸p (a)"),
    ("this alias", "SELECT id FROM pydoc ‸@x"),
    ("HINTS", "SELECT id FROM ‸pydoc WITH (NOLOCK)"),
    ("in FROM", "SELECT id FROM ‸f(1)"),
    ("WINDOW", "SELECT id FROM pydoc ‸WINDOW w AS (PARTITION BY id)"),
    ("FOR UPDATE", "SELECT id FROM pydoc ‸FOR UPDATE"),
    ("FETCH FIRST", "SELECT id FROM pydoc ‸FETCH FIRST 5 ROWS WITH TIES"),
    ("SORT", "SELECT id FROM pydoc SORT BY ‸id"),
    ("DESC on a distance", "SELECT id FROM pydoc ORDER BY ‸doc_64 <=> 'x' DESC LIMIT 1"),
    ("ASC on a similarity", "SELECT id FROM pydoc ORDER BY ‸1 - (doc_64 <=> 'x') LIMIT 1"),
    ("without LIMIT", "SELECT id FROM pydoc ‸ORDER BY doc_64 <=> 'x'"),
    ("the operator <+>", "SELECT id FROM pydoc ORDER BY doc_64 ‸<+> 'x' LIMIT 1"),
    ("a distance to a cast", "SELECT id FROM pydoc ORDER BY doc_64 <=> ‸'[1]'::text LIMIT 1"),
    ("a distance to an array", "SELECT id FROM pydoc ORDER BY doc_64 <=> ARRAY[‸1, 2] LIMIT 1"),
    ("a distance to a column", "SELECT id FROM pydoc ORDER BY doc_64 <=> ‸doc_ip LIMIT 1"),
    ("a distance of a constant", "SELECT id FROM pydoc ORDER BY ‸'a' <=> 'b' LIMIT 1"),
    ("a distance in WHERE", "SELECT id FROM pydoc WHERE ‸doc_64 <=> 'a' < 0.3"),
    ("this subquery in WHERE", "SELECT id FROM pydoc WHERE id BETWEEN 1 AND (SELECT ‸1)"),
    ("a distance in WHERE without ORDER BY", "SELECT id FROM pydoc WHERE ‸public OR doc_64 <=> 'a' < 0.3"),
    ("LIMIT with more", "SELECT id FROM pydoc LIMIT ‸5 BY id"),
    ("WITH (a common table expression)", "‸WITH x AS (SELECT 1) SELECT * FROM x"),
    ("INSERT", "‸INSERT INTO pydoc VALUES (1)"),
    ("CREATE", "‸CREATE TABLE x (id int)"),
    ("more than one statement", "SELECT id FROM pydoc; ‸SELECT id FROM pydoc"),
]
SYNTAX = [
    (
        "the parameter q has no value. Pass a value for it.",
        "SELECT id FROM pydoc ORDER BY doc_64 <=> ‸:q LIMIT 1",
    ),
    ("the parameter has no name", "SELECT id FROM pydoc WHERE id = ‸?"),
    ("the parameter 1 has no value", "SELECT id FROM pydoc WHERE id = ‸$1"),
    ("the statement is empty", ""),
    ("the statement is empty", "‸;"),
    ("Did you mean 'SELECT'?", "‸SELEC id FROM pydoc"),
    ("nothing follows this comma", "SELECT id‸, FROM pydoc"),
    ("nothing follows this comma", "SELECT id FROM pydoc WHERE id IN (1‸,)"),
    ("nothing follows this comma", "SELECT id‸,"),
    ("the statement ends unexpectedly", "SELECT id FROM‸"),
    ("the statement ends unexpectedly", "SELECT id FROM pydoc WHERE (id = 1‸ ;"),
    ("syntax error at 'AND'", "SELECT id\nFROM pydoc WHERE id = ‸AND year"),
    ("syntax error at ')'", "SELECT id FROM pydoc ‸)"),
    ("not closed", "SELECT id FROM pydoc WHERE name = ‸'x"),
    ("not closed", 'SELECT ‸"id FROM pydoc'),
    ("not closed", "SELECT id ‸/* FROM pydoc"),
    ("SQL has no operator ==", "SELECT id FROM pydoc WHERE id ‸== 1"),
    ("the select list is empty", "‸SELECT FROM pydoc"),
    ("the list of IN is empty", "SELECT id FROM pydoc WHERE ‸id IN ()"),
    ("LIMIT takes one number", "SELECT id FROM pydoc ‸LIMIT 5, 10"),
    ("nested more than 32 levels deep", "SELECT id FROM pydoc WHERE " + "(" * 32 + "‸(id = 1" + ")" * 33),
    ("nested more than 32 levels deep", "SELECT id FROM pydoc WHERE " + "NOT " * 32 + "‸NOT public"),
    ("a character that is not allowed (U+0000)", "SELECT id FROM pydoc WHERE name = '‸\0'"),
    ("a character that is not allowed (U+D800)", "SELECT id FROM pydoc WHERE name = '‸\ud800'"),
]
NAMES = [
    ("Did you mean 'module'?", "SELECT ‸modul FROM pydoc"),
    ("Did you mean 'module'?", "SELECT id FROM pydoc WHERE ‸modul = 'x'"),
    ("Did you mean 'doc_64'?", "SELECT id FROM pydoc ORDER BY ‸doc_65 <=> 'x' LIMIT 1"),
    ("Did you mean 'Mixed'?", "SELECT ‸MIXED FROM pydoc"),
    ("double quotes are for names", 'SELECT id FROM pydoc WHERE module = ‸"csv"'),
    ("FROM has no such table: q", "SELECT ‸q.id FROM pydoc"),
    ("FROM has no such table: pydoc", "SELECT ‸pydoc.* FROM pydoc p"),
]
TYPES = [
    ("column year is INT16: 'a'", "SELECT id FROM pydoc WHERE year = ‸'a'"),
    ("these types cannot be compared: INT64 and VARCHAR", "SELECT id FROM pydoc WHERE id = ‸name"),
    ("column name is not an array: VARCHAR", "SELECT id FROM pydoc WHERE ‸name && ARRAY['a']"),
    ("column name is VARCHAR, not JSON", "SELECT id FROM pydoc WHERE ‸name->>'a' = 'x'"),
    ("has no analyzer", "SELECT id FROM pydoc WHERE ‸name @@ 'words'"),
    ("column year is INT16: TRUE", "SELECT id FROM pydoc WHERE year = ‸TRUE"),
    ("column name is VARCHAR: 1", "SELECT id FROM pydoc WHERE name IN ('a', ‸1)"),
    ("column public is BOOL: 1", "SELECT id FROM pydoc WHERE public = ‸1"),
    ("the number is out of range", "SELECT id FROM pydoc WHERE price = ‸1e999"),
    ("in the range of a double", "SELECT id FROM pydoc WHERE price = ‸1" + "0" * 350),
    ("column year is INT16, not a boolean", "SELECT id FROM pydoc WHERE ‸year"),
    ("column year is INT16: LIKE", "SELECT id FROM pydoc WHERE ‸year LIKE 'a'"),
    ("ends in the escape character", "SELECT id FROM pydoc WHERE name LIKE ‸'a\\'"),
    ("LIMIT must not be negative", "SELECT id FROM pydoc LIMIT -‸1"),
    ("LIMIT takes an integer", "SELECT id FROM pydoc LIMIT ‸'a'"),
    ("OFFSET must not be negative", "SELECT id FROM pydoc LIMIT 1 OFFSET ‸1 - 2"),
    ("exceeds Milvus's limit of 16,384: 16385", "SELECT id FROM pydoc ORDER BY doc_64 <=> 'x' LIMIT ‸16385"),
    (
        "exceeds Milvus's limit of 16,384: 20000",
        "SELECT id FROM pydoc ORDER BY doc_64 <=> 'x' LIMIT ‸10000 OFFSET 10000",
    ),
    ("column year is INT16, not a vector", "SELECT id FROM pydoc ORDER BY ‸year <=> 'x' LIMIT 1"),
    (
        "column module is text that no EMBED function embeds: <=>. Embedded text columns: name.",
        "SELECT id FROM pydoc ORDER BY ‸module <=> 'x' LIMIT 1",
    ),
    ("indexed by COSINE, and <-> needs L2", "SELECT id FROM pydoc ORDER BY doc_64 ‸<-> 'x' LIMIT 1"),
    ("Write doc_l2 <-> …", "SELECT id FROM pydoc ORDER BY doc_l2 ‸<=> 'x' LIMIT 1"),
    ("Write doc_ip <#> …", "SELECT id FROM pydoc ORDER BY doc_ip ‸<=> 'x' LIMIT 1"),
    ("column bare has no index", "SELECT id FROM pydoc ORDER BY bare ‸<=> '[1, 2, 3]' LIMIT 1"),
    ("no nestvec service embeds text", "SELECT id FROM pydoc ORDER BY own <=> ‸'x' LIMIT 1"),
    ("column own has 3 dims: 2 numbers", "SELECT id FROM pydoc ORDER BY own <=> ‸'[1, 2]' LIMIT 1"),
    ("there is nothing to embed", "SELECT id FROM pydoc ORDER BY doc_64 <=> ‸' ' LIMIT 1"),
]
REFUSED = [
    *((SqlNotSupported, *case) for case in NOT_SUPPORTED),
    *((SqlSyntaxError, *case) for case in SYNTAX),
    *((SqlUnknownName, *case) for case in NAMES),
    *((SqlTypeMismatch, *case) for case in TYPES),
]


Refusal = Callable[..., SqlError]


@pytest.fixture
def refusal(planned: Callable[..., Plan]) -> Refusal:
    def refused(statement: str, given: Any = None, **over: Table) -> SqlError:
        with pytest.raises(SqlError) as caught:
            planned(statement, given, **over)
        return caught.value

    return refused


@pytest.mark.parametrize(("kind", "named", "marked"), REFUSED, ids=[ascii(case[2])[:70] for case in REFUSED])
def test_refused(kind: type[SqlError], named: str, marked: str, refusal: Refusal) -> None:
    statement = marked.replace("‸", "")
    error = refusal(statement)
    assert isinstance(error, kind)
    assert named in str(error)
    assert error.next_step
    str(error).encode()
    if "‸" in marked:
        assert error.position == marked.index("‸")
        line = marked[: marked.index("‸")].rpartition("\n")[2]
        assert str(error).endswith("\n  " + " " * min(len(line), 60) + "^")


def test_a_statement_has_a_greatest_length(refusal: Refusal) -> None:
    error = refusal("SELECT id FROM pydoc WHERE name = '" + "é" * 600_000 + "'")
    assert type(error) is SqlSyntaxError
    assert "longer than 1 MiB" in str(error)


def test_where_has_a_greatest_number_of_constants(refusal: Refusal, planned: Callable[..., Plan]) -> None:
    enough = ", ".join(map(str, range(10_000)))
    planned(f"SELECT id FROM pydoc WHERE id IN ({enough})")
    error = refusal(f"SELECT id FROM pydoc WHERE id IN ({enough}, 10000)")
    assert "more than 10,000 constants: 10001" in str(error)


def test_what_cannot_be_read_or_filtered_is_refused(refusal: Refusal) -> None:
    columns = (
        Column("id", "INT64", primary=True),
        Column("größe", "INT64"),
        Column("words", "SPARSE_FLOAT_VECTOR"),
        Column("bits", "BINARY_VECTOR", type_params=TypeParams(dim=8)),
    )
    table = Table("t", columns, metrics={"bits": "HAMMING"}, dynamic=True)
    assert "reading column words (SPARSE_FLOAT_VECTOR)" in str(refusal("SELECT * FROM t", over=table))
    assert "Use <~> or <%> for bits" in str(
        refusal("SELECT id FROM t ORDER BY bits <=> 'x' LIMIT 1", over=table)
    )
    assert "Read a dynamic field as \"$meta\"->>'other'" in str(refusal("SELECT other FROM t", over=table))
