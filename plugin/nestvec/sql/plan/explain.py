"""A plan as a tree that people and programs read: what is asked of whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from nestvec.sql.bind.expressions.expressions import Field, written
from nestvec.sql.plan.each import search_batches
from nestvec.sql.plan.nodes import (
    Aggregate,
    CountRows,
    Distinct,
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
from nestvec.sql.plan.rankings import describe_fusion, describe_target


@dataclass(frozen=True)
class ExplainNode:
    """A node in words: what it does, what of it is chosen (name, value), and what it reads from.

    ``node`` is the plan's own, which is described.
    """

    title: str
    details: tuple[tuple[str, str], ...] = ()
    children: tuple[ExplainNode, ...] = ()
    node: object = field(default=None, compare=False, repr=False)


def explain_plan(plan: Plan) -> ExplainNode:
    """The tree of a plan."""
    columns = ", ".join(
        output.name
        if output.expression == Field(output.name)
        else f"{output.name} = {written(output.expression)}"
        for output in plan.outputs
    )
    details = [("columns", columns)]
    if plan.services:
        details.append(("embedded by", ", ".join(plan.services)))
    details += [("note", note) for note in plan.notes]
    return ExplainNode("Answer", tuple(details), (explain_node(plan.node),), plan)


def explain_node(node: Any) -> ExplainNode:
    """One node and what it reads from."""
    return replace(_EXPLAINERS[type(node)](node), node=node)


def as_lines(tree: ExplainNode, depth: int = 0) -> Iterator[str]:
    """The tree as text, a line at a time, two spaces deeper a level."""
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
        # Of what is said more than once, every value is kept.
        data[name] = f"{data[name]}; {value}" if name in data else value
    if tree.children:
        data["inputs"] = [as_data(child) for child in tree.children]
    return data


def _fetch(node: Fetch) -> ExplainNode:
    rows = "every row" if node.every_row else f"{node.limit} rows"
    window = (
        (("window", f"{node.windowed_clause} is done here, over at most {node.limit:,} rows"),)
        if node.windowed_clause
        else ()
    )
    return ExplainNode(
        f"Query {node.collection}: {rows}{_after(node.offset)}",
        (*_filter_and_fields(node.filter, node.fields), *window),
    )


def _search(node: VectorSearch) -> ExplainNode:
    nearest = node.nearest
    group = (("nearest row of each", node.group),) if node.group else ()
    return ExplainNode(
        f"Search {node.collection}: {node.limit} rows{_after(node.offset)} "
        f"by {nearest.metric} of {nearest.column} to {describe_target(nearest.target)}",
        (*_filter_and_fields(node.filter, node.fields), *group),
    )


def _rescore(node: Rescore) -> ExplainNode:
    search, size = node.full_search, node.shortlist.limit
    stops = (
        "no"
        if node.early_stop_gap is None
        else f"where the last of the shortlist is {node.early_stop_gap:.4g} farther off"
    )
    details = (
        ("expected", node.expected),
        ("stops early", stops),
    )
    again = replace(search, filter=f"{node.primary_key} in [the ids of the {size:,}]")
    return ExplainNode(
        f"Rescore {node.collection}: {search.limit} rows of {size:,}",
        tuple(detail for detail in details if detail[1]),
        (explain_node(node.shortlist), replace(_search(again), node=search)),
    )


def _hybrid(node: HybridSearch) -> ExplainNode:
    rerank = node.rerank
    order = (
        f"{rerank.encoder}'s score of {rerank.column}"
        if rerank is not None
        else describe_fusion(node.ranking)
    )
    return ExplainNode(
        f"Hybrid search {node.collection}: {node.limit} rows{_after(node.offset)} by {order}",
        (("fields", ", ".join(node.fields) or "none"),),
        tuple(explain_node(part) for part in node.parts),
    )


def _filter(node: Filter) -> ExplainNode:
    return ExplainNode(f"Keep here rows where {written(node.condition)}", (), (explain_node(node.input),))


def _aggregate(node: Aggregate) -> ExplainNode:
    aggregates = ", ".join(written(expression) for expression in node.summaries) or "none"
    by = f" by {', '.join(written(expression) for expression in node.keys)}" if node.keys else ""
    return ExplainNode(f"Aggregate here{by}", (("aggregates", aggregates),), (explain_node(node.input),))


def _distinct(node: Distinct) -> ExplainNode:
    values = ", ".join(written(value) for value in node.values)
    return ExplainNode(f"Keep here the first of each {values}", (), (explain_node(node.input),))


def _nulls(first: bool) -> str:
    return f" NULLS {'FIRST' if first else 'LAST'}"


def _sort(node: Sort) -> ExplainNode:
    keys = ", ".join(
        f"{written(key.expression)}{' DESC' if key.descending else ''}"
        f"{_nulls(key.nulls_first) if key.nulls_first != key.descending else ''}"
        for key in node.keys
    )
    return ExplainNode(f"Sort here by {keys}", (), (explain_node(node.input),))


def _top_k(node: TopKWithTies) -> ExplainNode:
    sort = _sort(Sort(node.input, node.keys))
    return replace(sort, title=f"{sort.title}: {node.limit} rows{_after(node.offset)}")


def _limit(node: Limit) -> ExplainNode:
    rows = "Every row" if node.limit is None else f"The first {node.limit} rows"
    return ExplainNode(f"{rows}{_after(node.offset)}", (), (explain_node(node.input),))


def _lateral(node: ForEachQuery) -> ExplainNode:
    searches = len(search_batches(node.plans))
    return ExplainNode(
        f"For each of {len(node.plans)} queries, in {searches} searches"
        if searches > 1
        else f"For each of {len(node.plans)} queries, in one search",
        (("queries", f"{node.left}({', '.join(node.columns)})"),),
        (explain_node(node.plans[0].node),),
    )


def _after(offset: int) -> str:
    return f" after {offset}" if offset else ""


def _filter_and_fields(where: str, fields: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    details = [("filter", where)] if where else []
    return (*details, ("fields", ", ".join(fields) or "none"))


_EXPLAINERS: dict[type[Any], Callable[[Any], ExplainNode]] = {
    Fetch: _fetch,
    VectorSearch: _search,
    Rescore: _rescore,
    HybridSearch: _hybrid,
    CountRows: lambda node: ExplainNode(
        f"Count rows of {node.collection}", _filter_and_fields(node.filter, ())[:-1]
    ),
    SingleRow: lambda node: ExplainNode("One row, without asking Milvus"),
    Filter: _filter,
    Aggregate: _aggregate,
    Distinct: _distinct,
    Sort: _sort,
    TopKWithTies: _top_k,
    Limit: _limit,
    ForEachQuery: _lateral,
}
