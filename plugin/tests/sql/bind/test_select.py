"""The shape of a SELECT's answer: what is refused, and what is done with rows that are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.order import SortKey, monotonicity
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.values import BeyondMilvus, ColumnRef, Constant
from nestvec.sql.execute.rows import ScoredRow, limit_rows, sort_rows
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.nodes import Fetch, Limit, Plan, Sort, VectorSearch, source_of, with_source
from nestvec_schemas.errors import SqlError, SqlNotSupported, SqlTypeMismatch

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
    ("DESC on a distance", "SELECT id, @ AS d FROM pydoc ORDER BY ‸d DESC LIMIT 1"),
    ("ASC on a similarity", "SELECT -(@) AS d FROM pydoc ORDER BY ‸d LIMIT 1"),
    ("a value before a distance", "SELECT id FROM pydoc ORDER BY ‸year, @ LIMIT 1"),
    ("after a rounded distance", "SELECT id FROM pydoc ORDER BY round(@, 2), ‸id LIMIT 1"),
    ("a distance twice", "SELECT id FROM pydoc ORDER BY @, ‸@ LIMIT 1"),
    ("without LIMIT", "SELECT module FROM pydoc GROUP BY module ‸ORDER BY @"),
    ("GROUP BY a FLOAT column", "SELECT id FROM pydoc GROUP BY ‸score @@"),
    ("GROUP BY a JSON column", "SELECT id FROM pydoc GROUP BY ‸meta @@"),
    ("GROUP BY the function LOWER()", "SELECT id FROM pydoc GROUP BY ‸lower(name) @@"),
    ("more than one column", "SELECT id FROM pydoc GROUP BY year, ‸module @@"),
    ("HAVING with", "SELECT year FROM pydoc GROUP BY year ‸HAVING year > 1 @@"),
    ("DISTINCT with", "SELECT ‸DISTINCT year, @ FROM pydoc @@"),
    ("ORDER BY a value of type JSON", "SELECT id FROM pydoc ORDER BY ‸meta"),
    ("ORDER BY a value of type FLOAT_VECTOR", "SELECT id FROM pydoc ORDER BY ‸own"),
]
BEYOND = [
    ("GROUP BY is", "SELECT year FROM pydoc ‸GROUP BY year"),
    ("HAVING is", "SELECT count(*) FROM pydoc ‸HAVING count(*) > 1"),
    ("DISTINCT is", "SELECT ‸DISTINCT year FROM pydoc"),
    ("the function UPPER()", "SELECT ‸upper(name) FROM pydoc"),
    ("the function ROUND()", "SELECT id, ‸round(@, 2) FROM pydoc @@"),
    ("the aggregate COUNT()", "SELECT year, ‸count(*) FROM pydoc GROUP BY year @@"),
    ("the aggregate MAX()", "SELECT ‸max(@) FROM pydoc GROUP BY year @@"),
    ("the aggregate COUNT()", "SELECT id, ‸count(*) FROM pydoc @@"),
    ("the aggregate COUNT()", "SELECT id, ‸count(*) FROM pydoc"),
    ("the aggregate COUNT()", "SELECT ‸count(id) FROM pydoc"),
    ("the function LOWER() in ORDER BY", "SELECT id FROM pydoc ORDER BY ‸lower(name)"),
    ("the function LOWER() in ORDER BY", "SELECT id FROM pydoc ORDER BY @, ‸lower(name) LIMIT 1"),
]
TYPES = [
    ("a position that is not in the select list", "SELECT id FROM pydoc ORDER BY ‸2"),
    ("a position that is not in the select list", "SELECT id FROM pydoc ORDER BY ‸0"),
    ("a constant in ORDER BY", "SELECT id FROM pydoc ORDER BY ‸'id'"),
]
REFUSED = [
    *((SqlNotSupported, *case) for case in NOT_SUPPORTED),
    *((BeyondMilvus, *case) for case in BEYOND),
    *((SqlTypeMismatch, *case) for case in TYPES),
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


MEANT: list[tuple[str, SortKey]] = [
    ("SELECT name AS id, id AS n FROM pydoc ORDER BY id", SortKey(ColumnRef("name"))),
    ("SELECT name AS id, id AS n FROM pydoc ORDER BY pydoc.id", SortKey(ColumnRef("id"))),
    ("SELECT *, 1 FROM pydoc ORDER BY 2 DESC", SortKey(ColumnRef("name"), True, True)),
    ("SELECT id FROM pydoc ORDER BY year NULLS FIRST", SortKey(ColumnRef("year"), False, True)),
    ("SELECT id FROM pydoc ORDER BY year DESC NULLS LAST", SortKey(ColumnRef("year"), True, False)),
    ("SELECT year FROM pydoc ORDER BY (year)", SortKey(ColumnRef("year"))),
]


@pytest.mark.parametrize(("statement", "expected"), MEANT)
def test_what_a_name_in_order_by_means(planned: Planned, statement: str, expected: SortKey) -> None:
    """A column of the answer, where it stands alone; else a column of the table, as in PostgreSQL."""
    node = planned(statement).node
    assert isinstance(node, Sort)
    assert node.keys == (expected,)


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
def test_how_an_expression_follows_the_distance(table: Table, expression: str, expected: int) -> None:
    parsed = parse(f"SELECT {expression.format(d=NEAR)} AS x FROM pydoc")
    scope = Scope(parsed.source, table, "pydoc", Params())
    assert monotonicity(scope, parsed.tree.expressions[0].this) == expected


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
    pairs = [ScoredRow({"a": a, "b": a % 2}) for a in (2, 1, 4, 3)]
    same = (SortKey(Constant(1)), SortKey(ColumnRef("b"), True))
    assert values(sort_rows(Sort(INPUT, same), pairs)) == [1, 3, 2, 4]


def test_rows_are_cut() -> None:
    assert values(limit_rows(Limit(INPUT, 2, 1), rows(1, 2, 3, 4))) == [2, 3]
    assert values(limit_rows(Limit(INPUT, None, 3), rows(1, 2, 3, 4))) == [4]
    assert values(limit_rows(Limit(INPUT, 0), rows(1))) == []
