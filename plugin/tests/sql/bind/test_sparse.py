"""Columns of words' weights in SQL: declared, searched, explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import SparseWeight
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import BlockingCall, Call, Request, Steps
from nestvec.sql import Session
from nestvec.sql.bind.ddl.table import bind_definition
from nestvec.sql.bind.params import bind_params
from nestvec.sql.bind.vectors.rerank import ModelReranker
from nestvec.sql.bind.vectors.targets import EmbeddedText
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.execute.explain_words import explain_words
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.explain import as_lines, explain_plan
from nestvec.sql.plan.explain_details import CollectionContext, add_details
from nestvec.sql.plan.nodes import HybridSearch, Plan, VectorSearch
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceUnreachable, SqlNotSupported, SqlTypeMismatch

SERVICE = "http://127.0.0.1:8080"
TEXT = EmbeddedText("heat waves", EmbeddingRequest(SERVICE, EmbeddingConfig("splade", form="sparse")))
WORDS = [SparseWeight(index=3, value=2.0, word="heat"), SparseWeight(index=7, value=1.5, word="wave")]


@pytest.fixture(scope="module")
def papers() -> Table:
    return Table(
        "papers",
        (
            Column("id", "INT64", primary=True),
            Column("body", "VARCHAR", type_params=TypeParams(max_length=1000)),
            Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=4)),
            Column("lex", "SPARSE_FLOAT_VECTOR"),
            Column("own", "SPARSE_FLOAT_VECTOR"),
        ),
        embeddings=(
            EmbeddingColumn("body", "v", Endpoint("openai", SERVICE, EmbeddingConfig("minilm", 4))),
            EmbeddingColumn(
                "body", "lex", Endpoint("nestvec", SERVICE, EmbeddingConfig("splade", form="sparse"))
            ),
        ),
        metrics={"v": "COSINE", "lex": "IP", "own": "IP"},
        indexes={"v": "AUTOINDEX", "lex": "SPARSE_INVERTED_INDEX", "own": "SPARSE_INVERTED_INDEX"},
    )


@pytest.fixture
def by(planned: Callable[..., Plan], papers: Table) -> Callable[..., Plan]:
    def plan(order: str, given: Any = None, tail: str = "LIMIT 3") -> Plan:
        return planned(f"SELECT id FROM papers ORDER BY {order} {tail}", given, papers)

    return plan


def driven(steps: Steps[Any], answers: dict[str, Any]) -> tuple[Any, list[Request]]:
    """What steps give where each request is answered by its method's name, or ``Job``."""
    made: list[Request] = []
    try:
        request = next(steps)
        while True:
            made.append(request)
            answer = answers["Job" if isinstance(request, BlockingCall) else request.method]
            request = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration as stop:
        return stop.value, made


def test_a_text_becomes_weights_and_the_distance_the_negative_product(
    by: Callable[..., Plan], papers: Table
) -> None:
    for same in ("lex <#> 'heat waves'", "lex <#> EMBED('heat waves')", "lex <#> EMBED(:t, 'splade')"):
        plan = by(same, {"t": "heat waves"})
        assert isinstance(plan.node, VectorSearch)
        assert (plan.node.nearest.column, plan.node.nearest.metric) == ("lex", "IP")
        assert (plan.node.nearest.target, plan.services) == (TEXT, (SERVICE,))
    session = Session(tables={"papers": papers})
    session._loaded.add("papers")
    hits = [[{"distance": 3.5, "entity": {"id": 2}}]]
    found, made = driven(run_plan(session, plan), {"Job": {TEXT: {3: 2.0, 7: 1.5}}, "search": hits})
    assert found.rows == ((2,),)
    (search,) = [one for one in made if isinstance(one, Call)]
    assert search.kwargs["data"] == [{3: 2.0, 7: 1.5}]
    assert search.kwargs["search_params"] == {"metric_type": "IP", "offset": 0}


def test_the_text_column_stands_for_it_under_its_metric(by: Callable[..., Plan]) -> None:
    plan = by("body <#> 'heat waves'")
    assert isinstance(plan.node, VectorSearch)
    assert (plan.node.nearest.column, plan.node.nearest.shorter) == ("lex", ())
    dense = by("body <=> 'heat waves'")
    assert isinstance(dense.node, VectorSearch)
    assert dense.node.nearest.column == "v"


def test_it_is_fused_with_vectors_and_reranked(by: Callable[..., Plan]) -> None:
    plan = by("RRF(lex <#> 'heat waves', v <=> 'heat waves') DESC")
    assert isinstance(plan.node, HybridSearch)
    assert [one.nearest.target for one in plan.node.parts] == [TEXT, "heat waves"]
    reranked = by("lex <#> 'heat waves' RERANK BY 'cross'")
    assert isinstance(reranked.node, HybridSearch)
    assert isinstance(reranked.node.reranker, ModelReranker)
    assert (reranked.node.reranker.query, reranked.node.reranker.column) == ("heat waves", "body")


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ("lex <=> 'a'", SqlTypeMismatch, r"is indexed by IP, and <=> needs COSINE.*Write lex <#>"),
        ("lex <@> 'a'", SqlTypeMismatch, "no BM25 function reads column lex"),
        ("lex <#> EMBED('a') + EMBED('b')", SqlNotSupported, "a sparse-vector distance to arithmetic"),
        ("lex <#> EMBED('a', 'minilm')", SqlTypeMismatch, "holds vectors of splade"),
        ("lex <#> ' '", SqlTypeMismatch, "nothing to embed"),
        ("own <#> 'a'", SqlTypeMismatch, "this is not a vector"),
    ],
)
def test_what_is_refused(by: Callable[..., Plan], order: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        by(order)


def test_a_table_declares_it() -> None:
    text = (
        "CREATE TABLE t (id BIGINT PRIMARY KEY, body TEXT, "
        "lex SPARSEVEC GENERATED ALWAYS AS (EMBED(body, 'splade'{})) STORED)"
    )
    parsed = parse(text.format(""))
    (one,) = bind_definition(parsed.source, parsed.tree, bind_params(None), SERVICE).spec.embeddings  # type: ignore[arg-type]
    assert (one.name, one.field, one.encoder, one.form, one.dims) == ("lex", "body", "splade", "sparse", ())
    assert (one.index, one.metric) == ("SPARSE_INVERTED_INDEX", "IP")
    parsed = parse(text.format(", exit => 3"))
    with pytest.raises(SqlTypeMismatch, match="column lex is not allowed with form: sparse: 3"):
        bind_definition(parsed.source, parsed.tree, bind_params(None), SERVICE)  # type: ignore[arg-type]
    parsed = parse(text.format("").replace("SPARSEVEC", "INT"))
    with pytest.raises(SqlTypeMismatch, match=r"EMBED fills a VECTOR\(n\) or SPARSEVEC column"):
        bind_definition(parsed.source, parsed.tree, bind_params(None), SERVICE)  # type: ignore[arg-type]
    parsed = parse("CREATE TABLE t (id BIGINT PRIMARY KEY, v SPARSEVEC)")
    (vector,) = bind_definition(parsed.source, parsed.tree, bind_params(None), SERVICE).spec.vectors  # type: ignore[arg-type]
    assert (vector.type, vector.dim) == ("SPARSE_FLOAT_VECTOR", None)


EXPLAINED = """\
Answer
     columns: id
     embedded by: http://127.0.0.1:8080
  -> Search papers: 3 rows by IP of lex to EMBED('heat waves', 'splade')
       fields: id
       index: SPARSE_INVERTED_INDEX, IP
       embeds: 1 text by splade, weights of words, at http://127.0.0.1:8080, called by nestvec
       words: heat 2.00, wave 1.50
       matched: id 2: wave 3.00, heat 1.00; 4.00 in total
       matched: id 5: heat 0.20; 0.20 in total"""


def explained(session: Session, plan: Plan, papers: Table, answers: dict[str, Any], matched: bool) -> str:
    tree = explain_plan(plan)
    details, _ = driven(explain_words(session, tree, papers, matched=matched), answers)
    return "\n".join(as_lines(add_details(tree, CollectionContext(papers, 9, word_details=details))))


def test_explain_says_which_words_are_asked_and_which_matched(by: Callable[..., Plan], papers: Table) -> None:
    session = Session()
    session._loaded.add("papers")
    hits = [[{"entity": {"id": 2, "lex": {7: 2.0, 3: 0.5, 8: 9.0}}}, {"entity": {"id": 5, "lex": {3: 0.1}}}]]
    plan, answers = by("lex <#> 'heat waves'"), {"Job": WORDS, "search": hits}
    assert explained(session, plan, papers, answers, True) == EXPLAINED
    assert explained(session, plan, papers, answers, False) == EXPLAINED.partition("\n       matched")[0]
    hybrid = by("RRF(lex <#> 'heat waves', v <=> 'a') DESC")
    assert "words: heat 2.00, wave 1.50" in explained(session, hybrid, papers, answers, False)


def test_a_plan_is_explained_without_its_service(by: Callable[..., Plan], papers: Table) -> None:
    gone = ServiceUnreachable("no service answers", value="refused", next_step="Start it.")
    text = explained(Session(), by("lex <#> 'heat waves'"), papers, {"Job": gone}, True)
    assert "words: unknown: no service answers" in text
    assert "matched" not in text


def test_many_words_are_counted(by: Callable[..., Plan], papers: Table) -> None:
    words = [SparseWeight(index=n, value=20 - n, word=f"w{n}") for n in range(13)]
    text = explained(Session(), by("lex <#> 'heat waves'"), papers, {"Job": words}, False)
    assert "w9 11.00 and 3 more" in text
    none: list[SparseWeight] = []
    assert "words: none" in explained(
        Session(), by("lex <#> 'heat waves'"), papers, {"Job": none}, matched=True
    )
