"""DECAY and BOOST in RERANK BY: bound, planned, explained, and the requests that Milvus is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from pymilvus import Function, FunctionScore

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.milvus.server_version import parse_version
from nestvec.milvus.steps import Call, Request, Steps
from nestvec.sql import Session
from nestvec.sql.bind.vectors.rankers import DECAY_FUNCTIONS, DecayRanker
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.plan.explain import as_lines, explain_plan
from nestvec.sql.plan.nodes import DecayScores, HybridSearch, Plan
from nestvec_schemas.errors import (
    SqlError,
    SqlNotSupported,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
    StoreRefused,
)

DAY = 86_400_000_000


@pytest.fixture
def shops() -> Table:
    def mapped(name: str, sql_type: str) -> Column:
        return Column(name, "INT64", TypeParams(sql_type=sql_type))

    return Table(
        "shops",
        (
            Column("id", "INT64", primary=True),
            Column("body", "VARCHAR", TypeParams(max_length=100)),
            Column("rating", "FLOAT"),
            Column("visits", "INT64", nullable=True),
            mapped("opened", "date"),
            mapped("changed", "timestamp"),
            mapped("price", "numeric(8,2)"),
            Column("v", "FLOAT_VECTOR", TypeParams(dim=2)),
            Column("w", "FLOAT_VECTOR", TypeParams(dim=2)),
        ),
        metrics={"v": "COSINE", "w": "L2"},
    )


@pytest.fixture
def by(planned: Callable[..., Plan], shops: Table) -> Callable[..., Plan]:
    """The plan of a SELECT that is reranked by these rankers."""

    def plan(rankers: str, parameters: Any = None, order: str = "v <=> '[1, 2]'") -> Plan:
        statement = f"SELECT id FROM shops ORDER BY {order} RERANK BY {rankers} LIMIT 3 OFFSET 1"
        return planned(statement, parameters, shops)

    return plan


def hybrid(plan: Plan) -> HybridSearch:
    assert isinstance(plan.node, HybridSearch)
    return plan.node


def decay(plan: Plan) -> DecayRanker:
    reranker = hybrid(plan).reranker
    assert isinstance(reranker, DecayRanker)
    return reranker


DECAYS: list[tuple[str, Any, tuple[float, float, float]]] = [
    ("rating, origin => 5, scale => 2.5", None, (5, 2.5, 0)),
    ("visits, origin => -3, scale => :s, offset => 0.5", {"s": 10}, (-3, 10, 0.5)),
    ("opened, origin => '2024-01-31', scale => 30", None, (19_753, 30, 0)),
    ("opened, origin => DATE '1970-01-02', scale => INTERVAL '1 week'", None, (1, 7, 0)),
    ("opened, origin => :o, scale => :s", {"o": date(1970, 1, 3), "s": timedelta(days=2)}, (2, 2, 0)),
    ("changed, origin => '1970-01-02', scale => INTERVAL '1 day 02:00:00'", None, (DAY, DAY / 24 * 26, 0)),
    ("changed, origin => '1970-01-01', scale => INTERVAL '12' HOUR, offset => INTERVAL '1 hour 30 minutes'",
     None, (0, DAY / 2, DAY / 16)),
    ("price, origin => 9.95, scale => 2", None, (995, 200, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "parameters", "expected"), DECAYS)
def test_a_decay_is_in_the_units_of_its_column(
    by: Callable[..., Plan], arguments: str, parameters: Any, expected: tuple[float, float, float]
) -> None:
    bound = decay(by(f"DECAY({arguments}, function => 'exp', decay => 0.3)", parameters))
    assert (bound.origin, bound.scale, bound.offset) == pytest.approx(expected)
    assert (bound.function, bound.decay) == ("exp", 0.3)


def test_what_is_very_far_counts_nothing() -> None:
    assert [curve(1e300, 1e-3, 0.5) for curve in DECAY_FUNCTIONS.values()] == [0.0, 0.0, 0.0]


def test_the_curves_meet_the_decay_at_the_scale() -> None:
    column = Column("x", "INT64")
    for function in ("gauss", "exp", "linear"):
        ranker = DecayRanker(column, 10, 4, 1, 0.25, function)
        assert ranker.factor(11) == ranker.factor(9) == 1
        assert ranker.factor(15) == pytest.approx(0.25)
        assert ranker.factor(None) == 0
    assert DecayRanker(column, 0, 4, function="linear").factor(100) == 0
    assert DecayRanker(column, 0, 4).factor(8) == pytest.approx(0.5**4)
    assert DecayRanker(column, 0, 4, function="exp").factor(8) == pytest.approx(0.5**2)


def test_boosts_are_bound_with_their_conditions(by: Callable[..., Plan]) -> None:
    plan = by(
        "BOOST(WHERE rating > :r AND body LIKE 'a%', weight => 2), "
        "BOOST(weight => 0.5, seed => 42, by => id) "
        "WITH (candidates = 20, boost_mode = 'sum', function_mode = 'Sum')",
        {"r": 4},
    )
    node = hybrid(plan)
    assert node.boosts is not None
    assert (node.boosts.boost_mode, node.boosts.function_mode) == ("sum", "sum")
    assert [(boost.weight, boost.seed, boost.by) for boost in node.boosts.boosts] == [
        (2, None, ""),
        (0.5, 42, "id"),
    ]
    assert node.reranker is None
    assert [part.limit for part in node.parts] == [20]


EXPLAINED = """\
Answer
     columns: id
  -> Decay in nestvec: 3 rows after 1 by score times linear decay of visits from 0, 0.5 at 9
    -> Hybrid search shops: 50 rows by score times gauss decay of rating from 5 beyond 1, 0.5 at 2
         boost: score times 2 where id > 4
         boost: score times 1 times a random number from 0 to 1 with seed 7 by id
         boost: weights of several boosts are multiplied
         fields: id, visits
      -> Search shops: 50 rows by COSINE of v to a vector of 2 dims
           fields: none"""


def test_several_rankers_are_explained(by: Callable[..., Plan]) -> None:
    plan = by(
        "BOOST(WHERE id > 4, weight => 2), BOOST(weight => 1, seed => 7, by => id), "
        "DECAY(rating, origin => 5, scale => 2, offset => 1), "
        "DECAY(visits, origin => 0, scale => 9, function => 'linear')"
    )
    assert "\n".join(as_lines(explain_plan(plan))) == EXPLAINED


REFUSED = [
    (SqlSyntaxError, "needs the name of an encoder, DECAY", "‸"),
    (SqlUnknownName, "no such ranker", "‸DECLINE(visits)"),
    (SqlSyntaxError, "takes one column", "‸DECAY(origin => 5, scale => 1)"),
    (SqlSyntaxError, "DECAY needs scale", "‸DECAY(visits, origin => 5)"),
    (SqlUnknownName, "DECAY has no such option", "DECAY(visits, ‸centre => 5)"),
    (SqlSyntaxError, "scale occurs twice", "DECAY(visits, origin => 5, scale => 1, ‸scale => 2)"),
    (SqlSyntaxError, "candidates occurs twice",
     "DECAY(visits, origin => 5, scale => 1) WITH (candidates = 5, ‸candidates = 6)"),
    (SqlTypeMismatch, "not a number or a time", "DECAY(‸body, origin => 5, scale => 1)"),
    (SqlTypeMismatch, "scale is above 0", "DECAY(visits, origin => 5, scale => ‸0)"),
    (SqlTypeMismatch, "offset is 0 or above", "DECAY(visits, origin => 5, scale => 1, offset => -‸1)"),
    (SqlTypeMismatch, "decay is between 0 and 1", "DECAY(visits, origin => 5, scale => 1, decay => ‸1)"),
    (SqlUnknownName, "no such decay function", "DECAY(visits, origin => 5, scale => 1, function => ‸'gaus')"),
    (SqlTypeMismatch, "INTERVAL '30 days'", "DECAY(changed, origin => '2024-01-01', scale => ‸30)"),
    (SqlTypeMismatch, "differ in their lengths",
     "DECAY(opened, origin => '2024-01-01', scale => ‸INTERVAL '1 month')"),
    (SqlSyntaxError, "BOOST needs a weight", "‸BOOST(WHERE rating > 4)"),
    (SqlUnknownName, "no such column", "BOOST(WHERE ‸stars > 4, weight => 2)"),
    (SqlNotSupported, "in WHERE", "BOOST(WHERE ‸lower(body) = 'a', weight => 2)"),
    (SqlTypeMismatch, "seed takes an integer", "BOOST(weight => 2, seed => ‸1.5)"),
    (SqlSyntaxError, "by names the column", "BOOST(weight => 2, by => ‸id)"),
    (SqlTypeMismatch, "is not INT64", "BOOST(weight => 2, seed => 1, by => ‸rating)"),
    (SqlNotSupported, "BOOST after another ranker",
     "DECAY(visits, origin => 5, scale => 1), ‸BOOST(weight => 2)"),
    (SqlNotSupported, "an encoder after DECAY", "DECAY(visits, origin => 5, scale => 1), ‸'cross'"),
    (SqlNotSupported, "a second encoder", "'one', ‸'two'"),
    (SqlTypeMismatch, "a mode is", "BOOST(weight => 2) WITH (boost_mode = ‸'max')"),
    (SqlUnknownName, "no such option", "BOOST(weight => 2) WITH (‸query = 'x')"),
    (SqlUnknownName, "no such option", "DECAY(visits, origin => 5, scale => 1) WITH (‸boost_mode = 'sum')"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "rankers"), REFUSED, ids=[rankers for _, _, rankers in REFUSED])
def test_refused(by: Callable[..., Plan], kind: type[SqlError], message: str, rankers: str) -> None:
    with pytest.raises(kind) as caught:
        by(rankers.replace("‸", ""))
    assert message in str(caught.value)
    if rankers != "‸":
        start = len("SELECT id FROM shops ORDER BY v <=> '[1, 2]' RERANK BY ")
        assert caught.value.position == start + rankers.index("‸")


def test_a_boost_of_distances_or_of_a_fusion_is_refused(by: Callable[..., Plan]) -> None:
    with pytest.raises(SqlNotSupported, match=r"BOOST with a ranking by L2.*demotes"):
        by("BOOST(weight => 2)", order="w <-> '[1, 2]'")
    with pytest.raises(SqlNotSupported, match="ignores boosts in a hybrid search"):
        by("BOOST(weight => 2)", order="RRF(v <=> '[1, 2]', w <-> '[1, 2]') DESC")


def recorded(session: Session, plan: Plan, hits: list[Any]) -> tuple[Any, Call]:
    """The result of a plan whose search is answered with these hits, and that search."""
    steps: Steps[Any] = run_plan(session, plan)
    answer: Any = None
    searches: list[Call] = []
    while True:
        try:
            request: Request = steps.send(answer)
        except StopIteration as end:
            (search,) = searches
            return end.value, search
        assert isinstance(request, Call)
        if request.method in ("search", "hybrid_search"):
            searches.append(request)
        answer = [hits] if request in searches else []


def session_of(shops: Table, version: str) -> Session:
    session = Session(tables={"shops": shops})
    session._loaded.add("shops")
    session._version = parse_version(version)
    return session


def hit(id: int, score: float, **entity: object) -> dict[str, Any]:
    return {"distance": score, "entity": {"id": id, **entity}}


def test_the_request_of_boosts_is_the_documented_one(by: Callable[..., Plan], shops: Table) -> None:
    plan = by("BOOST(WHERE visits > 4, weight => 1.5), BOOST(weight => 2, seed => 126, by => id)")
    result, search = recorded(session_of(shops, "v2.6.11"), plan, [hit(n, 9 - n) for n in range(1, 6)])
    assert result.rows == ((2,), (3,), (4,))
    assert (search.method, search.kwargs["limit"]) == ("search", 50)
    assert search.kwargs["search_params"] == {"metric_type": "COSINE"}
    ranker = search.kwargs["ranker"]
    assert isinstance(ranker, FunctionScore)
    # As milvus.io/docs/boost-ranker.md writes it.
    assert ranker.params == {"boost_mode": "Multiply", "function_mode": "Multiply"}
    assert [function.params for function in ranker.functions] == [
        {"reranker": "boost", "weight": 1.5, "filter": "visits > 4"},
        {"reranker": "boost", "weight": 2, "random_score": '{"seed": 126, "field": "id"}'},
    ]
    assert [function.input_field_names for function in ranker.functions] == [[], []]


def test_the_request_of_a_decay_is_the_documented_one(by: Callable[..., Plan], shops: Table) -> None:
    plan = by(
        "DECAY(changed, origin => '2024-01-01', scale => INTERVAL '7 days', offset => INTERVAL '1 day')"
    )
    result, search = recorded(session_of(shops, "v2.6.11"), plan, [hit(1, 0.5)])
    assert result.rows == ((1,),)
    assert search.method == "hybrid_search"
    ranker = search.args[2]
    assert isinstance(ranker, Function)
    assert ranker.input_field_names == ["changed"]
    # As milvus.io/docs/decay-ranker-overview.md writes it; no digit of the microseconds is lost.
    assert ranker.params == {
        "reranker": "decay", "function": "gauss", "origin": 1_704_067_200_000_000, "scale": 7 * DAY,
        "offset": DAY, "decay": 0.5,
    }  # fmt: skip


def test_decays_beyond_the_first_are_nestvecs_work(by: Callable[..., Plan], shops: Table) -> None:
    plan = by("DECAY(rating, origin => 5, scale => 2), DECAY(opened, origin => '1970-01-11', scale => 10)")
    assert isinstance(plan.node, DecayScores)
    hits = [hit(n, 1 - n / 100, opened=n * 5) for n in range(4)]
    result, search = recorded(session_of(shops, "v2.6.11"), plan, hits)
    expected = sorted(
        ((1 - n / 100) * math.exp(math.log(0.5) * ((n * 5 - 10) / 10) ** 2), n) for n in range(4)
    )
    assert [row[0] for row in result.rows] == [n for _, n in expected[::-1][1:4]]
    assert search.kwargs["limit"] == 50
    assert search.kwargs["output_fields"] == ["id", "opened"]


@pytest.mark.parametrize(
    ("version", "rankers", "message"),
    [
        ("v2.6.1", "BOOST(weight => 2)", "BOOST needs Milvus 2.6.2 or later: v2.6.1"),
        ("v2.5.4", "DECAY(rating, origin => 5, scale => 2)", "DECAY needs Milvus 2.6.0 or later"),
        ("v2.6.11", "DECAY(visits, origin => 5, scale => 2)", "does not rerank by a column that may be NULL"),
    ],
)
def test_a_server_without_a_ranker_is_refused_by_name(
    by: Callable[..., Plan], shops: Table, version: str, rankers: str, message: str
) -> None:
    with pytest.raises(StoreRefused, match=message):
        recorded(session_of(shops, version), by(rankers), [hit(1, 1.0)])
