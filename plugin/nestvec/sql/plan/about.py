"""What EXPLAIN adds to a plan's tree from the collection: indexes, who embeds, bytes read, measured times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.vectors.nearest import Nearest
from nestvec.sql.execute.profile import NodeTiming
from nestvec.sql.plan.cost import read_bytes
from nestvec.sql.plan.explain import ExplainNode
from nestvec.sql.plan.nodes import Plan, Rescore, VectorSearch, source_of
from nestvec.sql.plan.rankings import describe_embedding
from nestvec.sql.plan.statistics import FamilyStatistics, stored_statistics

_STALE_FACTOR = 2
"""A collection that has grown this much is another one."""


Details = tuple[tuple[str, str], ...]
"""What is said of a node: names and values."""


@dataclass(frozen=True)
class CollectionContext:
    """A collection with its number of rows, and what was measured of the plan's nodes, by their identity.

    ``words`` is what is said of searches by a sparse column.
    """

    table: Table
    rows: int
    timings: Mapping[int, NodeTiming] = field(default_factory=dict)
    word_details: Mapping[int, Details] = field(default_factory=dict)


def add_details(tree: ExplainNode, context: CollectionContext) -> ExplainNode:
    """The tree with all that is known of each node."""
    node = tree.node
    parts = tuple(
        (
            _add_rescore_details(child, context, node)
            if isinstance(node, Rescore) and child.node is node.full_search
            else None
        )
        or add_details(child, context)
        for child in tree.children
    )
    more = [*_search_details(node, context), *_timing_details(node, context)]
    if isinstance(node, Plan):
        more += [*_total_bytes_details(node, context), *_stale_note(node, context)]
    return replace(tree, details=(*tree.details, *more), children=parts)


def _add_rescore_details(tree: ExplainNode, context: CollectionContext, node: Rescore) -> ExplainNode:
    """The second search of two, which reads what the first has found alone."""
    size = min(node.shortlist.limit, context.rows)
    more = (
        *_index_details(context, node.full_search.nearest),
        ("reads", _megabytes(_rescore_bytes(node, context))),
    )
    ran = tuple(_timing_details(node.full_search, context))
    never = (("measured", "not run"),) if context.timings and size and not ran else ()
    return replace(tree, details=(*tree.details, *more, *ran, *never))


def _search_details(node: object, context: CollectionContext) -> Iterator[tuple[str, str]]:
    if isinstance(node, VectorSearch):
        yield from _index_details(context, node.nearest)
        yield from context.word_details.get(id(node), ())
        column = context.table.column(node.nearest.column)
        # What a sparse search reads depends on how often its words occur, which Milvus does not say.
        if column is None or column.dim is not None:
            yield "reads", _megabytes(_search_bytes(node, context))


def _index_details(context: CollectionContext, nearest: Nearest) -> Iterator[tuple[str, str]]:
    """The index of the column that is searched, and who embeds the text for it."""
    index = context.table.indexes.get(nearest.column) or "unknown"
    yield "index", f"{index}, {context.table.metrics.get(nearest.column) or nearest.metric}"
    embedding = context.table.embedding(nearest.column)
    if isinstance(nearest.target, str) and embedding is not None:
        exit = "the deepest exit" if embedding.exit is None else f"exit {embedding.exit}"
        yield (
            "embeds",
            f"1 text by {embedding.maker}, {exit}, {embedding.dim} dims, "
            f"at {embedding.endpoint.service}, which Milvus asks",
        )
    embedded_here = describe_embedding(nearest)
    if embedded_here:
        yield "embeds", embedded_here


def _timing_details(node: object, context: CollectionContext) -> Iterator[tuple[str, str]]:
    timing = context.timings.get(id(node))
    if timing is not None:
        runs = f" in {timing.runs} runs" if timing.runs > 1 else ""
        yield "measured", f"{timing.rows} rows in {timing.seconds * 1000:.1f} ms{runs}"


def _total_bytes_details(plan: Plan, context: CollectionContext) -> Iterator[tuple[str, str]]:
    node = source_of(plan.node)
    if isinstance(node, Rescore):
        total = _search_bytes(node.shortlist, context) + _rescore_bytes(node, context)
        yield (
            "reads",
            f"{_megabytes(total)}, where whole vectors alone: {_megabytes(_search_bytes(node.full_search, context))}",
        )


def _search_bytes(node: VectorSearch, context: CollectionContext) -> int:
    column = context.table.column(node.nearest.column)
    index = context.table.indexes.get(node.nearest.column, "")
    return read_bytes(index, context.rows, (column.dim if column else None) or 0, node.limit + node.offset)


def _rescore_bytes(node: Rescore, context: CollectionContext) -> int:
    column = context.table.column(node.full_search.nearest.column)
    size = min(node.shortlist.limit, context.rows)
    return read_bytes("", size, (column.dim if column else None) or 0, size)


def _megabytes(number: int) -> str:
    return f"about {number / 1e6:,.2f} MB of vectors"


def _stale_note(plan: Plan, context: CollectionContext) -> Iterator[tuple[str, str]]:
    """A note where the collection has outgrown what ANALYZE knows of it."""
    node = source_of(plan.node)
    nearest = node.nearest if isinstance(node, VectorSearch) else None
    nearest = node.full_search.nearest if isinstance(node, Rescore) else nearest
    statistics = (
        stored_statistics(context.table, nearest.column) if nearest is not None and nearest.shorter else None
    )
    if isinstance(statistics, FamilyStatistics) and context.rows >= _STALE_FACTOR * max(statistics.rows, 1):
        yield (
            "note",
            f"the statistics are of {statistics.rows:,} rows, and there are {context.rows:,}: "
            f"run ANALYZE {context.table.name}",
        )
