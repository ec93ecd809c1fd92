"""The nodes of a plan: what Milvus is asked, and what is done with its rows. Data alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nestvec.sql.bind.expressions.expressions import Expression, Summary, written
from nestvec.sql.bind.order import Key
from nestvec.sql.bind.outputs import Output
from nestvec.sql.bind.vectors.nearest import Fused, Nearest
from nestvec.sql.bind.vectors.rerank import Reranker


@dataclass(frozen=True)
class Fetch:
    """Rows by a filter, in no order: Milvus's query.

    ``every_row``: no LIMIT was written, so more rows than ``limit`` are refused.
    ``needs`` is the clause that reads every row here, where one does.
    """

    collection: str
    filter: str
    fields: tuple[str, ...]
    limit: int
    offset: int = 0
    every_row: bool = False
    windowed_clause: str = ""


@dataclass(frozen=True)
class VectorSearch:
    """Rows nearest first: Milvus's search, by one vector column.

    ``group`` is a column, of whose values each has its nearest row alone; empty for every row.
    """

    collection: str
    nearest: Nearest
    filter: str
    fields: tuple[str, ...]
    limit: int
    offset: int = 0
    group: str = ""


@dataclass(frozen=True)
class Rescore:
    """Rows nearest first in two searches: a shortlist by a shorter vector, judged anew by the longest.

    ``whole`` is the search that is meant: its answer, but for rows that the shortlist missed. ``primary`` is
    the column that the rows are known by, ``dim`` that of the shorter vectors. Where the rows from the limit
    on lie ``easy`` or more beyond those before them, by the shorter vector, its own answer stands; None for
    never.
    """

    shortlist: VectorSearch
    full_search: VectorSearch
    primary_key: str
    dim: int
    expected: str = ""
    early_stop_gap: float | None = None

    @property
    def collection(self) -> str:
        """What both searches ask."""
        return self.full_search.collection

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the rows have."""
        return self.full_search.fields


@dataclass(frozen=True)
class HybridSearch:
    """Rows by several searches at once, best first: Milvus's hybrid search, which fuses their answers.

    ``parts`` are those searches; their fields and offsets are no matter. Where there is ``rerank``, the order
    is by its scores and not by ``ranking``.
    """

    collection: str
    ranking: Fused
    parts: tuple[VectorSearch, ...]
    fields: tuple[str, ...]
    limit: int
    offset: int = 0
    rerank: Reranker | None = None

    @property
    def filter(self) -> str:
        """What every part is filtered by."""
        return self.parts[0].filter


@dataclass(frozen=True)
class CountRows:
    """One row with how many rows pass a filter: Milvus's ``count(*)``."""

    collection: str
    filter: str
    fields: tuple[str, ...] = ("count(*)",)


@dataclass(frozen=True)
class SingleRow:
    """One row without columns: what a SELECT without FROM is made of. Nobody is asked."""

    collection: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnaryNode:
    """What is done here with the rows of ``input``."""

    input: Node

    @property
    def collection(self) -> str:
        """Where the rows come from."""
        return self.input.collection

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the rows have."""
        return self.input.fields


@dataclass(frozen=True)
class Filter(UnaryNode):
    """The rows for which a condition is true."""

    condition: Expression


@dataclass(frozen=True)
class Aggregate(UnaryNode):
    """A row a group: what the rows are grouped by, and what is said of each group, by their names in SQL.

    Without keys there is one group, also of no rows.
    """

    keys: tuple[Expression, ...]
    summaries: tuple[Summary, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the rows have."""
        return tuple(written(expression) for expression in (*self.keys, *self.summaries))


@dataclass(frozen=True)
class Distinct(UnaryNode):
    """Of rows with the same values, the first."""

    values: tuple[Expression, ...]


@dataclass(frozen=True)
class Sort(UnaryNode):
    """Rows by values; those whose values are the same stay as they are."""

    keys: tuple[Key, ...]


@dataclass(frozen=True)
class TopKWithTies(UnaryNode):
    """Of ranked rows, ``limit`` after ``offset``, by all ``keys``, of which the first is the ranking.

    ``input`` gives some rows more, from the best on, so that those as far off as the last one are seen.
    """

    keys: tuple[Key, ...]
    limit: int
    offset: int = 0


@dataclass(frozen=True)
class Limit(UnaryNode):
    """Of the rows, at most ``limit`` after ``offset``; all of them where it is None."""

    limit: int | None
    offset: int = 0


@dataclass(frozen=True)
class ForEachQuery:
    """The rows of several plans, one after the other, each beside its row of the queries.

    ``rows`` has a value for each of ``columns`` of the table of queries, ``left``; ``right`` is what
    the found rows are called. ``outer`` keeps a query that finds nothing. The plans are of one SELECT, so of
    one collection.
    """

    plans: tuple[Plan, ...]
    left: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    right: str
    outer: bool = False

    @property
    def collection(self) -> str:
        """What every plan asks."""
        return self.plans[0].node.collection

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the rows have."""
        found = [*(f"{self.left}.{one}" for one in self.columns)]
        return (*found, *(f"{self.right}.{one}" for one in self.plans[0].columns))


Node = (
    Fetch
    | VectorSearch
    | Rescore
    | HybridSearch
    | CountRows
    | SingleRow
    | Filter
    | Aggregate
    | Distinct
    | Sort
    | TopKWithTies
    | Limit
    | ForEachQuery
)


def source_of(node: Node) -> Node:
    """The node that gives the rows which the others only rearrange: what asks Milvus."""
    while isinstance(node, UnaryNode):
        node = node.input
    return node


def with_source(node: Node, source: Node) -> Node:
    """The same plan with another node for ``source_of``."""
    return replace(node, input=with_source(node.input, source)) if isinstance(node, UnaryNode) else source


@dataclass(frozen=True)
class Plan:
    """Rows from ``node``, and the answer's columns made of each.

    ``services`` are the base URLs that are called to embed the statement's texts; ``notes`` say why it is
    planned as it is.
    """

    node: Node
    outputs: tuple[Output, ...]
    services: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the answer's columns."""
        return tuple(output.name for output in self.outputs)
