"""HIGHLIGHT: bound, explained, the request that Milvus is sent, and servers without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pymilvus import LexicalHighlighter

from nestvec.milvus.catalog import Column, LexicalColumn, Table, TypeParams
from nestvec.milvus.server_version import parse_version
from nestvec.milvus.steps import Call, Request, Steps
from nestvec.sql import Session
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.plan.explain import as_lines, explain_plan
from nestvec.sql.plan.nodes import Plan
from nestvec_schemas.errors import (
    SqlError,
    SqlNotSupported,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
    StoreRefused,
)


@pytest.fixture
def texts() -> Table:
    return Table(
        "texts",
        (
            Column("id", "INT64", primary=True),
            Column("body", "VARCHAR", TypeParams(max_length=1000, analyzed=True)),
            Column("title", "VARCHAR", TypeParams(max_length=100)),
            Column("v", "FLOAT_VECTOR", TypeParams(dim=2)),
            Column("words", "SPARSE_FLOAT_VECTOR"),
        ),
        lexical=(LexicalColumn("body", "words"),),
        metrics={"v": "COSINE", "words": "BM25"},
        indexes={"words": "SPARSE_INVERTED_INDEX", "v": "FLAT"},
    )


@pytest.fixture
def of(planned: Callable[..., Plan], texts: Table) -> Callable[..., Plan]:
    """The plan of a SELECT of this expression, ranked by words."""

    def plan(expression: str, order: str = "body <@> 'gas heat'", parameters: Any = None) -> Plan:
        return planned(
            f"SELECT id, {expression} AS marked FROM texts ORDER BY {order} LIMIT 3", parameters, texts
        )

    return plan


def answered(texts: Table, plan: Plan, version: str, hits: list[Any]) -> tuple[Any, Mapping[str, Any]]:
    """The result of a plan on a server of this version, and the arguments of its search."""
    session = Session(tables={"texts": texts})
    session._loaded.add("texts")
    session._version = parse_version(version)
    steps: Steps[Any] = run_plan(session, plan)
    answer: Any = None
    searches: list[Call] = []
    while True:
        try:
            request: Request = steps.send(answer)
        except StopIteration as end:
            return end.value, searches[0].kwargs
        assert isinstance(request, Call)
        searches.append(request)
        answer = [hits]


def hit(id: int, fragments: list[str] | None) -> dict[str, Any]:
    answer = {} if fragments is None else {"highlight": {"body": {"fragments": fragments, "scores": []}}}
    return {"distance": -1.0, "entity": {"id": id, "body": "text"}, **answer}


def test_the_request_is_the_documented_one(of: Callable[..., Plan], texts: Table) -> None:
    options = "pre => '<b>', post => :post, size => 80, fragments => 2, before => 5"
    plan = of(f"HIGHLIGHT(body, 'shock waves', {options})", parameters={"post": "</b>"})
    hits = [hit(1, ["<b>gas</b> a", "b <b>heat</b>"]), hit(2, [])]
    result, kwargs = answered(texts, plan, "v2.6.8", hits)
    assert (result.columns, result.types) == (("id", "marked"), ("INT64", "VARCHAR"))
    assert result.rows == ((1, "<b>gas</b> a ... b <b>heat</b>"), (2, None))
    highlighter = kwargs["highlighter"]
    assert isinstance(highlighter, LexicalHighlighter)
    # As milvus.io/docs/text-highlighter.md writes it.
    assert highlighter.params == {
        "pre_tags": ["<b>"], "post_tags": ["</b>"], "fragment_size": 80, "num_of_fragments": 2,
        "fragment_offset": 5, "highlight_search_text": True,
        "highlight_query": [{"type": "TextMatch", "field": "body", "text": "shock waves"}],
    }  # fmt: skip
    assert kwargs["output_fields"] == ["id", "body"]


def test_milvus_has_the_defaults(of: Callable[..., Plan], texts: Table) -> None:
    _, kwargs = answered(texts, of("highlight(body)"), "v3.0.0", [hit(1, ["<em>gas</em>"])])
    assert kwargs["highlighter"].params == {"highlight_search_text": True}


def test_it_is_explained(of: Callable[..., Plan]) -> None:
    lines = list(as_lines(explain_plan(of("HIGHLIGHT(body, 'waves')"))))
    assert "     columns: id, marked = highlight(body)" in lines
    assert "       highlights: words of the search and 'waves' in body, by Milvus" in lines


@pytest.mark.parametrize("version", ["milvus_lite-3.2.2", "v2.6.7"])
def test_a_server_without_highlights_is_refused_by_name(
    of: Callable[..., Plan], texts: Table, version: str
) -> None:
    with pytest.raises(StoreRefused, match=f"HIGHLIGHT needs Milvus 2.6.8 or later.*{version}"):
        answered(texts, of("HIGHLIGHT(body)"), version, [hit(1, ["gas"])])


def test_an_answer_without_highlights_is_refused(of: Callable[..., Plan], texts: Table) -> None:
    with pytest.raises(StoreRefused, match="no highlight in its answer"):
        answered(texts, of("HIGHLIGHT(body)"), "v2.6.8", [hit(1, None)])


REFUSED = [
    (SqlNotSupported, "without ORDER BY the words", "‸HIGHLIGHT(body)", "id"),
    (SqlNotSupported, "with another ranking", "‸HIGHLIGHT(body)", "v <=> '[1, 2]'"),
    (SqlNotSupported, "with another ranking", "‸HIGHLIGHT(body)",
     "RRF(body <@> 'a', v <=> '[1, 2]') DESC"),
    (SqlNotSupported, "with another ranking", "‸HIGHLIGHT(body)", "body <@> 'a' RERANK BY 'cross'"),
    (SqlTypeMismatch, "not ranked by the words of title", "HIGHLIGHT(‸title)", "body <@> 'a'"),
    (SqlSyntaxError, "takes a text column", "‸HIGHLIGHT()", "body <@> 'a'"),
    (SqlUnknownName, "no such option", "HIGHLIGHT(body, ‸tag => 'b')", "body <@> 'a'"),
    (SqlTypeMismatch, "size takes an integer from 1", "HIGHLIGHT(body, size => ‸0)", "body <@> 'a'"),
    (SqlTypeMismatch, "pre takes a text", "HIGHLIGHT(body, pre => ‸3)", "body <@> 'a'"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "expression", "order"), REFUSED)
def test_refused(
    of: Callable[..., Plan], kind: type[SqlError], message: str, expression: str, order: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        of(expression.replace("‸", ""), order)
    assert caught.value.position == len("SELECT id, ") + expression.index("‸")


def test_one_way_of_marking(of: Callable[..., Plan]) -> None:
    with pytest.raises(SqlNotSupported, match="two different HIGHLIGHT"):
        of("HIGHLIGHT(body) AS other, HIGHLIGHT(body, size => 5)")
