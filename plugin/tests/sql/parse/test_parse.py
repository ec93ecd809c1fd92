"""Whatever is written, the answer is a plan or an error of the tree."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nestvec.sql.parse.dialect import OPERATORS, NestvecSql, VectorDistance
from nestvec.sql.parse.parse import MAX_NESTING, parse
from nestvec.sql.plan.nodes import Plan
from nestvec_schemas.errors import SqlError, SqlNotSupported, SqlSyntaxError, StoreRefused

VALID = (
    "SELECT p.id AS i, 1 - (doc_64 <=> 'it''s') AS score FROM pydoc p WHERE NOT (year > -3.5e1 OR \"name\" "
    "LIKE 'a%') AND module IN ('x', 'y') /* c */ AND public IS NOT NULL ORDER BY score DESC LIMIT 5 OFFSET 2;"
)
Planned = Callable[..., Plan]

ODDS = "() [] ' \" , ; -- /* */ $$ $1 :q ? :: . * {# {{ <-> <#> E' U& ->> NULL CASE"
PIECES = [
    *VALID.split(" "),
    *ODDS.split(),
]


def tried(statement: str, planned: Planned) -> None:
    try:
        planned(statement)
    except SqlError as error:
        assert error.next_step
        assert error.position is None or 0 <= error.position <= len(statement)
        str(error).encode()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
@example("SELECT \x85 FROM")
def test_any_text(planned: Planned, text: str) -> None:
    tried(text, planned)
    tried(f"SELECT {text} FROM pydoc", planned)
    tried(f"SELECT id FROM pydoc WHERE {text}", planned)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_pieces(planned: Planned, pieces: list[str]) -> None:
    tried("SELECT " + " ".join(pieces), planned)
    tried("SELECT id FROM pydoc WHERE " + " ".join(pieces), planned)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(("IN", "NOT IN", "=", "<", "= ANY", "<> ALL", "BETWEEN", "LIKE", "IS", "+")),
    st.lists(st.sampled_from([*PIECES, "1", "'a'", "(SELECT", "UNION"]), max_size=6),
    st.sampled_from(("", " ORDER BY id", ") OR (id = 1", " FROM pydoc", " LIMIT 0")),
)
def test_any_subquery(planned: Planned, operator: str, pieces: list[str], rest: str) -> None:
    statement = f"SELECT id FROM pydoc WHERE id {operator} (SELECT {' '.join(pieces)}{rest})"
    try:
        tried(statement, planned)
    except StoreRefused:
        # A subquery is run, and there is no Milvus here.
        assert "pydoc" in statement


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(["", *PIECES]))
def test_a_statement_with_one_piece_changed(planned: Planned, at: int, length: int, piece: str) -> None:
    tried(VALID[:at] + piece + VALID[at + length :], planned)


@pytest.mark.parametrize(
    "deep",
    [
        "(" * 5000,
        "NOT " * 5000,
        "- " * 5000,
        "CASE WHEN " * 5000,
        "x IS NOT DISTINCT FROM " * 5000,
        "ARRAY[" * 5000,
        "INTERVAL " * 5000,
        "SELECT " * 5000,
        "a = " * 5000,
        "a <=> " * 5000,
        "{" * 5000,
        "EXISTS (" * 500,
    ],
)
def test_depth_is_an_error_of_the_tree(deep: str, planned: Planned) -> None:
    with pytest.raises(SqlError):
        planned(f"SELECT id FROM pydoc WHERE {deep}1")


def test_the_greatest_depth_fits_the_stack(planned: Planned) -> None:
    nested = "id = 1 OR id = 2"
    for level in range(MAX_NESTING):
        nested = f"({nested}) {'AND' if level % 2 else 'OR'} year = {level}"
    plan = planned(f"SELECT id FROM pydoc WHERE {nested}")
    assert plan.node.filter.count("(") == MAX_NESTING


def test_a_stack_that_is_nearly_full_is_an_error_of_the_tree() -> None:
    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(used + 60)
    try:
        with pytest.raises(SqlSyntaxError, match="nested too deeply"):
            parse("SELECT ((((((((1))))))))")
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("call", ["date({})", "struct({})", "array_length(ARRAY[{}], 1)"])
def test_nesting_that_doubles_what_is_read_again_is_refused(call: str) -> None:
    expression = "a"
    for _ in range(15):
        expression = call.format(expression)
    with pytest.raises(SqlSyntaxError, match="nested too deeply"):
        parse(f"SELECT {expression} FROM t")


def test_a_statement_of_too_many_words_is_refused_before_it_is_parsed() -> None:
    terms = " OR ".join("a = 1" for _ in range(20_000))
    with pytest.raises(SqlSyntaxError, match=r"more than 60,000 tokens\. Split it into several"):
        parse(f"SELECT a FROM t WHERE {terms}")


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_bind_as_postgresql_has_it(operator: str) -> None:
    tree = parse(f"SELECT 1 - a {operator} 2 - b || 'y' < 2 FROM t").tree.expressions[0]
    assert (tree.key, tree.this.key) == ("lt", "dpipe")
    distance = tree.this.this
    assert isinstance(distance, VectorDistance)
    assert distance.args["operator"] == operator
    assert (distance.this.key, distance.args["expression"].key) == ("sub", "sub")


def test_a_backslash_is_a_character() -> None:
    assert parse(r"SELECT 'a\nb' FROM t").tree.expressions[0].this == r"a\nb"


def test_a_distance_out_of_place_can_be_shown() -> None:
    tree = parse("SELECT a FROM t ORDER BY a LIMIT (v <=> 'q')").tree
    assert tree.args["limit"].expression.sql() == "(v <=> 'q')"


def test_sqlglots_compiled_form_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def parser(self: NestvecSql) -> None:
        # What Python raises with sqlglot 30 and sqlglotc.
        raise TypeError("interpreted classes cannot inherit from compiled")

    monkeypatch.setattr(NestvecSql, "parser", parser)
    with pytest.raises(SqlNotSupported, match="Uninstall sqlglotc"):
        parse("SELECT 'a statement that is not cached'")


@pytest.mark.parametrize("number", ["1e", "1e-(2)", "2.5E FROM t"])
def test_a_number_without_its_exponent_is_no_number(number: str) -> None:
    with pytest.raises(SqlSyntaxError, match="no exponent"):
        parse(f"SELECT {number}")


@pytest.mark.parametrize("number", ["1e5", "5.", ".5", "1.5e-3", "0x1F"])
def test_numbers(number: str) -> None:
    parse(f"SELECT {number}")
