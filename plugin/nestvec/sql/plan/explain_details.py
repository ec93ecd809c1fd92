"""What EXPLAIN adds from the collection: indexes, encoders, bytes read, measured times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.plan.cost import read_bytes
from nestvec.sql.plan.explain import ExplainNode, count_of, describe_embedding
from nestvec.sql.plan.nodes import Plan, Rescore, VectorSearch, source_of
from nestvec.sql.plan.search_method import SearchMethod
from nestvec.sql.plan.statistics import FamilyStatistics, stored_statistics
from nestvec.sql.plan.width_statistics import STALE_SHARE, stored_widths

_KILOBYTES_BELOW: Final = 100_000

Details = tuple[tuple[str, str], ...]
"""Names and values that are shown with a node."""


@dataclass
class NodeTiming:
    """What EXPLAIN ANALYZE measured for one node, over all its runs."""

    runs: int = 0
    rows: int = 0
    seconds: float = 0.0
    """Includes the node's inputs, and the time that Milvus took."""
    notes: list[str] = field(default_factory=list)
    """What was done beyond the plan: searches that were widened, and why."""


@dataclass(frozen=True)
class CollectionContext:
    """The collection of a plan, and what was measured for the plan's nodes."""

    table: Table
    rows: int
    """The number of rows, as Milvus counts them."""
    timings: Mapping[int, NodeTiming] = field(default_factory=dict)
    """By the ``id`` of the plan's node."""
    word_details: Mapping[int, Details] = field(default_factory=dict)
    """Words of the searches by a sparse column, by the ``id`` of the plan's node."""
    methods: Mapping[int, SearchMethod] = field(default_factory=dict)
    """How each search finds its rows, by the ``id`` of the plan's node."""


def add_details(tree: ExplainNode, context: CollectionContext) -> ExplainNode:
    """The tree with everything that is known about each node."""
    node = tree.node
    children = tuple(_add_child_details(child, context, node) for child in tree.children)
    more = [*_search_details(node, context), *_timing_details(node, context)]
    if isinstance(node, Rescore):
        more.insert(0, ("result", "approximate: a row that the shortlist misses is not in it"))
    if isinstance(node, Plan):
        more += [*_total_bytes_details(node, context), *_stale_note(node, context)]
    return replace(tree, details=(*tree.details, *more), children=children)


def _add_child_details(child: ExplainNode, context: CollectionContext, parent: object) -> ExplainNode:
    if isinstance(parent, Rescore) and child.node is parent.full_search:
        return _add_rescore_details(child, context, parent)
    return add_details(child, context)


def _add_rescore_details(tree: ExplainNode, context: CollectionContext, node: Rescore) -> ExplainNode:
    """The second search of two, which reads only the rows that the first one found."""
    size = min(node.shortlist.limit, context.rows)
    more = (
        *_index_details(context, node.full_search.nearest),
        ("reads", _vector_bytes(_rescore_bytes(node, context))),
    )
    timing = tuple(_timing_details(node.full_search, context))
    not_run = (("measured", "not run"),) if context.timings and size and not timing else ()
    return replace(tree, details=(*tree.details, *more, *timing, *not_run))


def _search_details(node: object, context: CollectionContext) -> Iterator[tuple[str, str]]:
    if isinstance(node, VectorSearch):
        method = context.methods.get(id(node))
        if method is not None:
            yield "result", method.described
        yield from _index_details(context, node.nearest, by_nestvec=method is not None and method.scan)
        yield from context.word_details.get(id(node), ())
        column = context.table.column(node.nearest.column)
        # What a sparse search reads depends on how often its words occur, which Milvus does not say.
        if column is None or column.dim is not None:
            yield "reads", _vector_bytes(_search_bytes(node, context))


def _index_details(
    context: CollectionContext, nearest: DistanceRanking, *, by_nestvec: bool = False
) -> Iterator[tuple[str, str]]:
    """The index of the column that is searched, and what embeds the text for it."""
    index = context.table.indexes.get(nearest.column) or "unknown"
    yield "index", f"{index}, {context.table.metrics.get(nearest.column) or nearest.metric}"
    embedding = context.table.embedding(nearest.column)
    if isinstance(nearest.target, str) and embedding is not None:
        layer = embedding.config.exit
        exit = "the deepest exit" if layer is None else f"exit {layer}"
        caller = "nestvec; by Milvus, with its index, if it answers only Milvus" if by_nestvec else "Milvus"
        yield (
            "embeds",
            f"1 text by {embedding.encoder_name}, {exit}, {embedding.dim} dims, "
            f"at {embedding.service}, called by {caller}",
        )
    embedded_here = describe_embedding(nearest)
    if embedded_here:
        yield "embeds", embedded_here


def _timing_details(node: object, context: CollectionContext) -> Iterator[tuple[str, str]]:
    timing = context.timings.get(id(node))
    if timing is not None:
        runs = f" in {timing.runs} runs" if timing.runs > 1 else ""
        yield "measured", f"{count_of(timing.rows, 'row')} in {timing.seconds * 1000:.1f} ms{runs}"
        for note in timing.notes:
            yield "done", note


def _total_bytes_details(plan: Plan, context: CollectionContext) -> Iterator[tuple[str, str]]:
    node = source_of(plan.node)
    if isinstance(node, Rescore):
        total = _search_bytes(node.shortlist, context) + _rescore_bytes(node, context)
        full = _vector_bytes(_search_bytes(node.full_search, context))
        yield "reads", f"{_vector_bytes(total)}; a search by the full vectors only: {full}"


def _search_bytes(node: VectorSearch, context: CollectionContext) -> int:
    column = context.table.column(node.nearest.column)
    index = context.table.indexes.get(node.nearest.column, "")
    return read_bytes(index, context.rows, (column.dim if column else None) or 0, node.limit + node.offset)


def _rescore_bytes(node: Rescore, context: CollectionContext) -> int:
    column = context.table.column(node.full_search.nearest.column)
    size = min(node.shortlist.limit, context.rows)
    return read_bytes("", size, (column.dim if column else None) or 0, size)


def _vector_bytes(number: int) -> str:
    size = f"{number / 1e3:,.1f} kB" if number < _KILOBYTES_BELOW else f"{number / 1e6:,.2f} MB"
    return f"about {size} of vectors"


def _stale_note(plan: Plan, context: CollectionContext) -> Iterator[tuple[str, str]]:
    """A note if rows were written or deleted since the statistics that the plan uses were measured."""
    node, table = source_of(plan.node), context.table
    nearest = node.nearest if isinstance(node, VectorSearch) else None
    nearest = node.full_search.nearest if isinstance(node, Rescore) else nearest
    if nearest is None:
        return
    family = stored_statistics(table, nearest.column) if nearest.shorter else None
    if isinstance(family, FamilyStatistics) and abs(context.rows - family.rows) > STALE_SHARE * family.rows:
        yield (
            "note",
            f"the statistics cover {family.rows:,} rows, but the collection has {context.rows:,}: "
            f"run ANALYZE {table.name}",
        )
        return
    widths = stored_widths(table, nearest.column)
    stale = widths.stale(context.rows) if widths is not None else ""
    if stale:
        yield "note", f"{stale}: run ANALYZE {table.name}"
