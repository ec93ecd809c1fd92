"""The shape of a SELECT's answer: what is refused, and what is done with rows that are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nestvec.sql.bind.expressions.nodes import ColumnRef, Constant, Distance, FunctionCall
from nestvec.sql.bind.order import SortKey, monotonicity
from nestvec.sql.execute.evaluate import ScoredRow
from nestvec.sql.execute.row_operators import aggregate, distinct, limit_rows, sort_rows
from nestvec.sql.plan.nodes import (
    Aggregate,
    Distinct,
    Fetch,
    Limit,
    Plan,
    Sort,
    VectorSearch,
    source_of,
    with_source,
)
from nestvec_schemas.errors import SqlError, SqlNotSupported, SqlSyntaxError, SqlTypeMismatch

Planned = Callable[..., Plan]

NEAR = "doc_64 <=> 'x'"
# @ is a distance, @@ the order by it; ‸ stands before the place where the error's mark must stand.
NOT_SUPPORTED = [
    ("without ORDER BY the same distance", "SELECT id FROM pydoc WHERE ‸@ < 0.3"),
    ("excludes the nearest rows", "SELECT id FROM pydoc WHERE ‸@ > 1 @@"),
    ("excludes the nearest rows", "SELECT id FROM pydoc WHERE ‸1 - (@) < 1 @@"),
    ("excludes the nearest rows", "SELECT id FROM pydoc WHERE ‸0.1 < @ @@"),
    ("other than a threshold", "SELECT id FROM pydoc WHERE ‸public OR @ < 1 @@"),
    ("other than a threshold", "SELECT id FROM pydoc WHERE ‸@ BETWEEN 0 AND 1 @@"),
    ("other than a threshold", "SELECT id FROM pydoc WHERE NOT ‸@ > 1 @@"),
    ("anything but a constant", "SELECT id FROM pydoc WHERE ‸@ < price @@"),
    ("anything but a constant", "SELECT id FROM pydoc WHERE ‸price * (@) < 1 @@"),
    ("a distance other than the one", "SELECT id FROM pydoc WHERE ‸doc_64 <=> 'y' < 1 @@"),
    ("together with other values", "SELECT id FROM pydoc ORDER BY (‸@) + year LIMIT 1"),
    ("together with other values", "SELECT id FROM pydoc ORDER BY ‸abs(@) LIMIT 1"),
    ("DESC on a distance", "SELECT round(@, 2) AS d FROM pydoc ORDER BY ‸d DESC LIMIT 1"),
    ("ASC on a similarity", "SELECT -(@) AS d FROM pydoc ORDER BY ‸d LIMIT 1"),
    ("a value before a distance", "SELECT id FROM pydoc ORDER BY ‸year, @ LIMIT 1"),
    ("after a rounded distance", "SELECT id FROM pydoc ORDER BY round(@, 2), ‸id LIMIT 1"),
    ("a distance twice", "SELECT id FROM pydoc ORDER BY @, ‸@ LIMIT 1"),
    ("without LIMIT", "SELECT module FROM pydoc GROUP BY module ‸ORDER BY @"),
    ("GROUP BY a FLOAT column", "SELECT id FROM pydoc GROUP BY ‸score @@"),
    ("GROUP BY a JSON column", "SELECT id FROM pydoc GROUP BY ‸meta @@"),
    ("GROUP BY the function LOWER()", "SELECT id FROM pydoc GROUP BY ‸lower(name) @@"),
    ("more than one column", "SELECT id FROM pydoc GROUP BY year, ‸module @@"),
    ("the aggregate count()", "SELECT year, ‸count(*) FROM pydoc GROUP BY year @@"),
    ("the aggregate max()", "SELECT ‸max(@) FROM pydoc GROUP BY year @@"),
    ("an aggregate with", "SELECT id, ‸count(*) FROM pydoc @@"),
    ("HAVING with", "SELECT year FROM pydoc GROUP BY year HAVING ‸year > 1 @@"),
    ("DISTINCT with", "SELECT ‸DISTINCT year, @ FROM pydoc @@"),
    ("COUNT() in WHERE", "SELECT id FROM pydoc WHERE ‸count(*) > 1"),
    ("the aggregate COUNT() in GROUP BY", "SELECT id FROM pydoc GROUP BY ‸count(*)"),
    ("the aggregate MIN() in the aggregate SUM()", "SELECT sum(‸min(id)) FROM pydoc"),
    ("of several values", "SELECT ‸count(DISTINCT id, year) FROM pydoc"),
    ("ARRAY_AGG()", "SELECT ‸array_agg(id) FROM pydoc"),
    ("GROUP BY with several grouping sets", "SELECT id FROM pydoc GROUP BY ROLLUP (‸id)"),
    ("GROUP BY ALL", "SELECT id FROM pydoc ‸GROUP BY ALL"),
    ("DISTINCT ON with GROUP BY", "SELECT ‸DISTINCT ON (year) year FROM pydoc GROUP BY year"),
    ("ORDER BY a value of type JSON", "SELECT id FROM pydoc ORDER BY ‸meta"),
    ("ORDER BY a value of type FLOAT_VECTOR", "SELECT id FROM pydoc ORDER BY ‸own"),
]
TYPES = [
    ("neither in GROUP BY", "SELECT ‸name, count(*) FROM pydoc"),
    ("neither in GROUP BY", "SELECT year + 1, ‸year FROM pydoc GROUP BY year + 1"),
    ("neither in GROUP BY", "SELECT count(*) FROM pydoc GROUP BY year ORDER BY ‸id"),
    ("neither in GROUP BY", "SELECT count(*) FROM pydoc HAVING ‸id > 1"),
    ("SUM() takes a number", "SELECT sum(‸name) FROM pydoc"),
    ("HAVING takes a boolean", "SELECT count(*) FROM pydoc HAVING ‸count(*)"),
    ("a position that is not in the select list", "SELECT id FROM pydoc ORDER BY ‸2"),
    ("a position that is not in the select list", "SELECT id FROM pydoc ORDER BY ‸0"),
    ("a constant in ORDER BY", "SELECT id FROM pydoc ORDER BY ‸'id'"),
    ("a constant in GROUP BY", "SELECT id FROM pydoc GROUP BY ‸1.5"),
]
SYNTAX = [
    ("expressions must be in the select list", "SELECT DISTINCT id FROM pydoc ORDER BY ‸year"),
    ("must match the first keys", "SELECT DISTINCT ON (year) id FROM pydoc ORDER BY ‸id"),
]
REFUSED = [
    *((SqlNotSupported, *case) for case in NOT_SUPPORTED),
    *((SqlTypeMismatch, *case) for case in TYPES),
    *((SqlSyntaxError, *case) for case in SYNTAX),
]


@pytest.mark.parametrize(("kind", "message", "marked"), REFUSED, ids=[one[2][:90] for one in REFUSED])
def test_refused(planned: Planned, kind: type[SqlError], message: str, marked: str) -> None:
    marked = marked.replace("@@", f"ORDER BY {NEAR} LIMIT 1").replace("@", NEAR)
    with pytest.raises(SqlError) as caught:
        planned(marked.replace("‸", ""))
    assert message in str(caught.value)
    assert type(caught.value) is kind
    assert caught.value.next_step
    assert caught.value.position == marked.index("‸")


MEANT = [
    ("SELECT name AS id, id AS n FROM pydoc ORDER BY id", SortKey(ColumnRef("name"))),
    ("SELECT name AS id, id AS n FROM pydoc ORDER BY pydoc.id", SortKey(ColumnRef("id"))),
    ("SELECT name AS id FROM pydoc ORDER BY upper(id::text)", None),
    ("SELECT *, year + 1 FROM pydoc ORDER BY 2 DESC", SortKey(ColumnRef("name"), True, True)),
    ("SELECT id FROM pydoc ORDER BY year NULLS FIRST", SortKey(ColumnRef("year"), False, True)),
    ("SELECT id FROM pydoc ORDER BY year DESC NULLS LAST", SortKey(ColumnRef("year"), True, False)),
    ("SELECT year FROM pydoc GROUP BY 1 ORDER BY (year)", SortKey(ColumnRef("year"))),
]


@pytest.mark.parametrize(("statement", "expected"), MEANT)
def test_what_a_name_in_order_by_means(planned: Planned, statement: str, expected: SortKey | None) -> None:
    """A column of the answer, where it stands alone; else a column of the table, as in PostgreSQL."""
    node = planned(statement).node
    assert isinstance(node, Sort)
    if expected is None:
        assert node.keys[0].expression == FunctionCall("upper", (FunctionCall("text", (ColumnRef("id"),)),))
    else:
        assert node.keys == (expected,)


def test_a_name_in_group_by_means_the_tables_column_first(planned: Planned) -> None:
    node = planned("SELECT lower(name) AS year, count(*) FROM pydoc GROUP BY year, name").node
    assert isinstance(node, Aggregate)
    assert node.keys == (ColumnRef("year"), ColumnRef("name"))
    node = planned("SELECT lower(name) AS y, count(*) FROM pydoc GROUP BY y").node
    assert isinstance(node, Aggregate)
    assert node.keys == (FunctionCall("lower", (ColumnRef("name"),)),)


DIRECTIONS = [
    ("{d}", 2),
    ("1 - ({d})", -2),
    ("-({d})", -2),
    ("2 * ({d}) + 1", 2),
    ("({d}) / -2", -2),
    ("0 * ({d})", 0),
    ("round(1 - ({d}), 2)", -1),
    ("floor(10 * ({d}))", 1),
    ("({d})::int", 1),
    ("({d})::float", 2),
    ("exp(-({d}))", -1),
    ("({d}) * ({d})", 0),
    ("1 / ({d})", 0),
    ("({d}) + year", 0),
    ("CASE WHEN {d} < 1 THEN 1 END", 0),
]


@pytest.mark.parametrize(("expression", "expected"), DIRECTIONS)
def test_how_an_expression_follows_the_distance(planned: Planned, expression: str, expected: int) -> None:
    made = expression.format(d=NEAR)
    plan = planned(f"SELECT {made} AS x FROM pydoc ORDER BY {NEAR} LIMIT 1")
    assert monotonicity(plan.outputs[0].expression) == expected


def test_a_part_of_a_plan_may_take_the_searchs_place(planned: Planned) -> None:
    node = planned(f"SELECT id FROM pydoc WHERE {NEAR} < 1 ORDER BY {NEAR} LIMIT 1").node
    search = source_of(node)
    assert isinstance(search, VectorSearch)
    other = Fetch("pydoc", "", (), 1)
    assert source_of(with_source(node, other)) == other
    assert with_source(with_source(node, other), search) == node


def rows(*values: Any) -> list[ScoredRow]:
    return [ScoredRow({"a": value}) for value in values]


def values(rows: list[ScoredRow]) -> list[Any]:
    return [row.row["a"] for row in rows]


A = ColumnRef("a")
INPUT = Fetch("t", "", ("a",), 9)


def test_sorting_puts_nulls_where_it_is_told_and_keeps_like_rows_as_they_are() -> None:
    assert values(sort_rows(Sort(INPUT, (SortKey(A),)), rows(2, None, 1))) == [1, 2, None]
    assert values(sort_rows(Sort(INPUT, (SortKey(A, True, True),)), rows(2, None, 3))) == [None, 3, 2]
    assert values(sort_rows(Sort(INPUT, (SortKey(A, True),)), rows(False, None, True))) == [True, False, None]
    same = (SortKey(Constant(1)), SortKey(FunctionCall("%", (A, Constant(2))), True))
    assert values(sort_rows(Sort(INPUT, same), rows(2, 1, 4, 3))) == [1, 3, 2, 4]


def test_values_are_told_apart_as_they_are() -> None:
    many = rows(1, True, 1, None, [1], [True], {"a": 1}, {"a": 1.0}, {"a": True}, None, "1", [1])
    assert values(distinct(Distinct(INPUT, (A,)), many)) == [
        1, True, None, [1], [True], {"a": 1}, {"a": True}, "1",
    ]  # fmt: skip


def test_no_rows_are_one_group_without_keys_and_none_with_them() -> None:
    assert len(aggregate(Aggregate(INPUT, (), ()), [])) == 1
    assert aggregate(Aggregate(INPUT, (A,), ()), []) == []
    assert values(aggregate(Aggregate(INPUT, (A,), ()), rows(None, 1, None))) == [None, 1]


def test_rows_are_cut() -> None:
    assert values(limit_rows(Limit(INPUT, 2, 1), rows(1, 2, 3, 4))) == [2, 3]
    assert values(limit_rows(Limit(INPUT, None, 3), rows(1, 2, 3, 4))) == [4]
    assert values(limit_rows(Limit(INPUT, 0), rows(1))) == []


def test_a_distance_is_an_expression_like_others(planned: Planned) -> None:
    plan = planned(f"SELECT coalesce(price, 0) - ({NEAR}) AS x FROM pydoc ORDER BY {NEAR} LIMIT 1")
    price = FunctionCall("coalesce", (ColumnRef("price"), Constant(0.0)))
    assert plan.outputs[0].expression == FunctionCall("-", (price, Distance()))
    assert plan.node.fields == ("price",)
