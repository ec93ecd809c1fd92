"""What EXPLAIN adds to a plan's tree from the collection: indexes, who embeds, bytes read, measured times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from nestvec.catalog import Table
from nestvec.sql.bind.nearest import Nearest
from nestvec.sql.plan.cost import read_bytes
from nestvec.sql.plan.explain import Described
from nestvec.sql.plan.nodes import Plan, Rescore, Search, source_of
from nestvec.sql.plan.rankings import texts
from nestvec.sql.plan.statistics import Statistics, stored
from nestvec.sql.run.profile import Ran

_STALE = 2
"""A collection that has grown this much is another one."""


Details = tuple[tuple[str, str], ...]
"""What is said of a node: names and values."""


@dataclass(frozen=True)
class About:
    """A collection with its number of rows, and what was measured of the plan's nodes, by their identity.

    ``words`` is what is said of searches by a sparse column.
    """

    table: Table
    rows: int
    measured: Mapping[int, Ran] = field(default_factory=dict)
    words: Mapping[int, Details] = field(default_factory=dict)


def completed(tree: Described, about: About) -> Described:
    """The tree with all that is known of each node."""
    node = tree.node
    parts = tuple(
        (_rescoring(one, about, node) if isinstance(node, Rescore) and one.node is node.whole else None)
        or completed(one, about)
        for one in tree.inputs
    )
    more = [*_searched(node, about), *_times(node, about)]
    if isinstance(node, Plan):
        more += [*_reads(node, about), *_stale(node, about)]
    return replace(tree, details=(*tree.details, *more), inputs=parts)


def _rescoring(tree: Described, about: About, node: Rescore) -> Described:
    """The second search of two, which reads what the first has found alone."""
    size = min(node.shortlist.limit, about.rows)
    more = (*_column(about, node.whole.nearest), ("reads", _megabytes(_second(node, about))))
    ran = tuple(_times(node.whole, about))
    never = (("measured", "not run"),) if about.measured and size and not ran else ()
    return replace(tree, details=(*tree.details, *more, *ran, *never))


def _searched(node: object, about: About) -> Iterator[tuple[str, str]]:
    if isinstance(node, Search):
        yield from _column(about, node.nearest)
        yield from about.words.get(id(node), ())
        column = about.table.column(node.nearest.column)
        # What a sparse search reads depends on how often its words occur, which Milvus does not say.
        if column is None or column.dim is not None:
            yield "reads", _megabytes(_first(node, about))


def _column(about: About, near: Nearest) -> Iterator[tuple[str, str]]:
    """The index of the column that is searched, and who embeds the text for it."""
    index = about.table.indexes.get(near.column) or "unknown"
    yield "index", f"{index}, {about.table.metrics.get(near.column) or near.metric}"
    embedding = about.table.embedding(near.column)
    if isinstance(near.target, str) and embedding is not None:
        exit = "the deepest exit" if embedding.exit is None else f"exit {embedding.exit}"
        yield (
            "embeds",
            f"1 text by {embedding.maker}, {exit}, {embedding.dim} dims, "
            f"at {embedding.endpoint.service}, which Milvus asks",
        )
    asked = texts(near)
    if asked:
        yield "embeds", asked


def _times(node: object, about: About) -> Iterator[tuple[str, str]]:
    ran = about.measured.get(id(node))
    if ran is not None:
        often = f" in {ran.runs} runs" if ran.runs > 1 else ""
        yield "measured", f"{ran.rows} rows in {ran.seconds * 1000:.1f} ms{often}"


def _reads(plan: Plan, about: About) -> Iterator[tuple[str, str]]:
    node = source_of(plan.node)
    if isinstance(node, Rescore):
        both = _first(node.shortlist, about) + _second(node, about)
        yield (
            "reads",
            f"{_megabytes(both)}, where whole vectors alone: {_megabytes(_first(node.whole, about))}",
        )


def _first(node: Search, about: About) -> int:
    column = about.table.column(node.nearest.column)
    index = about.table.indexes.get(node.nearest.column, "")
    return read_bytes(index, about.rows, (column.dim if column else None) or 0, node.limit + node.offset)


def _second(node: Rescore, about: About) -> int:
    column = about.table.column(node.whole.nearest.column)
    size = min(node.shortlist.limit, about.rows)
    return read_bytes("", size, (column.dim if column else None) or 0, size)


def _megabytes(number: int) -> str:
    return f"about {number / 1e6:,.2f} MB of vectors"


def _stale(plan: Plan, about: About) -> Iterator[tuple[str, str]]:
    """A note where the collection has outgrown what ANALYZE knows of it."""
    node = source_of(plan.node)
    near = node.nearest if isinstance(node, Search) else None
    near = node.whole.nearest if isinstance(node, Rescore) else near
    found = stored(about.table, near.column) if near is not None and near.shorter else None
    if isinstance(found, Statistics) and about.rows >= _STALE * max(found.rows, 1):
        yield (
            "note",
            f"the statistics are of {found.rows:,} rows, and there are {about.rows:,}: "
            f"run ANALYZE {about.table.name}",
        )
