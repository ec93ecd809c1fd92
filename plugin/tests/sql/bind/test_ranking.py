"""What rows are ranked by: sums of vectors, words, several rankings at once, bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nestvec.client.http import EmbeddingRequest
from nestvec.milvus.catalog import Column, EmbeddingColumn, LexicalColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import BlockingCall, Call, Request, Steps
from nestvec.sql import Session
from nestvec.sql.bind.vectors.targets import EmbeddedText, StoredVector, Target, VectorLiteral, VectorSum
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.execute.search import resolve_targets
from nestvec.sql.local_services import LocalServices
from nestvec.sql.plan.explain import as_lines, explain_plan
from nestvec.sql.plan.nodes import HybridSearch, Plan, VectorSearch
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import (
    SqlError,
    SqlNotSupported,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
    StoreRefused,
)
from nestvec_schemas.model_name import parse_model_name

SERVICE = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def papers() -> Table:
    return Table(
        name="papers",
        columns=(
            Column("id", "INT64", primary=True),
            Column("body", "VARCHAR", type_params=TypeParams(max_length=1000, analyzed=True)),
            Column("title", "VARCHAR", type_params=TypeParams(max_length=100)),
            Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=4)),
            Column("w", "FLOAT_VECTOR", type_params=TypeParams(dim=4)),
            Column("own", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
            Column("words", "SPARSE_FLOAT_VECTOR"),
            Column("code", "BINARY_VECTOR", type_params=TypeParams(dim=16)),
        ),
        embeddings=(
            EmbeddingColumn("body", "v", Endpoint("openai", SERVICE, EmbeddingConfig("minilm", 4))),
            EmbeddingColumn("title", "w", Endpoint("openai", SERVICE, EmbeddingConfig("minilm", 4, 3))),
            EmbeddingColumn(
                "body", "code", Endpoint("nestvec", SERVICE, EmbeddingConfig("minilm", 16, form="binary"))
            ),
        ),
        lexical=(LexicalColumn("body", "words"),),
        metrics={"v": "COSINE", "w": "L2", "own": "IP", "words": "BM25", "code": "HAMMING"},
    )


@pytest.fixture
def by(planned: Callable[..., Plan], papers: Table) -> Callable[..., Plan]:
    """The plan of a SELECT ordered by an expression."""

    def plan(order: str, given: Any = None, tail: str = "LIMIT 3") -> Plan:
        return planned(f"SELECT id FROM papers ORDER BY {order} {tail}", given, papers)

    return plan


def target(plan: Plan) -> Any:
    assert isinstance(plan.node, VectorSearch)
    return plan.node.nearest.target


def asked(text: str, model: str = "minilm", dim: int = 4) -> EmbeddedText:
    # Milvus Lite's own requests do not say that a text is a query: only a named prompt is sent.
    named = "prompt" in model
    request = EmbeddingRequest(SERVICE, replace(parse_model_name(model), dim=dim), has_role=named)
    return EmbeddedText(text, request)


def test_a_text_alone_is_embedded_by_milvus(by: Callable[..., Plan]) -> None:
    for same in ("'a'", "EMBED('a')", "embed('a', 'minilm')", "(EMBED(:t))", ":t"):
        plan = by(f"v <=> {same}", {"t": "a"})
        assert (target(plan), plan.services) == ("a", (SERVICE,))
    assert target(by("w <-> EMBED('a', exit => 3)")) == "a"
    assert target(by("w <-> EMBED('a', 'minilm@3')")) == "a"
    assert target(by("v <=> EMBED('a', prompt => 'query')")) == "a"


SUMS = [
    ("EMBED('a') + EMBED('b') - 0.5 * EMBED('c')", [(1, asked("a")), (1, asked("b")), (-0.5, asked("c"))]),
    ("(EMBED('a') + 'b') / 2", [(0.5, asked("a")), (0.5, asked("b"))]),
    ("-EMBED('a')", [(-1, asked("a"))]),
    ("- (2 * 3 - 1) * EMBED('a')", [(-5, asked("a"))]),
    ("EMBED('a') * :w - '[1, 2, 3, 4]'", [(0.25, asked("a")), (-1, VectorLiteral((1, 2, 3, 4)))]),
    (":x + '[1, 2, 3, 4]'::vector", [(1, VectorLiteral((4, 3, 2, 1))), (1, VectorLiteral((1, 2, 3, 4)))]),
    ("EMBED('a', exit => 6)", [(1, asked("a", "minilm@6"))]),
    ("EMBED('a', prompt => 'sts')", [(1, asked("a", "minilm?query_prompt=sts"))]),
    ("EMBED('a', 'minilm?prompt=')", [(1, asked("a", "minilm?query_prompt="))]),
    ("EMBED('[1, 2, 3, 4]') / 2", [(0.5, asked("[1, 2, 3, 4]"))]),
    ("(SELECT v FROM papers WHERE id = 7)", None),
    ("(SELECT avg(p.v) FROM papers p WHERE p.id IN (7, 8))", None),
    ("0.5 * (SELECT p.w FROM papers AS p WHERE p.id = 7) + EMBED('a')", None),
]


@pytest.mark.parametrize(("text", "terms"), SUMS, ids=[text for text, _ in SUMS])
def test_arithmetic_is_a_sum_of_vectors(by: Callable[..., Plan], text: str, terms: Any) -> None:
    found = target(by(f"v <=> {text}", {"w": 0.25, "x": np.array([4, 3, 2, 1], np.float32)}))
    assert isinstance(found, VectorSum)
    if terms is not None:
        assert list(found.terms) == terms
    else:
        weight, term = found.terms[0]
        assert isinstance(term, StoredVector)
        assert (term.collection, term.dim) == ("papers", 4)
        assert weight in (1, 0.5)


def test_a_cast_to_vector_is_a_vector(by: Callable[..., Plan]) -> None:
    assert target(by("v <=> '[1, 2, 3, 4]'::vector")) == (1, 2, 3, 4)
    assert target(by("v <=> CAST(:x AS VECTOR(4))", {"x": [1, 2, 3, 4]})) == (1, 2, 3, 4)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("fits", [[0, -3.4e38, True, 3.4e38], [0.0, -3.4e38, 1.0, 3.4e38], [0.5] * 4])
@pytest.mark.parametrize(
    "wrong", [math.nan, math.inf, -math.inf, 1e39, -1e39, 10**400, -(10**400), "1", None]
)
def test_a_vector_holds_finite_numbers_of_32_bits(
    by: Callable[..., Plan], at: int, fits: list[Any], wrong: object
) -> None:
    assert target(by("v <=> :x", {"x": fits})) == tuple(map(float, fits))
    with pytest.raises(SqlTypeMismatch, match="finite 32-bit numbers"):
        by("v <=> :x", {"x": [*fits[:at], wrong, *fits[at + 1 :]]})


def test_a_column_that_no_service_fills_takes_a_named_encoder(by: Callable[..., Plan]) -> None:
    assert target(by("own <#> EMBED('a', 'other', exit => 2)")) == VectorSum(
        ((1.0, EmbeddedText("a", EmbeddingRequest(SERVICE, EmbeddingConfig("other", 2, 2)))),)
    )


EXPLAINED = """\
Answer
     columns: id
     embedded by: http://127.0.0.1:8080
  -> Hybrid search papers: 3 rows after 2 by RRF with k = 60
       fields: id
    -> Search papers: 100 rows by COSINE of v to EMBED('a', 'minilm') - 0.5 * EMBED('b', 'minilm')
         filter: id > 3
         fields: none
    -> Search papers: 100 rows by BM25 of words to 'a b'
         filter: id > 3
         fields: none"""


def test_a_hybrid_search_is_explained(planned: Callable[..., Plan], papers: Table) -> None:
    plan = planned(
        "SELECT id FROM papers WHERE id > 3 "
        "ORDER BY RRF(v <=> EMBED('a') - 0.5 * EMBED('b'), body <@> 'a b') DESC LIMIT 3 OFFSET 2",
        over=papers,
    )
    assert "\n".join(as_lines(explain_plan(plan))) == EXPLAINED


def test_options_of_hybrid_searches(by: Callable[..., Plan]) -> None:
    node = by("RRF(body <=> 'q', words <@> :q, k => 10, candidates => 7) DESC", {"q": "q"}).node
    assert isinstance(node, HybridSearch)
    assert (node.ranking.k, [part.limit for part in node.parts]) == (10, [7, 7])
    node = by("WEIGHTED(v <=> 'q', w <-> 'q', weights => ARRAY[0.7, 0.3]) DESC", tail="LIMIT 300").node
    assert isinstance(node, HybridSearch)
    assert (node.ranking.weights, [part.limit for part in node.parts]) == ((0.7, 0.3), [300, 300])
    given = by("WEIGHTED(v <=> 'q', w <-> 'q', weights => :w) DESC", {"w": [1, 0]}).node
    assert isinstance(given, HybridSearch)
    assert given.ranking.weights == (1, 0)


def test_the_score_of_a_hybrid_search(planned: Callable[..., Plan], papers: Table) -> None:
    plan = planned(
        "SELECT id, RRF(v <=> 'q', body <@> 'q') AS score FROM papers ORDER BY score DESC LIMIT 2",
        over=papers,
    )
    assert plan.columns == ("id", "score")
    assert isinstance(plan.node, HybridSearch)


REFUSED = [
    (SqlTypeMismatch, "a vector and a number", "v <=> ‸EMBED('a') + 1"),
    (SqlNotSupported, "a vector times a vector", "v <=> ‸EMBED('a') * EMBED('b')"),
    (SqlNotSupported, "division by a vector", "v <=> ‸1 / EMBED('a')"),
    (SqlTypeMismatch, "division by zero", "v <=> ‸EMBED('a') / 0"),
    (SqlTypeMismatch, "this is a number", "v <=> ‸1 + 1"),
    (SqlTypeMismatch, "not finite", "v <=> ‸1e300 * 1e300 * EMBED('a')"),
    (SqlTypeMismatch, "which are not comparable with others: other", "v <=> ‸EMBED('a', 'other')"),
    (SqlTypeMismatch, "an exit is a layer number", "v <=> EMBED('a', exit => ‸0)"),
    (SqlUnknownName, "EMBED has no such option", "v <=> EMBED('a', ‸layer => 3)"),
    (SqlSyntaxError, "EMBED takes one or two strings", "v <=> ‸EMBED()"),
    (SqlNotSupported, "EMBED of a column", "v <=> EMBED(‸body)"),
    (SqlTypeMismatch, "nothing to embed", "v <=> EMBED(‸' ')"),
    (SqlTypeMismatch, "neither an expert nor a layer", "v <=> EMBED('a', ‸'minilm@3@x')"),
    (SqlTypeMismatch, "not comparable with others: minilm@x", "v <=> ‸EMBED('a', 'minilm@x')"),
    (SqlTypeMismatch, "not comparable with others: minilm@x", "v <=> ‸EMBED('a', expert => 'x')"),
    (SqlTypeMismatch, "an expert name consists of letters", "v <=> EMBED('a', expert => ‸3)"),
    (SqlTypeMismatch, "a prompt is named by a string", "v <=> EMBED('a', prompt => ‸3)"),
    (SqlTypeMismatch, "is not a prompt", "v <=> EMBED('a', ‸'minilm?x=y')"),
    (SqlTypeMismatch, "the column says how many dims", "v <=> EMBED('a', ‸'minilm?dim=8')"),
    (SqlTypeMismatch, "name is not a number", "v <=> EMBED('a', ‸'minilm?dim=x')"),
    (SqlTypeMismatch, "no nestvec service embeds", "own <#> ‸EMBED('a')"),
    (SqlTypeMismatch, "has 4 dims", "v <=> EMBED('a') + ‸'[1, 2]'"),
    (SqlTypeMismatch, "this is not a vector", "v <=> ‸'a'::vector"),
    (SqlTypeMismatch, "has vectors of 4 dims: own", "v <=> (SELECT ‸own FROM papers WHERE id = 7)"),
    (SqlUnknownName, "no collection of this name", "v <=> (SELECT v FROM ‸other WHERE id = 7)"),
    (SqlNotSupported, "LIMIT in a subquery", "v <=> (SELECT ‸v FROM papers LIMIT 1)"),
    (SqlNotSupported, "in a subquery select list", "v <=> (SELECT ‸max(v) FROM papers)"),
    (SqlTypeMismatch, "no BM25 function reads", "‸title <@> 'a'"),
    (SqlTypeMismatch, "is indexed by BM25", "words ‸<=> 'a'"),
    (SqlNotSupported, "<@> with arithmetic", "words <@> ‸EMBED('a') + EMBED('b')"),
    (SqlNotSupported, "ASC on a score", "‸RRF(v <=> 'a', body <@> 'a')"),
    (SqlSyntaxError, "at least two distances", "‸RRF(v <=> 'a') DESC"),
    (SqlUnknownName, "RRF has no such option", "RRF(v <=> 'a', w <-> 'a', ‸weights => ARRAY[1, 1]) DESC"),
    (SqlTypeMismatch, "above 0 and at most 16,384", "RRF(v <=> 'a', w <-> 'a', k => ‸0) DESC"),
    (SqlSyntaxError, "WEIGHTED needs weights", "‸WEIGHTED(v <=> 'a', w <-> 'a') DESC"),
    (SqlTypeMismatch, "from 0 to 1", "WEIGHTED(v <=> 'a', w <-> 'a', weights => ARRAY[0.5, ‸2]) DESC"),
    (SqlTypeMismatch, "has 2 distances", "WEIGHTED(v <=> 'a', w <-> 'a', weights => ARRAY[‸1]) DESC"),
    (SqlNotSupported, "a constant in RRF", "RRF(v <=> 'a', ‸'b') DESC"),
    (SqlNotSupported, "arithmetic as a vector", "v <=> EMBED('a') + ‸2 ^ 2"),
]


@pytest.mark.parametrize(("kind", "message", "order"), REFUSED, ids=[order for _, _, order in REFUSED])
def test_refused(by: Callable[..., Plan], kind: type[SqlError], message: str, order: str) -> None:
    at = order.index("‸")
    with pytest.raises(kind) as caught:
        by(order.replace("‸", ""))
    assert message in str(caught.value)
    assert caught.value.position == len("SELECT id FROM papers ORDER BY ") + at


def test_a_long_sum_is_refused_in_time(by: Callable[..., Plan]) -> None:
    with pytest.raises(SqlNotSupported, match="more than 1,024 vectors"):
        by("v <=> " + " + ".join(["EMBED('a')"] * 8000))
    assert len(target(by("v <=> " + " + ".join(["EMBED('a')"] * 1000))).terms) == 1000


def test_what_an_adaptive_search_may_shorten(by: Callable[..., Plan]) -> None:
    assert isinstance(by("body <=> EMBED('a') + EMBED('b')").node, VectorSearch)


@pytest.fixture(autouse=True)
def services_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No service is started or compared: only what is sent to Milvus and to an encoder counts here."""
    monkeypatch.setattr(LocalServices, "missing", lambda self, addresses, tables=(): [])


def recorded(steps: Steps[Any], answers: Mapping[str, Any]) -> tuple[Any, list[Request]]:
    """What comes of steps whose calls are answered by method, and jobs by ``Job``; all that was asked."""
    requests: list[Request] = []
    answer = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as end:
            return end.value, requests
        requests.append(request)
        answer = answers["Job" if isinstance(request, BlockingCall) else request.method]


def test_texts_are_asked_for_together(by: Callable[..., Plan]) -> None:
    one, two = asked("a"), asked("b")
    sums: list[Target] = [VectorSum(((1.0, one), (-2.0, two))), VectorSum(((0.5, one),)), "text", (1.0, 2.0)]
    vectors = {one: np.array([1, 2, 3, 4], np.float32), two: np.array([1, 0, 0, 1], np.float32)}
    found, requests = recorded(resolve_targets(Session(), sums), {"Job": vectors})
    assert found == [[-1, 2, 3, 2], [0.5, 1, 1.5, 2], "text", [1, 2]]
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("rows", "message"), [([], "none"), ([{"v": [1]}] * 2, "several"), ([{"v": None}], "NULL")]
)
def test_a_subquery_has_one_row(by: Callable[..., Plan], rows: list[Any], message: str) -> None:
    session = Session()
    session._loaded.add("papers")
    sums = target(by("v <=> (SELECT v FROM papers WHERE id = 7)"))
    with pytest.raises(SqlTypeMismatch, match=message):
        recorded(resolve_targets(session, [sums]), {"query": rows})


@pytest.mark.parametrize(("summary", "expected"), [("sum", [2, 4, 0, 0]), ("avg", [1, 2, 0, 0])])
def test_a_subquery_may_sum_up_several_rows(by: Callable[..., Plan], summary: str, expected: Any) -> None:
    session = Session()
    session._loaded.add("papers")
    sums = target(by(f"v <=> (SELECT {summary}(v) FROM papers WHERE id IN (7, 8, 9))"))
    rows = [{"v": [1, 1, 0, 0]}, {"v": [1, 3, 0, 0]}, {"v": None}]
    assert recorded(resolve_targets(session, [sums]), {"query": rows})[0] == [expected]


def test_a_sum_of_nothing_has_no_direction() -> None:
    one = asked("a")
    with pytest.raises(SqlTypeMismatch, match="no direction: zero"):
        recorded(
            resolve_targets(Session(), [VectorSum(((1.0, one), (-1.0, one)))]),
            {"Job": {one: np.array([1, 2, 3, 4], np.float32)}},
        )


def test_bits_are_searched_by_hamming_distance(by: Callable[..., Plan], papers: Table) -> None:
    assert target(by("code <~> '0000000100000010'")) == b"\x01\x02"
    assert target(by("code <~> :code", {"code": b"\x01\x02"})) == b"\x01\x02"
    plan = by("code <~> 'some text'")
    text = EmbeddedText("some text", EmbeddingRequest(SERVICE, EmbeddingConfig("minilm", 16, form="binary")))
    assert (target(plan), target(by("code <~> EMBED('some text')"))) == (text, text)
    assert plan.services == (SERVICE,)
    session = Session(tables={"papers": papers})
    session._loaded.add("papers")
    hits = [[{"distance": 3.0, "entity": {"id": 1}}, {"distance": 5.0, "entity": {"id": 2}}]]
    answer, requests = recorded(run_plan(session, plan), {"Job": {text: b"\x07\x08"}, "search": hits})
    assert answer.rows == ((1,), (2,))
    (search,) = [one for one in requests if isinstance(one, Call)]
    assert search.kwargs["data"] == [b"\x07\x08"]
    assert search.kwargs["search_params"] == {"metric_type": "HAMMING", "offset": 0}
    with pytest.raises(SqlTypeMismatch, match="has 16 bits: 8 bits"):
        by("code <~> :code", {"code": b"\x01"})
    with pytest.raises(SqlTypeMismatch, match="Write code <~>"):
        by("code <%> 'x'")
    with pytest.raises(SqlNotSupported, match="arithmetic"):
        by("code <~> EMBED('a') + EMBED('b')")


EACH = """\
Answer
     columns: text = q.text, id = p.id, d = p.d
     embedded by: http://127.0.0.1:8080
  -> For each of 2 queries, in one search
       queries: q(text)
    -> Search papers: 5 rows by COSINE of v to 'a'
         filter: id > 3
         fields: id"""

LATERAL = "SELECT q.text, p.id, p.d FROM {} LATERAL ({}) AS p{}"
INSIDE = "SELECT id, v <=> q.text AS d FROM papers WHERE id > 3 ORDER BY d LIMIT 5"


@pytest.mark.parametrize(
    ("queries", "on"),
    [
        ("(VALUES ('a'), ('b')) AS q(text) CROSS JOIN", ""),
        ("(VALUES ('a'), (:b)) AS q (text) JOIN", " ON TRUE"),
        ("unnest(ARRAY['a', 'b']) AS q(text),", ""),
        ("unnest(:both) AS q(text) CROSS JOIN", ""),
    ],
)
def test_several_queries_are_one_search(
    planned: Callable[..., Plan], papers: Table, queries: str, on: str
) -> None:
    plan = planned(LATERAL.format(queries, INSIDE, on), {"b": "b", "both": ["a", "b"]}, papers)
    assert "\n".join(as_lines(explain_plan(plan))) == EACH
    session = Session(tables={"papers": papers})
    session._loaded.add("papers")
    hits = [[{"distance": 1 - n / 4, "entity": {"id": n}} for n in found] for found in ([1, 2], [3])]
    answer, requests = recorded(run_plan(session, plan), {"search": hits})
    assert answer.rows == (("a", 1, 0.25), ("a", 2, 0.5), ("b", 3, 0.75))
    (search,) = [one for one in requests if isinstance(one, Call)]
    assert search.kwargs["data"] == ["a", "b"]


def test_queries_that_differ_in_more_are_asked_apart(planned: Callable[..., Plan], papers: Table) -> None:
    plan = planned(
        "SELECT q.*, p.* FROM (VALUES ('a', 1), ('b', 2), ('c', 1)) AS q(text, least) LEFT JOIN LATERAL "
        "(SELECT id FROM papers WHERE id > q.least ORDER BY v <=> EMBED(q.text) LIMIT 5) AS p ON TRUE",
        over=papers,
    )
    assert plan.columns == ("text", "least", "id")
    assert [one.type for one in plan.outputs] == ["VARCHAR", "INT64", "INT64"]
    assert "For each of 3 queries, in 2 searches" in "\n".join(as_lines(explain_plan(plan)))


LATERAL_REFUSED = [
    (
        SqlUnknownName,
        "q has no such column",
        "SELECT * FROM {v} CROSS JOIN LATERAL (SELECT id FROM papers ORDER BY v <=> ‸q.txt LIMIT 1) AS p",
    ),
    (SqlUnknownName, "no such column in q or p", "SELECT ‸d FROM {v} CROSS JOIN LATERAL {i} AS p"),
    (SqlUnknownName, "no such table", "SELECT ‸r.id FROM {v} CROSS JOIN LATERAL {i} AS p"),
    (
        SqlNotSupported,
        "arithmetic in the select list",
        "SELECT ‸p.id + 1 FROM {v} CROSS JOIN LATERAL {i} AS p",
    ),
    (SqlNotSupported, "a second output column", "SELECT p.id, ‸p.id FROM {v} CROSS JOIN LATERAL {i} AS p"),
    (
        SqlNotSupported,
        "ORDER outside LATERAL",
        "SELECT p.id FROM {v} CROSS JOIN LATERAL {i} AS p ORDER BY ‸id",
    ),
    (SqlNotSupported, "LATERAL with a condition", "SELECT p.id FROM {v} JOIN LATERAL {i} AS p ON ‸p.id = 1"),
    (SqlNotSupported, "this side of a join", "SELECT p.id FROM {v} RIGHT ‸JOIN LATERAL {i} AS p ON TRUE"),
    (SqlNotSupported, "VALUES or unnest in FROM", "‸SELECT * FROM {v}"),
    (
        SqlSyntaxError,
        "needs a name, without column names",
        "SELECT * FROM {v} CROSS JOIN LATERAL (SELECT ‸id FROM papers LIMIT 1)",
    ),
    (
        SqlSyntaxError,
        "1 values for 2 columns",
        "SELECT * FROM (VALUES (‸'a')) AS q(x, y) CROSS JOIN LATERAL {i} AS p",
    ),
    (
        SqlTypeMismatch,
        "unnest takes an array",
        "SELECT * FROM unnest(‸'a') AS q(text) CROSS JOIN LATERAL {i} AS p",
    ),
]


@pytest.mark.parametrize(
    ("kind", "message", "text"), LATERAL_REFUSED, ids=[text for _, _, text in LATERAL_REFUSED]
)
def test_refused_beside_lateral(
    planned: Callable[..., Plan], papers: Table, kind: type[SqlError], message: str, text: str
) -> None:
    inner = "(SELECT id FROM papers ORDER BY v <=> q.text LIMIT 1)"
    text = text.format(v="(VALUES ('a')) AS q(text)", i=inner)
    at = text.index("‸")
    with pytest.raises(kind) as caught:
        planned(text.replace("‸", ""), over=papers)
    assert message in str(caught.value)
    assert caught.value.position == at


RERANKED = """\
Answer
     columns: id, score = distance
     embedded by: http://127.0.0.1:8080
  -> Hybrid search papers: 3 rows after 1 by bge's score of body
       fields: id
    -> Search papers: 20 rows by COSINE of v to 'q'
         filter: id > 3
         fields: none"""


def test_rerank_by_a_model(planned: Callable[..., Plan], papers: Table) -> None:
    statement = (
        "SELECT id, RERANK_SCORE() AS score FROM papers WHERE id > 3 "
        "ORDER BY v <=> 'q' RERANK BY 'bge' WITH (candidates = 20) LIMIT 3 OFFSET 1"
    )
    plan = planned(statement, over=papers)
    assert "\n".join(as_lines(explain_plan(plan))) == RERANKED
    session = Session(tables={"papers": papers})
    session._loaded.add("papers")
    hits = [[{"distance": 0.75, "entity": {"id": 1}}]]
    for version, provider in (("2.6.4", "tei"), ("milvus-lite-3.2", "cohere")):
        session._version = None
        answer, requests = recorded(
            run_plan(session, plan), {"hybrid_search": hits, "get_server_version": version}
        )
        assert answer.rows == ((1, 0.75),)
        search = next(one for one in requests if isinstance(one, Call) and one.method == "hybrid_search")
        _, (part,), function = search.args
        assert (part.limit, part.expr, part.data) == (20, "id > 3", ["q"])
        assert (search.kwargs["limit"], search.kwargs["offset"]) == (3, 1)
        assert (function.params["provider"], function.params["queries"]) == (provider, ["q"])
        assert function.input_field_names == ["body"]
        assert function.params.get("endpoint", "") in ("", f"{SERVICE}?encoder=bge&deadline=8.4")


@pytest.mark.parametrize(
    ("version", "refused"), [("v2.6.19", True), ("3.0.0", False), ("milvus_lite-3.2.2", False), ("?", False)]
)
def test_rerank_by_a_column_that_may_be_null(
    planned: Callable[..., Plan], papers: Table, version: str, refused: bool
) -> None:
    columns = tuple(replace(column, nullable=column.name == "body") for column in papers.columns)
    statement = "SELECT id FROM papers ORDER BY v <=> 'q' RERANK BY 'bge' LIMIT 3"
    plan = planned(statement, over=replace(papers, columns=columns))
    session = Session(tables={"papers": papers})
    session._loaded.add("papers")
    responses = {"hybrid_search": [[{"distance": 0.75, "entity": {"id": 1}}]], "get_server_version": version}
    if refused:
        message = r"before 3\.0 does not rerank by a column that may be NULL: body\. Rerank by a column"
        with pytest.raises(StoreRefused, match=message):
            recorded(run_plan(session, plan), responses)
    else:
        answer, _ = recorded(run_plan(session, plan), responses)
        assert answer.rows == ((1,),)


RERANK_REFUSED = [
    (SqlNotSupported, "without a distance", "id ‸RERANK BY 'bge'"),
    (SqlUnknownName, "no such option", "v <=> 'q' RERANK BY 'bge' WITH (‸most = 3)"),
    (SqlTypeMismatch, "from 1 to 1,000", "v <=> 'q' RERANK BY 'bge' WITH (candidates = ‸0)"),
    (SqlTypeMismatch, "is not text", "v <=> 'q' RERANK BY 'bge' WITH (column = ‸id)"),
    (SqlSyntaxError, "which query to score with", "v <=> EMBED('a') + EMBED('b') ‸RERANK BY 'bge'"),
    (SqlSyntaxError, "which text to score", "own <#> '[1, 2]' ‸RERANK BY 'bge' WITH (query = 'q')"),
]


@pytest.mark.parametrize(
    ("kind", "message", "order"), RERANK_REFUSED, ids=[order for _, _, order in RERANK_REFUSED]
)
def test_rerank_refused(by: Callable[..., Plan], kind: type[SqlError], message: str, order: str) -> None:
    at = order.index("‸")
    with pytest.raises(kind) as caught:
        by(order.replace("‸", ""))
    assert message in str(caught.value)
    assert caught.value.position == len("SELECT id FROM papers ORDER BY ") + at


def test_a_reranked_row_has_no_distance(planned: Callable[..., Plan], papers: Table) -> None:
    with pytest.raises(SqlNotSupported, match="a distance other than"):
        planned("SELECT v <=> 'q' FROM papers ORDER BY v <=> 'q' RERANK BY 'bge' LIMIT 3", over=papers)
    with pytest.raises(SqlNotSupported, match="a score"):
        planned("SELECT RERANK_SCORE() FROM papers ORDER BY v <=> 'q' LIMIT 3", over=papers)
    with pytest.raises(SqlNotSupported, match="RERANK BY with a threshold"):
        planned(
            "SELECT id FROM papers WHERE v <=> 'q' < 0.5 ORDER BY v <=> 'q' RERANK BY 'bge' LIMIT 3",
            over=papers,
        )
