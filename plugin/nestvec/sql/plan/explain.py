"""A plan as a tree of descriptions: lines of text for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nestvec.sql.bind.highlight import Highlight
from nestvec.sql.bind.select_list import OutputColumn, output_label
from nestvec.sql.bind.values import ColumnRef, expression_sql
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.ranking import FusedRanking
from nestvec.sql.bind.vectors.targets import (
    EmbeddedText,
    SparseLiteral,
    Target,
    Term,
    VectorLiteral,
    VectorSum,
)
from nestvec.sql.plan.explain_rankers import describe_boosts, describe_reranker
from nestvec.sql.plan.lateral import search_batches
from nestvec.sql.plan.nodes import (
    CountRows,
    DecayScores,
    Fetch,
    Filter,
    ForEachQuery,
    HybridSearch,
    Limit,
    Plan,
    Rescore,
    SingleRow,
    Sort,
    TopKWithTies,
    VectorSearch,
)

_MAX_SHOWN_CHARS: Final = 60
"""Characters of a text that a plan shows."""


@dataclass(frozen=True)
class ExplainNode:
    """A node of the plan in words, with the nodes that it reads from."""

    title: str
    """What the node does."""
    details: tuple[tuple[str, str], ...] = ()
    """Names and values of what was chosen for it."""
    children: tuple[ExplainNode, ...] = ()
    node: object = field(default=None, compare=False, repr=False)
    """The node of the plan that this one describes."""


def explain_plan(plan: Plan) -> ExplainNode:
    """The tree of a plan."""
    columns = ", ".join(map(_describe_output, plan.outputs))
    details = [("columns", columns)]
    if plan.services:
        details.append(("embedded by", ", ".join(plan.services)))
    details += [("note", note) for note in plan.notes]
    return ExplainNode("Answer", tuple(details), (explain_node(plan.node),), plan)


def _describe_output(output: OutputColumn) -> str:
    is_column, name = output.expression == ColumnRef(output.name), output_label(output.name)
    return name if is_column else f"{name} = {expression_sql(output.expression)}"


def explain_node(node: Any) -> ExplainNode:
    """One node and those that it reads from."""
    return replace(_EXPLAINERS[type(node)](node), node=node)


def as_lines(tree: ExplainNode, depth: int = 0) -> Iterator[str]:
    """The tree as lines of text, two spaces deeper at each level."""
    indent = "  " * depth
    yield f"{indent}{'-> ' if depth else ''}{tree.title}"
    for name, value in tree.details:
        yield f"{indent}     {name}: {value}"
    for child in tree.children:
        yield from as_lines(child, depth + 1)


def as_data(tree: ExplainNode) -> dict[str, Any]:
    """The tree as data for JSON."""
    data: dict[str, Any] = {"node": tree.title}
    for name, value in tree.details:
        # Details may share a name: every value is kept.
        data[name] = f"{data[name]}; {value}" if name in data else value
    if tree.children:
        data["inputs"] = [as_data(child) for child in tree.children]
    return data


def count_of(number: int, noun: str, plural: str = "") -> str:
    """``1 row``, ``2 rows``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def describe_target(target: Target) -> str:
    """What a search looks for, shortened if it is long."""
    if isinstance(target, str):
        return _quoted(target)
    if isinstance(target, bytes):
        return f"a code of {len(target) * 8} bits"
    if isinstance(target, EmbeddedText):
        return _describe_term(target)
    if isinstance(target, tuple):
        return f"a vector of {len(target)} dims"
    if isinstance(target, SparseLiteral):
        return f"a sparse vector of {count_of(len(target.entries), 'entry', 'entries')}"
    return _describe_sum(target)


def describe_embedding(nearest: DistanceRanking) -> str:
    """The texts of a search that nestvec itself has embedded, and the encoders; empty if there are none."""
    target = nearest.target
    terms = target.terms if isinstance(target, VectorSum) else ((1.0, target),)
    embedded = dict.fromkeys(term for _, term in terms if isinstance(term, EmbeddedText))
    encoders = dict.fromkeys(
        f"{term.request.model}, {_describe_size(term)}, at {term.request.service}" for term in embedded
    )
    if not embedded:
        return ""
    return f"{count_of(len(embedded), 'text')} by {'; '.join(encoders)}, called by nestvec"


def _describe_size(embedded: EmbeddedText) -> str:
    config = embedded.request.config
    return "weights of words" if config.form == "sparse" else f"{config.dim} dims"


def _describe_sum(target: VectorSum) -> str:
    shown = ""
    for number, (weight, term) in enumerate(target.terms):
        if len(shown) > 4 * _MAX_SHOWN_CHARS:
            return f"{shown} + {len(target.terms) - number} more"
        sign = ("-" if weight < 0 else "") if not shown else (" - " if weight < 0 else " + ")
        shown += f"{sign}{'' if abs(weight) == 1 else f'{abs(weight):g} * '}{_describe_term(term)}"
    return shown


def _describe_term(term: Term) -> str:
    if isinstance(term, EmbeddedText):
        return f"EMBED({_quoted(term.text)}, {term.request.model!r})"
    if isinstance(term, VectorLiteral):
        return f"a vector of {len(term.vector)} dims"
    column = f"{term.collection}.{term.column}"
    return f"{term.aggregate}({column})" if term.aggregate else f"{column} of one row"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…")


def _fetch(node: Fetch) -> ExplainNode:
    rows = "every row" if node.every_row else count_of(node.limit, "row")
    details = _filter_and_fields(node.filter, node.fields)
    if node.windowed_clause:
        window = f"{node.windowed_clause} runs in nestvec, over at most {node.limit:,} rows"
        details = (*details, ("window", window))
    return ExplainNode(f"Query {node.collection}: {rows}{_after(node.offset)}", details)


def _search(node: VectorSearch) -> ExplainNode:
    nearest = node.nearest
    group = (("group", f"nearest row of each {node.group}"),) if node.group else ()
    return ExplainNode(
        f"Search {node.collection}: {count_of(node.limit, 'row')}{_after(node.offset)} "
        f"by {nearest.metric} of {nearest.column} to {describe_target(nearest.target)}",
        (*_filter_and_fields(node.filter, node.fields), *group, *_highlight(node.highlight)),
    )


def _highlight(highlight: Highlight | None) -> tuple[tuple[str, str], ...]:
    """What Milvus marks in which text."""
    if highlight is None:
        return ()
    more = f" and {highlight.words!r}" if highlight.words else ""
    return (("highlights", f"words of the search{more} in {highlight.column}, by Milvus"),)


def _rescore(node: Rescore) -> ExplainNode:
    search, size, gap = node.full_search, node.shortlist.limit, node.early_stop_gap
    stops = "no" if gap is None else f"if the last row of the shortlist is {gap:.4g} farther away"
    details = (("expected", node.expected), ("stops early", stops))
    rescoring = replace(search, filter=f"{node.primary_key} in [the {size:,} shortlisted ids]")
    return ExplainNode(
        f"Rescore {node.collection}: {count_of(search.limit, 'row')} of {size:,}",
        tuple(detail for detail in details if detail[1]),
        (explain_node(node.shortlist), replace(_search(rescoring), node=search)),
    )


def _hybrid(node: HybridSearch) -> ExplainNode:
    boosts = tuple(("boost", text) for text in describe_boosts(node.boosts))
    order = _fusion(node.ranking) if node.reranker is None else describe_reranker(node.reranker)
    return ExplainNode(
        f"Hybrid search {node.collection}: {count_of(node.limit, 'row')}{_after(node.offset)} by {order}",
        (*boosts, ("fields", ", ".join(node.fields) or "none")),
        tuple(explain_node(part) for part in node.parts),
    )


def _fusion(ranking: FusedRanking) -> str:
    if len(ranking.parts) == 1:
        return "one ranking"
    if not ranking.weights:
        return f"RRF with k = {ranking.k:g}"
    return f"weights {', '.join(f'{weight:g}' for weight in ranking.weights)}"


def _count(node: CountRows) -> ExplainNode:
    return ExplainNode(f"Count rows of {node.collection}", _filter_and_fields(node.filter, ())[:-1])


def _single_row(node: SingleRow) -> ExplainNode:
    return ExplainNode("One row, without Milvus")


def _filter(node: Filter) -> ExplainNode:
    condition = " AND ".join(threshold.sql for threshold in node.thresholds)
    return ExplainNode(f"Filter in nestvec: {condition}", (), (explain_node(node.input),))


def _sort(node: Sort) -> ExplainNode:
    keys = ", ".join(
        f"{expression_sql(key.expression)}{' DESC' if key.descending else ''}"
        f"{_nulls(key.nulls_first) if key.nulls_first != key.descending else ''}"
        for key in node.keys
    )
    return ExplainNode(f"Sort in nestvec by {keys}", (), (explain_node(node.input),))


def _nulls(first: bool) -> str:
    return f" NULLS {'FIRST' if first else 'LAST'}"


def _top_k(node: TopKWithTies) -> ExplainNode:
    sort = _sort(Sort(node.input, node.keys))
    return replace(sort, title=f"{sort.title}: {count_of(node.limit, 'row')}{_after(node.offset)}")


def _decay_scores(node: DecayScores) -> ExplainNode:
    decays = "; ".join(describe_reranker(decay) for decay in node.decays)
    rows = f"{count_of(node.limit, 'row')}{_after(node.offset)}"
    return ExplainNode(f"Decay in nestvec: {rows} by {decays}", (), (explain_node(node.input),))


def _limit(node: Limit) -> ExplainNode:
    rows = "every row" if node.limit is None else count_of(node.limit, "row")
    return ExplainNode(f"Limit: {rows}{_after(node.offset)}", (), (explain_node(node.input),))


def _lateral(node: ForEachQuery) -> ExplainNode:
    searches = len(search_batches(node.plans))
    return ExplainNode(
        f"For each of {len(node.plans)} queries, in "
        f"{'one search' if searches == 1 else f'{searches} searches'}",
        (("queries", f"{node.left}({', '.join(node.columns)})"),),
        (explain_node(node.plans[0].node),),
    )


def _after(offset: int) -> str:
    return f" after {offset}" if offset else ""


def _filter_and_fields(where: str, fields: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    details = [("filter", where)] if where else []
    return (*details, ("fields", ", ".join(fields) or "none"))


_EXPLAINERS: Final[dict[type[Any], Callable[[Any], ExplainNode]]] = {
    Fetch: _fetch,
    VectorSearch: _search,
    Rescore: _rescore,
    HybridSearch: _hybrid,
    CountRows: _count,
    SingleRow: _single_row,
    Filter: _filter,
    Sort: _sort,
    TopKWithTies: _top_k,
    DecayScores: _decay_scores,
    Limit: _limit,
    ForEachQuery: _lateral,
}
