"""A plan as a tree that people and programs read: what is asked of whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from nestvec.sql.bind.expressions import Field, written
from nestvec.sql.plan.each import batches
from nestvec.sql.plan.nodes import (
    Aggregate,
    Count,
    Distinct,
    Each,
    Fetch,
    Hybrid,
    Keep,
    Plan,
    Rescore,
    Search,
    Single,
    Slice,
    Sort,
    Tied,
)
from nestvec.sql.plan.rankings import fusion, target


@dataclass(frozen=True)
class Described:
    """A node in words: what it does, what of it is chosen (name, value), and what it reads from.

    ``node`` is the plan's own, which is described.
    """

    does: str
    details: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Described, ...] = ()
    node: object = field(default=None, compare=False, repr=False)


def described(plan: Plan) -> Described:
    """The tree of a plan."""
    made = ", ".join(
        one.name if one.expression == Field(one.name) else f"{one.name} = {written(one.expression)}"
        for one in plan.outputs
    )
    details = [("columns", made)]
    if plan.services:
        details.append(("embedded by", ", ".join(plan.services)))
    details += [("note", note) for note in plan.notes]
    return Described("Answer", tuple(details), (describe(plan.node),), plan)


def describe(node: Any) -> Described:
    """One node and what it reads from."""
    return replace(_DESCRIBERS[type(node)](node), node=node)


def lines(tree: Described, depth: int = 0) -> Iterator[str]:
    """The tree as text, a line at a time, two spaces deeper a level."""
    space = "  " * depth
    yield f"{space}{'-> ' if depth else ''}{tree.does}"
    for name, value in tree.details:
        yield f"{space}     {name}: {value}"
    for one in tree.inputs:
        yield from lines(one, depth + 1)


def as_data(tree: Described) -> dict[str, Any]:
    """The tree as data for JSON."""
    found: dict[str, Any] = {"node": tree.does}
    for name, value in tree.details:
        # Of what is said more than once, every value is kept.
        found[name] = f"{found[name]}; {value}" if name in found else value
    if tree.inputs:
        found["inputs"] = [as_data(one) for one in tree.inputs]
    return found


def _fetch(node: Fetch) -> Described:
    rows = "every row" if node.every_row else f"{node.limit} rows"
    window = (
        (("window", f"{node.needs} is done here, over at most {node.limit:,} rows"),) if node.needs else ()
    )
    return Described(
        f"Query {node.collection}: {rows}{_after(node.offset)}",
        (*_asked(node.filter, node.fields), *window),
    )


def _search(node: Search) -> Described:
    near = node.nearest
    group = (("nearest row of each", node.group),) if node.group else ()
    return Described(
        f"Search {node.collection}: {node.limit} rows{_after(node.offset)} "
        f"by {near.metric} of {near.column} to {target(near.target)}",
        (*_asked(node.filter, node.fields), *group),
    )


def _rescore(node: Rescore) -> Described:
    whole, size = node.whole, node.shortlist.limit
    stops = "no" if node.easy is None else f"where the last of the shortlist is {node.easy:.4g} farther off"
    details = (
        ("expected", node.expected),
        ("stops early", stops),
    )
    again = replace(whole, filter=f"{node.primary} in [the ids of the {size:,}]")
    return Described(
        f"Rescore {node.collection}: {whole.limit} rows of {size:,}",
        tuple(one for one in details if one[1]),
        (describe(node.shortlist), replace(_search(again), node=whole)),
    )


def _hybrid(node: Hybrid) -> Described:
    rerank = node.rerank
    order = f"{rerank.encoder}'s score of {rerank.column}" if rerank is not None else fusion(node.ranking)
    return Described(
        f"Hybrid search {node.collection}: {node.limit} rows{_after(node.offset)} by {order}",
        (("fields", ", ".join(node.fields) or "none"),),
        tuple(describe(one) for one in node.parts),
    )


def _keep(node: Keep) -> Described:
    return Described(f"Keep here rows where {written(node.condition)}", (), (describe(node.input),))


def _aggregate(node: Aggregate) -> Described:
    made = ", ".join(written(one) for one in node.summaries) or "none"
    by = f" by {', '.join(written(one) for one in node.keys)}" if node.keys else ""
    return Described(f"Aggregate here{by}", (("aggregates", made),), (describe(node.input),))


def _distinct(node: Distinct) -> Described:
    values = ", ".join(written(one) for one in node.values)
    return Described(f"Keep here the first of each {values}", (), (describe(node.input),))


def _nulls(first: bool) -> str:
    return f" NULLS {'FIRST' if first else 'LAST'}"


def _sort(node: Sort) -> Described:
    keys = ", ".join(
        f"{written(one.expression)}{' DESC' if one.descending else ''}"
        f"{_nulls(one.nulls_first) if one.nulls_first != one.descending else ''}"
        for one in node.keys
    )
    return Described(f"Sort here by {keys}", (), (describe(node.input),))


def _tied(node: Tied) -> Described:
    sort = _sort(Sort(node.input, node.keys))
    return replace(sort, does=f"{sort.does}: {node.limit} rows{_after(node.offset)}")


def _slice(node: Slice) -> Described:
    rows = "Every row" if node.limit is None else f"The first {node.limit} rows"
    return Described(f"{rows}{_after(node.offset)}", (), (describe(node.input),))


def _each(node: Each) -> Described:
    asked = len(batches(node.plans))
    return Described(
        f"For each of {len(node.plans)} queries, in {asked} searches"
        if asked > 1
        else f"For each of {len(node.plans)} queries, in one search",
        (("queries", f"{node.left}({', '.join(node.columns)})"),),
        (describe(node.plans[0].node),),
    )


def _after(offset: int) -> str:
    return f" after {offset}" if offset else ""


def _asked(where: str, fields: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found = [("filter", where)] if where else []
    return (*found, ("fields", ", ".join(fields) or "none"))


_DESCRIBERS: dict[type[Any], Callable[[Any], Described]] = {
    Fetch: _fetch,
    Search: _search,
    Rescore: _rescore,
    Hybrid: _hybrid,
    Count: lambda node: Described(f"Count rows of {node.collection}", _asked(node.filter, ())[:-1]),
    Single: lambda node: Described("One row, without asking Milvus"),
    Keep: _keep,
    Aggregate: _aggregate,
    Distinct: _distinct,
    Sort: _sort,
    Tied: _tied,
    Slice: _slice,
    Each: _each,
}
